# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a system from starting is found before it is tried."""

from __future__ import annotations

import gzip
import io
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core.boot.loader import Entry
from rear_core.finalize.dracut import images
from rear_core.finalize.proof import (
    modules_of,
    needed_modules,
    problems_of_entry,
    problems_of_initramfs,
)
from rear_core.rescue.initramfs import Member, write_archive
from rear_core.shell import Shell
from rear_core.storage.command import Site
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.luks.references import missing_key_files
from unit.finalize.storage import LAYOUT, ROOT, SWAP, storage
from unit.finalize.test_drivers import sysfs

ENTRY = Entry("Debian", "", "/boot/vmlinuz-6.1", ("/boot/initrd.img-6.1",), (f"root=UUID={ROOT}", "ro"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A system that can start: with ext4 in the kernel and ahci in the initramfs."""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1").write_text("kernel")
    archive = io.BytesIO()
    write_archive(archive, [Member("lib/modules/6.1/ahci.ko", stat.S_IFREG | 0o644, content=b"x")], 0)
    (tmp_path / "boot/initrd.img-6.1").write_bytes(archive.getvalue())
    modules = tmp_path / "lib/modules/6.1"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/drivers/ata/ahci.ko:\n")
    (modules / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    return tmp_path


def problems(target: Path, entry: Entry | None = ENTRY) -> list[str]:
    return problems_of_entry(target, "GRUB BIOS", entry, storage(), CORE_KINDS)


def test_a_whole_system_has_no_problem(target: Path) -> None:
    assert problems(target) == []
    assert problems_of_initramfs(Shell(), target, ENTRY, {"ahci", "ext4"}) == []


def test_a_lost_kernel_initramfs_or_modules_are_named(target: Path) -> None:
    (target / "boot/vmlinuz-6.1").write_text("")
    (target / "boot/initrd.img-6.1").unlink()
    (target / "lib/modules/6.1/modules.dep").unlink()
    assert problems(target) == [
        "/boot/vmlinuz-6.1 of the entry 'Debian' is missing or empty",
        "/boot/initrd.img-6.1 of the entry 'Debian' is missing or empty",
        "the modules of the kernel /boot/vmlinuz-6.1 are missing in /lib/modules",
    ]


def test_a_lost_hypervisor_is_named(target: Path) -> None:
    (found,) = problems(target, replace(ENTRY, hypervisor="/boot/xen.gz"))
    assert found == "/boot/xen.gz of the entry 'Debian' is missing or empty"


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        (f"root=UUID={SWAP}", ""),
        ("root=UUID=1-2", "UUID=1-2"),
        ("resume=/dev/sdz9", ""),
        ("boot=/dev/sdz9", "/dev/sdz9"),
        ("mount.usr=UUID=1-2", "UUID=1-2"),
        ("rd.luks.key=/key:/dev/sdz9", ""),
        ("root=LABEL=lost", "LABEL=lost"),
        ("rd.lvm.lv=vg0/lost", "vg0/lost"),
    ],
)
def test_a_device_in_the_parameters_must_be_there(target: Path, argument: str, wrong: str) -> None:
    found = problems(target, Entry("x", "", ENTRY.kernel, ENTRY.initramfs, (argument,)))
    assert [line.split()[0].rpartition("LV=")[2] for line in found] == ([wrong] if wrong else [])


def test_a_name_that_nobody_could_put_right_is_told(target: Path) -> None:
    """As in a unified kernel image, which is no text."""
    entry = replace(ENTRY, arguments=("root=/dev/sda1",))
    assert problems(target, entry) == ["/dev/sda1 in the parameters of the kernel is /dev/vda1 now"]


def test_what_crypttab_opens_may_stand_in_the_parameters(target: Path) -> None:
    (target / "etc").mkdir()
    (target / "etc/crypttab").write_text("swap /dev/sda2 none luks\n")
    entry = Entry("x", "", ENTRY.kernel, ENTRY.initramfs, ("cryptdevice=/dev/mapper/swap", "root=/dev/mapper/root"))
    assert problems(target, entry) == ["/dev/mapper/root in the parameters of the kernel is on no device"]


def test_a_link_to_the_kernel_tells_its_version(target: Path) -> None:
    (target / "boot/vmlinuz").symlink_to("vmlinuz-6.1")
    assert problems(target, Entry("x", "", "/boot/vmlinuz", ENTRY.initramfs, ENTRY.arguments)) == []


def test_no_entry_is_a_problem(target: Path) -> None:
    assert problems(target, None) == ["the configuration of GRUB BIOS has no entry with a kernel"]


def test_missing_drivers_are_named(target: Path) -> None:
    found = problems_of_initramfs(Shell(), target, ENTRY, {"nvme", "ahci", "xfs"})
    assert found == ["no driver for the root file system in the initramfs: nvme xfs"]


def test_an_initramfs_that_is_a_part_of_a_file_is_read_there(target: Path) -> None:
    """Compressed, as a program would read on behind its end."""
    packed = gzip.compress((target / "boot/initrd.img-6.1").read_bytes())
    (target / "boot/unified.efi").write_bytes(b"MZ" + packed + b"behind")
    image = "/boot/unified.efi"
    entry = Entry("x", "", image, (image,), ENTRY.arguments, version="6.1", part=(2, len(packed)))
    assert problems(target, entry) == []
    assert problems_of_initramfs(Shell(), target, entry, {"ahci", "ext4", "nvme"}) == [
        "no driver for the root file system in the initramfs: nvme"
    ]
    assert images(target, [entry]) == {}


def test_an_initramfs_that_cannot_be_read_is_a_problem(target: Path) -> None:
    (target / "boot/initrd.img-6.1").write_text("not an archive")
    (found,) = problems_of_initramfs(Shell(), target, ENTRY, {"ahci"})
    assert found.startswith("the initramfs cannot be read: initrd.img-6.1 is not an initramfs")


@pytest.mark.parametrize(
    ("kernel", "link"),
    [
        ("/boot/vmlinuz-6.1", ""),
        ("/boot/vmlinuz-6.1", "../usr/lib/modules/6.1/vmlinuz"),
        ("/boot/vmlinuz", "vmlinuz-6.1"),
        ("/boot/vmlinuz", "../usr/lib/modules/6.1/vmlinuz"),
        ("/boot/id/6.1/linux", ""),
    ],
)
def test_the_version_of_a_kernel_is_known_by_any_of_its_names(tmp_path: Path, kernel: str, link: str) -> None:
    (tmp_path / "usr/lib/modules/6.1").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    path = tmp_path / kernel[1:]
    path.parent.mkdir(parents=True)
    if link:
        (path.parent / link).write_text("kernel")
        path.symlink_to(link)
    else:
        path.write_text("kernel")
    assert modules_of(tmp_path, Entry("x", "", kernel)) == tmp_path / "usr/lib/modules/6.1"


def test_the_modules_of_a_kernel_that_is_named_by_its_checksum_are_found(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/modules/6.12-1").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    kernel = "/boot/efi/abc/6.12-1/linux-0123"
    for version in ("3@6.12-1", "6.12-1", ""):
        assert modules_of(tmp_path, Entry("x", "", kernel, version=version)) == tmp_path / "usr/lib/modules/6.12-1"


def test_the_present_disk_decides_which_drivers_are_needed(tmp_path: Path) -> None:
    place = "pci0/0000:00:04.0/nvme/nvme0/nvme0n1"
    root = sysfs(tmp_path, place, "nvme0n1", {"pci0/0000:00:04.0": "nvme"})
    disks = {"disk:one": "/dev/nvme0n1", "disk:two": "/dev/vdb"}
    assert needed_modules(LAYOUT, Rebuilt(Site(LAYOUT, disks), disks), root) == {"ext4", "nvme"}


def test_a_lost_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/there.key").write_text("k")
    (tmp_path / "etc/crypttab").write_text(
        "a UUID=1 /etc/there.key luks\nb UUID=2 /etc/lost.key luks\nc UUID=3 none\nd UUID=4 /dev/urandom swap\n"
    )
    with (tmp_path / "etc/crypttab").open("a") as file:
        # On another device, made at the start, of what the start does not need, and the word for a script.
        file.write("e UUID=1 /key:LABEL=STICK luks\nf UUID=1 /run/keys/f luks\ng UUID=1 /lost luks,nofail\n")
        file.write("h UUID=1 /lost noauto\ni UUID=1 /lost luks,keyscript=/bin/ask\n")
    assert missing_key_files(tmp_path) == ["the key file /etc/lost.key of /etc/crypttab is missing"]
