# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT images, as firmware reads its boot loader from; filled by mtools, so that nothing is mounted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ..errors import RearError
from ..places.delivery import Extent, forget, is_same
from ..shell import Shell

SECTOR = 512
CLUSTER = 2048
TABLES_AND_ROOM = 256 * 1024
# Below this FAT32, which needs 65525 clusters, is no choice; FAT16 has fewer of them.
LEAST_FAT32, FAT32_CLUSTERS, LARGEST_CLUSTER = 64 << 20, 66000, 32768


def make_fat_image(
    sh: Shell, image: Path, files: Mapping[str, Path], *, label: str, volume_id: str, epoch: int
) -> None:
    """Write a FAT file system with these files, by path in it; the same input gives the same bytes.

    `volume_id` has eight hexadecimal digits, `epoch` becomes the time of every file and folder.
    """
    # mtools takes "now" from SOURCE_DATE_EPOCH; TZ, because FAT keeps local time.
    env = {"SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
    folders = _folders(files)
    sizes = [path.stat().st_size for path in files.values()]
    cluster, kind, tables = _geometry(sum(sizes))
    used = sum(-(-size // cluster) * cluster for size in sizes)
    kib = -(-(used + len(folders) * cluster + tables) // 1024)
    image.unlink(missing_ok=True)
    sh.run(
        "mkfs.vfat", "--invariant", "-i", volume_id, "-n", label, "-s", str(cluster // SECTOR), *kind,
        "-C", image, str(kib), env=env,
    )  # fmt: skip
    if folders:
        sh.run("mmd", "-i", image, *(f"::{folder}" for folder in folders), env=env)
    for name, path in sorted(files.items()):
        sh.run("mcopy", "-i", image, path, f"::{name}", env=env)


def _geometry(size: int) -> tuple[int, tuple[str, ...], int]:
    """The bytes of a cluster for so many bytes of files, options of mkfs.vfat, and the room for all else."""
    if size < LEAST_FAT32:
        return CLUSTER, (), TABLES_AND_ROOM
    cluster = SECTOR
    while cluster < LARGEST_CLUSTER and size // (2 * cluster) >= FAT32_CLUSTERS:
        cluster *= 2
    # Two tables with four bytes for each cluster.
    return cluster, ("-F", "32"), 8 * (size // cluster) + (1 << 20)


def verify_fat(sh: Shell, disk: Path, start: int, files: Mapping[str, Path], work: Path) -> None:
    """Prove that the file system that begins at a byte of a disk or image holds these files, byte by byte."""
    copy = work / "read-back"
    for name, source in files.items():
        copy.unlink(missing_ok=True)
        sh.run("mcopy", "-n", "-i", f"{disk}@@{start}", f"::{name}", copy, env={"MTOOLS_SKIP_CHECK": "1"})
        if not is_same(copy, [Extent(0, copy.stat().st_size)], source):
            raise RearError(f"{name} on {disk} differs from its source", "check the disk it is on")
    copy.unlink(missing_ok=True)


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
