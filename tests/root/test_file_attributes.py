# SPDX-License-Identifier: GPL-3.0-or-later
"""What chattr(1) has set is noted and set again, on real file systems."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from lab.loops import mounted, run
from rear_core.system import file_attributes
from rear_core.system.file_attributes import Attributes

pytestmark = pytest.mark.root

MAKE = {"ext4": ("mkfs.ext4", "-q"), "xfs": ("mkfs.xfs", "-q")}
# Goes 3,000 folders down, makes them or looks at the file in the last one.
DOWN = """
import os, subprocess, sys
os.chdir(sys.argv[1])
for _ in range(3000):
    if sys.argv[2] == "make":
        os.mkdir("n")
    os.chdir("n")
if sys.argv[2] == "make":
    open("file", "w").close()
else:
    subprocess.run(["lsattr", "-p", "file"], check=True)
"""
FILES = ("etc/resolv.conf", "var/log/audit/audit.log", "srv/own", "a/b/c/d/too deep", "srv/x\ny")


@pytest.fixture(params=[*MAKE])
def two(request: pytest.FixtureRequest, loop: Callable[..., str], tmp_path: Path, undo: ExitStack) -> list[Path]:
    """Two file systems with the same files; on the second nobody has set anything."""
    found = []
    for name in ("old", "new"):
        device = loop(name, 320)
        run(*MAKE[request.param], device)
        top = undo.enter_context(mounted(tmp_path / f"at-{name}", device))
        for file in FILES:
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            (top / file).write_text("x")
        found.append(top)
    return found


def of(top: Path) -> list[Attributes]:
    return [replace(a, path=a.path[len(f"{top}") :]) for a in file_attributes.find(str(top))]


def test_they_are_the_same_again(two: list[Path], tmp_path: Path) -> None:
    old, new = two
    run("chattr", "+i", old / "etc/resolv.conf")
    run("chattr", "+a", old / "var/log/audit/audit.log")
    run("chattr", "+d", "+A", old / "srv/own")
    run("chattr", "+i", old / "srv")
    recorded = of(old)
    assert recorded == [
        Attributes("/etc/resolv.conf", "i"), Attributes("/srv", "i"), Attributes("/srv/own", "Ad"),
        Attributes("/var/log/audit/audit.log", "a"),
    ]  # fmt: skip
    file_attributes.save(tmp_path / "attributes.json", recorded)
    assert list(file_attributes.restore(new, file_attributes.load(tmp_path / "attributes.json"))) == []
    assert of(new) == recorded
    assert run("lsattr", "-d", new / "etc/resolv.conf")[4] == "i"
    with pytest.raises(PermissionError):
        (new / "etc/resolv.conf").write_text("y")
    file_attributes.free(new, recorded)
    assert of(new) == [Attributes("/srv/own", "Ad")]


@pytest.mark.parametrize("two", ["ext4"], indirect=True)
def test_letters_that_only_the_older_call_has(two: list[Path]) -> None:
    old, new = two
    run("chattr", "+D", "+T", old / "srv")
    run("chattr", "+s", "+i", old / "srv/own")
    recorded = of(old)
    assert recorded == [Attributes("/srv", "DT"), Attributes("/srv/own", "is")]
    assert list(file_attributes.restore(new, recorded)) == []
    assert of(new) == recorded
    file_attributes.free(new, recorded)
    assert of(new) == [Attributes("/srv", "DT"), Attributes("/srv/own", "s")]


@pytest.mark.parametrize("two", ["xfs"], indirect=True)
def test_extent_sizes_that_folders_give_to_new_files(two: list[Path]) -> None:
    old, new = two
    run("xfs_io", "-c", "extsize 1m", old / "srv")
    run("xfs_io", "-c", "cowextsize 64k", old / "a")
    recorded = of(old)
    assert recorded == [Attributes("/a", copied_extent=1 << 16), Attributes("/srv", extent=1 << 20)]
    assert list(file_attributes.restore(new, recorded)) == []
    assert of(new) == recorded
    elsewhere = new / "elsewhere"
    elsewhere.mkdir()
    file_attributes.prepare(elsewhere, recorded)
    assert [replace(a, path=a.path[len("/elsewhere") :]) for a in of(new) if a.path.startswith("/elsew")] == [
        recorded[1]
    ]
    (new / "srv/new").write_text("x")
    assert "[1048576]" in run("xfs_io", "-c", "extsize", new / "srv/new")
    (new / "srv/sub").mkdir()
    assert Attributes("/srv/sub", extent=1 << 20) in of(new)
    # A file keeps its own only while it is empty.
    run("xfs_io", "-c", "extsize 2m", "-f", old / "srv/file")
    own = [wanted for wanted in of(old) if wanted.path == "/srv/file"]
    (new / "srv/file").write_text("x")
    (told,) = file_attributes.restore(new, own)
    assert "/srv/file has lost its attributes (size of extents)" in told


# Without quotas, a kernel mounts no ext4 that has projects.
@pytest.mark.parametrize("two", ["xfs"], indirect=True)
def test_a_project_is_that_of_all_that_is_in_its_folder(two: list[Path]) -> None:
    old, new = two
    run("chattr", "-R", "-p", "42", old / "a")
    run("chattr", "+P", old / "a", old / "a/b", old / "a/b/c", old / "a/b/c/d")
    run("chattr", "-p", "7", old / "a/b")
    recorded = of(old)
    assert recorded == [Attributes("/a", "P", 42), Attributes("/a/b", "P", 7), Attributes("/a/b/c", "P", 42)]
    assert list(file_attributes.restore(new, recorded)) == []
    assert of(new) == recorded
    assert run("lsattr", "-p", "-d", new / "a/b/c/d/too deep").split()[0] == "42"


@pytest.mark.parametrize("two", ["xfs"], indirect=True)
def test_a_project_reaches_what_lies_deeper_than_calls_descriptors_and_paths(two: list[Path], undo: ExitStack) -> None:
    top = two[1] / "a"
    # A path has 4095 letters at most, and what is farther down can only be reached step by step.
    run(sys.executable, "-c", DOWN, top, "make")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    undo.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    assert list(file_attributes.restore(two[1], [Attributes("/a", "P", 42)])) == []
    assert run(sys.executable, "-c", DOWN, top, "look").split()[0] == "42"
    assert run("lsattr", "-p", "-d", top / "b/c/d/too deep").split()[0] == "42"


def test_what_is_not_there_has_none_and_what_leads_elsewhere_gets_none(two: list[Path], tmp_path: Path) -> None:
    new = two[1]
    elsewhere = two[0]
    (new / "etc/resolv.conf").unlink()
    (new / "etc/resolv.conf").symlink_to(elsewhere / "srv/own")
    (new / "srv").rename(new / "moved")
    (new / "srv").symlink_to(elsewhere / "srv")
    wanted = [Attributes("/etc/resolv.conf", "i"), Attributes("/srv/own", "i"), Attributes("/gone", "i")]
    problems = list(file_attributes.restore(new, wanted))
    assert [problem.partition(" ")[0] for problem in problems] == ["/etc/resolv.conf", "/srv/own"]
    assert of(elsewhere) == []


def test_a_file_system_without_attributes_has_none(tmp_path: Path) -> None:
    with mounted(tmp_path / "memory", "-t", "ramfs", "ramfs") as top:
        (top / "file").write_text("x")
        assert list(file_attributes.find(str(top))) == []
        (problem,) = file_attributes.restore(top, [Attributes("/file", "i")])
        assert problem == "/file has lost its attributes (i): Inappropriate ioctl for device"


def test_devices_and_pipes_are_not_opened(two: list[Path]) -> None:
    top = two[0]
    os.mkfifo(top / "srv/pipe")
    os.mknod(top / "srv/device", 0o20600, os.makedev(1, 5))
    assert of(top) == []
