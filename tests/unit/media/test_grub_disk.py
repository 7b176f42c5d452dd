# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB is put on a disk beside the one in use, and all that belongs to the disk stays."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from rear_core.boot.grub_bios import BootSector, read_boot_sector
from rear_core.errors import RearError
from rear_core.media.grub import find_modules
from rear_core.media.grub_disk import install, make_core
from rear_core.places.delivery import Extent
from rear_core.shell import Shell

MIB = 1 << 20
MODULES = find_modules("i386-pc")
PLACE = Extent(MIB, 2 * MIB)
TABLE = "label: gpt\nstart=1MiB, size=2MiB, type=21686148-6449-6E6F-744E-656564454649\ntype=linux\n"

pytestmark = pytest.mark.skipif(not MODULES, reason="GRUB's modules for BIOS are not installed")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with a partition table and a boot sector of somebody else."""
    path = tmp_path / "disk"
    path.touch()
    os.truncate(path, 16 * MIB)
    Shell().run("sfdisk", path, input=TABLE)
    with path.open("r+b") as file:
        file.write(b"\xeb\x58\x90MSWIN4.1" + bytes(range(100)))
    return path


def core(tmp_path: Path, text: str = "configfile /boot/grub/grub.cfg") -> Path:
    """A real core.img that does this first."""
    assert MODULES
    (tmp_path / "find.cfg").write_text(text + "\n")
    make_core(Shell(), MODULES, tmp_path / "find.cfg", tmp_path / "core.img")
    return tmp_path / "core.img"


def partitions(disk: Path) -> object:
    return Shell().json("sfdisk", "--json", disk)["partitiontable"]


def sectors(core: Path) -> int:
    return -(-core.stat().st_size // 512)


def test_the_boot_sector_leads_to_the_core_and_the_table_stays(tmp_path: Path, disk: Path) -> None:
    assert MODULES
    before, old = partitions(disk), disk.read_bytes()[:512]
    made = core(tmp_path)
    assert install(disk, PLACE, MODULES, made)
    assert read_boot_sector(disk) == BootSector(2048, sectors(made))
    new = disk.read_bytes()[:512]
    assert new[0x03:0x5A] == old[0x03:0x5A] and new[0x1B8:] == old[0x1B8:]
    assert partitions(disk) == before
    # All but the list of sectors is the core as it was made.
    written = disk.read_bytes()[MIB : MIB + made.stat().st_size]
    assert written[512:] == made.read_bytes()[512:]


def test_the_same_again_writes_nothing(tmp_path: Path, disk: Path) -> None:
    assert MODULES
    made = core(tmp_path)
    install(disk, PLACE, MODULES, made)
    before = disk.read_bytes()
    assert not install(disk, PLACE, MODULES, made)
    assert disk.read_bytes() == before


def test_a_new_core_is_written_beside_the_one_in_use(tmp_path: Path, disk: Path) -> None:
    assert MODULES
    first = core(tmp_path)
    install(disk, PLACE, MODULES, first)
    used = disk.read_bytes()[MIB : 2 * MIB]
    second = core(tmp_path, "echo another")
    assert install(disk, PLACE, MODULES, second)
    assert read_boot_sector(disk) == BootSector(4096, sectors(second))
    assert disk.read_bytes()[MIB : 2 * MIB] == used
    assert install(disk, PLACE, MODULES, core(tmp_path, "echo a third"))
    found = read_boot_sector(disk)
    assert found and found.core_start == 2048


def test_a_damaged_core_is_replaced(tmp_path: Path, disk: Path) -> None:
    assert MODULES
    made = core(tmp_path)
    install(disk, PLACE, MODULES, made)
    with disk.open("r+b") as file:
        file.seek(MIB + 512 * random.Random(1).randrange(sectors(made)))
        file.write(bytes(100))
    assert install(disk, PLACE, MODULES, made)
    assert read_boot_sector(disk) == BootSector(4096, sectors(made))


def test_a_core_without_room_changes_nothing(tmp_path: Path, disk: Path) -> None:
    assert MODULES
    before = disk.read_bytes()
    with pytest.raises(RearError, match="half of the BIOS boot partition"):
        install(disk, Extent(MIB, MIB // 16), MODULES, core(tmp_path))
    assert disk.read_bytes() == before
