# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices and caches recreated, with the same identifiers; and which of them cannot be."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

from rear_core.storage.command import Command, Site
from rear_core.storage.disk import PartitionTable, sector_size
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item

from . import running, superblock
from .items import BACKING, BUCKETS, CACHES, MODES, POLICIES, SECTOR, Bcache, CacheSet, capture, contents, lacking

# udev starts what it finds as soon as it is there: all of it is written at once.
WRITE = f'base64 --decode | dd of="$0" bs={SECTOR} seek={superblock.SB_SECTOR} conv=nocreat,notrunc,fsync status=none'


def recreate(item: Item, site: Site) -> Iterator[Command]:
    """Make a cache or a device, and have the kernel start it."""
    device = site.device(item.needs[0])
    if isinstance(item, CacheSet):
        yield _write(superblock.cache(item, _buckets(item, site)), device, f"create {item.noun} {item.cset}")
        yield running.register_cache(device)
    elif isinstance(item, Bcache):
        yield _write(superblock.backing(item), device, f"create {item.noun} {item.uuid}")
        yield running.register(item, device)
        yield Command(("udevadm", "settle", "--timeout=60"), f"wait for {item.noun} {item.uuid}")


def _write(data: bytes, device: str, reason: str) -> Command:
    return Command(
        ("sh", "-c", WRITE, device),
        reason,
        destroys=f"everything on {device}",
        input=b64encode(data).decode() + "\n",
        devices=(device,),
    )


def _buckets(item: CacheSet, site: Site) -> int:
    """As many as there were, or as fit where the device has another size, be it some bytes less."""
    fit = site.size(item.needs[0]) // item.bucket if item.bucket else 0
    if not fit:
        return item.buckets
    return fit if site.is_resized(item.needs[0]) else min(fit, item.buckets)


def refuses(item: Item, site: Site) -> Iterator[str]:
    """What this release does not know, and what would not be the same."""
    if isinstance(item, CacheSet):
        if item.version not in CACHES or item.replacement not in POLICIES:
            yield f"rear cannot recreate a cache with a superblock of version {item.version}"
        elif _buckets(item, site) < BUCKETS:
            yield f"fewer than {BUCKETS} buckets of {item.bucket} bytes: the kernel refuses such a cache"
    elif isinstance(item, Bcache):
        if item.version not in BACKING or item.mode not in MODES:
            yield f"rear cannot recreate a superblock of version {item.version} with the mode {item.mode!r}"
            return
        if item.state == "inconsistent":
            yield "it lost its cache with data that was not yet on the disk: check its contents first"
        if any(isinstance(other, PartitionTable) for other in site.layout if item.id in other.needs):
            yield "rear cannot recreate a partition table on it"
        sector = sector_size(site, item.needs[0])
        if item.block < sector:
            yield f"its blocks of {item.block} bytes are smaller than the sectors of {sector} bytes below it"


def notes(item: Item, _site: Site) -> Iterator[str]:
    """A cache that is missing."""
    if isinstance(item, Bcache) and len(item.needs) == 1 and item.state in ("clean", "dirty"):
        yield f"it is recreated without its cache set {item.cset}"


KIND = StorageKind(
    "bcache", (CacheSet, Bcache), capture, contents, recreate=recreate, refuses=refuses, notes=notes, lacking=lacking,
    start=running.start, stop=running.stop, release=running.release, exclusive=(CacheSet, Bcache),
)  # fmt: skip
