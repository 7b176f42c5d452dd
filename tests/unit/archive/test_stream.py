# SPDX-License-Identifier: GPL-3.0-or-later
"""What tar complains of is counted; an archive that is not what it should be never ends well."""
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rear_core.archive import stream
from rear_core.errors import RearError

DATA = bytes(range(256)) * 10_000


def read(path: Path) -> bytes:
    blocks = stream.blocks(path, len(DATA), hashlib.sha256(DATA).hexdigest(), lambda _: None)
    return b"".join(bytes(block) for block in blocks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(DATA)
    return path


def test_an_archive_is_read_to_its_end(path: Path) -> None:
    assert read(path) == DATA


@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1])
def test_a_truncated_archive_says_how_much_is_there(path: Path, size: int) -> None:
    path.write_bytes(DATA[:size])
    with pytest.raises(RearError, match=f"truncated: {size} of {len(DATA)}"):
        read(path)


@pytest.mark.parametrize("place", [0, 1_500_000, len(DATA) - 1])
def test_a_flipped_byte_is_damage(path: Path, place: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(RearError, match="damaged"):
        read(path)


def test_what_was_appended_is_damage(path: Path) -> None:
    path.write_bytes(DATA + b"x")
    with pytest.raises(RearError, match="damaged"):
        read(path)


def test_an_archive_that_is_gone_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(RearError, match="No such file"):
        read(tmp_path / "none")


def test_complaints_of_tar_are_counted_by_kind() -> None:
    text = """\
tar: ./var/log/syslog: file changed as we read it
tar: ./var/log/auth.log: file changed as we read it
/usr/bin/tar: ./run/x: socket ignored
tar: ./tmp/y: File removed before we read it
tar: ./z: File shrank by 4096 bytes; padding with zeros
tar: ./odd: Warning: Cannot flistxattr: Operation not supported
Total bytes written: 10240 (10KiB, 1.3MiB/s)
"""
    assert stream.complaints(text) == {"changed": 2, "sockets": 1, "vanished": 1, "shrank": 1, "other": 1}


def test_what_went_wrong_is_found_among_warnings() -> None:
    text = """\
/usr/bin/tar: ./a: file changed as we read it
/usr/bin/tar: ./b: Read error at byte 0, while reading 512 bytes: Input/output error
Total bytes written: 10240 (10KiB, 1.3MiB/s)
/usr/bin/tar: Exiting with failure status due to previous errors
"""
    assert stream.first_error(text) == "./b: Read error at byte 0, while reading 512 bytes: Input/output error"
    assert stream.first_error("") == ""
