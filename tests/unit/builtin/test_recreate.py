# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a machine that no recovery can make again, as a whole or in a part."""

from __future__ import annotations

import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core.boot.conversion import SYSTEM_PARTITION
from rear_core.builtin.existing import starting
from rear_core.builtin.planning import check_description, check_root
from rear_core.builtin.recreate import after_restore, rear_settings
from rear_core.errors import Refused
from rear_core.report import Report
from rear_core.run import Recovery
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import Layout, LeftOut, make
from rear_core.storage.mapping import Assignment
from rear_core.storage.mount import Mount, why_no_root
from rear_core.storage.plan import Plan, plan, without
from rear_core.storage.present import Machine
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.swap import SwapFile
from rear_core.storage.technologies.vfat import Fat
from rear_core.system import firmware
from rear_core.testing.fake_shell import Answer, FakeShell


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ([LeftOut("/", "an overlay")], "an overlay"),
        ([LeftOut("mount /", "it needs lv:sys/root, which is not described", True)], "it needs lv:sys/root"),
        ([], "on no disk that rear knows"),
    ],
    ids=["on no disk", "on a missing one", "unknown"],
)
def test_a_machine_whose_root_file_system_is_not_described_is_not_recovered(
    left_out: list[LeftOut], reason: str
) -> None:
    layout = make([Mount("mount:/data", (), "/data", "ext4")], left_out)
    run = cast(Any, SimpleNamespace(layout=layout))
    with pytest.raises(Refused, match=reason) as refused:
        check_description(run)
    assert "rear restoreonly" in refused.value.hint


def test_nothing_is_said_where_it_is_described() -> None:
    assert why_no_root(Layout((Mount("mount:/", (), "/", "ext4"),))) == ""


def test_a_swap_file_that_cannot_be_made_is_told_and_does_not_end_a_recovery() -> None:
    files = [SwapFile(f"swap file:/{name}", (), f"/{name}", 1 << 20) for name in ("one", "two")]
    answers: dict[str, Answer] = {
        line.format(name): ""
        for name in ("one", "two")
        for line in (
            "mkdir --parents /mnt/local", "truncate --size=0 /mnt/local/{}", "chmod 600 /mnt/local/{}",
            "fallocate --posix --length=1048576 /mnt/local/{}", "mkswap /mnt/local/{}",
        )
    }  # fmt: skip
    full = Outcome(("fallocate",), 1, "", "fallocate failed: No space left on device\n", 0)
    sh = FakeShell({**answers, "fallocate --posix --length=1048576 /mnt/local/one": full})
    made = plan(make(files), Assignment((), {}), Machine({}, (), frozenset(), ()), CORE_KINDS)
    run = cast(Any, SimpleNamespace(sh=sh, plan=made, report=Report(terminal=io.StringIO()), recovery=Recovery()))
    after_restore(run)
    (told,) = run.recovery.differences
    assert told.startswith("swap file /one: fallocate") and "No space left on device" in told
    assert "mkswap /mnt/local/one" not in sh.asked
    assert sh.asked[-1] == "mkswap /mnt/local/two"


BOOT = [
    *(Disk(f"disk:{letter}", (), 1 << 30) for letter in "abcd"),
    *(PartitionTable(f"table:{letter}", (f"disk:{letter}",), "gpt") for letter in "cd"),
    *(Partition(f"part:{n}", (f"table:{n}",), 1, 1 << 20, 1 << 26, SYSTEM_PARTITION["gpt"]) for n in "cd"),
    *(Fat(f"fs:{letter}", (f"part:{letter}",), letter) for letter in "cd"),
    Ext("fs:1", ("disk:a",), "1"), Mount("mount:/", ("fs:1",), "/", "ext4"),
    Ext("fs:2", ("disk:b",), "2"), Mount("mount:/boot", ("fs:2", "mount:/"), "/boot", "ext4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "disks", "said"),
    [
        ("disk:a", "bcd", "disk of the root file system is left out"),
        ("disk:b", "acd", "disk of /boot is left out"),
        ("mount:/boot", "abcd", ""),
        ("disk:c", "dab", ""),
        ("disk:c disk:d", "ab", "the machine starts from an EFI system partition, which is on a disk that is left out"),
        ("fs:c fs:d", "abcd", ""),
        ("none", "abcd", ""),
    ],
    ids=["root", "boot", "boot is excluded", "one of two ESPs", "all ESPs", "all ESPs are excluded", "nothing"],
)
def test_a_system_without_the_disk_of_its_root_or_its_kernels_is_not_recovered(
    monkeypatch: pytest.MonkeyPatch, gone: str, disks: str, said: str
) -> None:
    monkeypatch.setattr(firmware, "read_firmware", lambda: firmware.Firmware("uefi"))
    recorded = make(BOOT)
    mapping = {f"disk:{letter}": f"/dev/vd{letter}" for letter in disks}
    made = Plan(Site(without(recorded, {*gone.split()}), mapping), mapping)
    with pytest.raises(Refused, match=said) if said else nullcontext():
        check_root(recorded, made)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["S1=/dev/sdb", "/dev/sda=none", "S2=NONE", "S1=/dev/sdb"], ""),
        (["S1=sdb"], "must be words like serial=/dev/sdx or serial=none, not 'S1=sdb'"),
        (["S1"], "must be words like serial=/dev/sdx or serial=none, not 'S1'"),
        (["=none"], "must be words like serial=/dev/sdx or serial=none, not '=none'"),
        (["S1=/dev/sdb", "S1=none"], "has two answers for S1: /dev/sdb and none"),
    ],
)
def test_words_that_answer_for_disks(words: list[str], problem: str) -> None:
    (setting,) = [one for one in rear_settings() if one.name == "DISK_MAPPING"]
    assert setting.check is not None and setting.check(words) == problem


def test_what_starts_storage_is_told_where_it_lies_today() -> None:
    layout = make(
        [
            Disk("disk:a", (), 1 << 33, "/dev/sda"),
            PartitionTable("table:a", ("disk:a",), "gpt", "a"),
            Partition("part:a", ("table:a",), 3, 1 << 20, 1 << 26, "", device="/dev/sda3"),
        ]
    )
    run = cast(Any, SimpleNamespace(sh=None, report=SimpleNamespace(detail=print)))
    assert starting(run, layout, {"disk:a": "/dev/nvme0n1"}).device("part:a") == "/dev/nvme0n1p3"
