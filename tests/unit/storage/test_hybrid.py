# SPDX-License-Identifier: GPL-3.0-or-later
"""An MBR before a GPT that is more than its protection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rear_core.storage.hybrid import MbrEntry, read, script
from rear_core.storage.inventory import Device
from rear_core.storage.survey import Survey
from rear_core.testing.fake_shell import FakeShell

DISK = Device("/dev/sda", "sda", "8:0", "disk", 64 << 20)
# As sfdisk printed it for what `sgdisk --hybrid=1` had made.
HYBRID = [
    {"node": "/dev/sda1", "start": 1, "size": 2047, "type": "ee"},
    {"node": "/dev/sda2", "start": 2048, "size": 40960, "type": "83", "bootable": True},
]
USUAL = {"node": "/dev/sda1", "start": 1, "size": 131071, "type": "ee"}


def asked(partitions: list[dict[str, Any]]) -> tuple[str, tuple[MbrEntry, ...]]:
    """What is read of an MBR with these partitions; the first of the GPT is where the second here is."""
    table = {"partitiontable": {"label": "dos", "id": "0x12345678", "unit": "sectors", "partitions": partitions}}
    shell = FakeShell({"sfdisk --json --label-nested dos /dev/sda": json.dumps(table)})
    return read(Survey(shell, {}, [], [], pytest.fail), DISK, {(2048, 40960): 1})


def test_the_usual_protection_is_not_described() -> None:
    assert asked([USUAL]) == ("", ())
    assert asked([]) == ("", ())
    assert read(Survey(FakeShell({}), {}, [], [], pytest.fail), DISK, {}) == ("", ())


@pytest.mark.parametrize("said", ["sfdisk: what?", "[]", '{"partitiontable": {"partitions": [{"node": "/dev/sda1"}]}}'])
def test_odd_answers_are_warned_of(said: str) -> None:
    warnings: list[str] = []
    survey = Survey(FakeShell({"sfdisk --json --label-nested dos /dev/sda": said}), {}, [], [], warnings.append)
    assert read(survey, DISK, {}) == ("", ()) and "/dev/sda" in warnings[0]


def test_a_hybrid_one_comes_back_with_the_places_of_today() -> None:
    id, entries = asked(HYBRID)
    assert entries == (MbrEntry(1, 1, 2047, "ee"), MbrEntry(2, 2048, 40960, "83", bootable=True, partition=1))
    assert script(id, entries, {1: (4096, 50000)}, 1 << 20).splitlines() == [
        "label: dos", "label-id: 0x12345678", "unit: sectors", "grain: 512", "",
        "1 : start=1, size=2047, type=ee", "2 : start=4096, size=50000, type=83, bootable",
    ]  # fmt: skip


def test_a_boot_flag_is_that_of_all_of_the_disk() -> None:
    id, entries = asked([{**USUAL, "bootable": True}])
    assert entries == (MbrEntry(1, 1, 0, "ee", bootable=True),)
    assert "1 : start=1, size=1048575, type=ee, bootable" in script(id, entries, {}, 1 << 20)
    assert f"size={0xFFFFFFFF}," in script(id, entries, {}, 1 << 40)
