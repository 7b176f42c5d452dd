# SPDX-License-Identifier: GPL-3.0-or-later
"""Rescue images are looked into without being booted."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rear_core import RearError, Refused
from rear_core.media.iso import make_iso
from rear_core.rescue.initramfs import Member, write_archive
from rear_core.shell import Shell
from rear_drill import image

needs_xorriso = pytest.mark.skipif(not Shell().which("xorriso"), reason="xorriso is not installed")


def regular(name: str, content: bytes) -> Member:
    return Member(name, stat.S_IFREG | 0o600, content=content)


def test_a_menu_without_that_entry_is_named() -> None:
    with pytest.raises(RearError, match=r"rear\.auto=shell"):
        image.shell_entry('menuentry "Debian" {\n  linux /vmlinuz quiet\n  initrd /initrd\n}\n')


@needs_xorriso
def test_another_disc_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    make_iso(Shell(), tmp_path / "a.iso", {"/file": tmp_path / "file"}, volume_id="A", epoch=0, bios=None,
             efi_image=None)  # fmt: skip
    with pytest.raises(Refused, match=r"not a rescue image: /boot/grub/grub\.cfg is missing"):
        image.read(Shell(), tmp_path / "a.iso", tmp_path)


def test_a_file_that_is_not_there_or_no_disc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no file"):
        image.read(Shell(), tmp_path / "a.iso", tmp_path)
    (tmp_path / "a.iso").write_bytes(bytes(100_000))
    with pytest.raises(Refused, match="not an ISO 9660 image"):
        image.read(Shell(), tmp_path / "a.iso", tmp_path)


def test_the_newest_image_is_taken(tmp_path: Path) -> None:
    for name, at in (("a.iso", 200), ("b.iso", 100), ("c.iso.sha256", 300)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (at, at))
    assert image.newest(tmp_path).name == "a.iso"
    with pytest.raises(Refused, match="no rescue image") as caught:
        image.newest(tmp_path / "empty")
    assert "rear mkbackup" in caught.value.hint


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from(["etc/rear/a", "etc/rear/b/c", "etc/other", "usr/x"]), st.binary(max_size=99))),
    st.lists(st.integers(1, 50)),
)
def test_an_archive_is_unpacked_however_its_blocks_are_cut(files: list[tuple[str, bytes]], cuts: list[int]) -> None:
    wanted = dict(files)  # of one name the last, as for the kernel
    data = io.BytesIO()
    for member in files:
        # Each in an archive of its own, one after the other, as the segments are.
        write_archive(data, [regular(*member)], 0)
    blocks = memoryview(data.getvalue())
    with TemporaryDirectory() as folder:
        unpacker = image.Unpacker(Path(folder))
        for cut in cuts:
            unpacker.take(blocks[:cut])
            blocks = blocks[cut:]
        unpacker.take(blocks)
        found = {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
    assert found == {name: content for name, content in wanted.items() if name.startswith("etc/rear/")}


def test_nothing_is_unpacked_elsewhere(tmp_path: Path) -> None:
    data = io.BytesIO()
    write_archive(data, [regular("etc/rear/../../../outside", b"x")], 0)
    image.Unpacker(tmp_path / "a/b/c").take(memoryview(data.getvalue()))
    assert not list(tmp_path.rglob("*"))


def test_what_is_no_archive_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(RearError, match="damaged"):
        image.Unpacker(tmp_path).take(memoryview(bytes(200)))
