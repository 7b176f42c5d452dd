# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of EXTLINUX, SYSLINUX and U-Boot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import other_loaders
from rear_core.boot import extlinux, limine
from rear_core.boot.boot_sectors import leads_to
from rear_core.boot.extlinux_menu import entries, notes
from rear_core.boot.loader import Entry
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.plan import Rebuilt

# As u-boot-update 4.2 of Debian 12 writes it.
U_BOOT = """\
## /boot/extlinux/extlinux.conf
##
default l0
menu title U-Boot menu
prompt 0
timeout 50


label l0
\tmenu label Debian GNU/Linux 12 (bookworm) 6.1.0-9-arm64
\tlinux /boot/vmlinuz-6.1.0-9-arm64
\tinitrd /boot/initrd.img-6.1.0-9-arm64
\tfdtdir /usr/lib/linux-image-6.1.0-9-arm64/
\t
\tappend root=UUID=1-2 ro quiet

label l0r
\tmenu label Debian GNU/Linux 12 (bookworm) 6.1.0-9-arm64 (rescue target)
\tlinux /boot/vmlinuz-6.1.0-9-arm64
\tinitrd /boot/initrd.img-6.1.0-9-arm64
\tappend root=UUID=1-2 ro single
"""


def system(target: Path, text: str, name: str = "boot/extlinux/extlinux.conf", *more: str) -> Path:
    kernels = ("vmlinuz", "initrd", "vmlinuz-6.1.0-9-arm64", "initrd.img-6.1.0-9-arm64")
    for path in (name, *(f"boot/{kernel}" for kernel in kernels), *more):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text("x")
    (target / name).write_text(text)
    return target


def test_what_debian_writes_for_u_boot_is_read(tmp_path: Path) -> None:
    first, second = entries(system(tmp_path, U_BOOT))
    assert first == Entry(
        "Debian GNU/Linux 12 (bookworm) 6.1.0-9-arm64", "l0", "/boot/vmlinuz-6.1.0-9-arm64",
        ("/boot/initrd.img-6.1.0-9-arm64",), ("root=UUID=1-2", "ro", "quiet"),
    )  # fmt: skip
    assert second.arguments[-1] == "single"
    assert notes(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "started"),
    [
        ("LABEL a\nLINUX /vmlinuz\nAPPEND a\nLABEL b\nKERNEL ../vmlinuz\nAPPEND b\nDEFAULT b", ("b",)),
        ("UI menu.c32\nLABEL a\nLINUX /vmlinuz\nLABEL b\nMENU DEFAULT\nLINUX /vmlinuz\nAPPEND b\n", ("b",)),
        ("DEFAULT vesamenu.c32\nLABEL a\nKERNEL /vmlinuz\nAPPEND root=UUID=1 initrd=/initrd\n", ("root=UUID=1",)),
        ("APPEND all\nLABEL a\nLINUX /vmlinuz\n", ("all",)),
        ("APPEND all\nLABEL a\nLINUX /vmlinuz\nAPPEND -\n", ()),
        ("DEFAULT /vmlinuz root=UUID=1 quiet\n", ("root=UUID=1", "quiet")),
        ("include more.conf\n", ("included",)),
        ("menu include more.conf Title\n", ("included",)),
    ],
)
def test_what_is_started_by_default(tmp_path: Path, text: str, started: tuple[str, ...]) -> None:
    system(tmp_path, text, "boot/extlinux/extlinux.conf", "boot/extlinux/more.conf")
    (tmp_path / "boot/extlinux/more.conf").write_text("label c\nlinux /vmlinuz\nappend included\n")
    first = entries(tmp_path)[0]
    assert (first.kernel, first.arguments) == ("/boot/vmlinuz", started)


def test_what_is_no_kernel_and_what_is_no_menu_are_told(tmp_path: Path) -> None:
    system(tmp_path, "LABEL dos\nKERNEL chain.c32\nLABEL a\nLINUX /vmlinuz\n")
    assert [entry.id for entry in entries(tmp_path)] == ["a"]
    assert notes(tmp_path) == [
        "/boot/extlinux/extlinux.conf starts 'dos' by default, which is no kernel of this system"
    ]
    system(tmp_path, "no menu at all\n")
    [line] = notes(tmp_path)
    assert line.startswith("/boot/extlinux/extlinux.conf cannot be understood")


def test_a_configuration_that_includes_itself_ends(tmp_path: Path) -> None:
    system(tmp_path, "include extlinux.conf\nlabel a\nlinux /vmlinuz\n")
    assert {entry.id for entry in entries(tmp_path)} == {"a"}


WORDS = ["label a", "LINUX", "kernel /x", "append", "-", "menu default", "menu label ^x", "include", "initrd a,b", "\n"]


@given(st.lists(st.sampled_from([*WORDS, " "]), max_size=20).map("".join) | st.text(max_size=100))
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    target = tmp_path_factory.getbasetemp() / "any"
    path = target / "boot/extlinux/extlinux.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, errors="surrogateescape")
    assert all(entry.kernel.startswith("/") for entry in entries(target))
    notes(target)


def test_a_boot_sector_leads_to_the_sector_whose_number_it_has(tmp_path: Path) -> None:
    core = bytes(range(256)) * 2
    sector = bytearray(b"\xeb\x58\x90SYSLINUX".ljust(510, b"\0") + b"\x55\xaa")
    image = tmp_path / "image"
    for number, right in ((3, True), (4, False), (1 << 30, False)):
        sector[282:286] = number.to_bytes(4, "little")
        image.write_bytes(bytes(sector) + bytes(1024) + core + bytes(512))
        assert leads_to(str(image), core) is right
    assert extlinux.is_boot_sector(bytes(sector))


def a_run(target: Path, *programs: str) -> Run:
    """A run on a machine with the disk of `other_loaders`, and no programs but these."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(target=target))
    run.sh.which = lambda name: Path("/bin", name) if name in programs else None  # type: ignore[method-assign,assignment]
    run.layout = other_loaders.layout()
    run.rebuilt = Rebuilt(Site(run.layout, {"disk:a": "/dev/x"}), {"disk:a": "/dev/x"})
    return run


def test_what_rear_cannot_install_is_named_with_its_files(tmp_path: Path) -> None:
    facts = {"folder": "/boot/extlinux", "device": "/dev/sda2", "disks": {}}
    assert extlinux.by_hand(a_run(tmp_path, "extlinux"), facts) == []
    [line] = extlinux.by_hand(a_run(tmp_path), facts)
    assert "/boot/extlinux/ldlinux.sys and the boot sector of /dev/sda2" in line
    limine_facts = {"disks": {"/dev/sda": 512}, "files": ["/boot/limine-bios.sys"]}
    assert limine.by_hand(a_run(tmp_path, "limine"), limine_facts) == []
    [line] = limine.by_hand(a_run(tmp_path), limine_facts)
    assert "/boot/limine-bios.sys, the first sector of /dev/sda" in line
    [line] = extlinux.u_boot_by_hand(a_run(tmp_path), {"configuration": "/boot/extlinux/extlinux.conf"})
    assert line.startswith("U-Boot reads /boot/extlinux/extlinux.conf, and rear does not install U-Boot itself")


def test_code_for_another_kind_of_partition_table_is_a_problem(tmp_path: Path) -> None:
    """It was recorded, and is written again."""
    installed = other_loaders.extlinux(tmp_path)
    run = a_run(installed.tree, "extlinux")
    disks = dict(installed.disks)
    run.rebuilt = Rebuilt(Site(installed.layout, disks), disks)
    assert extlinux.verify(run, installed.facts) == []
    [table] = installed.layout.of(PartitionTable)
    run.layout = make(replace(table, label="dos") if item == table else item for item in installed.layout)
    assert extlinux.verify(run, installed.facts) == [
        f"{disks['disk:a']} has another kind of partition table: write mbr.bin or gptmbr.bin of EXTLINUX to it"
    ]
