# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with BIOS that save themselves in user-mode Linux: to a disk with their backup, or to a stick.

They have Debian's own kernel and boot loader on their disks, so that QEMU starts their rescue systems, and themselves
when they are recovered. Only to save themselves, which takes minutes where a processor is emulated, they run on another
kernel, which has BIOS as little as UEFI: for rear it is a machine with BIOS.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import backups, cache, compare, debian, guests, machines, methods, qemu, small
from .designs.debian import BIOS

# The machine has no modules for this kernel.
MODULES = "vfat nls_cp437 nls_ascii"
INIT = "/run/lab-init"
SERIALS = ("0a01", "0a02")
BACKUP, STICK = "0e01", "0f01"
# As large as the disk of the machine, which makes it tempting.
STICK_SIZE = BIOS.drives[0].size
# Emulated machines are slow at restoring: what starts is enough, or what can be made to start, where nobody does.
NOT_ON_DISK = (
    "/usr/lib/python3*", "/usr/lib/grub/x86_64-efi*", "/usr/lib/shim", "/opt/rear", "/usr/lib/x86_64-linux-gnu/gconv",
)  # fmt: skip
NOT_ON_STICK = (*NOT_ON_DISK, "/usr/lib/modules/*/kernel", "/usr/bin/perl*", "/usr/bin/python3*")
# The disk of the guest itself is none of the machine's.
CONFIGURATION = f"""\
BACKUP=NFS
BACKUP_URL={{url}}
BACKUP_PROG_EXCLUDE=( {{left_out}} '/tmp/*' )
EXCLUDE_DEVICES=( {guests.OWN_DISKS} )
KERNEL_CMDLINE='console=ttyS0 {debian.PARAMETERS}'
"""
ON_DISK = f"OUTPUT=ISO\n{CONFIGURATION}"
ON_STICK = f"OUTPUT=USB\nBACKUP_COMPRESSION=none\n{CONFIGURATION}"
SECOND_DISK = """\
set -e
mkfs.ext4 -q -U 0f2c5d4e-1b7a-4c38-9a56-d3e8f7b6a102 -L home /dev/sdb
sed -i /BACKUP/d /etc/fstab
echo 'LABEL=home /home ext4 defaults 0 2' >>/etc/fstab
mount /home
chmod 711 /home
python3 /run/odd.py /home
"""
STATUS = "; echo ended with $?"


@dataclass(frozen=True)
class Stick:
    """A stick that a machine with two disks has made, which is shared: copy what is written to.

    `said` is what it said on the way, by names.
    """

    folder: Path
    said: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / STICK

    @property
    def files(self) -> Path:
        """The list of all files of the machine."""
        return self.folder / "files.json"

    def copy(self, folder: Path) -> Path:
        """One to write to."""
        subprocess.run(["cp", "--sparse=always", self.path, folder / "stick"], check=True)
        return folder / "stick"


def backed_up() -> backups.Saved:
    """The machine with a disk of its own for rescue image and backup; what its tools say of it is not recorded.

    In the list of its files is what the backup has.
    """
    folder = _cached("original-disk", _save_to_disk)
    return backups.Saved(folder / backups.ISO, backups.Place(folder / BACKUP), folder / "files.json", {})


def on_stick() -> Stick:
    """The machine with a second disk, and a stick."""
    folder = _cached("original-stick", _save_to_stick)
    return Stick(folder, json.loads((folder / "said.json").read_text()))


def blank(folder: Path) -> list[qemu.Disk]:
    """The two disks of the machine with a stick, as new."""
    drives = (*BIOS.drives, methods.HOME)
    return [qemu.Disk(qemu.blank(folder / drive.serial, drive.size), serial) for drive, serial in zip(drives, SERIALS)]


def _cached(kind: str, make: Callable[[Path], None]) -> Path:
    sources = (inspect.getsource(module) for module in (sys.modules[__name__], methods))
    scripts = compare.ODD_FILES, compare.LISTING, backups.MOUNT, guests.INIT_SCRIPT, guests.RULES, *sources
    key = cache.digest(machines.made(BIOS).name, debian.rear_disk().name, guests.image().name, *scripts)
    return cache.cached(kind, key, make)


@contextmanager
def _running(disks: Sequence[guests.Disk], more: guests.Disk, transcript: str) -> Iterator[guests.Machine]:
    """The machine with rear and odd files, and one more disk; nothing in it is there for this kernel."""
    with guests.Machine(root=guests.image(), memory=1536, transcript=cache.transcript(transcript)) as vm:
        vm.shell()
        # One after the other, so that their names are in this order.
        for disk in (*disks, more):
            vm.attach(disk)
        vm.check(f"modprobe -a {MODULES} && mount LABEL=root /mnt && mkdir -p /mnt/etc/rear/config /mnt/srv/backup")
        vm.push(debian.rear_disk(), "/mnt")
        vm.put(INIT, guests.INIT_SCRIPT.encode())
        vm.check(f"chmod 755 {INIT} && mkdir -p /run/udev/rules.d")
        vm.put("/run/udev/rules.d/61-lab.rules", guests.RULES.encode())
        vm.enter(INIT)
        vm.shell()
        vm.check("swapon -a")
        vm.put("/run/odd.py", compare.ODD_FILES.encode())
        vm.check("python3 /run/odd.py /srv")
        yield vm
        vm.power_off()


def _configure(vm: guests.Machine, text: str, url: str, left_out: Sequence[str]) -> None:
    words = " ".join(map(repr, left_out))
    vm.put("/etc/rear/local.conf", text.format(url=url, left_out=words).encode())


def _mkbackup(vm: guests.Machine) -> str:
    """Save it, with the kernel that it starts with by itself."""
    return vm.check("rear -r $(ls /usr/lib/modules) mkbackup", 300)


def _save_to_disk(folder: Path) -> None:
    machines.copy(BIOS, folder)
    system = guests.Disk(folder / BIOS.drives[0].serial, SERIALS[0])
    backup = guests.Disk(backups.Place.empty(folder / BACKUP, BIOS).path, BACKUP)
    with _running([system], backup, "original-disk") as vm:
        _configure(vm, ON_DISK, "file:///srv/backup", NOT_ON_DISK)
        vm.put("/etc/rear/config/50_mount.sh", backups.MOUNT.encode())
        vm.check("chmod 755 /etc/rear/config/50_mount.sh && mount /srv/backup")
        _mkbackup(vm)
        (folder / backups.ISO).write_bytes(vm.get(f"/var/lib/rear/output/{backups.ISO}"))
        listed = json.loads(small.listed(vm))
    saved = {name: line for name, line in listed.items() if not any(fnmatch(name, f"{out}*") for out in NOT_ON_DISK)}
    (folder / "files.json").write_text(json.dumps(saved))
    system.path.unlink()


def _save_to_stick(folder: Path) -> None:
    disks = [*machines.copy(BIOS, folder), methods.HOME.blank(folder)]
    said: dict[str, Any] = {}
    stick = guests.Disk(guests.blank(folder / STICK, STICK_SIZE), STICK)
    attached = [guests.Disk(disk.path, serial) for disk, serial in zip(disks, SERIALS)]
    with _running(attached, stick, "original-stick") as vm:
        vm.put("/run/second", SECOND_DISK.encode())
        vm.check("bash /run/second")
        _configure(vm, ON_STICK, "usb:///dev/disk/by-label/REAR-000", NOT_ON_STICK)
        name = vm.check(f"readlink -f /dev/disk/lab/{STICK}")
        _format(vm, name, said)
        _mkbackup(vm)
        vm.check("mount LABEL=REAR-000 /mnt")
        said["stick"] = vm.check(f"(cd /mnt && {methods.HELD})")
        said["mounted"] = vm.sh(f"rear format --yes {name} 2>&1").__dict__
        vm.check("umount /mnt")
    methods.files_of(disks, folder / "files.json")
    (folder / "said.json").write_text(json.dumps(said))
    for disk in disks:
        disk.path.unlink()


def _format(vm: guests.Machine, name: str, said: dict[str, Any]) -> None:
    """Somebody names the disk of the machine, and a partition; nobody answers; then somebody does."""
    said["nobody"] = vm.sh(f"rear format {name} 2>&1").__dict__
    said.update({disk: vm.sh(f"rear format --yes {disk} 2>&1").__dict__ for disk in ("/dev/sda", "/dev/sda1")})
    vm.send(f"rear format {name}{STATUS}\n")
    vm.expect(f"Type {name} or yes to continue: ")
    vm.send("yes\n")
    assert vm.expect(r"ended with (\d+)", 300)[1] == "0"
    said["formatted"] = vm.check(f"lsblk --noheadings --raw --output FSTYPE,LABEL,PARTLABEL {name}")
