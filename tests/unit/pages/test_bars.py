# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars are to scale, and nothing on them is too small to be seen and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import pictures as lab
from rear_core.pages.bars import BESIDE, LEAST, LINES, Part, draw
from rear_core.pages.storage import as_recorded, pictures
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import load, make
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext.capture import Ext
from rear_core.storage.technologies.iscsi import IscsiUnit

TIB, GIB, MIB = 1 << 40, 1 << 30, 1 << 20
MACHINES = sorted((Path(__file__).parents[2] / "machines").glob("*/layout.json"))


def test_a_bar_is_to_scale() -> None:
    parts = (Part("sda1", size=25 * GIB, start=0), Part("sda2", size=50 * GIB, start=25 * GIB))
    (row,) = draw(Part("sda", size=100 * GIB, parts=parts)).rows
    assert [(cell.left, cell.width, cell.size) for cell in row] == [
        (0, 25, 25 * GIB), (25, 50, 50 * GIB), (75, 25, 25 * GIB),
    ]  # fmt: skip
    assert [cell.part and cell.part.title for cell in row] == ["sda1", "sda2", None]


def test_a_tiny_partition_is_seen_and_has_a_letter_in_the_table() -> None:
    parts = (Part("sda1", size=MIB, start=MIB), Part("sda2", size=12 * TIB - GIB, start=2 * MIB))
    picture = draw(Part("sda", size=12 * TIB, parts=parts))
    tiny = picture.rows[0][1]
    assert (round(tiny.width, 6), tiny.key, tiny.space) == (LEAST, "A", "narrow")
    assert [(line.part.title, line.key) for line in picture.lines] == [("sda1", "A"), ("sda2", "")]


def test_of_very_many_parts_each_is_seen() -> None:
    (row,) = draw(Part("sda", size=TIB, parts=tuple(Part(f"sda{n}", size=n * MIB) for n in range(1, 129)))).rows
    assert sum(cell.width for cell in row) == pytest.approx(100)
    assert min(cell.width for cell in row if cell.part) > 0.5
    many = draw(Part("sda", size=TIB, parts=tuple(Part(f"sda{n}", size=1) for n in range(1000))))
    assert (len(many.lines), many.unseen) == (LINES, 1000 - LINES)


def test_what_has_no_size_of_its_own_takes_what_it_lies_on() -> None:
    whole = Part("vault", parts=(Part("/", kind="files"),))
    picture = draw(Part("sda", size=GIB, parts=(whole,)))
    assert [[cell.width for cell in row] for row in picture.rows] == [[100], [100]]
    beside = draw(Part("sda", size=GIB, parts=(Part("@"), Part("@home"))))
    assert [cell.width for cell in beside.rows[0]] == [50, 50]
    snapshots = draw(Part("sda", size=GIB, parts=tuple(Part(f"@{n}") for n in range(BESIDE + 1))))
    assert [cell.part and cell.part.title for cell in snapshots.rows[0]] == ["9 in the table"]


def test_what_stands_on_a_larger_disk_is_as_large_as_that() -> None:
    """A physical volume is recorded with its size, and grows with its partition."""
    layout = lab.layout()
    volume = layout["pv:v1"]
    larger = make(replace(item, size=900 * GIB) if item.id == "partition:p3" else item for item in layout)  # type: ignore[call-arg]
    lines = pictures(as_recorded(larger))["disk:S4EV1"].lines
    assert [line.part.size for line in lines if line.part.title == volume.noun] == [0]


def test_a_disk_at_the_other_end_of_a_network_is_drawn_in_what_leads_to_it() -> None:
    unit = IscsiUnit("iscsi:iqn.x/0", (), "iqn.x", "0")
    layout = make([unit, Disk("disk:one", (unit.id,), GIB, "/dev/sdc"), Ext("fs:one", ("disk:one",), "one")])
    (picture,) = pictures(as_recorded(layout)).values()
    assert (picture.part.size, [line.part.title for line in picture.lines]) == (GIB, ["sdc", "ext"])
    assert [[cell.width for cell in row] for row in picture.rows] == [[100], [100]]


def test_an_empty_disk_is_free() -> None:
    picture = draw(Part("sda", size=GIB))
    assert [(cell.width, cell.part) for cell in picture.rows[0]] == [(100, None)]
    assert draw(Part("sda")).rows == ((),)


sizes = st.integers(0, 1 << 45)
parts = st.recursive(
    st.builds(Part, st.text(max_size=3), size=sizes, start=st.integers(-1, 1 << 45)),
    lambda inner: st.builds(
        Part, st.text(max_size=3), size=sizes, start=st.integers(-1, 1 << 45),
        parts=st.lists(inner, max_size=5).map(tuple),
    ),
    max_leaves=20,
)  # fmt: skip


@given(parts)
def test_whatever_is_recorded_fills_its_place_and_no_more(part: Part) -> None:
    """Also where partitions overlap, or end beyond their disk."""
    picture = draw(part)
    above = {id(part): (0.0, 100.0)}
    for row in picture.rows:
        for cell in row:
            if cell.part:
                assert cell.width > 0
                above[id(cell.part)] = (cell.left, cell.width)
        ends = [cell.left + cell.width for cell in row]
        assert all(end <= cell.left + 1e-6 for end, cell in zip(ends, row[1:]))
        assert not ends or (row[0].left >= 0 and ends[-1] <= 100 + 1e-6)
    if part.parts:
        assert sum(cell.width for cell in picture.rows[0]) == pytest.approx(100)
    for _, one in [(0, part)] + [(line.depth, line.part) for line in picture.lines]:
        if one.parts and id(one) in above and all(id(below) in above for below in one.parts):
            left, width = above[id(one)]
            assert all(above[id(below)][0] >= left - 1e-6 for below in one.parts)
            assert sum(above[id(below)][1] for below in one.parts) <= width + 1e-6


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.parent.name)
def test_all_that_is_recorded_of_a_machine_is_in_its_pictures(path: Path) -> None:
    layout = load(path, item_types(CORE_KINDS))
    drawn = pictures(as_recorded(layout))
    lines = [line for picture in drawn.values() for line in picture.lines]
    disks = [item for item in layout if not item.needs]
    assert sum(not line.part.link for line in lines) == len([item for item in layout if item.is_storage]) - len(disks)
    assert {line.part.link for line in lines} - {0} <= {picture.number for picture in drawn.values()}
    targets = {str(item.target) for item in layout if hasattr(item, "target") and not item.is_storage}
    shown = " ".join(line.part.title for line in lines).split()
    assert targets <= {*shown}
