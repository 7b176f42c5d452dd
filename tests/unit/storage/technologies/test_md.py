# SPDX-License-Identifier: GPL-3.0-or-later
"""What mdadm prints of arrays that few machines have, and how they are made again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rear_core.recordings import Answer, FakeShell, read
from rear_core.shell import Outcome
from rear_core.storage.capture import capture
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.inventory import COLUMNS, Device
from rear_core.storage.kinds import notes, refusals
from rear_core.storage.layout import Layout, make
from rear_core.storage.survey import Survey
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.md import capture as md_capture
from rear_core.storage.technologies.md import recreate as md
from rear_core.storage.technologies.md.capture import Array, read_flags

MACHINES = Path(__file__).parents[3] / "machines"

DETAIL = """\
           Version : 1.2
    Number   Major   Minor   RaidDevice State
       0       8        0        0      active sync failfast   /dev/sda
       1       8       16        1      active sync writemostly failfast   /dev/sdb
       4       8       32        2      spare rebuilding   /dev/sdc

       3       8       48        -      journal   /dev/sdd
"""


def test_the_flags_of_members() -> None:
    assert read_flags(DETAIL) == {
        "/dev/sda": ("active", "sync", "failfast"),
        "/dev/sdb": ("active", "sync", "writemostly", "failfast"),
        "/dev/sdc": ("spare", "rebuilding"),
        "/dev/sdd": ("journal",),
    }


ARRAY = Array("md:u", ("disk:1", "disk:2"), "raid1", 2, "1.2", "u", device="/dev/md0", bitmap="internal")


RAID5 = replace(ARRAY, needs=("disk:1", "disk:2", "disk:3"), members=3)


def made(array: Array) -> tuple[str, ...]:
    """The words of mdadm after the name of the array."""
    disks = [Disk(f"disk:{number}", (), 1 << 30, f"/dev/sd{number}") for number in range(1, 5)]
    site = Site(make([*disks, array]), {disk.id: disk.device for disk in disks})
    command, *_ = md.recreate(array, site)
    return command.argv[3:]


def test_write_mostly_members_come_last_or_are_named() -> None:
    assert made(replace(ARRAY, write_mostly=(1,)))[-3:] == ("/dev/sd1", "--write-mostly", "/dev/sd2")
    assert made(replace(ARRAY, write_mostly=(0, 1)))[-3:] == ("--write-mostly", "/dev/sd1", "/dev/sd2")
    first = replace(ARRAY, write_mostly=(0,))
    assert made(first)[-2:] == ("/dev/sd1", "/dev/sd2") and "--write-mostly" not in made(first)
    assert "write-mostly" in said(first)[0]
    with_spare = replace(ARRAY, write_mostly=(1,), spares=1, needs=("disk:1", "disk:2", "disk:3"))
    assert "--write-mostly" not in made(with_spare) and "write-mostly" in said(with_spare)[0]


def test_write_behind_needs_a_bitmap_and_the_flag() -> None:
    behind = replace(ARRAY, write_mostly=(1,), write_behind=512, bitmap="internal")
    assert "--write-behind=512" in made(behind) and not said(behind)
    first = replace(behind, write_mostly=(0,))
    assert "--write-behind=512" not in made(first) and "--write-behind" in " ".join(said(first))


@pytest.mark.parametrize(
    ("line", "lacks"),
    [("  Bad Block Log : 512 entries available at offset 16 sectors\n", False), ("", True)],
)
def test_an_array_without_a_log_of_bad_blocks_gets_one_and_that_is_said(line: str, lacks: bool) -> None:
    recording: dict[str, Answer] = dict(
        read(path) for path in (MACHINES / "debian-raid-luks" / "commands").glob("*.txt")
    )
    for command, answer in recording.items():
        if command.startswith("mdadm --examine"):
            text = answer if isinstance(answer, str) else answer.stdout
            recording[command] = re.sub("(?m)^ *Bad Block Log : .*\n", line, text)
    arrays = capture(FakeShell(recording)).of(Array)
    assert {array.no_bad_block_log for array in arrays} == {lacks}
    assert [any("no log of bad blocks" in note for note in said(array)) for array in arrays] == [lacks] * len(arrays)


def test_a_journal_is_no_member() -> None:
    array = replace(ARRAY, needs=("disk:1", "disk:2", "disk:3", "disk:4"), members=3, level="raid5", journal=True)
    words = made(array)
    assert "--write-journal=/dev/sd4" in words and not [word for word in words if word.startswith("--bitmap")]
    assert words[-3:] == ("/dev/sd1", "/dev/sd2", "/dev/sd3")


def test_a_bitmap_keeps_its_chunk() -> None:
    assert "--bitmap-chunk=8192" in made(replace(ARRAY, bitmap_chunk=8 << 20))
    assert not [word for word in made(ARRAY) if word.startswith("--bitmap-chunk")]
    assert "/var/bitmap" in said(replace(ARRAY, bitmap="/var/bitmap"))[0]


@pytest.mark.parametrize(
    ("array", "gone", "needs", "missing"),
    [
        (ARRAY, "1", "2", (0,)),
        (ARRAY, "1 2", None, ()),
        (replace(ARRAY, needs=("disk:2",), missing=(0,)), "2", None, ()),
        (replace(ARRAY, needs=("disk:1", "disk:2", "disk:3"), spares=1), "1", "3 2", ()),
        (replace(ARRAY, needs=("disk:1", "disk:2", "disk:3"), spares=1), "1 3", "2", (0,)),
        (replace(ARRAY, needs=("disk:1", "disk:2", "disk:3"), spares=1), "3", "1 2", ()),
        (replace(ARRAY, level="raid0"), "1", None, ()),
        (replace(RAID5, level="raid5"), "2", "1 3", (1,)),
        (replace(RAID5, level="raid5"), "1 2", None, ()),
        (replace(RAID5, level="raid6"), "1 2", "3", (0, 1)),
        (replace(RAID5, level="raid10", layout="near=1, far=2"), "3", "1 2", (2,)),
        (replace(RAID5, level="raid10", layout="near=2"), "2 3", None, ()),
        (replace(RAID5, level="raid5", journal=True, members=2), "3", "1 2", ()),
    ],
)
def test_what_an_array_can_do_without(array: Array, gone: str, needs: str | None, missing: tuple[int, ...]) -> None:
    now = md.lacking(array, {f"disk:{number}" for number in gone.split()})
    assert (needs is None) == (now is None)
    if now is not None and needs is not None:
        assert now.needs == tuple(f"disk:{number}" for number in needs.split())
        assert now.missing == missing and now.members == array.members
        assert now.spares == len(now.needs) + len(missing) - now.members and not now.journal


def said(array: Array) -> list[str]:
    return notes(Site(Layout((array,)), {}), CORE_KINDS)


# Composed from public reports: a mirror that Intel's firmware knows, too.
CONTAINER = "MD_LEVEL=container\nMD_DEVICES=2\nMD_METADATA=imsm\nMD_UUID=0c0c\nMD_DEVNAME=imsm0\n"
MEMBER = (
    "MD_LEVEL=raid1\nMD_DEVICES=2\nMD_CONTAINER=/dev/md/imsm0\nMD_MEMBER=0\nMD_UUID=5a5a\nMD_DEVNAME=Volume0\n"
    "MD_DEVICE_dev_sda_ROLE=0\nMD_DEVICE_dev_sda_DEV=/dev/sda\n"
    "MD_DEVICE_dev_sdb_ROLE=1\nMD_DEVICE_dev_sdb_DEV=/dev/sdb\n"
)


def firmware_raid() -> dict[str, Answer]:
    """What the tools say of two disks that are in a container, with one array that has nothing on it."""

    def node(name: str, type: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "kname": name, "maj:min": "8:0", "type": type, "size": 1 << 30, **more}

    above = [node("md126", "raid1", fstype="swap"), node("md127", "md")]
    disks = [node(name, "disk", fstype="isw_raid_member", serial=name, children=above) for name in ("sda", "sdb")]
    nothing = Outcome((), 2, "", "", 0)
    return {
        f"lsblk --json --bytes --output {COLUMNS}": json.dumps({"blockdevices": disks}),
        "python3 -m rear_core.storage.inventory": "md126\nmd127\n",
        "findmnt --json --list --output TARGET,SOURCE,FSTYPE,OPTIONS,FSROOT,MAJ:MIN": '{"filesystems": []}',
        "findmnt --fstab --json --list --output SOURCE,TARGET,FSTYPE,OPTIONS,FREQ,PASSNO": "",
        "blkid --probe --output export /dev/md127": nothing,
        "mdadm --detail --export /dev/md127": CONTAINER,
        "mdadm --detail --export /dev/md126": MEMBER,
        "mdadm --detail /dev/md126": "         Container : /dev/md/imsm0, member 0\n        Raid Level : raid1\n",
        "mdadm --examine /dev/sda": "/dev/sda:\n Magic : Intel Raid ISM Cfg Sig.\n",
        "swapon --show=NAME,TYPE,SIZE --bytes --noheadings --raw": "",
        "getconf PAGESIZE": "4096\n",
        "cat /etc/crypttab": "",
        "sfdisk --json /dev/sda": Outcome((), 1, "", "does not contain a recognized partition table", 0),
        "sfdisk --json /dev/sdb": Outcome((), 1, "", "does not contain a recognized partition table", 0),
        "sfdisk --json /dev/md127": Outcome((), 1, "", "does not contain a recognized partition table", 0),
    }


def test_arrays_that_device_mapper_runs_for_the_firmware_are_refused_by_name() -> None:
    disk = Device("/dev/sda", "sda", "8:0", "disk", 1, fstype="isw_raid_member", children=("/dev/mapper/isw_x",))
    array = Device("/dev/mapper/isw_x", "dm-0", "253:0", "dmraid", 1, parents=("/dev/sda",))
    survey = Survey(FakeShell({}), {"/dev/sda": disk, array.path: array}, [], [], pytest.fail)
    (item,) = md_capture.capture(survey)
    assert isinstance(item, Array) and "/dev/mapper/isw_x" in said_no(item)


def said_no(array: Array) -> str:
    (problem,) = refusals(Site(Layout((array,)), {}), CORE_KINDS)
    return problem


@pytest.mark.parametrize("export", [MEMBER, MEMBER.replace("MD_DEVICES=2\n", ""), "MD_LEVEL=raid1\nMD_CONTAINER=x\n"])
def test_arrays_of_firmware_raid_are_refused_by_name(export: str) -> None:
    layout = capture(FakeShell({**firmware_raid(), "mdadm --detail --export /dev/md126": export}))
    (problem,) = refusals(Site(layout, {}), CORE_KINDS)
    assert "/dev/md126" in problem and "firmware RAID (imsm)" in problem


def test_a_size_that_mdadm_does_not_know_is_left_to_the_new_array() -> None:
    recording: dict[str, Answer] = dict(
        read(path) for path in (MACHINES / "debian-raid-luks" / "commands").glob("*.txt")
    )
    for command, known, unknown in (
        ("mdadm --detail /dev/md125", r"Used Dev Size : .*", "Used Dev Size : unknown"),
        ("mdadm --examine --metadata=1.2 /dev/sda", r"Data Offset : .*", "Data Offset : unknown"),
    ):
        shown = recording[command]
        assert isinstance(shown, Outcome)
        changed = re.sub(known, unknown, shown.stdout)
        assert changed != shown.stdout
        recording[command] = replace(shown, stdout=changed)
    arrays = [item for item in capture(FakeShell(recording)) if isinstance(item, Array)]
    (found,) = [array for array in arrays if array.device == "/dev/md125"]
    assert (found.component_size, found.data_offset) == (0, 0)
