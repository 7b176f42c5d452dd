# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose backup is on its rescue ISO comes back: from two discs that are changed, and from one image alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rear_backup_cdrom
import rear_output_iso
from lab import compare, designs, machines, qemu
from rear_backup_cdrom.discs import Discs
from rear_core import RescueImage, Run, builtin
from rear_core.archive import Volume, manifest
from rear_core.media.iso import file_extents
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.workflow import WORKFLOWS

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]

DESIGN = designs.BIOS
OUTPUT = "var/lib/rear/output"
# Beside a rescue system of 80 MiB there is room for a part of the backup, and the rest fits on one more.
CONFIGURATION = "OUTPUT=ISO\nBACKUP=CDROM\nISO_MAX_SIZE=240MiB\n"
DOWN = "\x1b[B"

# The first partition of a machine's disk begins at 1 MiB; what a test does there happens in namespaces of its own.
LIST = 'cp "$1" /mnt/tmp/list.py && chroot /mnt python3 -B /tmp/list.py /tmp/list && cp /mnt/tmp/list "$2"'
INSIDE = 'mount -o loop,offset=1048576 "$1" /mnt && shift && "$@"'


def inside(disk: Path, *argv: str | Path) -> str:
    """Run a program of the host that finds a machine's root file system at /mnt."""
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", INSIDE, "sh", disk, *argv]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(disk: Path) -> Path:
    """The list of all files on a machine's disk."""
    script, listed = disk.with_suffix(".py"), disk.with_suffix(".json")
    script.write_text(compare.LISTING)
    inside(disk, "sh", "-c", LIST, "sh", script, listed)
    return listed


def make_discs(machine: Callable[..., qemu.Machine], folder: Path) -> list[Path]:
    """The discs of a machine's backup, as `rear mkbackup` makes them there; its disk stays in folder/original."""
    disks = machines.copy(DESIGN, folder / "original")
    with machine(disks=[*disks, machines.rear_disk()]) as vm:
        machines.log_in(vm, DESIGN)
        machines.install_rear(vm)
        vm.put("/root/odd.py", compare.ODD_FILES.encode())
        vm.check("python3 /root/odd.py /srv")
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        refused = vm.sh("rear mkbackuponly")
        assert refused.status == 2 and "rear mkbackup" in refused.output
        vm.check("rear mkbackup", timeout=1800)
        names = vm.check(f"cd /{OUTPUT} && sha256sum --check --quiet *.sha256 && ls -A").split()
        assert len(names) == 4 and not [name for name in names if name.startswith(".")]
        vm.power_off()
    inside(disks[0].path, "cp", "--recursive", f"/mnt/{OUTPUT}", folder / "discs")
    first, *rest = sorted((folder / "discs").glob("*.iso"))
    assert first.name == "rear-debian12.iso" and len(rest) == 1
    return [first, *rest]


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
    parts = [next((folder / disc.stem / "backup/debian12").glob("*/backup.tar.zst.*")) for disc in discs]
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


def recovered(disk: Path, original: Path) -> Mapping[str, Any]:
    """The report of a recovery, after all files were found as they were."""
    assert compare.differences(files_of(original), files_of(disk), DESIGN.may_differ) == {}
    report: dict[str, Any] = json.loads(inside(disk, "sh", "-c", "cat /mnt/var/log/rear/recovery-*.json"))
    return report


def test_a_machine_comes_back_from_its_rescue_discs(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    first, second = make_discs(machine, tmp_path)
    original = tmp_path / "original" / DESIGN.drives[0].serial
    assert max(path.stat().st_size for path in (first, second)) <= 240 << 20
    assert not [name for name in file_extents(Shell(), second) if name.startswith("/boot")]
    recover_from_two(machine, [first, second], original, tmp_path / "two")
    recover_from_one(machine, join([first, second], tmp_path), original, tmp_path / "alone")


def recover_from_two(
    machine: Callable[..., qemu.Machine], discs: Sequence[Path], original: Path, folder: Path
) -> None:
    """One drive and somebody who changes: checked from the last to the first, restored from the first to the last."""
    folder.mkdir()
    first, second = discs
    blank = DESIGN.drives[0].blank(folder)
    with machine(cdrom=first, disks=[blank]) as vm:
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
    assert recovered(blank.path, original)["problems"] == []
    with machine(disks=[blank]) as vm:
        machines.log_in(vm, DESIGN)
        assert vm.sh("rear checklayout", timeout=300) == qemu.Answer(0, "")
        vm.power_off()


def recover_from_one(machine: Callable[..., qemu.Machine], image: Path, original: Path, folder: Path) -> None:
    """One image, copied to a stick, and nobody at the console."""
    folder.mkdir()
    blank = DESIGN.drives[0].blank(folder)
    with machine(disks=[qemu.Disk(image, "stick", "usb", snapshot=True), blank]) as vm:
        vm.expect("Recover debian12 automatically", timeout=600)
        vm.send(DOWN + "\r")
        vm.expect("Unattended recovery", timeout=600)
        ended = vm.expect(r"The recovery is complete\. Rebooting|The recovery failed[^\n]*", timeout=1800)
        assert ended[0].startswith("The recovery is complete"), ended[0]
        vm.wait(300)
    assert recovered(blank.path, original)["problems"] == []
