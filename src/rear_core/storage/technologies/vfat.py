# SPDX-License-Identifier: GPL-3.0-or-later
"""The FAT file systems, as on EFI system partitions."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rear_core.contents import Contents
from rear_core.storage.command import Command, Site
from rear_core.storage.disk import has_other_sectors, sector_size
from rear_core.storage.filesystem import FileSystem, identity
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey

if TYPE_CHECKING:
    from typing_extensions import Self

    from rear_core.storage.resize import Sizes

TRACK = 64
# The clusters from which on a FAT has 32 bits are 65525; what lies before the first one is no cluster.
FAT32_CLUSTERS = 66000


@dataclass(frozen=True)
class Fat(FileSystem):
    """A FAT file system; `uuid` is the volume id, as in 66FC-EA5D. Sizes are bytes, `fat_size` in sectors.

    One on a whole disk has an MBR for those who expect one, with the identifier `mbr_id`.
    """

    type = "vfat"
    noun = "file system"
    is_for_firmware = True

    bits: int = 0
    sector_size: int = 0
    cluster_size: int = 0
    reserved_sectors: int = 0
    fats: int = 0
    fat_size: int = 0
    root_entries: int = 0
    sectors: int = 0
    hidden_sectors: int = 0
    media: int = 0
    oem: str = ""
    mbr_id: str = ""
    backup_sector: int = 6

    @property
    def modules(self) -> frozenset[str]:
        """Its driver."""
        return frozenset({"vfat"})

    @classmethod
    def new(cls, id: str, device: str, uuid: str) -> Self:
        """As the firmware of each machine reads it: with 32 bits."""
        return cls(id, (device,), uuid, bits=32)

    def fits(self, _sizes: Sizes, _size: int) -> bool:
        """It can be a little smaller."""
        return True

    def as_planned(self, planned: Fat) -> Fat:
        """mkfs.vfat ends it at a whole track, and the kernel has another opinion of tracks on each kind of bus."""
        made = super().as_planned(planned)
        if not planned.sector_size:
            # Of a new one, mkfs.vfat chooses what is not planned.
            return replace(planned, uuid=made.uuid, label=made.label, bits=made.bits)
        return replace(made, sectors=planned.sectors) if abs(self.sectors - planned.sectors) < TRACK else made


def capture(survey: Survey) -> Iterator[Item]:
    """Every FAT file system, from its boot sector.

    >>> sh.query("od", "-A", "n", "-v", "-t", "x1", "-N", "64", "/dev/vda1")
     eb 3c 90 6d 6b 66 73 2e 66 61 74 00 02 04 04 00
     02 00 02 00 a0 f8 28 00 20 00 04 00 00 00 00 00
     ...
    """
    for device in survey.carrying("vfat"):
        lost = f"{device.path}: rear knows only the type and volume ID of this FAT file system"
        text = survey.ask("od", "-A", "n", "-v", "-t", "x1", "-N", "64", device.path, lost=lost)
        item = read_boot_sector(bytes.fromhex(text), identity(device), device.path, device.uuid, device.label)
        yield item if device.parents else replace(item, mbr_id=_mbr_id(survey, device))


def _mbr_id(survey: Survey, device: Device) -> str:
    """`0x4c24754a` of the MBR that mkfs.vfat writes to whole disks, "" where there is none (status 1)."""
    lost = f"{device.path}: the identifier of its MBR is unknown"
    id = survey.ask("sfdisk", "--disk-id", device.path, lost=lost, ok=(0, 1)).strip()
    return id if re.fullmatch(r"0x[0-9a-f]{8}", id) else ""


def read_boot_sector(sector: bytes, id: str, path: str, uuid: str, label: str) -> Fat:
    """The file system that a boot sector describes; the number of clusters decides about 12, 16 or 32
    bits."""
    bare = Fat(id=id, needs=(path,), uuid=uuid, label=label)
    if len(sector) < 64:
        return bare
    oem, size, per_cluster, reserved, fats, entries, few, media, fat16 = struct.unpack_from("<8sHBHBHHBH", sector, 3)
    hidden, many, fat32 = struct.unpack_from("<III", sector, 28)
    if not size or not per_cluster:
        return bare
    sectors, fat_size = few or many, fat16 or fat32
    root_sectors = -(-entries * 32 // size)
    clusters = (sectors - reserved - fats * fat_size - root_sectors) // per_cluster
    bits = 32 if not fat16 else 12 if clusters < 4085 else 16
    (backup,) = struct.unpack_from("<H", sector, 50)
    return Fat(
        id=id,
        needs=(path,),
        uuid=uuid,
        label=label,
        bits=bits,
        sector_size=size,
        cluster_size=per_cluster * size,
        reserved_sectors=reserved,
        fats=fats,
        fat_size=fat_size,
        root_entries=entries,
        sectors=sectors,
        hidden_sectors=hidden,
        media=media,
        oem=oem.decode("ascii", "replace").rstrip(),
        backup_sector=backup if bits == 32 and 0 < backup < reserved else 6,
    )


def contents(_layout: Layout) -> Contents:
    """The dosfstools, and the code pages that mounting needs."""
    return Contents(
        programs=["mkfs.vfat"],
        optional_programs=["fsck.vfat", "fatlabel", "mlabel"],
        modules=["vfat", "fat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"],
    )


def recreate(item: Fat, site: Site) -> Iterator[Command]:
    """Make the file system with the same number of bits and volume id; its geometry too, where sizes are the same."""
    device = site.device(item.id)
    changed = _has_other_clusters(item, site)
    options = [*_new_clusters(item, site)] if changed else ["-F", str(item.bits)] if item.bits else []
    options += ["-i", item.uuid.replace("-", "")] if item.uuid else []
    options += ["-n", item.label] if item.label else []
    if item.sector_size and not site.is_resized(item.id) and not changed:
        options += ["-s", str(item.cluster_size // item.sector_size), "-S", str(item.sector_size)]
        options += ["-R", str(item.reserved_sectors), "-f", str(item.fats), "-M", f"0x{item.media:02x}"]
        options += ["-b", str(item.backup_sector)] if item.backup_sector != 6 else []
        options += ["-h", str(item.hidden_sectors)] if item.hidden_sectors else []
        options += ["-r", str(item.root_entries)] if item.root_entries else []
    command = ("mkfs.vfat", "-I", *options, device)
    yield Command(
        command,
        f"create {item.noun} {item.label or item.uuid} (FAT)",
        destroys=f"everything on {device}",
        devices=(device,),
        trial=command,
    )
    if item.mbr_id:
        # Its one partition is for show: the kernel is not to be told.
        quiet = ("--no-reread", "--no-tell-kernel")
        argv = ("sfdisk", *quiet, "--disk-id", device, item.mbr_id)
        yield Command(argv, f"set the MBR identifier of {device}")


def _has_other_clusters(item: Fat, site: Site) -> bool:
    """Whether its clusters cannot be what they were, as sectors have another size: their number decides about the bits.

    Firmware takes one of 32 bits with too few clusters for one of 16.
    """
    return has_other_sectors(site, item.id) or 0 < item.sector_size < sector_size(site, item.id)


def _new_clusters(item: Fat, site: Site) -> Iterator[str]:
    """32 bits where it had them and has enough clusters for them, which can be smaller; else what mkfs.vfat takes."""
    size, sector = site.size(item.needs[0]), sector_size(site, item.id)
    enough = [per for per in (item.cluster_size // sector, 1) if per and size // (per * sector) >= FAT32_CLUSTERS]
    if item.bits == 32 and enough:
        yield from ("-F", "32", "-s", str(enough[0]))


def notes(item: Fat, site: Site) -> Iterator[str]:
    """What is computed for the new device."""
    if item.sector_size and _has_other_clusters(item, site):
        yield "its cluster size changes, as the sectors of its disk have another size"


KIND = StorageKind("vfat", (Fat,), capture, contents, recreate=recreate, notes=notes)
