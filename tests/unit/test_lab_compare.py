# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk image holds is told apart from where its file has holes."""

from __future__ import annotations

import os
from pathlib import Path

from lab import compare

MIB = 1 << 20


def test_the_contents_of_an_image_are_those_of_its_bytes(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(8 * MIB)
        # Set aside, and not written: data to SEEK_DATA as soon as somebody has read it.
        os.posix_fallocate(file.fileno(), 2 * MIB, MIB)
        os.pwrite(file.fileno(), b"data", 5 * MIB - 2)
    found = compare.contents(image)
    image.read_bytes()
    (tmp_path / "copy").write_bytes(image.read_bytes())
    assert compare.contents(image) == compare.contents(tmp_path / "copy") == found
    for place, byte in ((0, b"x"), (5 * MIB - 2, b"\0"), (8 * MIB - 1, b"x")):
        with image.open("r+b") as file:
            was = os.pread(file.fileno(), 1, place)
            os.pwrite(file.fileno(), byte, place)
            assert compare.contents(image) != found
            os.pwrite(file.fileno(), was, place)
    assert compare.contents(image) == found
