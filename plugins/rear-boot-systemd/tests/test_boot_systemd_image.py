# SPDX-License-Identifier: GPL-3.0-or-later
"""EFI programs as they are, and as nobody should have written them."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.efi_images import program, unified
from rear_boot_systemd.image import MOST_TEXT, NotAnImage, read_image

# Programs of the package grub-efi-amd64-signed, where it is installed.
SIGNED = Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
UNSIGNED = Path("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi")


def put(folder: Path, content: bytes) -> Path:
    path = folder / "image.efi"
    path.write_bytes(content)
    return path


def test_the_parts_of_a_unified_kernel_image_are_found(tmp_path: Path) -> None:
    image = read_image(put(tmp_path, unified("root=UUID=1 quiet\n", b"archive" * 100)))
    assert image.is_unified and not image.signed
    assert image.text(".cmdline") == "root=UUID=1 quiet"
    assert image.text(".uname") == "6.1"
    assert image.text(".splash") == ""
    offset, size = image.sections[".initrd"]
    assert image.path.read_bytes()[offset : offset + size] == b"archive" * 100


def test_the_default_profile_counts(tmp_path: Path) -> None:
    sections = [(".linux", b"k"), (".cmdline", b"base"), (".uname", b"6.1"), (".profile", b"ID=a"),
                (".cmdline", b"first"), (".profile", b"ID=b"), (".cmdline", b"second")]  # fmt: skip
    image = read_image(put(tmp_path, program(sections)))
    assert (image.text(".cmdline"), image.text(".uname")) == ("first", "6.1")


def test_a_signature_is_seen(tmp_path: Path) -> None:
    assert read_image(put(tmp_path, program(signed=True))).signed
    assert not read_image(put(tmp_path, program())).signed


@pytest.mark.skipif(not (SIGNED.is_file() and UNSIGNED.is_file()), reason="GRUB for UEFI is not installed")
def test_a_signature_of_a_distribution_is_seen() -> None:
    assert read_image(SIGNED).signed
    assert not read_image(UNSIGNED).signed
    assert not read_image(SIGNED).is_unified


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no EFI program"),
        (b"MZ", "ends too early"),
        (b"MZ".ljust(0x3C, b"\0") + b"\xff\xff\xff\xff", "ends too early"),
        (program()[:0x90], "ends too early"),
        (program([(".linux", b"kernel")])[:4100], "its section .linux ends behind the file"),
        (program([(".cmdline", b"x")] * 97), "is no EFI program"),
    ],
    ids=["empty", "no header", "header behind the file", "cut", "cut section", "too many sections"],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(NotAnImage, match=message):
        read_image(put(tmp_path, content))


def test_a_text_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    image = read_image(put(tmp_path, unified("x" * (MOST_TEXT + 1))))
    with pytest.raises(NotAnImage, match=r"in \.cmdline, which are too many"):
        image.text(".cmdline")


def read_all(path: Path) -> None:
    image = read_image(path)
    end = path.stat().st_size
    for name, (offset, size) in image.sections.items():
        assert 0 <= offset <= offset + size <= end
        image.text(name)


@given(st.binary(max_size=600), st.booleans())
def test_random_bytes_are_no_image(tmp_path_factory: pytest.TempPathFactory, content: bytes, begun: bool) -> None:
    path = put(tmp_path_factory.getbasetemp(), (b"MZ" if begun else b"") + content)
    with contextlib.suppress(NotAnImage):
        read_all(path)


IMAGE = unified("root=UUID=1", b"archive")


@given(st.lists(st.tuples(st.integers(0, 0x400), st.binary(min_size=1, max_size=8)), max_size=6), st.integers(0, 9000))
def test_an_image_with_damaged_headers_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]], cut: int
) -> None:
    content = bytearray(IMAGE)
    for place, piece in damage:
        content[place : place + len(piece)] = piece
    with contextlib.suppress(NotAnImage):
        read_all(put(tmp_path_factory.getbasetemp(), bytes(content[: len(content) - cut])))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_no_size_leads_out_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, used: int, filled: int, offset: int
) -> None:
    content = bytearray(program([(".linux", b"kernel")]))
    place = content.index(b".linux")
    struct.pack_into("<II", content, place + 16, filled, offset)
    struct.pack_into("<I", content, place + 8, used)
    with contextlib.suppress(NotAnImage):
        read_all(put(tmp_path_factory.getbasetemp(), bytes(content)))
