# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages are whole HTML files that load and run nothing, whatever somebody has written on the disks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from lab import pictures
from lab.pages import Page
from rear_core.pages.layout import page as layout_page
from rear_core.pages.recovery import KEPT, plan_page, report_page
from rear_core.report import visible
from rear_core.run import Recovery
from rear_core.storage.layout import Item, Layout, LeftOut, make

HOSTILE = (
    "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{ 7 * 7 }}\x1b[2J\x00\u202e\n\udce9"
)
FIELDS = ("label", "model", "target", "name")
# What comes from disks and tools is decoded with surrogates for bytes that are no UTF-8.
names = st.one_of(st.text(max_size=40), st.binary(max_size=20).map(os.fsdecode))


def with_name(name: str) -> Layout:
    """The machine, with a name wherever somebody else has chosen one."""

    def named(item: Item) -> Item:
        chosen: dict[str, Any] = {field: name for field in FIELDS if hasattr(item, field)}
        return replace(item, **chosen)

    return make(map(named, pictures.layout()), [LeftOut(name, name)])


def read(text: str) -> Page:
    """The page, which is one that every browser reads the same."""
    assert text.isascii()
    page = Page(text)
    page.check()
    return page


def layout_with(name: str) -> str:
    return layout_page(pictures.recovered(), with_name(name))


def plan_with(name: str) -> str:
    run = pictures.recovered(pictures.machine(name))
    assert run.plan and run.erased
    return plan_page(run, run.plan, run.erased, [name], "0123456789abcdef")


def report_with(name: str) -> str:
    recovery = Recovery([name], [name], [name], [name], [name], {name: 1.5})
    run = pictures.recovered(pictures.machine(name), recovery)
    return report_page(run, {**pictures.FACTS, "hostname": name})


@given(names, st.sampled_from([layout_with, plan_with, report_with]))
@example(HOSTILE, layout_with)
@example(HOSTILE, plan_with)
@example(HOSTILE, report_with)
def test_names_are_shown_and_are_never_tags(name: str, draw: Callable[[str], str]) -> None:
    assert " ".join(visible(name).split()) in read(draw(name)).text


def test_a_layout_shows_every_part_and_where_it_is_mounted() -> None:
    page = read(layout_page(pictures.recovered(), pictures.layout()))
    for word in ("sda1", "/boot/efi", "web-home", "/home", "480 GiB", "Samsung SSD 870", "an optical drive"):
        assert word in page.text
    # Without colors, and for whoever hears the page.
    assert all(cell["title"] for cell in page.classes("cell"))
    assert all("table" in bar["aria-label"] for bar in page.classes("bar"))


def test_a_machine_without_a_disk_has_a_page() -> None:
    assert "No disk is recorded." in read(layout_page(pictures.recovered(), Layout())).text


def test_what_a_recovery_erased_is_marked_and_said() -> None:
    page = read(report_page(pictures.recovered(), pictures.FACTS))
    cells = page.classes("erased")
    titles = [cell["title"] for cell in cells if "title" in cell]
    assert len(titles) == 4 and any(title.startswith("nvme0n1p2: ntfs, photos") for title in titles)
    assert page.text.count("all of it is erased") == 1 and page.text.count("(erased)") == 4
    assert "disk S4EV1 (was /dev/sda) \u2192 /dev/nvme0n1" in page.text
    # The stick with the rescue system is there, and not touched.
    assert "Disks that are left alone /dev/sdb" in page.text or "REAR-000" in page.text
    assert "It can start" in page.text and "To do by hand" not in page.text
    assert "restore 15 min 13 s" in page.text


def test_what_stays_in_place_is_not_erased() -> None:
    run = pictures.recovered()
    assert run.plan
    # Of the disk, one partition alone is cleared.
    run.plan = replace(run.plan, cleared=("/dev/nvme0n1p2",), in_place=frozenset({"disk:S4EV1"}))
    page = read(report_page(run, pictures.FACTS))
    assert [cell["title"][:9] for cell in page.classes("erased") if "title" in cell] == ["nvme0n1p2"]
    assert "what is marked is erased" in page.text
    run.plan = replace(run.plan, in_place=frozenset(item.id for item in run.plan.site.layout))
    assert KEPT in read(report_page(run, pictures.FACTS)).text


def test_problems_come_first() -> None:
    recovery = Recovery(plan="0123456789abcdef" * 4, problems=["no kernel"], missing=["/srv is not in the backup"])
    page = read(report_page(pictures.recovered(recovery=recovery), pictures.FACTS))
    assert "It will not start as it should" in page.text and "It can start" not in page.text
    assert page.text.index("To do by hand") < page.text.index("no kernel") < page.text.index("The disks")
    assert "/srv is not in the backup" in page.text and "Plan 0123456789abcdef Time" in page.text


def test_a_resumed_recovery_erased_nothing() -> None:
    run = pictures.recovered()
    run.erased = None
    page = read(report_page(run, pictures.FACTS))
    assert "this one erased nothing" in page.text and not [cell for cell in page.classes("erased") if "title" in cell]


def test_a_plan_has_its_commands_and_what_they_destroy() -> None:
    run = pictures.recovered()
    assert run.plan and run.erased
    page = read(plan_page(run, run.plan, run.erased, ["taken: disk S4EV1"], "0123456789abcdef"))
    for word in ("0123456789abcdef", "taken: disk S4EV1", "ntfs photos on /dev/nvme0n1p2", "mkfs.xfs", "Now on it"):
        assert word in page.text
