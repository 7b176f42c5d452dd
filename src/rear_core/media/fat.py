# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT images, as firmware reads its boot loader from; filled by mtools, so that nothing is mounted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ..errors import RearError
from ..places.delivery import forget
from ..shell import Shell

CLUSTER = 2048
TABLES_AND_ROOM = 256 * 1024


def make_fat_image(
    sh: Shell, image: Path, files: Mapping[str, Path], *, label: str, volume_id: str, epoch: int
) -> None:
    """Write a FAT file system with these files, by path in it; the same input gives the same bytes.

    `volume_id` has eight hexadecimal digits, `epoch` becomes the time of every file and folder.
    """
    # mtools takes "now" from SOURCE_DATE_EPOCH; TZ, because FAT keeps local time.
    env = {"SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
    folders = _folders(files)
    used = sum(-(-path.stat().st_size // CLUSTER) * CLUSTER for path in files.values())
    kib = -(-(used + len(folders) * CLUSTER + TABLES_AND_ROOM) // 1024)
    image.unlink(missing_ok=True)
    sh.run(
        "mkfs.vfat", "--invariant", "-i", volume_id, "-n", label, "-s", str(CLUSTER // 512),
        "-C", image, str(kib), env=env,
    )  # fmt: skip
    if folders:
        sh.run("mmd", "-i", image, *(f"::{folder}" for folder in folders), env=env)
    for name, path in sorted(files.items()):
        sh.run("mcopy", "-i", image, path, f"::{name}", env=env)


def update_fat(sh: Shell, disk: Path, start: int, files: Mapping[str, Path], work: Path) -> list[str]:
    """Put files into the FAT file system that begins at a byte of a disk or image; the names of those that differed.

    What is there already is not written again. A new file is complete before it takes the name of an old one. `work`
    is an empty folder.
    """
    drive = f"{disk}@@{start}"
    env = {"MTOOLS_SKIP_CHECK": "1"}
    changed = [name for name, path in files.items() if _read(sh, drive, name, work) != path.read_bytes()]
    for folder in _folders(changed):
        if sh.run("mdir", "-b", "-i", drive, f"::{folder}", env=env, ok=(0, 1)).status:
            sh.run("mmd", "-i", drive, f"::{folder}", env=env)
    for name in changed:
        part = f"{name}.new"
        sh.run("mcopy", "-o", "-i", drive, files[name], f"::{part}", env=env)
        forget(disk)
        if _read(sh, drive, part, work) != files[name].read_bytes():
            raise RearError(f"{part} on {disk} differs from {files[name]}", "the disk is damaged: use another one")
        sh.run("mdel", "-i", drive, f"::{name}", env=env, ok=(0, 1))
        sh.run("mren", "-i", drive, f"::{part}", f"::{name}", env=env)
    forget(disk)
    return changed


def _read(sh: Shell, drive: str, name: str, work: Path) -> bytes | None:
    """What a file holds, None when it is not there."""
    copy = work / "read-back"
    copy.unlink(missing_ok=True)
    # mtype would end at ^Z, as DOS does.
    sh.run("mcopy", "-n", "-i", drive, f"::{name}", copy, env={"MTOOLS_SKIP_CHECK": "1"}, ok=(0, 1))
    return copy.read_bytes() if copy.exists() else None


def _folders(names: Iterable[str]) -> list[str]:
    """All folders that these files lie in, outer ones first."""
    return sorted({parent.as_posix() for name in names for parent in PurePosixPath(name).parents} - {"."})
