# SPDX-License-Identifier: GPL-3.0-or-later
"""Superblocks as in Linux, drivers/md/bcache/bcache_ondisk.h, byte for byte what make-bcache writes.

make-bcache chooses the UUIDs of devices and caches itself, and cannot be told a label.
"""

from __future__ import annotations

import struct
from uuid import UUID

from .items import BACKING, MODES, POLICIES, SECTOR, USUAL_OFFSET, Bcache, CacheSet

# Where it lies, and by what it is known.
SB_SECTOR = 8
MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
# After the checksum: sector, version, magic, UUID, UUID of the set, label, flags, sequence, reserved, number of buckets
# or data offset, block and bucket in sectors, caches in the set, number of this one, time of the last mount, first
# bucket, number of keys.
FIELDS = struct.Struct("<QQ16s16s16s32sQQ64xQHHHHIHH")
# The sectors before the first bucket of a cache.
RESERVED = 23
POLYNOMIAL = 0x42F0E1EBA9EA3693
ALL = (1 << 64) - 1


def backing(item: Bcache) -> bytes:
    """The superblock of a device that no set has seen yet: the one that it names takes it as soon as both are there."""
    has_offset = item.data_offset != USUAL_OFFSET or item.version == BACKING[1]
    return _with_checksum(
        FIELDS.pack(
            SB_SECTOR, BACKING[1] if has_offset else BACKING[0], MAGIC, UUID(item.uuid).bytes, _uuid(item.cset),
            item.label.encode()[:32], MODES.index(item.mode), 0, item.data_offset // SECTOR if has_offset else 0,
            item.block // SECTOR, item.bucket // SECTOR, 0, 0, 0, 0, 0,
        )
    )  # fmt: skip


def cache(item: CacheSet, buckets: int) -> bytes:
    """The superblock of an empty cache of so many buckets."""
    flags = item.discard << 1 | POLICIES.index(item.replacement) << 2
    bucket = item.bucket // SECTOR
    return _with_checksum(
        FIELDS.pack(
            SB_SECTOR, 0, MAGIC, UUID(item.uuid).bytes, _uuid(item.cset), b"", flags, 0, buckets,
            item.block // SECTOR, bucket, 1, 0, 0, RESERVED // bucket + 1, 0,
        )
    )  # fmt: skip


def _with_checksum(body: bytes) -> bytes:
    return struct.pack("<Q", checksum(body)) + body


def checksum(data: bytes) -> int:
    """The CRC of 64 bits that bcache has."""
    found = ALL
    for byte in data:
        found ^= byte << 56
        for _ in range(8):
            found = (found << 1 ^ (POLYNOMIAL if found >> 63 else 0)) & ALL
    return found ^ ALL


def _uuid(text: str) -> bytes:
    return UUID(text).bytes if text else bytes(16)
