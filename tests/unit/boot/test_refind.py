# SPDX-License-Identifier: GPL-3.0-or-later
"""rEFInd's menu, and its program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.boot import grub_efi, refind
from rear_core.boot.efi_programs import Program
from rear_core.boot.loader import Entry
from rear_core.boot.refind_menu import entries, naming_files, notes

LINUX_CONF = (
    '"Boot with standard options"  "ro root=UUID=1-2 quiet"\n"Boot to single-user mode"  "ro root=UUID=1-2 single"\n'
)
STANZAS = """\
# default_selection 9
menuentry "Arch Linux" {
    icon     /EFI/refind/icons/os_arch.png
    volume   904404F8-B481-440C-A1E3-11A5A954E601
    loader   \\vmlinuz-linux
    initrd   /initramfs-linux.img
    options  "root=PARTUUID=5028fa50-0079-4c40-b240-abfaf28693ea rw"
    submenuentry "Boot to terminal" {
        add_options "systemd.unit=multi-user.target"
        initrd /other
    }
}
menuentry Windows {
    loader \\EFI\\Microsoft\\Boot\\bootmgfw.efi
}
menuentry off {
    loader /vmlinuz-linux
    disabled
}
"""


def put(target: Path, name: str, text: str = "x", age: int = 0) -> None:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))


def debian(target: Path) -> Path:
    for number, version in enumerate(("6.1.0-9-amd64", "6.1.0-8-amd64")):
        put(target, f"boot/vmlinuz-{version}", age=number)
        put(target, f"boot/initrd.img-{version}")
    put(target, "boot/refind_linux.conf", LINUX_CONF)
    return target


def test_the_newest_kernel_gets_the_parameters_of_the_first_line(tmp_path: Path) -> None:
    first, second = entries(debian(tmp_path))
    assert first == Entry(
        "vmlinuz-6.1.0-9-amd64: Boot with standard options", "", "/boot/vmlinuz-6.1.0-9-amd64",
        ("/boot/initrd.img-6.1.0-9-amd64",), ("ro", "root=UUID=1-2", "quiet"),
    )  # fmt: skip
    assert second.kernel == "/boot/vmlinuz-6.1.0-8-amd64"
    assert notes(tmp_path) == []


def test_an_initramfs_can_be_named_with_the_version_of_the_kernel(tmp_path: Path) -> None:
    debian(tmp_path)
    put(tmp_path, "boot/refind_linux.conf", '"x" "root=UUID=1 initrd=\\boot\\initrd.img-%v"\n')
    assert entries(tmp_path)[0].initramfs == ("/boot/initrd.img-6.1.0-9-amd64",)
    assert entries(tmp_path)[0].arguments == ("root=UUID=1",)


def test_without_its_file_the_root_of_fstab_counts(tmp_path: Path) -> None:
    put(tmp_path, "boot/vmlinuz-linux")
    put(tmp_path, "boot/initramfs-linux.img")
    put(tmp_path, "boot/initramfs-linux-fallback.img")
    put(tmp_path, "etc/fstab", "LABEL=x /home ext4 defaults\nUUID=7 / ext4 defaults\n")
    [entry] = entries(tmp_path)
    assert (entry.arguments, entry.initramfs) == (("ro", "root=UUID=7"), ("/boot/initramfs-linux.img",))


@pytest.mark.parametrize(
    ("configured", "started"),
    [
        ("", "/boot/vmlinuz-6.1.0-9-amd64"),
        ("default_selection 2\n", "/boot/vmlinuz-6.1.0-8-amd64"),
        ('default_selection "+,arch"\n', "/boot/vmlinuz-linux"),
        ("default_selection nothing\n", "/boot/vmlinuz-6.1.0-9-amd64"),
    ],
)
def test_the_default_selection_is_started(tmp_path: Path, configured: str, started: str) -> None:
    debian(tmp_path)
    put(tmp_path, "boot/vmlinuz-linux", age=9)
    put(tmp_path, "boot/initramfs-linux.img")
    put(tmp_path, "boot/efi/EFI/refind/refind.conf", f"timeout 1\n{configured}{STANZAS}")
    found = entries(tmp_path)
    assert found[0].kernel == started
    arch = next(entry for entry in found if entry.title == "Arch Linux")
    assert arch.initramfs == ("/boot/initramfs-linux.img",)
    assert arch.arguments == ("root=PARTUUID=5028fa50-0079-4c40-b240-abfaf28693ea", "rw")
    assert not {"Windows", "off"} & {entry.title for entry in found}


def test_the_partition_of_an_entry_is_a_reference(tmp_path: Path) -> None:
    file = next(file for file in naming_files(lambda _text: ()) if file.pattern == "/boot/efi/EFI/*/refind*.conf")
    [found] = file.read(STANZAS)
    assert (found.tag, found.value) == ("PARTUUID", "904404F8-B481-440C-A1E3-11A5A954E601")
    assert STANZAS[found.start : found.end] == found.value


def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    debian(tmp_path)
    put(tmp_path, "boot/refind_linux.conf", '"half a line\n')
    assert notes(tmp_path) == ['/boot/refind_linux.conf cannot be understood: no line has a "title" and "parameters"']


def test_its_program_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    """Also where shim starts it under the name of GRUB."""
    esp = tmp_path / "EFI/refind"
    esp.mkdir(parents=True)
    (esp / "shimx64.efi").write_bytes(b"MZ")
    (esp / "grubx64.efi").write_bytes(b"MZ" + refind.MARK)
    assert refind.find_installations(tmp_path) == [
        Program("refind", "EFI/refind/shimx64.efi", "EFI/refind/grubx64.efi", shim=True)
    ]
    assert grub_efi.find_installations(tmp_path) == []


WORDS = st.sampled_from(
    [
        "menuentry",
        "x",
        "{",
        "}",
        "\n",
        " ",
        '"',
        "loader /x",
        "initrd",
        "include refind.conf",
        "\\",
        "default_selection 1",
    ]
)


@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=100))
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    target = tmp_path_factory.getbasetemp() / "refind"
    for name in ("boot/efi/EFI/refind/refind.conf", "boot/refind_linux.conf", "boot/vmlinuz-1"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, errors="surrogateescape")
    assert "/boot/vmlinuz-1" in [entry.kernel for entry in entries(target)]
    notes(target)
