# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules and firmware in two parts: what reaches the media is in the initramfs, all of them in a squashfs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..shell import Shell
from .initramfs import Member
from .modules import ModuleIndex, is_taken_by_default

# Families with many drivers and much firmware, of which a machine needs few.
LATER = (
    "kernel/drivers/crypto/", "kernel/drivers/gpu/", "kernel/drivers/infiniband/", "kernel/drivers/message/",
    "kernel/drivers/net/", "kernel/drivers/scsi/", "kernel/fs/", "kernel/net/",
)  # fmt: skip
# Discs, sticks and what virtual machines have in their place, with the file systems of rescue media.
MEDIA = (
    "kernel/fs/ext4/", "kernel/fs/fat/", "kernel/fs/isofs/", "kernel/fs/nls/", "kernel/fs/squashfs/",
    "kernel/drivers/scsi/hv_storvsc", "kernel/drivers/scsi/sd_mod", "kernel/drivers/scsi/sg.",
    "kernel/drivers/scsi/sr_mod", "kernel/drivers/scsi/virtio_scsi", "kernel/drivers/scsi/vmw_pvscsi",
    "kernel/drivers/scsi/xen-scsifront",
)  # fmt: skip
NETWORK = ("kernel/drivers/net/", "kernel/net/")
# What else may be needed early, by how the media are reached.
REACHES: Mapping[str, tuple[str, ...]] = {"disk": MEDIA, "network": (*MEDIA, *NETWORK)}
# The kernel's words for what reads a squashfs (fs/squashfs/Kconfig), the best first.
COMPRESSIONS = {"zstd": "CONFIG_SQUASHFS_ZSTD", "xz": "CONFIG_SQUASHFS_XZ", "gzip": "CONFIG_SQUASHFS_ZLIB"}


def early(index: ModuleIndex, selected: Sequence[str], used: Iterable[str], reach: str) -> list[str]:
    """The module files, of those selected, that the rescue system starts with.

    They are the `used` modules, by name, and what media may be reached by; `reach` is a key of `REACHES`.
    """
    kept = {path for name in used for path in index.find(name)}
    for path in filter(is_taken_by_default, selected):
        if not path.startswith(LATER) or path.startswith(REACHES[reach]):
            kept.add(path)
    needed = set(index.closure(kept))
    return [path for path in selected if path in needed]


def choose_compression(config: Mapping[str, str]) -> str:
    """The best compression of a squashfs that the kernel reads; every kernel with squashfs has that of gzip."""
    return next((name for name, option in COMPRESSIONS.items() if config.get(option) == "y"), "gzip")


def write_squashfs(sh: Shell, members: Iterable[Member], target: Path, compression: str, work: Path) -> None:
    """Write the files among the members as a squashfs, complete or not at all; the same files give the same bytes.

    Below `work` there must be room for them, as mksquashfs reads nothing but folders everywhere (4.4).
    """
    unfinished = target.with_name(f"{target.name}.part")
    with TemporaryDirectory(dir=work) as folder:
        for member in members:
            if member.source:
                place = Path(folder, member.name)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(member.source, place)
                place.chmod(0o644)
        for directory, _, _ in os.walk(folder):
            os.chmod(directory, 0o755)
        sh.run(
            "mksquashfs", folder, unfinished,
            "-noappend", "-all-root", "-no-xattrs", "-no-progress", "-comp", compression,
            "-mkfs-time", "0", "-all-time", "0", timeout=3600,
        )  # fmt: skip
    unfinished.chmod(0o600)
    unfinished.replace(target)
