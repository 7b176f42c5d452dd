# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-recovery`: Relax-and-Recover 2.7 and rear bring the same machine back, each from its own backup.

The machine has UEFI, LVM and its backup on an NFS server. What is measured is the time from the boot menu to the line
that says that it is recovered; both run unattended, on emulated machines with 1 GiB of memory.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import backups, cache, designs, machines, qemu

# What Relax-and-Recover needs is on the machine in both cases.
DESIGN = dataclasses.replace(
    designs.debian.UEFI, name="race", packages=("rear",),
    # As Debian has it: the original makes the initramfs anew whatever it needs.
    settle=f"sed -i s/MODULES=list/MODULES=most/ /etc/initramfs-tools/initramfs.conf; {designs.debian.UEFI.settle}",
)  # fmt: skip
CONFIGURATION = """\
OUTPUT=ISO
BACKUP=NETFS
BACKUP_URL=nfs://10.0.2.2/export
BACKUP_OPTIONS="nfsvers=4.2,port={port},nolock"
KERNEL_CMDLINE="console=ttyS0 unattended"
GRUB2_DEFAULT_BOOT=rear
"""


def main() -> int:
    """Print both times; 1 when rear is slower."""
    with tempfile.TemporaryDirectory(dir=cache.directory(), prefix="race-") as path:
        folder = Path(path)
        ours = recovered(folder / "rear", backups.backed_up(DESIGN).iso, backups.backed_up(DESIGN).place, rear)
        iso, place = made_by_the_original(folder / "made")
        original = recovered(folder / "original", iso, place, relax_and_recover)
    print(f"{'seconds from the boot menu to the recovered machine':52}{'':>8}")
    print(f"{'Relax-and-Recover 2.7':52}{original:8.0f}\n{'rear':52}{ours:8.0f}")
    return 0 if ours <= original else 1


def made_by_the_original(folder: Path) -> tuple[Path, backups.Place]:
    """The rescue image and the backup that Relax-and-Recover makes of the machine."""
    disks = machines.copy(DESIGN, folder)
    place = backups.Place.empty(folder / "backup", DESIGN)
    with place.served(), qemu.Machine(
        firmware=DESIGN.firmware, nvram=folder / "nvram", disks=disks, nics=place.nics,
        accelerator=machines.accelerator(), transcript=cache.transcript("race-original-made"),
    ) as vm:  # fmt: skip
        machines.log_in(vm, DESIGN)
        vm.check("mkdir -p /etc/rear")
        vm.put("/etc/rear/local.conf", CONFIGURATION.format(port=place.port).encode())
        vm.check("/usr/sbin/rear -v mkbackup", timeout=7200)
        vm.check(f"cp /var/lib/rear/output/*.iso {place.mount(vm)}/rescue.iso && umount /mnt")
        backups.shut_down(vm)
    return place.path / "rescue.iso", place


def recovered(folder: Path, iso: Path, saved: backups.Place, race: Callable[[qemu.Machine], float]) -> float:
    """The seconds that a recovery to blank disks takes; the machine is then started to see that it is one."""
    folder.mkdir()
    place = saved.copy(folder / "backup")
    machine = qemu.Machine(
        memory=1024, firmware=DESIGN.firmware, nvram=folder / "nvram", nics=place.nics, cdrom=iso,
        disks=[drive.blank(folder) for drive in DESIGN.drives],
        accelerator=machines.accelerator(), transcript=cache.transcript(f"race-{folder.name}"),
    )  # fmt: skip
    with place.served():
        with machine as vm:
            seconds = race(vm)
        with dataclasses.replace(machine, cdrom=None) as vm:
            machines.log_in(vm, DESIGN)
            vm.power_off()
    shutil.rmtree(folder)
    return seconds


def rear(vm: qemu.Machine) -> float:
    """Take the second entry of the menu and wait for the end."""
    vm.expect("Recover debian12 automatically", timeout=600)
    vm.send(backups.DOWN + "\r")
    started = time.monotonic()
    vm.expect("The recovery is complete", timeout=3600)
    seconds = time.monotonic() - started
    vm.wait(300)
    return seconds


def relax_and_recover(vm: qemu.Machine) -> float:
    """Likewise, with the first entry."""
    vm.expect("Relax-and-Recover [^\n]*Secure", timeout=900)
    vm.send("\r")
    started = time.monotonic()
    ended = vm.expect("'rear recover' (finished successfully|failed)", timeout=7200)
    seconds = time.monotonic() - started
    assert ended[1] == "finished successfully"
    vm.wait(600)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
