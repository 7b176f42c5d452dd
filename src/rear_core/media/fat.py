# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT images, as firmware reads its boot loader from; filled by mtools, so that nothing is mounted."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

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
    folders = sorted({parent.as_posix() for name in files for parent in PurePosixPath(name).parents} - {"."})
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
