# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of systemd-boot: which entries there are, in which order, and what is started by default."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.efi_images import program, unified
from rear_boot_systemd import menu
from rear_boot_systemd.menu import entries, folders, notes, parse, read_menu, type_1
from rear_core.boot.loader import Entry

TOKEN = "6a9857a393724b7a981ebb5b8495b9ea"
# As kernel-install 252 writes it.
WRITTEN = f"""\
# Boot Loader Specification type#1 entry
title      Debian GNU/Linux 12 (bookworm)
version    6.1.0-9-amd64
machine-id {TOKEN}
sort-key   debian
options    root=UUID=1-2 ro quiet
options    systemd.machine_id={TOKEN}
linux      /{TOKEN}/6.1.0-9-amd64/linux
initrd     /{TOKEN}/6.1.0-9-amd64/microcode.cpio
initrd     /{TOKEN}/6.1.0-9-amd64/initrd.img-6.1.0-9-amd64
"""


def put(target: Path, name: str, content: str | bytes = "x") -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put_entry(target: Path, name: str, *lines: str, folder: str = "efi", kernel: bool = True) -> None:
    """An entry and the kernel that it starts."""
    put(target, f"{folder}/loader/entries/{name}", "\n".join([*lines, f"linux /{name}/linux"]))
    if kernel:
        put(target, f"{folder}/{name}/linux")


def ids(target: Path) -> list[str]:
    return [item.entry.id for item in read_menu(target)]


def test_an_entry_of_kernel_install_is_read(tmp_path: Path) -> None:
    put(tmp_path, f"efi/loader/entries/{TOKEN}-6.1.0-9-amd64+3-1.conf", WRITTEN)
    put(tmp_path, f"efi/{TOKEN}/6.1.0-9-amd64/linux")
    folder = f"/efi/{TOKEN}/6.1.0-9-amd64"
    assert entries(tmp_path) == [
        Entry(
            "Debian GNU/Linux 12 (bookworm)", f"{TOKEN}-6.1.0-9-amd64.conf", f"{folder}/linux",
            (f"{folder}/microcode.cpio", f"{folder}/initrd.img-6.1.0-9-amd64"),
            ("root=UUID=1-2", "ro", "quiet", f"systemd.machine_id={TOKEN}"), version="6.1.0-9-amd64",
        )
    ]  # fmt: skip
    assert notes(tmp_path) == []


def test_a_unified_kernel_image_is_an_entry(tmp_path: Path) -> None:
    image = put(tmp_path, "boot/efi/EFI/Linux/debian-6.1.efi", unified("root=UUID=1 ro", b"archive"))
    put(tmp_path, "boot/efi/EFI/Linux/debian-6.1.efi.extra.d/crash.addon.efi", program([(".cmdline", b"crash=1")]))
    put(tmp_path, "boot/efi/loader/addons/all.addon.efi", program([(".cmdline", b"quiet")]))
    [entry] = entries(tmp_path)
    assert (entry.title, entry.id, entry.version) == ("Debian 12", "debian-6.1.efi", "6.1")
    assert entry.kernel == "/boot/efi/EFI/Linux/debian-6.1.efi" and entry.initramfs == (entry.kernel,)
    assert entry.arguments == ("root=UUID=1", "ro", "quiet", "crash=1")
    assert entry.part is not None
    offset, size = entry.part
    assert image.read_bytes()[offset : offset + size] == b"archive"


@pytest.mark.parametrize("word", ["efi", "uki", "linux"])
def test_an_entry_can_lead_to_a_unified_kernel_image(tmp_path: Path, word: str) -> None:
    put(tmp_path, "efi/EFI/own/6.1.efi", unified("root=UUID=1", b"archive"))
    put(tmp_path, "efi/loader/entries/own.conf", f"title Own\n{word} \\EFI\\own\\6.1.efi\n")
    [entry] = entries(tmp_path)
    assert entry.initramfs == ("/efi/EFI/own/6.1.efi",) and entry.part
    assert entry.arguments == ("root=UUID=1",)


def test_both_partitions_have_entries(tmp_path: Path) -> None:
    put_entry(tmp_path, "a.conf")
    put_entry(tmp_path, "b.conf", folder="boot")
    (tmp_path / "boot/efi").symlink_to("../efi")
    assert folders(tmp_path) == ["/efi", "/boot"]
    assert [entry.kernel for entry in entries(tmp_path)] == ["/boot/b.conf/linux", "/efi/a.conf/linux"]


def test_the_order_is_that_of_the_specification(tmp_path: Path) -> None:
    put_entry(tmp_path, "plain-6.9.conf", "version 6.9")
    put_entry(tmp_path, "plain-6.10.conf")
    put_entry(tmp_path, "x1.conf", "sort-key debian", "machine-id b", "version 6.1")
    put_entry(tmp_path, "x2.conf", "sort-key debian", "machine-id a", "version 6.9")
    put_entry(tmp_path, "x3.conf", "sort-key debian", "machine-id a", "version 6.10")
    put_entry(tmp_path, "x4.conf", "sort-key arch", "version 1")
    put_entry(tmp_path, "x5+0-3.conf", "sort-key aaa", "version 9")
    put_entry(tmp_path, "x6+2.conf", "sort-key z", "version 9")
    assert ids(tmp_path) == [
        "x4.conf", "x3.conf", "x2.conf", "x1.conf", "x6.conf", "plain-6.10.conf", "plain-6.9.conf", "x5.conf"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("configured", "started"),
    [
        ("timeout 3", "c.conf"),
        ("default a.conf", "a.conf"),
        ("default A*", "a.conf"),
        ("default [ab].conf", "b.conf"),
        ("default lost.conf", "c.conf"),
        ("default lost*\ndefault a*", "a.conf"),
        ("default @saved", "c.conf"),
        ("#default a.conf", "c.conf"),
        ("default", "c.conf"),
    ],
)
def test_loader_conf_says_what_is_started(tmp_path: Path, configured: str, started: str) -> None:
    put(tmp_path, "efi/loader/loader.conf", configured)
    for name in ("a", "b", "c"):
        put_entry(tmp_path, f"{name}.conf")
    assert entries(tmp_path)[0].id == started


@pytest.mark.parametrize(
    ("variables", "started"),
    [
        ({"LoaderEntryDefault": "b.conf"}, "b.conf"),
        ({"LoaderEntryDefault": "@saved", "LoaderEntryLastBooted": "b.conf"}, "b.conf"),
        ({"LoaderEntryDefault": "lost.conf"}, "a.conf"),
        ({"LoaderEntryLastBooted": "b.conf"}, "a.conf"),
    ],
)
def test_a_choice_that_the_firmware_keeps_counts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], started: str
) -> None:
    put(tmp_path, "efi/loader/loader.conf", "default a.conf")
    for name in ("a", "b", "c"):
        put_entry(tmp_path, f"{name}.conf")
    monkeypatch.setattr(menu, "read_loader_variable", lambda name: variables.get(name, ""))
    assert entries(tmp_path)[0].id == started


def test_what_systemd_boot_does_not_show_is_told_and_not_started(tmp_path: Path) -> None:
    put_entry(tmp_path, "new.conf", "sort-key a", kernel=False)
    put_entry(tmp_path, "arm.conf", "sort-key a", "architecture riscv64")
    put_entry(tmp_path, "old.conf")
    put(tmp_path, "efi/EFI/Linux/broken.efi", b"MZ")
    put(tmp_path, "efi/EFI/Linux/tool.efi", program([(".text", b"x")]))
    put(tmp_path, "efi/EFI/Linux/anonymous.efi", program([(".linux", b"x")]))
    put(tmp_path, "efi/loader/entries/empty.conf", "title Nothing\n")
    put(tmp_path, "efi/loader/loader.conf", "default new.conf")
    assert entries(tmp_path)[0].id == "old.conf"
    told = [line.replace("systemd-boot does not show /efi/", "").split(": ", 1) for line in notes(tmp_path)]
    assert {name.rpartition("/")[2]: why for name, why in told} == {
        "new.conf": "/efi/new.conf/linux is missing",
        "arm.conf": "it is for riscv64",
        "broken.efi": "broken.efi is no EFI program: it ends too early",
        "tool.efi": "it has no kernel",
        "anonymous.efi": "it does not tell its operating system",
        "empty.conf": "it names no kernel",
    }


def test_an_entry_without_its_kernel_is_still_there_to_be_a_problem(tmp_path: Path) -> None:
    put_entry(tmp_path, "new.conf", kernel=False)
    assert [entry.kernel for entry in entries(tmp_path)] == ["/efi/new.conf/linux"]


def test_another_program_that_is_started_by_default_is_told(tmp_path: Path) -> None:
    put(tmp_path, "efi/loader/entries/shell.conf", "title Shell\nsort-key a\nefi /shellx64.efi\n")
    put(tmp_path, "efi/shellx64.efi", program())
    put_entry(tmp_path, "a.conf")
    assert [entry.id for entry in entries(tmp_path)] == ["a.conf"]
    assert notes(tmp_path) == ["systemd-boot starts 'Shell' by default, which is no kernel of this system"]


WORDS = st.sampled_from(
    ["title", "linux", "initrd", "efi", "uki", "options", "architecture", "sort-key", "version", " ", "\t", "\n", "/x",
     "../..", "\0", "\\", "root=UUID=1", "#", "ä", "\udcff", "\r", "/efi/EFI/Linux/x.efi"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=200))
def test_any_text_is_an_entry_whose_files_are_inside(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    item = type_1(tmp_path_factory.getbasetemp(), "/efi", "/efi/loader/entries/x.conf", text)
    assert all(path.startswith("/efi") for path in (item.entry.kernel, *item.entry.initramfs) if path)
    assert isinstance(item.order, tuple)
    parse(text)


@given(st.text("0123456789+-.abCONFconf", max_size=30))
def test_any_name_has_an_order(name: str) -> None:
    item = menu.Item(Entry(name, menu.identifier(name)), f"/efi/loader/entries/{name}")
    assert item.order == item.order


@given(st.binary(max_size=400))
def test_any_bytes_in_the_place_of_an_image_are_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    target = tmp_path_factory.getbasetemp() / "images"
    put(target, "efi/EFI/Linux/x.efi", b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + content)
    assert len(notes(target)) == 1
    assert entries(target) == []
