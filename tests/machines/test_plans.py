# SPDX-License-Identifier: GPL-3.0-or-later
"""How each recorded machine is made again: golden scripts for the same disks, and what holds for disks of any size.

`plan.sh` is what `rear layout plan --script` prints when all disks are there and blank; `--update-golden`
rewrites it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.plan_script import expected, run_by_bash
from rear_core.errors import Refused
from rear_core.storage.command import Command
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import Layout, LeftOut, load, make
from rear_core.storage.mapping import assign
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.resize import minimum
from rear_core.storage.script import script
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.multipath import MultipathDisk

MACHINES = sorted(path.parent for path in Path(__file__).parent.glob("*/layout.json"))
MIB = 1 << 20
POISON = "\nEND\nEND1\nid>PWN #\n"


@pytest.fixture(params=MACHINES, ids=lambda path: path.name)
def machine(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def recorded(path: Path) -> Layout:
    return load(path / "layout.json", item_types(CORE_KINDS))


def blank(layout: Layout, sizes: Mapping[str, int] | None = None, names: Mapping[str, str] | None = None) -> Machine:
    """A machine with the recorded disks, blank; of other sizes or names where they are given by id.

    They have no WWN: of two paths to one disk, which some machines had, only one could be taken.
    """
    disks = []
    for item in layout:
        if isinstance(item, Disk):
            disks.append(
                PresentDisk(
                    path=(names or {}).get(item.id, item.device), size=(sizes or {}).get(item.id, item.size),
                    model=item.model, vendor=item.vendor, serial=item.serial, transport=item.transport,
                    logical_sector_size=item.logical_sector_size, physical_sector_size=item.physical_sector_size,
                )
            )  # fmt: skip
    devices = {disk.path: Device(disk.path, disk.path[5:], "", "disk", disk.size, is_disk=True) for disk in disks}
    return Machine(devices, (), frozenset(), tuple(disks))


def planned(layout: Layout, here: Machine, used: Mapping[str, int] | None = None) -> Plan:
    """The plan, with disks that have no identity named by hand."""
    answers = {item.device: disk.path for item, disk in zip([i for i in layout if isinstance(i, Disk)], here.disks)}
    assignment = assign(layout, here.disks, minimum(layout, used or {}), answers)
    assert not assignment.problems and not assignment.questions
    return plan(layout, assignment, here, CORE_KINDS, used=used)


def test_a_machine_is_made_again_as_expected(machine: Path, request: pytest.FixtureRequest) -> None:
    layout = recorded(machine)
    text = script(planned(layout, blank(layout)))
    if request.config.getoption("--update-golden"):
        (machine / "plan.sh").write_text(text)
    assert text == (machine / "plan.sh").read_text()


@pytest.mark.slow
def test_no_text_of_a_disk_becomes_a_line_of_the_script(machine: Path) -> None:
    """Every text would end a comment or a here-document, as far as there is a plan with it."""
    layout = recorded(machine)
    here = blank(layout)
    devices = {path: replace(device, fstype="ext4", label=POISON) for path, device in here.devices.items()}
    disks = tuple(replace(disk, model=POISON, vendor=POISON, transport=POISON) for disk in here.disks)
    here = replace(here, devices=devices, disks=disks)
    for item in layout:
        for name in [field.name for field in fields(item) if field.name not in ("id", "needs", "device")]:
            poisoned = replace(layout[item.id], **{name: _poisoned(getattr(layout[item.id], name))})
            changed = make([poisoned if other.id == item.id else other for other in layout], layout.left_out)
            # Most texts that a program has chosen are refused.
            with suppress(AssertionError, ValueError, LookupError, Refused):
                planned(changed, here)
                layout = changed
    layout = make(layout, [LeftOut(POISON, POISON, lost=True)])
    made = planned(layout, here)
    assert any(POISON.strip() in command.destroys for command in made.teardown)
    assert run_by_bash(script(made, [POISON])) == expected(made)


def _poisoned(value: Any) -> Any:
    if isinstance(value, tuple) and value:
        return (_poisoned(value[0]), *value[1:])
    return value + POISON if isinstance(value, str) and value else value


def test_everything_is_made_before_it_is_used(machine: Path) -> None:
    """A device is named by a command only after the one that makes it."""
    layout = recorded(machine)
    made = planned(layout, blank(layout))
    known = {disk.path for disk in blank(layout).disks}
    for command in made.build:
        assert known.issuperset(command.devices), command
        known |= _makes(command, made)
    mounted: set[str] = set()
    for command in made.mount:
        assert known.issuperset(command.devices)
        if command.argv[0] == "mount":
            mounted.add(command.argv[-1])
    wanted = [item.target for item in layout if isinstance(item, Mount) and item.mounted]
    assert mounted == {f"/mnt/local{target}".rstrip("/") for target in wanted}


def _makes(command: Command, made: Plan) -> set[str]:
    argv = command.argv
    if argv[0] == "sfdisk":
        tables = {item.id for item in made.site.layout if item.type == "partition table"}
        on_this = {t for t in tables if made.site.device(t) == argv[-1]}
        return {
            made.site.device(item.id)
            for item in made.site.layout
            if isinstance(item, Partition) and on_this.intersection(item.needs)
        }
    if argv[0] == "mdadm":
        return {argv[2]}
    if argv[:2] == ("cryptsetup", "open"):
        return {f"/dev/mapper/{argv[-1]}"}
    if argv[:2] == ("lvm", "lvcreate"):
        name = next(word.partition("=")[2] for word in argv if word.startswith("--name="))
        return {made.site.device(item.id) for item in made.site.layout if item.id.endswith(f"/{name}")}
    return set()


def test_other_names_of_disks_reach_every_command(machine: Path) -> None:
    layout = recorded(machine)
    old = {item.id: item.device for item in layout if isinstance(item, Disk)}
    names = {id: f"/dev/nvme{number}n9" for number, id in enumerate(sorted(old))}
    made = planned(layout, blank(layout, names=names))
    words = " ".join(word for command in (*made.build, *made.mount) for word in command.argv)
    assert made.hardware_changed
    for id, path in old.items():
        assert path not in words
        on_it = [item for item in layout if isinstance(item, Partition) and names[id] in made.rebuilt().disks(item.id)]
        assert all(made.rebuilt().device(p.id).startswith(f"{names[id]}p") for p in on_it if "md" not in p.device)


@settings(deadline=None, max_examples=25)
@given(st.data())
@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.name)
def test_partitions_fit_disks_of_any_size(path: Path, data: st.DataObject) -> None:
    layout = recorded(path)
    targets = [item.target for item in layout if isinstance(item, Mount)]
    used = {target: data.draw(st.integers(0, 200 * MIB), label=target) for target in targets}
    least = minimum(layout, used)
    sizes = {
        item.id: data.draw(st.integers(least[item.id] // MIB + 1, 3 * item.size // MIB), label=item.id) * MIB
        for item in layout
        if isinstance(item, Disk)
    }
    made = planned(layout, blank(layout, sizes), used)
    for table in made.site.layout:
        if isinstance(table, PartitionTable) and table.needs[0] in sizes:
            _check(layout, made.site.layout, table, sizes[table.needs[0]])


def _check(before: Layout, now: Layout, table: PartitionTable, size: int) -> None:
    """Inside the disk, not on each other, at whole MiB where they were, and all but the last growable as large."""
    partitions = [item for item in now if isinstance(item, Partition) and table.id in item.needs]
    for partition in partitions:
        was = before[partition.id]
        assert isinstance(was, Partition)
        assert partition.size > 0 and partition.start + partition.size <= size
        assert (partition.start - was.start) % MIB == 0 and (partition.size - was.size) % MIB == 0
    plain = sorted((p for p in partitions if p.code not in ("5", "f", "85")), key=lambda p: p.start)
    for first, second in zip(plain, plain[1:]):
        assert first.start + first.size <= second.start
    for inner in partitions:
        for outer in partitions:
            if outer.id in inner.needs:
                assert outer.start < inner.start and inner.start + inner.size <= outer.start + outer.size
    resized = [p for p in plain if p.size != before[p.id].size]  # type: ignore[attr-defined]
    assert len(resized) <= 1


def test_a_multipath_disk_keeps_the_way_its_partitions_are_named() -> None:
    disk = MultipathDisk("disk:m", (), 1, "/dev/mapper/mpatha")
    partition = Partition("partition:m", ("disk:m",), 2, 1, 1, "83", device="/dev/mapper/mpatha-part2")
    assert partition.place("/dev/mapper/mpathb") == "/dev/mapper/mpathb-part2"
    assert replace(partition, device="/dev/mapper/mpathap2").place("/dev/mapper/mpathb") == "/dev/mapper/mpathbp2"
    assert partition.place("/dev/sda") == "/dev/sda2"
    assert disk.place("/dev/x") == "/dev/x"
