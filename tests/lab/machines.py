# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian 12 machines with disks of their own, as an administrator would have made them; rear comes on top."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import cache, debian, qemu

PROMPT = "root@debian12:~# "


@dataclass(frozen=True)
class Drive:
    """A disk of a machine, with its size in MiB; the firmware starts from the `first`."""

    serial: str
    size: int
    bus: str = "virtio"
    # Nothing that a machine is made of, and so no part of the name that it is kept under.
    first: bool = field(default=False, repr=False)

    def blank(self, folder: Path) -> qemu.Disk:
        """Such a disk, empty."""
        return qemu.Disk(qemu.blank(folder / self.serial, self.size), self.serial, self.bus, first=self.first)


@dataclass(frozen=True)
class Design:
    """How a machine is made, and what to ask it to know it again.

    `storage` is a shell script that makes the storage on /dev/vda, /dev/vdb ... and mounts it below /mnt; the tree is
    then copied there, `files` are written, and `settle` is run inside to make it bootable. `facts` are commands whose
    output has to be the same on the recovered machine. Files that the `initramfs` is made of are there from the
    beginning: the host makes one in seconds, an emulated machine in minutes.
    """

    name: str
    drives: Sequence[Drive]
    storage: str
    files: Mapping[str, str]
    settle: str
    facts: Sequence[str]
    firmware: str = "bios"
    passphrase: str = ""
    on_nfs: bool = False
    new_drives: Sequence[Drive] = ()
    new_firmware: str = ""
    packages: Sequence[str] = ()
    initramfs: Mapping[str, str] = field(default_factory=dict)
    may_differ: Sequence[str] = ()


# The tree is copied as a file system of its smallest size: file by file takes minutes in an emulated machine.
PRELUDE = r"""
set -eux -o pipefail
put_root() {
    dd if=/dev/disk/by-id/virtio-tree of="$1" bs=4M oflag=direct status=none
    e2fsck -f -p "$1" || [ $? = 1 ]
    resize2fs "$1"
    tune2fs -U random -L root "${@:2}" "$1"
    mount "$1" /mnt
}
put_boot() {
    mount "$1" /run/boot --mkdir
    cp -a /mnt/boot/. /run/boot
    umount /run/boot
    rm -r /mnt/boot/*
    mount "$1" /mnt/boot
}
"""
BIND = "for directory in dev proc sys run; do mount --rbind /$directory /mnt/$directory; done"

GRUB = f"""\
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_TERMINAL=console
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="{debian.PARAMETERS}"
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_DISABLE_OS_PROBER=true
GRUB_DISABLE_RECOVERY=true
GRUB_DISABLE_SUBMENU=true
"""


def made(design: Design) -> Path:
    """A folder with the disks of a machine, named by their serials, and its `nvram`; to be copied, not written to."""
    tree = debian.tree(*design.packages)
    root = debian.disk(tree, files=design.initramfs.items())
    recipe = design.drives, design.storage, sorted(design.files.items()), design.settle, design.firmware
    key = cache.digest(repr(recipe), PRELUDE, BIND, GRUB, root.path.parent.name)
    return cache.cached(f"machine-{design.name}", key, lambda path: _make(design, debian.disk(tree), root.path, path))


def copy(design: Design, folder: Path) -> list[qemu.Disk]:
    """Disks of such a machine to write to; its `nvram` lies beside them.

    The machine has no rear yet, so that it need not be made anew for each change of ours: attach `rear_disk()`, too,
    and call `install_rear`.
    """
    folder.mkdir(exist_ok=True)
    subprocess.run(["cp", "--sparse=always", *sorted(made(design).iterdir()), folder], check=True)
    return [qemu.Disk(folder / drive.serial, drive.serial, drive.bus) for drive in design.drives]


def rear_disk() -> qemu.Disk:
    """The disk that `install_rear` installs from: one of those that a description of the storage leaves out."""
    return qemu.Disk(debian.rear_disk(), "rear", "usb", snapshot=True)


def install_rear(vm: qemu.Machine) -> None:
    """Install rear on a machine, as with_rear() does in a tree."""
    vm.check("tar --extract --directory=/ --file /dev/disk/by-id/usb-*_rear-*", timeout=300)


def log_in(vm: qemu.Machine, design: Design) -> None:
    """Get to a root shell of a machine that boots from its own disks."""
    if design.passphrase:
        vm.expect("Please unlock disk [^:]*:", timeout=600)
        vm.send(f"{design.passphrase}\n")
    vm.shell(PROMPT, timeout=600)


def _make(design: Design, running: debian.Disk, root: Path, path: Path) -> None:
    path.mkdir()
    disks = [drive.blank(path) for drive in design.drives]
    files = {"/etc/default/grub": GRUB, **design.files}
    with qemu.Machine(
        # Other programs than signed ones are only started directly where the firmware does not mind.
        firmware="uefi" if design.firmware == "secureboot" else design.firmware,
        nvram=path / "nvram" if design.firmware == "uefi" else None,
        disks=[*disks, qemu.Disk(running.path, "running", snapshot=True), qemu.Disk(_smallest(root, path), "tree")],
        kernel=debian.kernel(),
        initrd=running.initrd,
        # A console and what it needs, no other service.
        command_line="root=/dev/disk/by-id/virtio-running rw console=ttyS0"
        f" {debian.PARAMETERS} systemd.unit=serial-getty@ttyS0.service",
        accelerator=qemu.accelerator(debian.kernel()),
        transcript=cache.transcript(f"make-{design.name}"),
    ) as vm:
        vm.shell(PROMPT)
        vm.put("/run/storage.sh", f"{PRELUDE}{design.storage}{BIND}".encode())
        vm.check("bash /run/storage.sh", timeout=900)
        for name, text in files.items():
            vm.check(f"mkdir -p $(dirname /mnt{name})")
            vm.put(f"/mnt{name}", text.encode())
        vm.put("/run/settle.sh", f"{PRELUDE}{design.settle}".encode())
        vm.check("chroot /mnt bash /run/settle.sh", timeout=1800)
        vm.check("sync && umount --recursive --lazy /mnt && sync")
        # Everything is written, and services that are still asked to stop may take their time.
        vm.send("poweroff --force --force\n")
        vm.wait()
    (path / "tree").unlink()


def _smallest(root: Path, folder: Path) -> Path:
    """A copy of a file system without its free blocks."""
    tree = folder / "tree"
    for command in ("cp", "--sparse=always", root), ("e2fsck", "-f", "-p"), ("resize2fs", "-M"):
        subprocess.run([*command, tree], check=True, capture_output=True)
    return tree
