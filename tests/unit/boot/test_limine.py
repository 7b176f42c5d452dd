# SPDX-License-Identifier: GPL-3.0-or-later
"""Limine's menu and its first sector."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.boot.limine import STAGE, detect_bios, is_ours, partition_of, stage_place
from rear_core.boot.limine_menu import entries, notes, partitions
from rear_core.boot.loader import Entry
from rear_core.builtin import storage
from rear_core.plugins import Plugins
from rear_core.run import Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.disk import BIOS_BOOT, Disk, Partition, PartitionTable
from rear_core.storage.layout import make
from rear_core.testing.fake_shell import FakeShell

PART = "736b5698-5ae1-4dff-be2c-ef8f44a61c52"
CONF = f"""\
# Comment
timeout: 5
default_entry: 2
${{KERNELS}}=boot():/arch

/+Arch Linux
//Linux
    protocol: linux
    kernel_path: guid({PART}):/vmlinuz-old
    cmdline: root=UUID=1-2 rw
    module_path: ${{KERNELS}}/initramfs-old
//Linux new
    comment: another
    protocol: linux
    path: ${{KERNELS}}/vmlinuz#ca6914d2
    cmdline: root=UUID=1-2 rw quiet
    module_path: boot():/ucode.img
    module_path: ${{KERNELS}}/initramfs
/Windows
    protocol: efi_chainload
    image_path: boot():/EFI/Microsoft/Boot/bootmgfw.efi
"""
CFG = f"""\
TIMEOUT=3
:Linux
PROTOCOL=linux
KERNEL_PATH=guid://{PART}/vmlinuz
CMDLINE=root=UUID={PART} rw
MODULE_PATH=boot:///initramfs
"""


def system(target: Path, name: str, text: str) -> Path:
    for path in ("boot/arch/vmlinuz", "boot/arch/initramfs", "boot/vmlinuz", "boot/initramfs", "boot/ucode.img", name):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text("x")
    (target / name).write_text(text, errors="surrogateescape")
    return target


def test_the_entry_of_the_number_is_started(tmp_path: Path) -> None:
    first, second = entries(system(tmp_path, "boot/limine.conf", CONF))
    assert first == Entry(
        "Linux new", "", "/boot/arch/vmlinuz", ("/boot/ucode.img", "/boot/arch/initramfs"),
        ("root=UUID=1-2", "rw", "quiet"),
    )  # fmt: skip
    assert (second.title, second.kernel) == ("Linux", "/boot/vmlinuz-old")
    assert notes(tmp_path) == []


def test_the_older_file_is_read(tmp_path: Path) -> None:
    [entry] = entries(system(tmp_path, "boot/EFI/BOOT/limine.cfg", CFG))
    assert (entry.kernel, entry.initramfs) == ("/boot/vmlinuz", ("/boot/initramfs",))
    assert entry.arguments == (f"root=UUID={PART}", "rw")


def test_what_is_no_kernel_and_what_is_no_menu_are_told(tmp_path: Path) -> None:
    system(tmp_path, "boot/limine.conf", CONF.replace("default_entry: 2", "default_entry: 3"))
    assert notes(tmp_path) == ["/boot/limine.conf starts 'Windows' by default, which is no kernel of this system"]
    system(tmp_path, "boot/limine.conf", "half\n")
    assert notes(tmp_path) == ["/boot/limine.conf cannot be understood: it has no entry"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (CONF, ("PARTUUID", PART)),
        (CFG, ("UUID", PART)),  # as the kernel's parameters have it
        ("path: fslabel(my boot):/vmlinuz", ("LABEL", "my boot")),
        ("KERNEL_PATH=fslabel://boot/vmlinuz", ("LABEL", "boot")),
    ],
)
def test_the_partition_of_a_file_is_a_reference(text: str, named: tuple[str, str]) -> None:
    [found] = partitions(text)
    assert (found.tag, found.value) == named
    assert text[found.start : found.end] == found.value


def test_the_first_sector_has_the_place_of_the_stage() -> None:
    sector = bytearray(b"\xeb\x3c\x90LIMINE  ".ljust(510, b"\0") + b"\x55\xaa")
    struct.pack_into("<HHQQ", sector, STAGE, 0x2A00, 0x2800, 0x1A00, 0x3FFD600)
    assert stage_place(bytes(sector)) == 0x1A00
    assert stage_place(bytes(512)) is None and stage_place(b"") is None
    assert is_ours(b"MZ Limine 8.2.0 /limine.conf") and not is_ours(b"MZ")


def test_of_a_multipath_disk_the_map_counts_and_not_its_paths(tmp_path: Path) -> None:
    sector = bytearray(512)
    sector[3:9], sector[-2:] = b"LIMINE", b"\x55\xaa"
    struct.pack_into("<HHQQ", sector, STAGE, 0, 0, 0x1A00, 0)
    path, disk = tmp_path / "sda", tmp_path / "mpatha"
    for file in (path, disk):
        file.write_bytes(sector)
    rows = [(path, "disk", None), (disk, "mpath", path), (tmp_path / "mpatha-part1", "part", disk)]
    devices = [
        {"name": f"{name}", "kname": f"{name}", "type": kind, "pkname": f"{below}" if below else None, "parttype": None}
        for name, kind, below in rows
    ]
    command = "lsblk --json --paths --list --output NAME,KNAME,TYPE,PKNAME,PARTTYPE"
    run = Run(
        evaluate(Sources(), [*storage.rear_settings()], {}),
        Plugins([]),
        sh=FakeShell({command: json.dumps({"blockdevices": devices})}),
    )
    facts = detect_bios(run)
    assert facts is not None and facts["disks"] == {f"{disk}": 0x1A00}


WORDS = st.sampled_from(
    ["/x", "//y", ":z", "\n", "protocol: linux", "path: boot():/k", "default_entry: 0", "${A}=", "${A}"]
)


@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=100))
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    target = tmp_path_factory.getbasetemp() / "limine"
    system(target, "boot/limine.conf", text)
    assert all(entry.kernel.startswith("/") for entry in entries(target))
    notes(target)
    [*partitions(text)]


@pytest.mark.parametrize(("place", "number"), [(4 << 20, ["2"]), (6656, []), (1 << 20, [])])
def test_the_stage_goes_where_it_was(place: int, number: list[str]) -> None:
    """Into the same BIOS boot partition, or behind the table."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]))
    run.layout = make(
        [
            Disk("disk:a", (), 1 << 30, "/dev/sda"), PartitionTable("table:a", ("disk:a",), "gpt"),
            Partition("partition:1", ("table:a",), 1, 1 << 20, 1 << 20, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
            Partition("partition:2", ("table:a",), 2, 4 << 20, 1 << 20, BIOS_BOOT),
        ]
    )  # fmt: skip
    assert partition_of(run, "/dev/sda", place) == number
    assert partition_of(run, "/dev/sdb", place) == []
