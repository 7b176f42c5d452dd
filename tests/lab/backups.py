# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's backup and rescue ISO, made by the machine itself, and what has to be there again after a recovery."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from . import cache, compare, debian, nfs, qemu
from .machines import Design, computer, copy, install_rear, log_in, made, plugged, rear_disk

ISO = "rear-debian12.iso"
MAC = "52:54:00:00:00:01"
DOWN = "\x1b[B"

# The disk with the backup is known by its label, whatever the kernel calls it in the rescue system.
ON_DISK = """\
OUTPUT=ISO
BACKUP=NFS
BACKUP_URL=file:///srv/backup
KERNEL_CMDLINE="{parameters}"
"""
MOUNT = """\
#!/bin/sh
set -e
mkdir -p /srv/backup
mountpoint -q /srv/backup || mount LABEL=BACKUP /srv/backup
"""
# Of the daily machine: an emulated one is slow at compressing, and slower at sending more.
ON_NFS = """\
OUTPUT=ISO
BACKUP=NFS
BACKUP_URL=nfs://10.0.2.2/export
BACKUP_OPTIONS=vers=4.2,port={port}
BACKUP_COMPRESSION=zstd
KERNEL_CMDLINE="{parameters}"
"""


@dataclass(frozen=True)
class Place:
    """Where a machine's backups are: a disk of its own, or with a `port` a folder that an NFS server has."""

    path: Path
    port: int = 0

    @classmethod
    def empty(cls, path: Path, design: Design) -> Place:
        """A new one, of the kind that the design wants."""
        if design.on_nfs:
            path.mkdir()
            return cls(path, qemu.free_port())
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "BACKUP", qemu.blank(path, 4096)], check=True)
        return cls(path)

    def copy(self, path: Path) -> Place:
        """One with the same contents, which may be written to."""
        subprocess.run(["cp", "--sparse=always", "--recursive", f"{self.path}", f"{path}"], check=True)
        return Place(path, self.port)

    @property
    def disks(self) -> list[qemu.Disk]:
        """What a machine needs to get there, besides a server."""
        return [] if self.port else [qemu.Disk(self.path, "backup")]

    @property
    def nics(self) -> list[qemu.Nic]:
        """Likewise."""
        return [qemu.Nic(MAC, nat=True)] if self.port else []

    def served(self) -> AbstractContextManager[object]:
        """A block in which the server runs, if there is one."""
        return nfs.server(self.path, self.port) if self.port else nullcontext()

    def mount(self, vm: qemu.Machine) -> str:
        """Have it mounted in a machine, and tell where."""
        if not self.port:
            return vm.check("mountpoint --quiet /srv/backup && echo /srv/backup")
        vm.check(f"mountpoint --quiet /mnt || mount -t nfs4 -o vers=4.2,port={self.port} 10.0.2.2:/export /mnt")
        return "/mnt"

    def take(self, name: str, folder: Path) -> Path:
        """A file of it, put into another folder."""
        if self.port:
            shutil.copy(self.path / name, folder / name)
        else:
            argv = ["debugfs", "-R", f"dump /{name} {folder / name}", f"{self.path}"]
            subprocess.run(argv, check=True, capture_output=True)
        return folder / name


@dataclass(frozen=True)
class Saved:
    """A machine that was backed up: its rescue image, the place of its backup, and what has to be there again.

    `facts` are the answers to the design's commands, `files` is a list of all files for `compare.differences`. All of
    it is shared: copy the place.
    """

    iso: Path
    place: Place
    files: Path
    facts: dict[str, str]


def backed_up(design: Design) -> Saved:
    """Run `rear mkbackup` on a machine with odd files on it, unless that was done before."""
    scripts = ON_DISK, MOUNT, ON_NFS, compare.ODD_FILES, compare.LISTING
    key = cache.digest(made(design).name, repr(design), *scripts, debian.rear_disk(design.release).name)
    folder = cache.cached(f"backup-{design.name}", key, lambda path: _make(design, path))
    about = json.loads((folder / "about.json").read_text())
    return Saved(folder / ISO, Place(folder / "backup", about["port"]), folder / "files.json", about["facts"])


def facts(vm: qemu.Machine, design: Design) -> dict[str, str]:
    """What the machine is made of, as its own tools tell it."""
    return {command: vm.sh(command).output for command in design.facts}


def recover(vm: qemu.Machine, on_the_way: str = "") -> None:
    """From the boot menu to the end of a recovery that nobody looks after."""
    vm.expect("Recover debian12[^\n]* automatically", timeout=900)
    vm.send(DOWN + "\r")
    vm.expect("Unattended recovery", timeout=900)
    if on_the_way:
        vm.expect(on_the_way, timeout=1800)
    ended = vm.expect(r"The recovery is complete\. Rebooting|The recovery failed[^\n]*", timeout=3000)
    assert ended[0].startswith("The recovery is complete"), ended[0]
    # Nobody waits for half a minute here.
    vm.send(" ")
    vm.expect(r"RESCUE debian12:\S* # ")
    vm.send("reboot\n")
    vm.wait(300)


def shut_down(vm: qemu.Machine) -> None:
    """Have a machine switch itself off, also one that QEMU would start again."""
    vm.send("poweroff\n")
    vm.expect("reboot: Power down", timeout=120)


def _make(design: Design, path: Path) -> None:
    path.mkdir()
    place = Place.empty(path / "backup", design)
    with (
        place.served(),
        plugged(design, path / "original", copy(design, path / "original")) as (disks, more),
        computer(design.release)(
            devices=more,
            firmware=design.firmware,
            nvram=path / "original/nvram",
            reboots=design.firmware == "secureboot",  # shim starts over when it has made its boot entry
            disks=[*disks, *place.disks, rear_disk(design.release)],
            nics=[*place.nics, *design.nics],
            transcript=cache.transcript(f"original-{design.name}"),
        ) as vm,
    ):
        log_in(vm, design)
        install_rear(vm)
        put_odd_files(vm, design)
        configure(vm, place, design)
        vm.check("rear mkbackup", timeout=1800)
        mounted = place.mount(vm)
        vm.check(f"cp /var/lib/rear/output/{ISO} {mounted}/")
        compare.list_files(vm, f"{mounted}/files.json")
        if place.port:
            vm.check(f"umount {mounted}")
        found = facts(vm, design)
        shut_down(vm)
    for name in (ISO, "files.json"):
        place.take(name, path)
    (path / "about.json").write_text(json.dumps({"facts": found, "port": place.port}))
    shutil.rmtree(path / "original")


def put_odd_files(vm: qemu.Machine, design: Design) -> None:
    """On every file system that can have them."""
    vm.put("/root/odd.py", compare.ODD_FILES.encode())
    for line in design.files["/etc/fstab"].splitlines():
        folder = line.split()[1]
        if folder.startswith("/") and not folder.startswith(("/boot", "/efi", "/srv/backup")):
            vm.check(f"mkdir -p {folder}/srv && python3 /root/odd.py {folder}/srv")


def configure(vm: qemu.Machine, place: Place, design: Design) -> None:
    """Have rear on a machine save itself to a place."""
    configuration = (ON_NFS if place.port else ON_DISK).format(port=place.port, parameters=debian.PARAMETERS)
    vm.check("mkdir -p /etc/rear/config")
    vm.put("/etc/rear/local.conf", f"{configuration}{design.configuration}".encode())
    if not place.port:
        vm.put("/etc/rear/config/50_mount.sh", MOUNT.encode())
        vm.check("chmod 755 /etc/rear/config/50_mount.sh")
    if design.prepare:
        vm.check(design.prepare, timeout=300)
