# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup on rescue discs that boot is restored; in `make test-vm` whole machines come back, from one image, too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import rear_backup_cdrom
import rear_output_iso
from lab import backups, compare, methods, qemu, small_methods
from rear_backup_cdrom.discs import Discs
from rear_core import RescueImage, Run, builtin
from rear_core.archive import Volume, manifest
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.workflow import WORKFLOWS

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

CONFIGURATION = methods.CONFIGURATIONS["discs"]


# The host sees the disk that was restored to.
INSIDE = 'mount -o loop,ro "$1" /mnt && shift && "$@"'


@pytest.mark.long
def test_a_disc_boots_and_the_backup_is_restored_from_it_and_the_next(
    machine: Callable[..., qemu.Machine], tmp_path: Path
) -> None:
    # One drive and somebody who changes: checked from the last to the first, restored from the first to the last.
    first, second = sorted((small_methods.bootable("discs") / "discs").glob("*.iso"))
    disk = qemu.Disk(qemu.blank(tmp_path / "disk", 1024), "disk")
    with machine(memory=1024, cdrom=first, disks=[disk]) as vm:
        vm.expect("Recover debian12 automatically", timeout=600)
        vm.send("\r")
        vm.expect("Choice: ", timeout=600)
        vm.send("2\n")
        vm.shell(r"RESCUE debian12:\S* # ")
        vm.check("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt/local")
        vm.send("rear restoreonly; echo ended with $?.\n")
        # The same disc again by mistake, the second time.
        for number, disc in ((2, second), (1, second), (1, first), (2, second)):
            vm.expect(f"Needed: disc {number} of 2 ", timeout=600)
            vm.expect("press Enter")
            vm.change_disc(disc)
            vm.send("\n")
        assert vm.expect(r"ended with (\d+)\.", 600)[1] == "0"
        vm.check("umount /mnt/local")
        vm.power_off()
    restored = odd_files(files_on(disk.path, tmp_path))
    assert restored and restored == odd_files(small_methods.saved().files)


def files_on(image: Path, folder: Path) -> Path:
    """The list of all files of a file system."""
    listed, script = folder / "restored.json", folder / "listing.py"
    script.write_text(compare.LISTING)
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", INSIDE, "sh", f"{image}"]
    subprocess.run([*argv, sys.executable, "-c", methods.LIST, f"{script}", f"{listed}"], check=True)
    return listed


def odd_files(listed: Path) -> dict[str, object]:
    """Those of them that a backup can get wrong."""
    return {name: line for name, line in json.loads(listed.read_text()).items() if "/odd/" in name}


# tests/uml has a whole recovery from discs, the test before this one their change.
@pytest.mark.long
def test_a_machine_comes_back_from_two_discs_that_are_changed(
    machine: Callable[..., qemu.Machine], tmp_path: Path
) -> None:
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
    methods.check(disks, saved.files)


@pytest.mark.long
def test_a_machine_comes_back_from_one_image_on_a_stick(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    saved = methods.saved()
    disks = methods.blank(tmp_path)
    stick = qemu.Disk(join(saved.discs, tmp_path), "stick", "usb", snapshot=True)
    with machine(memory=1024, disks=[stick, *disks]) as vm:
        backups.recover(vm)
    methods.check(disks, saved.files)


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
        with Discs(run).new(found.archive, 0) as target:
            for part in parts:
                target.write(memoryview(part.read_bytes()))
            target.end_volume(Volume(found.size, found.sha256), last=True)
            target.add(manifest.NAME, manifest.dumps(replace(found, created=target.name, volumes=())))
        for step in sorted(rear_output_iso.rear_output(run), key=lambda step: step.number):
            step.action(run)
    return run.results[0]
