# SPDX-License-Identifier: GPL-3.0-or-later
"""What logical volumes are made of: their segments, and the hidden volumes of pools, caches and mirrors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

Row = Mapping[str, str]

# Kinds of segments of volumes that are cached by another one.
CACHED = ("cache", "writecache")


@dataclass(frozen=True)
class Segment:
    """A part of a logical volume; sizes are bytes. `ranges` are the extents it lies on, stripe by stripe or
    image by image: UUID of the physical volume:first-last. `log` is where a mirror has its log (core, mirrored),
    when that is no disk."""

    kind: str
    start: int
    size: int
    stripes: int = 1
    stripe_size: int = 0
    region_size: int = 0
    chunk_size: int = 0
    copies: int = 1
    parity: int = 0
    ranges: tuple[str, ...] = ()
    log: str = ""


def placed(segments: tuple[Segment, ...], others: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The segments where the others lie, if they are as many."""
    if len(segments) != len(others):
        return segments
    return tuple(replace(now, ranges=was.ranges) for now, was in zip(segments, others))


@dataclass(frozen=True)
class Part:
    """A hidden volume that another one is made of: `data` and `metadata` of a pool, the `origin` that is cached,
    and the `cache`, or `cache data` and `cache metadata` where that is a pool."""

    role: str
    size: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Hidden:
    """The hidden volumes of a group by their names without brackets, and the UUIDs of its physical volumes."""

    rows: Mapping[str, list[Row]]
    uuids: Mapping[str, str]

    def segments(self, rows: list[Row]) -> tuple[Segment, ...]:
        """The segments of a volume, with what all of its parts lie on."""
        return tuple(_segment(row, tuple(self._extents(row)), self._log(row)) for row in rows)

    def below(self, rows: list[Row]) -> Iterator[Row]:
        """The segments of all that these lie on."""
        for row in rows:
            for name in _names(row):
                yield from self.rows.get(name, ())
                yield from self.below(self.rows.get(name, []))

    def places(self, row: Row, rows: list[Row]) -> Iterator[str]:
        """The physical volumes that a volume lies on, also by its parts: `[unknown]` for one that is gone."""
        fast = self.rows.get(row["pool_lv"].strip("[]"), [])
        # No segment names the metadata of pools and mirrors.
        metadata = (name for name in self.rows if re.match(rf"{re.escape(row['lv_name'])}_.*([tcr]meta|mlog)", name))
        found = [*rows, *fast, *(segment for name in metadata for segment in self.rows[name])]
        for segment in [*found, *self.below(found)]:
            yield from (name for name in _names(segment) if name not in self.rows)

    def parts(self, row: Row, rows: list[Row]) -> Iterator[Part]:
        """What a pool or a cached volume is made of."""
        first, name = rows[0], row["lv_name"]
        if first["segtype"] in CACHED:
            yield self._part("origin", row["origin"].strip("[]"))
            fast = row["pool_lv"].strip("[]")
            pool = self.rows.get(fast, [])
            if pool and pool[0]["segtype"] == "cache-pool":
                yield self._part("cache data", _names(pool[0])[0])
                yield self._part("cache metadata", f"{fast}_cmeta")
            else:
                yield self._part("cache", fast)
        elif first["segtype"] in ("thin-pool", "cache-pool"):
            meta = f"{name}_tmeta" if first["segtype"] == "thin-pool" else f"{name}_cmeta"
            found = [self._part("data", data) for data in _names(first)] + [self._part("metadata", meta)]
            if first["segtype"] == "cache-pool" or any(s.kind != "linear" for part in found for s in part.segments):
                yield from found

    def _part(self, role: str, name: str) -> Part:
        rows = self.rows.get(name, [])
        return Part(role, sum(int(row["seg_size"]) for row in rows), self.segments(rows))

    def _extents(self, row: Row) -> Iterator[str]:
        """`/dev/vdb3:64-96` with the UUID of that physical volume; `mirror_rimage_0:0-31` as what that part
        lies on."""
        for extents in row["seg_pe_ranges"].split():
            name, _, range = extents.rpartition(":")
            if name in self.uuids:
                yield f"{self.uuids[name]}:{range}"
            for part in self.rows.get(name, ()):
                yield from self._extents(part)

    def _log(self, row: Row) -> str:
        """Where a mirror has its log; a volume mirror_mimage_0 has it in mirror_mlog."""
        if row["segtype"] != "mirror":
            return ""
        log = self.rows.get(re.sub(r"_mimage_\d+$", "_mlog", (_names(row) or [""])[0]), [])
        return "core" if not log else "mirrored" if log[0]["segtype"] == "mirror" else ""


def _names(row: Row) -> list[str]:
    """What a segment lies on: `pool_tdata:0-15`."""
    return [extents.rpartition(":")[0] for extents in row["seg_pe_ranges"].split()]


def _segment(row: Row, ranges: tuple[str, ...], log: str) -> Segment:
    return Segment(
        kind=row["segtype"],
        start=int(row["seg_start"]),
        size=int(row["seg_size"]),
        stripes=int(row["stripes"] or 1),
        stripe_size=int(row["stripe_size"] or 0),
        region_size=int(row["region_size"] or 0),
        chunk_size=int(row["chunk_size"] or 0),
        copies=int(row["data_copies"] or 1),
        parity=int(row["parity_chunks"] or 0),
        ranges=ranges,
        log=log,
    )
