# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=ISO: a file beyond 4 GiB, as a backup on the image can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rear_core import RearError
from rear_core.media.iso import file_extents, make_iso, verify_iso
from rear_core.places.delivery import checksum
from rear_core.shell import Shell

GIB = 1 << 30


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: 4 GiB of zeros take two minutes on a slow disk."""
    if shutil.disk_usage("/dev/shm").free < 6 * GIB:
        pytest.skip("/dev/shm has less than 6 GiB free")
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


# 8 GiB are read and written: `make test-vm` has the time.
@pytest.mark.root
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Shell().which("xorriso"), reason="xorriso is not installed")
def test_a_file_beyond_4_gib_survives(memory: Path) -> None:
    big, iso = memory / "backup.tar", memory / "big.iso"
    with big.open("wb") as file:
        file.truncate(4 * GIB + 5000)
        file.seek(4 * GIB)
        file.write(b"behind the limit")
    files = {"/backup.tar": big}
    make_iso(Shell(), iso, files, volume_id="BIG", epoch=1700000000, bios=None, efi_image=None)
    extents = file_extents(Shell(), iso)["/backup.tar"]
    assert len(extents) > 1
    assert sum(extent.size for extent in extents) == big.stat().st_size
    verify_iso(Shell(), iso, files, None, {"/backup.tar": checksum(big)})
    with iso.open("r+b") as file:
        file.seek(extents[-1].start)
        file.write(b"damage")
    with pytest.raises(RearError, match="missing or damaged"):
        verify_iso(Shell(), iso, {}, None, {"/backup.tar": checksum(big)})
