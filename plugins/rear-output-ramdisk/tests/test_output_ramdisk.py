# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=RAMDISK: real files are made and looked into."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import rear_output_ramdisk
from lab import servers
from rear_core import ConfigurationError, RearError, Refused, RescueImage, Run
from rear_core.builtin import core
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System

NAMES = ["kernel-web1", "initramfs-web1.img", "ramdisk-web1.txt"]


def make_run(tmp_path: Path, config: str = "", content: str = "first") -> Run:
    """A run with a packed rescue system; kernel and initramfs tell by `content` that they belong together."""
    text = f"VAR_DIR={tmp_path}/var\n{config}"
    declared = [*core.rear_settings(), *rear_output_ramdisk.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    build = tmp_path / f"build-{content}"
    build.mkdir(exist_ok=True)
    options = Options(config_dir=tmp_path / "etc")
    run = Run(settings, Plugins([rear_output_ramdisk]), options, build_dir=build, phases=("prep", "output"))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios", None))
    kernel, initramfs = build / "vmlinuz", build / "initramfs.img"
    kernel.write_text(f"kernel {content}")
    initramfs.write_text(f"initramfs {content}")
    run.image = RescueImage(kernel, initramfs, "6.1.0-13-amd64", "console=tty0 console=ttyS0,115200")
    return run


def make(run: Run) -> None:
    """Run the steps of prep and output in their order."""
    with run.undo:
        for step in (*rear_output_ramdisk.rear_prep(run), *rear_output_ramdisk.rear_output(run)):
            step.action(run)


def contents(folder: Path, end: str = "") -> set[str]:
    """Which runs the kernel and initramfs of a folder are of."""
    return {(folder / f"{name}{end}").read_text().split()[-1] for name in NAMES[:2]}


def test_kernel_and_initramfs_are_there_with_checksums_for_root_alone(tmp_path: Path) -> None:
    make(run := make_run(tmp_path))
    folder = tmp_path / "var/output"
    assert run.results == [folder / name for name in NAMES]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, "ramdisk-web1.sha256"])
    Shell().run("sha256sum", "--check", "--strict", "ramdisk-web1.sha256", cwd=folder)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_the_text_says_how_to_boot(tmp_path: Path) -> None:
    make(make_run(tmp_path))
    text = (tmp_path / "var/output/ramdisk-web1.txt").read_text()
    assert "linux /boot/kernel-web1 console=tty0 console=ttyS0,115200\n" in text
    assert "initrd /boot/initramfs-web1.img\n" in text
    assert len(re.findall(r"^  console=tty0 console=ttyS0,115200( rear.auto=(recover|shell))?$", text, re.M)) == 3


def test_copies_follow_the_settings(tmp_path: Path) -> None:
    config = f"RAMDISK_SUFFIX=x\nOUTPUT_URL=file://{tmp_path}/copies\nOUTPUT_PREFIX=rescue/web1\n"
    make(run := make_run(tmp_path, config))
    folder = tmp_path / "copies/rescue/web1"
    assert folder / "kernel-x" in run.results
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == ["rescue"]
    Shell().run("sha256sum", "--check", "ramdisk-x.sha256", cwd=folder)
    assert (folder / "ramdisk-x.sha256").read_text().startswith("# Written by rear for ")


def test_a_server_that_takes_files_one_by_one_gets_them_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with servers.http(tmp_path / "served") as url:
        make(make_run(tmp_path, f"OUTPUT_URL={url}/\nOUTPUT_PREFIX=web1\n"))
        Shell().run("sha256sum", "--check", "ramdisk-web1.sha256", cwd=tmp_path / "served/web1")
        keeping = make_run(tmp_path, f"OUTPUT_URL={url}/\nKEEP_OLD_OUTPUT_COPY=yes\n", "other")
        with pytest.raises(Refused, match="KEEP_OLD_OUTPUT_COPY cannot keep") as caught:
            make(keeping)
    assert "nfs://server/export" in caught.value.hint


def test_the_previous_files_stay_as_old(tmp_path: Path) -> None:
    config = f"OUTPUT_URL=file://{tmp_path}/copies\nKEEP_OLD_OUTPUT_COPY=yes\n"
    for content in ("first", "second", "third"):
        make(make_run(tmp_path, config, content))
    for folder in (tmp_path / "var/output", tmp_path / "copies"):
        assert (contents(folder), contents(folder, ".old")) == ({"third"}, {"second"})
        assert len(list(folder.iterdir())) == 8
        Shell().run("sha256sum", "--check", "--strict", "ramdisk-web1.sha256", "ramdisk-web1.old.sha256", cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["no", "yes"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_whenever_it_fails_kernel_and_initramfs_are_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, done: bool
) -> None:
    """One call that changes files fails, before or after it did its work; then everything goes on."""
    config = f"KEEP_OLD_OUTPUT_COPY={keep}\n"
    folder = tmp_path / "var/output"
    for content in ("first", "again0"):
        make(make_run(tmp_path, config, content))
    for step in itertools.count(1):
        counter = itertools.count(1)
        with monkeypatch.context() as patched, suppress(OSError, RearError):
            for owner, name in ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink"), (Path, "write_text")):
                patched.setattr(owner, name, failing(getattr(owner, name), counter, step, done))
            make(make_run(tmp_path, config, f"run{step}"))
        assert contents(folder) in ({f"again{step - 1}"}, {f"run{step}"})
        if keep == "yes":
            assert len(contents(folder, ".old")) == 1
        sums = folder / "ramdisk-web1.sha256"
        if sums.exists():
            Shell().run("sha256sum", "--check", "--strict", sums.name, cwd=folder)
        if next(counter) <= step:
            break
        make(make_run(tmp_path, config, f"again{step}"))
    assert step > 10


def failing(call: Callable[..., object], counter: Iterator[int], step: int, done: bool) -> Callable[..., object]:
    """A function that fails at one of all calls that are counted."""

    def called(*args: object, **options: object) -> object:
        now = next(counter) == step
        if now and not done:
            raise OSError(5, "Input/output error")
        result = call(*args, **options)
        if now:
            raise OSError(5, "Input/output error")
        return result

    return called


def test_without_links_the_previous_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    for content in ("first", "second"):
        make(make_run(tmp_path, "KEEP_OLD_OUTPUT_COPY=yes\n", content))
    assert contents(tmp_path / "var/output", ".old") == {"first"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [("/srv", "not an absolute path"), ("a/../b", r"the folder \.\."), ("'a b'", "not ' '"), ("'a\nb'", r"not '\\n'"),
     ("a//b", "// or a /"), ("web1/", "// or a /"), ("b\udce4r", "not '.udce4'")],
)  # fmt: skip
def test_a_prefix_that_leads_elsewhere_is_refused(tmp_path: Path, value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"OUTPUT_PREFIX .*{problem}"):
        make_run(tmp_path, f"OUTPUT_PREFIX={value}")


def test_a_prefix_without_a_place_is_told(tmp_path: Path) -> None:
    make(run := make_run(tmp_path, "OUTPUT_PREFIX=web1"))
    assert "has no effect without OUTPUT_URL" in run.report.warnings[0]
