# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose backup is on its rescue ISO comes back: from two discs that are changed, and from one image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import rear_backup_cdrom
import rear_output_iso
from lab import backups, methods, qemu
from rear_backup_cdrom.discs import Discs
from rear_core import RescueImage, Run, builtin
from rear_core.archive import Volume, manifest
from rear_core.media.iso import file_extents
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.workflow import WORKFLOWS

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

CONFIGURATION = methods.CONFIGURATIONS["discs"]


def test_what_fits_on_no_disc_is_on_several() -> None:
    saved = methods.saved()
    refused = saved.said["mkbackuponly"]
    assert refused["status"] == 2 and "rear mkbackup" in refused["output"]
    first, second = saved.discs
    assert first.name == methods.ISO
    assert max(path.stat().st_size for path in (first, second)) <= 200 << 20
    assert not [name for name in file_extents(Shell(), second) if name.startswith("/boot")]
    kept = saved.said["discs verified"].split()
    assert not [name for name in kept if name.startswith(".")]
    assert {f"{disc.name}{suffix}" for disc in (first, second) for suffix in ("", ".sha256")} <= set(kept)


def test_a_machine_comes_back_from_two_discs_that_are_changed(
    machine: Callable[..., qemu.Machine], tmp_path: Path
) -> None:
    # One drive and somebody who changes: checked from the last to the first, restored from the first to the last.
    saved = methods.saved()
    first, second = saved.discs
    disks = methods.blank(tmp_path)
    with machine(memory=1024, cdrom=first, disks=disks) as vm:
        vm.expect("Recover debian12 automatically", timeout=600)
        vm.send("\r")
        vm.expect("Choice: ", timeout=600)
        vm.send("1\n")
        # The same disc again by mistake, the second time.
        for number, disc in ((2, second), (1, second), (1, first), (2, second)):
            vm.expect(f"Needed: disc {number} of 2 ", timeout=600)
            vm.expect("press Enter")
            vm.change_disc(disc)
            vm.send("\n")
        ended = vm.expect(r"rear recover ended with exit status (\d+)", timeout=1800)
        assert ended[1] == "0"
        vm.expect("Choice: ")
        vm.send("4\n")
        vm.wait(300)
    methods.check(disks, saved)


@pytest.mark.long
def test_a_machine_comes_back_from_one_image_on_a_stick(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    saved = methods.saved()
    disks = methods.blank(tmp_path)
    stick = qemu.Disk(join(saved.discs, tmp_path), "stick", "usb", snapshot=True)
    with machine(memory=1024, disks=[stick, *disks]) as vm:
        backups.recover(vm)
    methods.check(disks, saved)


def join(discs: Sequence[Path], folder: Path) -> Path:
    """One image with the same rescue system and the same archive in one piece, as a run without a limit makes it."""
    sh = Shell()
    for disc in discs:
        sh.run("xorriso", "-osirrox", "on", "-indev", disc, "-extract", "/", folder / disc.stem)
    plugins = Plugins([*builtin.modules(), rear_backup_cdrom, rear_output_iso])
    text = f"{CONFIGURATION}ISO_MAX_SIZE=\nISO_DIR={folder}/one\nBACKUP_PREFIX=debian12\n"
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), plugins.settings(), {})
    run = Run(settings, plugins, build_dir=folder, phases=WORKFLOWS["mkbackup"])
    run.system = System(OperatingSystem("debian"), "debian12", "x86_64", "6.1", Firmware("bios"))
    boot = folder / discs[0].stem / "boot"
    run.image = RescueImage(boot / "vmlinuz", boot / "initramfs.img", "6.1", "console=ttyS0")
    parts = [next((folder / disc.stem / "backup/debian12").glob("*/backup.tar.*")) for disc in discs]
    found = manifest.loads(parts[0].with_name(manifest.NAME).read_text()).manifest
    with run.undo:
        with Discs(run).new(found.archive) as target:
            for part in parts:
                target.write(memoryview(part.read_bytes()))
            target.end_volume(Volume(found.size, found.sha256), last=True)
            target.add(manifest.NAME, manifest.dumps(replace(found, created=target.name, volumes=())))
        for step in sorted(rear_output_iso.rear_output(run), key=lambda step: step.number):
            step.action(run)
    return run.results[0]
