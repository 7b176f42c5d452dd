# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing a tree never reaches what is mounted in it, whatever its name is made of."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rear_core import work_area
from rear_core.archive import generations, manifest
from rear_core.mounts import mount_points
from rear_core.removal import discard, remove_tree
from rear_core.report import Report
from rear_core.shell import Shell

pytestmark = pytest.mark.root

# What lines and fields of the kernel's table are not to be cut at, and what is no text at all.
NAMES = (
    "größe", "a b", "a\nb", "a\tb", "a\\134b", "a#b", "a\x1cb\x1cc", "a\x85b", "a\u00a0b", "a\u2028b", "-rf", "a*[b]?",
    os.fsdecode(b"a\xffb"), "a'b\"c", "a\x01\x1b[2Jb",
)  # fmt: skip
names = pytest.mark.parametrize("name", NAMES, ids=ascii)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """A folder of somebody else, with files in it."""
    path = tmp_path / "share"
    (path / "web1").mkdir(parents=True)
    (path / "web1" / "backup.tar").write_text("all there is")
    return path


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[Callable[[Path, Path], Path]]:
    """Mounts a folder on another one, until the test ends."""

    def mount(source: Path, place: Path) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", source, place], check=True)
        return place

    yield mount
    # It may be gone by now, or have another name.
    for left in reversed(work_area.mounts_below(tmp_path)):
        subprocess.run(["umount", left], check=True)


def killed_run(parent: Path) -> Path:
    """The work area of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    path = parent / f"rear.{process.pid}"
    path.mkdir(parents=True, mode=0o700)
    (path / work_area.MARK).touch()
    return path


def whole(share: Path) -> bool:
    return (share / "web1" / "backup.tar").read_text() == "all there is"


@names
def test_what_a_killed_run_left_mounted_is_unmounted_and_stays(
    tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path], name: str
) -> None:
    left = killed_run(tmp_path / name)
    mounted = bind(share, left / "mount.abcdef01")
    with ExitStack() as undo:
        work_area.make(left.parent, undo, keep=False, sh=Shell(), report=Report())
        assert not left.exists()
    assert os.fspath(mounted) not in [point.target for point in mount_points()]
    assert whole(share)


@names
def test_a_mount_with_an_odd_name_in_the_work_area_is_found(
    tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path], name: str
) -> None:
    left = killed_run(tmp_path)
    mounted = bind(share, left / name)
    assert work_area.mounts_below(left) == [os.fspath(mounted)]
    work_area.remove(left, Shell())
    assert not left.exists()
    assert whole(share)


def test_links_in_the_name_of_the_work_area_hide_no_mount(
    tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path]
) -> None:
    left = killed_run(tmp_path / "real")
    bind(share, left / "mount.abcdef01")
    (tmp_path / "link").symlink_to("real")
    work_area.remove(tmp_path / "link" / left.name, Shell())
    assert not left.exists()
    assert whole(share)


@names
def test_a_tree_with_a_mount_is_not_removed(
    tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path], name: str
) -> None:
    tree = tmp_path / "tree"
    place = bind(share, tree / "folder" / name)
    with pytest.raises(OSError, match="something is mounted there"):
        remove_tree(tree)
    discard(tree)
    assert whole(place)


def test_a_mounted_file_stays(tmp_path: Path, share: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").touch()
    subprocess.run(["mount", "--bind", share / "web1" / "backup.tar", tree / "file"], check=True)
    try:
        with pytest.raises(OSError, match="busy"):
            remove_tree(tree)
    finally:
        subprocess.run(["umount", tree / "file"], check=True)
    assert whole(share)


def test_links_are_removed_and_not_followed(tmp_path: Path, share: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(share)
    (tree / os.fsdecode(b"odd\xff\n")).mkdir()
    remove_tree(tree)
    assert not tree.exists()
    assert whole(share)


# Goes 3,000 folders down, which no path can name, and makes a file in each.
DOWN = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(3000):
    os.mkdir("n")
    open("file", "w").close()
    os.chdir("n")
"""


def test_a_tree_deeper_than_calls_descriptors_and_paths_is_removed(tmp_path: Path, undo: ExitStack) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run([sys.executable, "-c", DOWN, tree], check=True)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    undo.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_a_mount_deep_in_a_tree_stays(tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path]) -> None:
    bind(share, tmp_path / "tree" / "/".join("a" * 300))
    with pytest.raises(OSError, match="something is mounted there"):
        remove_tree(tmp_path / "tree")
    # What was above it is gone, so that it has another name.
    assert len(work_area.mounts_below(tmp_path / "tree")) == 1
    assert whole(share)


def test_a_link_in_the_place_of_the_tree_is_no_tree(tmp_path: Path, share: Path) -> None:
    (tmp_path / "link").symlink_to(share)
    with pytest.raises(NotADirectoryError):
        remove_tree(tmp_path / "link")
    assert whole(share)


def test_a_backup_that_a_killed_run_began_is_not_removed_through_a_mount(
    tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path]
) -> None:
    home = tmp_path / "backups"
    bind(share, home / f"2026-11-22T183000Z{generations.PARTIAL}" / "folder")
    with generations.new(home) as (_, name):
        pass
    assert generations.names(home) == [name]
    assert len(generations.unfinished(home)) == 1
    assert whole(share)


def test_an_old_backup_that_cannot_be_removed_is_named_and_the_new_one_counts(
    tmp_path: Path, share: Path, bind: Callable[[Path, Path], Path]
) -> None:
    home = tmp_path / "backups"
    old, new = home / "2026-11-20T120000Z", home / "2026-11-21T120000Z"
    for path in (old, new):
        path.mkdir(parents=True)
        made = manifest.Manifest(path.name, "web1", "backup.tar", 0, "", "none", 0, 0)
        (path / manifest.NAME).write_text(manifest.dumps(made))
        (path / made.archive).touch()
    bind(share, old / "folder")
    gone, problems = generations.prune(home, 1, new.name)
    assert gone == [] and len(problems) == 1 and "something is mounted there" in problems[0]
    assert generations.names(home) == [new.name]
    assert whole(share)
