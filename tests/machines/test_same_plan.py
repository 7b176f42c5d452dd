# SPDX-License-Identifier: GPL-3.0-or-later
"""The id of a plan says what is done, and not on which device: of recorded machines, on disks of any name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.test_plans import MACHINES, blank, planned, recorded
from rear_core.storage import same_plan
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.filesystem import FileSystem
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout, make
from rear_core.storage.mapping import assign
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine
from rear_core.storage.resize import minimum
from rear_core.storage.technologies import CORE_KINDS

MIB = 1 << 20
NAMES = ("/dev/sda", "/dev/sdz", "/dev/sdaa", "/dev/vda", "/dev/nvme0n1", "/dev/nvme10n2", "/dev/mmcblk0", "/dev/xvda")
LAYOUTS = {path.name: recorded(path) for path in MACHINES}
ONE = LAYOUTS["loops-ext-mbr"]


def steps(layout: Layout, made: Plan, firmware: str = "bios") -> list[str]:
    return same_plan.steps(made, layout, CORE_KINDS, firmware)


def renamed(layout: Layout, names: list[str], words: list[str]) -> Machine:
    """A machine with blank disks of the recorded sizes that are called so, on another bus, of another make."""
    disks = [item for item in layout if isinstance(item, Disk)]
    here = blank(layout, names=dict(zip((disk.id for disk in disks), names)))
    changed = (
        replace(disk, serial=f"{word}{number}", model=word, vendor=word, transport="usb")
        for number, (disk, word) in enumerate(zip(here.disks, words))
    )
    return replace(here, disks=tuple(changed))


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_names_serial_numbers_and_buses_make_no_other_plan(name: str, data: st.DataObject) -> None:
    layout = LAYOUTS[name]
    number = sum(isinstance(item, Disk) for item in layout)
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=number, max_size=number, unique=True))
    words = data.draw(st.lists(st.text("abcXYZ 019\x1b", max_size=8), min_size=number, max_size=number))
    before = steps(layout, planned(layout, blank(layout)))
    assert steps(layout, planned(layout, renamed(layout, names, words))) == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_neither_old_contents_nor_memory_make_another_plan(name: str) -> None:
    """A rehearsal has blank disks, and less memory: what is erased beforehand does not come back in any case."""
    layout = LAYOUTS[name]
    here = blank(layout)
    made = planned(layout, here)
    old = {path: replace(device, fstype="xfs", label="old") for path, device in here.devices.items()}
    used = planned(layout, replace(here, devices=old))
    assert used.teardown != made.teardown and steps(layout, used) == steps(layout, made)
    answers = {item.device: disk.path for item, disk in zip([i for i in layout if isinstance(i, Disk)], here.disks)}
    small = plan(layout, assign(layout, here.disks, minimum(layout, {}), answers), here, CORE_KINDS, memory=256 * MIB)
    assert steps(layout, small) == steps(layout, made)


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=5, deadline=None)
@given(more=st.integers(1, 64 * 1024))
def test_a_disk_of_another_size_makes_another_plan(name: str, more: int) -> None:
    layout = LAYOUTS[name]
    disks = [item for item in layout if isinstance(item, Disk)]
    larger = blank(layout, {disks[-1].id: disks[-1].size + more * 512})
    assert steps(layout, planned(layout, larger)) != steps(layout, planned(layout, blank(layout)))


def change(layout: Layout, kind: type[Item], **words: Any) -> Layout:
    """The layout with the first item of a kind changed."""
    (first, *_) = [item for item in layout if isinstance(item, kind)]
    return make([replace(item, **words) if item is first else item for item in layout], layout.left_out)


def smaller(layout: Layout) -> Layout:
    last = [item for item in layout if isinstance(item, Partition)][-1]
    return make([replace(last, size=last.size - MIB) if item is last else item for item in layout], layout.left_out)


@pytest.mark.parametrize(
    "changed",
    [
        lambda layout: change(layout, Partition, code="8e"),
        lambda layout: change(layout, Partition, bootable=not ONE.of(Partition)[0].bootable),
        lambda layout: change(layout, PartitionTable, uuid="0x12345678"),
        lambda layout: change(layout, FileSystem, label="other"),
        lambda layout: change(layout, FileSystem, uuid="0b1cd0a3-1111-4222-8333-123456789abc"),
        lambda layout: change(layout, Mount, target="/elsewhere"),
        smaller,
    ],
    ids=["type", "flag", "id of the table", "label", "UUID", "mount point", "size"],
)
def test_what_is_made_otherwise_is_another_plan(changed: Callable[[Layout], Layout]) -> None:
    other = changed(ONE)
    assert steps(other, planned(other, blank(other))) != steps(ONE, planned(ONE, blank(ONE)))


def test_another_firmware_makes_another_plan() -> None:
    made = planned(ONE, blank(ONE))
    assert steps(ONE, made, "uefi") != steps(ONE, made, "bios")


def test_what_no_command_depends_on_makes_no_other_plan() -> None:
    """Not every virtual disk can have the physical sectors of the real one."""
    here = blank(ONE)
    other = replace(here, disks=tuple(replace(disk, physical_sector_size=4096) for disk in here.disks))
    assert steps(ONE, planned(ONE, other)) == steps(ONE, planned(ONE, here))


def test_a_disk_that_is_left_out_makes_another_plan() -> None:
    layout = LAYOUTS["debian-raid-luks"]
    here = blank(layout)
    disks = [item for item in layout if isinstance(item, Disk)]
    answers = {disk.device: present.path for disk, present in zip(disks, here.disks)} | {disks[-1].device: "none"}
    made = plan(layout, assign(layout, here.disks, minimum(layout, {}), answers), here, CORE_KINDS)
    assert f"{disks[-1].id}: left alone" in steps(layout, made)
    assert steps(layout, made) != steps(layout, planned(layout, here))


def test_disks_in_each_others_place_make_the_same_plan_where_they_are_alike() -> None:
    """What counts is which recorded disk a disk stands for, and what that is."""
    layout = LAYOUTS["debian-raid-luks"]
    disks = [item for item in layout if isinstance(item, Disk)]
    names = dict(zip((disk.id for disk in disks), reversed([disk.device for disk in disks])))
    here = blank(layout, names=names)
    assert isinstance(here.devices[disks[0].device], Device)
    assert steps(layout, planned(layout, here)) == steps(layout, planned(layout, blank(layout)))


def test_an_id_is_known_by_its_beginning() -> None:
    id = same_plan.digest(["one"])
    assert len(id) == 64 and same_plan.is_called(id[:8].upper(), id) and not same_plan.is_called("0" * 8, id)
