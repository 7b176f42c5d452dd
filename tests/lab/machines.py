# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian machines with disks of their own, as an administrator would have made them; rear comes on top."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from . import arm64, cache, debian, guests, qemu, san, screen, tpm

# Of md's metadata 1.2: where it lies on a member, and how it begins (linux/raid/md_p.h).
MD_PLACE, MD_MAGIC = 4096, (0xA92B4EFC, 1)
PROMPT = "root@debian12:~# "
# Whoever has brought a key is known to a firmware by such a number.
OWNER = "3f6b0c52-9d1e-4a87-b5c4-e8a27d90f613"


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
    beginning: the host makes one in seconds, an emulated machine in minutes. Without a `boot_entry` a machine with UEFI
    starts by the path for removable media. A firmware with Secure Boot trusts the `certificate`, which is a file of the
    machine, beside those of Microsoft. Only some machines have `dracut`. `configuration` are lines of local.conf that
    come last, and `prepare` is a script that is run once before the first backup. `modules` are folders of network
    drivers that it needs besides. A machine that is `asked_by_grub` for its passphrase has /boot in an encrypted
    volume. One that is `opened_by_tpm` asks for it only until it was prepared. One that is `on_san` has its disk
    there, and starts from it by its network card.
    """

    name: str
    drives: Sequence[Drive]
    storage: str
    files: Mapping[str, str]
    settle: str
    facts: Sequence[str]
    firmware: str = "bios"
    boot_entry: bool = True
    certificate: str = ""
    passphrase: str = ""
    asked_by_grub: bool = False
    tpm: bool = False
    opened_by_tpm: bool = field(default=False, repr=False)
    on_nfs: bool = False
    on_san: bool = field(default=False, repr=False)
    new_drives: Sequence[Drive] = ()
    new_firmware: str = ""
    nics: Sequence[qemu.Nic] = ()
    new_nics: Sequence[qemu.Nic] = ()
    packages: Sequence[str] = ()
    modules: str = ""
    dracut: bool = False
    initramfs: Mapping[str, str] = field(default_factory=dict)
    may_differ: Sequence[str] = ()
    configuration: str = ""
    prepare: str = ""
    release: debian.Release = debian.BOOKWORM
    # For people, and no part of the name that it is kept under: what docs/reference/machines.md has in its columns.
    way: str = field(default="", repr=False)
    loader: str = field(default="", repr=False)
    root: str = field(default="", repr=False)
    network: str = field(default="none", repr=False)
    about: str = field(default="", repr=False)


# The tree is copied as a file system of its smallest size.
PRELUDE = r"""
set -eux -o pipefail
# A FAT file system ends with a whole track. The disks of this kernel have other ones than those of QEMU.
GEOMETRY="-g 255/63"
put_root() {
    dd if=$(echo /dev/[uv]*db) of="$1" bs=4M status=none
    e2fsck -f -p "$1" || [ $? = 1 ]
    resize2fs "$1"
    tune2fs -U random -L root "${@:2}" "$1"
    mount "$1" /mnt
}
put_files() {
    mount --mkdir -o ro $(echo /dev/[uv]*db) /run/tree
    cp -a /run/tree/. /mnt
    umount /run/tree
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
UNBIND = "for directory in run sys proc dev; do umount --lazy --recursive /mnt/$directory; done; sync"

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


def accelerator() -> tuple[str, ...]:
    """QEMU's options for the fastest way to run a machine that works here.

    To find out that /dev/kvm hangs takes ten seconds, so that one process does it for all until the host starts anew.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()

    def make(path: Path) -> None:
        path.write_text(json.dumps(qemu.accelerator(debian.kernel())))

    return tuple(json.loads(cache.cached("accelerator", cache.digest(boot, debian.tree().name), make).read_text()))


def computer(release: debian.Release) -> Callable[..., qemu.Machine]:
    """Makes a machine of the architecture of a release, given the fields of a `qemu.Machine`."""
    if release.machine == arm64.NAME:
        return arm64.Machine
    return partial(qemu.Machine, accelerator=accelerator())


def made(design: Design) -> Path:
    """A folder with the disks of a machine, named by their serials, and its `nvram`; to be copied, not written to.

    It is made in user-mode Linux, which takes a tenth of the time of an emulated machine.
    """
    tree = debian.tree(*design.packages, release=design.release)
    root = debian.disk(
        tree, files=design.initramfs.items(), dracut=design.dracut, features=design.release.features,
        modules=design.modules,
    )  # fmt: skip
    recipe = (
        design.drives, design.storage, sorted(design.files.items()), design.settle, design.firmware, design.certificate,
    )  # fmt: skip
    key = cache.digest(repr(recipe), PRELUDE, BIND, UNBIND, GRUB, root.path.parent.name, guests.image().name)
    return cache.cached(f"machine-{design.name}", key, lambda path: _make(design, root.path, path))


def copy(design: Design, folder: Path) -> list[qemu.Disk]:
    """Disks of such a machine to write to; its `nvram` lies beside them.

    The machine has no rear yet, so that it need not be made anew for each change of ours: attach `rear_disk()`, too,
    and call `install_rear`.
    """
    folder.mkdir(exist_ok=True)
    subprocess.run(["cp", "--sparse=always", *sorted(made(design).iterdir()), folder], check=True)
    return [qemu.Disk(folder / drive.serial, drive.serial, drive.bus) for drive in design.drives]


def new_nvram(design: Design, folder: Path) -> Path:
    """The variables of a firmware that knows none of the machine's disks, but what the machine may be started by."""
    path = folder / "nvram"
    if design.certificate:
        shutil.copyfile(made(design) / "nvram", path)
    return path


def rear_disk(release: debian.Release = debian.BOOKWORM) -> qemu.Disk:
    """The disk that `install_rear` installs from: one of those that a description of the storage leaves out."""
    return qemu.Disk(debian.rear_disk(release), "rear", "usb", snapshot=True)


def install_rear(vm: qemu.Machine) -> None:
    """Install rear on a machine, as with_rear() does in a tree."""
    # A slow machine lets its user in before it has seen all of its disks.
    vm.check("for _ in $(seq 60); do ls /dev/disk/by-id/usb-*_rear-* && break; sleep 1; done")
    vm.check("tar --extract --directory=/ --file /dev/disk/by-id/usb-*_rear-*", timeout=300)


@contextmanager
def plugged(design: Design, folder: Path, disks: Sequence[qemu.Disk]) -> Iterator[tuple[list[qemu.Disk], list[str]]]:
    """A block in which a machine can have these disks, and the TPM of that folder if the design wants one.

    Gives the disks that it has itself, and arguments of QEMU.
    """
    with ExitStack() as undo:
        more = undo.enter_context(tpm.emulated(folder / "tpm")) if design.tpm else []
        if not design.on_san:
            yield [*disks], more
            return
        (disk,) = disks
        yield [], [*more, *undo.enter_context(san.attached(disk.path))]


def log_in(vm: qemu.Machine, design: Design, prepared: bool = False) -> None:
    """Get to a root shell of a machine that boots from its own disks."""
    if design.asked_by_grub:
        screen.expect(vm, "Enter passphrase for", 300)
        vm.type(f"{design.passphrase}\n")
    if design.passphrase and not (prepared and design.opened_by_tpm):
        vm.expect("Please (unlock|enter passphrase for) disk [^:]*:", timeout=600)
        vm.send(f"{design.passphrase}\n")
    vm.shell(PROMPT, timeout=600)


def _make(design: Design, root: Path, path: Path) -> None:
    path.mkdir()
    files = {"/etc/default/grub": GRUB.replace("ttyS0", design.release.console), **design.files}
    tree = guests.Disk(_smallest(root, path), plain=True)
    with guests.Machine(
        root=guests.image(), disks=[tree], memory=1536, transcript=cache.transcript(f"make-{design.name}")
    ) as vm:
        vm.shell()
        # One after the other, so that their names are in this order.
        for number, drive in enumerate(design.drives, 1):
            vm.attach(guests.Disk(drive.blank(path).path, f"0a0{number}"))
        vm.put("/run/storage.sh", f"{PRELUDE}{here(design.storage)}{BIND}".encode())
        vm.check("bash /run/storage.sh", timeout=300)
        for name, text in files.items():
            vm.check(f"mkdir -p $(dirname /mnt{name})")
            vm.put(f"/mnt{name}", text.encode())
        vm.put("/mnt/run/settle.sh", f"{PRELUDE}{here(design.settle)}".encode())
        if design.release.machine == arm64.NAME:
            arm64.emulate_programs_in(vm)
        vm.check("chroot /mnt bash /run/settle.sh", timeout=600)
        certificate = vm.check(f"cat /mnt{design.certificate}") if design.certificate else ""
        vm.check(UNBIND)
        vm.power_off()
    tree.path.unlink()
    for drive in design.drives:
        _let_older_kernels_assemble(path / drive.serial)
    if design.firmware == "uefi" and design.boot_entry:
        _make_boot_entry(design, path)
    if certificate:
        _trust(certificate, path)


def _let_older_kernels_assemble(disk: Path) -> None:
    """Take out of the arrays on a disk what kernels before 6.19 refuse: they were made by a newer one.

    That is the size of logical blocks, in what was padding of the superblock (Documentation/admin-guide/md.rst).
    """
    for start in _partitions(disk):
        with disk.open("r+b") as file:
            file.seek(start + MD_PLACE)
            block = bytearray(file.read(4096))
            (magic, version), (members,) = struct.unpack_from("<II", block), struct.unpack_from("<I", block, 220)
            if (magic, version) == MD_MAGIC:
                struct.pack_into("<32x", block, 224)
                struct.pack_into("<I", block, 216, 0)
                total = sum(struct.unpack_from(f"<{64 + members // 2}I", block))
                if members % 2:
                    total += int.from_bytes(block[256 + 2 * members - 2 : 256 + 2 * members], "little")
                struct.pack_into("<I", block, 216, ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF)
                file.seek(start + MD_PLACE)
                file.write(block)


def _partitions(disk: Path) -> list[int]:
    """Where the partitions of an image begin, in bytes; none without a table."""
    told = subprocess.run(["sfdisk", "--json", disk], capture_output=True).stdout
    return [each["start"] * 512 for each in json.loads(told)["partitiontable"]["partitions"]] if told else []


def here(script: str) -> str:
    """A script for the disks of a machine with the names that they have in user-mode Linux."""
    return re.sub(r"\bvd(?=[a-z])", "sd", script)


def _make_boot_entry(design: Design, path: Path) -> None:
    """Have the firmware start the machine once by the path for removable media, whose loader makes its boot entry.

    Then that path is gone: from now on the machine starts by its boot entry alone.
    """
    disks = [qemu.Disk(path / drive.serial, drive.serial, drive.bus) for drive in design.drives]
    with computer(design.release)(
        firmware=design.firmware, nvram=path / "nvram", reboots=True, disks=disks,
        transcript=cache.transcript(f"make-{design.name}-entry"),
    ) as vm:  # fmt: skip
        vm.expect("GNU GRUB")
    start = _partitions(disks[0].path)[0]
    subprocess.run(["mdeltree", "-i", f"{disks[0].path}@@{start}", "::/EFI/BOOT"], check=True)


def _trust(certificate: str, path: Path) -> None:
    """Give a machine a firmware that trusts this beside the certificates of Microsoft, which rescue media need."""
    (path / "certificate").write_text(certificate)
    subprocess.run(
        [
            sys.executable, "-m", "virt.firmware.vars", "--loglevel", "error",
            "--input", qemu.firmware_files("secureboot")[1], "--output", path / "nvram",
            "--add-db", OWNER, path / "certificate",
        ],
        check=True,
    )  # fmt: skip
    (path / "certificate").unlink()


def _smallest(root: Path, folder: Path) -> Path:
    """A copy of a file system without its free blocks."""
    tree = folder / "tree"
    for command in ("cp", "--sparse=always", root), ("e2fsck", "-f", "-p"), ("resize2fs", "-M"):
        subprocess.run([*command, tree], check=True, capture_output=True)
    return tree
