# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue system as the image of a disk: a GPT, GRUB for BIOS, and an EFI system partition with everything else."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from .. import architectures
from ..boot.grub_bios import read_boot_sector
from ..errors import RearError
from ..places.delivery import CHUNK, Extent, forget, is_same
from . import grub_disk
from .fat import make_fat_image, verify_fat
from .grub import efi_files
from .grub_disk import ALIGNMENT, BIOS_BOOT_SIZE, EFI_LABEL
from .loaders import Loaders
from .rescue_iso import epoch, payload, prepare_start

if TYPE_CHECKING:
    from ..run import Run

SECTOR = 512


def write_rescue_disk(run: Run, path: Path, loaders: Loaders) -> None:
    """Write the image, readable by its owner alone; the same input and SOURCE_DATE_EPOCH give the same bytes.

    Beside it there must be room for another one until this returns.
    """
    work = run.build_dir / "disk"
    work.mkdir(exist_ok=True)
    start = prepare_start(run, work, "vfat")
    files = {name.lstrip("/"): source for name, source in {**payload(run), **start.files}.items()}
    if loaders.efi:
        # Signed GRUBs look beside themselves first.
        loader_files = efi_files(run.sh, architectures.supported(run.system.machine), loaders.efi, start.find, work)
        files = {**files, **loader_files, "EFI/BOOT/grub.cfg": start.find}
    partition = path.with_name(f"{path.name}.efi")
    run.undo.callback(partition.unlink, missing_ok=True)
    make_fat_image(run.sh, partition, files, label=EFI_LABEL, volume_id=start.identity[:8], epoch=epoch())
    _lay_out(run, path, partition, start.identity, bios=bool(loaders.bios))
    if loaders.bios:
        core = work / "core.img"
        grub_disk.make_core(run.sh, loaders.bios, start.find, core)
        grub_disk.install(path, Extent(ALIGNMENT, BIOS_BOOT_SIZE), loaders.bios, core)
    _verify(run, path, partition, files, loaders)
    partition.unlink()


def _lay_out(run: Run, path: Path, partition: Path, identity: str, *, bios: bool) -> None:
    """Write the partition table and the EFI system partition."""
    size = -(-partition.stat().st_size // ALIGNMENT) * ALIGNMENT
    first = efi_start(bios)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        # At the end is the second copy of the table.
        file.truncate(first + size + ALIGNMENT)
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"rear {identity} {number}")).upper() for number in range(3)]
    table = grub_disk.boot_partitions(size, SECTOR, bios=bios, ids=ids)
    run.sh.run("sfdisk", "--no-reread", "--no-tell-kernel", path, input=table)
    with partition.open("rb") as source, path.open("r+b") as file:
        file.seek(first)
        shutil.copyfileobj(source, file, CHUNK)


def efi_start(bios: bool) -> int:
    """Where the EFI system partition begins, in bytes."""
    return ALIGNMENT + (BIOS_BOOT_SIZE if bios else 0)


def _verify(run: Run, path: Path, partition: Path, files: dict[str, Path], loaders: Loaders) -> None:
    """Prove, from its disk and not from memory, that the image has the table, the loaders and these files."""
    forget(path)
    first = efi_start(bool(loaders.bios))
    rows = run.sh.json("sfdisk", "--json", path)["partitiontable"]["partitions"]
    if rows[-1]["start"] * SECTOR != first or rows[-1]["type"].upper() != grub_disk.EFI_SYSTEM:
        raise RearError(f"{path} has another partition table than was written", "check the disk it is on")
    if not is_same(path, [Extent(first, partition.stat().st_size)], partition):
        raise RearError(f"the EFI system partition of {path} differs from its source", "check the disk it is on")
    verify_fat(run.sh, path, first, files, run.build_dir / "disk")
    if loaders.bios:
        found = read_boot_sector(path)
        if found is None or not found.core_sectors:
            raise RearError(f"{path} has no GRUB for BIOS in its boot sector", "check the disk it is on")
