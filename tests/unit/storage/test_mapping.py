# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk takes the place of which: renamed, swapped, larger, ties, locks, too small, foreign data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.storage.disk import Disk, PartitionTable
from rear_core.storage.layout import Layout, make
from rear_core.storage.mapping import Assignment, assign
from rear_core.storage.present import PresentDisk
from rear_core.storage.technologies.ext import Ext

GIB = 1 << 30


def disk(name: str, size: int = 10, **fields: Any) -> Disk:
    return Disk(f"disk:{fields.get('serial') or name}", (), size * GIB, name, **fields)


def here(name: str, size: int = 10, **fields: Any) -> PresentDisk:
    return PresentDisk(name, size * GIB, **fields)


def matched(
    recorded: Sequence[Disk], present: Sequence[PresentDisk], answers: Mapping[str, str] | None = None,
    minimum: Mapping[str, int] | None = None,
) -> Assignment:  # fmt: skip
    needed = {item.id: item.size for item in recorded} | dict(minimum or {})
    return assign(make(recorded), present, needed, answers or {})


def pairs(assignment: Assignment) -> dict[str, str]:
    return {match.recorded.device: match.path for match in assignment.matches}


A, B = disk("/dev/sda", serial="AAA"), disk("/dev/sdb", serial="BBB")
SYSTEM = "3 partitions (ext4 root, swap)"


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([here("/dev/sda", serial="AAA"), here("/dev/sdb", serial="BBB")], ["/dev/sda", "/dev/sdb"]),
        ([here("/dev/sda", serial="BBB"), here("/dev/sdb", serial="AAA")], ["/dev/sdb", "/dev/sda"]),
        ([here("/dev/vda", serial="AAA"), here("/dev/nvme0n1", serial="BBB")], ["/dev/vda", "/dev/nvme0n1"]),
        (
            [here("/dev/sda", 99), here("/dev/sdb", serial="AAA", holds=SYSTEM), here("/dev/sdc", serial="BBB")],
            ["/dev/sdb", "/dev/sdc"],
        ),
    ],
    ids=["the same", "swapped", "renamed", "more than before"],
)  # fmt: skip
def test_disks_are_known_by_their_serial_numbers(present: list[PresentDisk], expected: list[str]) -> None:
    found = matched([A, B], present)
    assert [match.path for match in found.matches] == expected
    assert not found.questions and not found.problems
    assert "same serial number" in found.matches[0].reasons


def test_a_copy_beside_a_blank_disk_is_a_question() -> None:
    """The original is gone; what is known of the other one is its contents alone."""
    system = make([A, Ext("fs:x", (A.id,), "aaaaaaaa-0000", version=4)])
    copy = here("/dev/sdb", serial="COPY", marks=frozenset({"aaaaaaaa0000"}), holds="ext4")
    found = assign(system, [copy, here("/dev/sdc", serial="NEW")], {A.id: A.size}, {})
    assert [match.path for match in found.questions] == ["/dev/sdb"]
    assert "another serial number or WWN, and blank instead: /dev/sdc" in str(found.questions[0])
    assert assign(system, [copy, here("/dev/sdc", 9, serial="NEW")], {A.id: A.size}, {}).questions == ()


def test_namespaces_of_one_controller_are_told_apart_by_their_wwn() -> None:
    """They share its serial number, and one that came since is none of those that are gone."""
    one, two = (disk(f"/dev/nvme0n{n}", serial="S5X", wwn=f"eui.{n}") for n in (1, 2))
    one, two = replace(one, id="disk:eui.1"), replace(two, id="disk:eui.2")
    present = [here(f"/dev/nvme0n{n}", serial="S5X", wwn=f"eui.{n}", holds="ext4") for n in (2, 3)]
    found = matched([one, two], present)
    assert [str(match.recorded.device) for match in found.matches if match.sure] == ["/dev/nvme0n2"]
    alone = matched([one], [present[1]])
    assert [match.path for match in alone.questions] == ["/dev/nvme0n3"]
    assert "same serial number, another WWN" in str(alone.questions[0])
    assert "S5X is the serial number of disk eui.1" in matched([one, two], present, {"S5X": "none"}).problems[0]


def test_a_blank_disk_of_a_network_takes_no_place_of_one_that_was_in_the_machine() -> None:
    lun = here("/dev/sdb", transport="iscsi")
    assert "no disk can replace" in matched([disk("/dev/sda", transport="sata")], [lun]).problems[0]
    assert pairs(matched([disk("/dev/sda", transport="iscsi")], [lun])) == {"/dev/sda": "/dev/sdb"}


def test_a_serial_number_of_a_place_is_no_proof() -> None:
    """Proxmox gives its disks the names of the places where they are plugged in."""
    found = matched([disk("/dev/sda", serial="drive-scsi0")], [here("/dev/sda", serial="drive-scsi0", holds=SYSTEM)])
    assert [match.path for match in found.questions] == ["/dev/sda"]


def test_what_lay_on_another_recorded_disk_has_come_onto_this_one() -> None:
    system, data = replace(A, marks=("aaaaaaaa",)), replace(B, marks=("bbbbbbbb",))
    moved = here("/dev/sda", serial="AAA", holds=SYSTEM, marks=frozenset({"bbbbbbbb"}))
    found = matched([system, data], [moved, here("/dev/sdb")])
    assert "it holds something that was not recorded" in str(next(m for m in found.matches if m.recorded == system))
    same = replace(moved, marks=frozenset({"aaaaaaaa"}))
    assert not matched([system], [same]).questions


@pytest.mark.parametrize(
    ("then", "now", "asked"),
    [
        ("blank/2", "blank/2", False), ("blank/2", "data/2", True), ("", "blank/2", False), ("data/2", "data/2", False),
        # Of a file system nothing is left, and who knows what came.
        ("", "data/2", True),
        ("minix/1048576", "minix/1048576", False), ("", "minix/1048576", True), ("minix/1048576", "minix/2048", True),
        ("", "data/0", True),
    ],
)  # fmt: skip
def test_what_has_no_identifier_is_known_by_its_place(then: str, now: str, asked: bool) -> None:
    recorded = replace(A, marks=("aaaaaaaa", *then.split()))
    present = here("/dev/sda", serial="AAA", holds=SYSTEM, marks=frozenset({"aaaaaaaa", *now.split()}))
    assert bool(matched([recorded], [present]).questions) == asked


def test_the_wwn_beats_the_name() -> None:
    recorded = disk("/dev/sda", wwn="0x5000")
    found = matched([recorded], [here("/dev/sda", holds=SYSTEM), here("/dev/sdb", wwn="0x5000", holds=SYSTEM)])
    assert pairs(found) == {"/dev/sda": "/dev/sdb"} and not found.questions


def test_a_disk_is_known_by_what_lies_on_it() -> None:
    table = PartitionTable("table:x", ("disk:/dev/sda",), "gpt", "11111111-2222-4333-8444-555555555501")
    layout = make([disk("/dev/sda"), table])
    mine = here("/dev/sdb", holds=SYSTEM, marks=frozenset({"11111111222243338444555555555501"}))
    found = assign(layout, [here("/dev/sda"), mine], {"disk:/dev/sda": GIB}, {})
    assert pairs(found) == {"/dev/sda": "/dev/sdb"} and not found.questions


def test_a_clone_makes_it_a_question() -> None:
    found = matched([A], [here("/dev/sda", serial="AAA"), here("/dev/sdb", serial="AAA")])
    assert [match.path for match in found.questions] == ["/dev/sda"]
    assert "which several disks have" in str(found.questions[0])


@pytest.mark.parametrize(
    "present",
    [
        [here("/dev/vda"), here("/dev/vdb")],
        [here("/dev/vda", 20), here("/dev/vdb", 20)],
        [here("/dev/vda"), here("/dev/vdb"), here("/dev/vdc", 50)],
    ],
    ids=["same sizes", "larger ones", "one of another size besides"],
)
def test_blank_disks_of_a_new_machine_are_taken_in_order(present: list[PresentDisk]) -> None:
    found = matched([A, B], present)
    assert pairs(found) == {"/dev/sda": "/dev/vda", "/dev/sdb": "/dev/vdb"}
    assert not found.questions and not found.problems


def test_blank_disks_of_different_sizes_are_told_apart_by_size() -> None:
    found = matched([disk("/dev/sda", 20), disk("/dev/sdb", 40)], [here("/dev/vda", 40), here("/dev/vdb", 20)])
    assert pairs(found) == {"/dev/sda": "/dev/vdb", "/dev/sdb": "/dev/vda"} and not found.questions


def test_the_nearest_sizes_never_leave_a_disk_without_a_place() -> None:
    found = matched([disk("/dev/sda", 10), disk("/dev/sdb", 20)], [here("/dev/vda", 25), here("/dev/vdb", 12)])
    assert pairs(found) == {"/dev/sda": "/dev/vdb", "/dev/sdb": "/dev/vda"} and not found.problems


@pytest.mark.parametrize(
    "present",
    [
        [here("/dev/vda", holds=SYSTEM)],
        [here("/dev/vda"), here("/dev/vdb")],
        [here("/dev/vda", 20), here("/dev/vdb", 30)],
        [here("/dev/vda", holds="ext4 data"), here("/dev/vdb", 11)],
    ],
    ids=["foreign data", "tie of blank disks", "two larger ones", "size over data"],
)
def test_a_weak_match_is_a_question(present: list[PresentDisk]) -> None:
    found = matched([A], present)
    assert len(found.questions) == 1 and not found.problems


def test_a_serial_number_that_many_disks_have_is_no_proof() -> None:
    recorded = disk("/dev/sda", serial="QM00001")
    assert matched([recorded], [here("/dev/sda", serial="QM00001", holds=SYSTEM)]).questions
    assert not matched([recorded], [here("/dev/sda", serial="QM00001")]).questions


def test_a_locked_disk_is_never_taken() -> None:
    stick = here("/dev/sda", serial="AAA", locked="it is rescue media (labelled REAR-ISO)")
    found = matched([A], [stick])
    assert not found.matches and "rescue media" in found.problems[0]
    found = matched([A], [stick], {"AAA": "/dev/sda"})
    assert found.problems == (f"/dev/sda was chosen for disk AAA (was /dev/sda), but {stick.locked}",)


def test_a_removable_disk_is_taken_only_when_it_is_named() -> None:
    stick = here("/dev/sdb", transport="usb")
    assert "uses it only if you name it" in matched([A], [stick]).problems[0]
    assert not matched([A], [stick], {"/dev/sda": "/dev/sdb"}).problems


def test_a_disk_that_is_too_small_is_no_candidate() -> None:
    found = matched([A], [here("/dev/sda", 9, serial="AAA")])
    assert "9 GiB, the recovery needs 10 GiB" in found.problems[0]
    assert not matched([A], [here("/dev/sda", 9, serial="AAA")], minimum={A.id: 5 * GIB}).problems


def test_fewer_disks_than_needed() -> None:
    found = matched([A, B], [here("/dev/vda")])
    assert len(found.problems) == 1 and "no disk can replace disk" in found.problems[0]


def test_an_answer_decides() -> None:
    found = matched([A, B], [here("/dev/vda", holds=SYSTEM), here("/dev/vdb")], {"AAA": "/dev/vdb", "/dev/sdb": "none"})
    assert found.disks == {"disk:AAA": "/dev/vdb"} and not found.questions and not found.problems
    assert found.spare == {"/dev/vda": SYSTEM}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"CCC": "/dev/vda"}, "no disk CCC is recorded"),
        ({"AAA": "/dev/vdz"}, "there is no disk /dev/vdz"),
        ({"AAA": "/dev/vda", "BBB": "/dev/vda"}, "/dev/vda was chosen for disk AAA (was /dev/sda) and for disk BBB"),
        ({"AAA": "/dev/vdc"}, "1 GiB, the recovery needs 10 GiB"),
    ],
)
def test_an_answer_that_cannot_be_is_named(answers: dict[str, str], said: str) -> None:
    found = matched([A, B], [here("/dev/vda"), here("/dev/vdb"), here("/dev/vdc", 1)], answers)
    assert any(said in problem for problem in found.problems)


sizes = st.integers(min_value=1, max_value=4)
serials = st.sampled_from(["", "AAA", "BBB", "CCC"])
present_disks = st.lists(
    st.builds(
        PresentDisk, path=st.just(""), size=sizes.map(lambda size: size * GIB), serial=serials,
        holds=st.sampled_from(["", "ext4"]), locked=st.sampled_from(["", "", "locked"]), removable=st.booleans(),
    ),
    max_size=5,
)  # fmt: skip


@given(st.lists(st.tuples(sizes, serials), min_size=1, max_size=4, unique_by=lambda pair: pair[1]), present_disks)
def test_no_disk_is_taken_twice_or_against_a_lock(wanted: list[tuple[int, str]], found: list[PresentDisk]) -> None:
    recorded = [disk(f"/dev/sd{'abcd'[i]}", size, serial=serial) for i, (size, serial) in enumerate(wanted)]
    present = [replace(p, path=f"/dev/vd{'abcde'[i]}") for i, p in enumerate(found)]
    assignment = matched(recorded, present)
    used = [match.path for match in assignment.matches]
    by_path = {p.path: p for p in present}
    assert len(used) == len(set(used))
    assert len(assignment.matches) + len(assignment.problems) == len(recorded)
    for match in assignment.matches:
        taken = by_path[match.path]
        assert not taken.locked and taken.size >= match.recorded.size
        if match.sure:
            # Data is only ever overwritten where the disk is known.
            assert not taken.holds or (taken.serial and taken.serial == match.recorded.serial)


def test_an_empty_layout_needs_no_disk() -> None:
    assert assign(Layout(), [here("/dev/sda")], {}, {}).matches == ()


def test_a_path_that_another_recorded_disk_has_by_now_is_no_answer() -> None:
    """Names change from start to start; the one that was meant is here under another name."""
    present = [here("/dev/sda", serial="BBB", holds=SYSTEM), here("/dev/sdb", serial="AAA", holds=SYSTEM)]
    found = matched([A, B], present, {A.id: "/dev/sda"})
    assert [problem for problem in found.problems if "/dev/sda was chosen for" in problem and "BBB=none" in problem]
    assert not matched([A, B], present, {A.id: "/dev/sda", B.id: "none"}).problems
    assert not matched([A, B], present, {A.id: "/dev/sda", B.id: "/dev/sdb"}).problems


def test_a_disk_that_was_chosen_for_another_is_not_said_to_be_left_alone() -> None:
    windows = [here("/dev/sda", serial="BBB", holds=SYSTEM)]
    needed = {A.id: A.size, B.id: B.size}
    alone = {B.id: "nothing on it is restored"}
    mistaken = assign(make([A, B]), windows, needed, {A.id: "/dev/sda"}, alone=alone)
    assert "BBB=none" in mistaken.problems[0] and mistaken.others == {"/dev/sda": B}
    found = assign(make([A, B]), windows, needed, {A.id: "/dev/sda", B.id: "none"}, alone=alone)
    assert not found.problems
    assert [match.overwritten for match in found.matches] == [False, True]


@pytest.mark.parametrize(("came", "keeps"), [((), True), (("cccccccc",), False)])
def test_a_path_is_no_word_against_keeping_in_place(came: tuple[str, ...], keeps: bool) -> None:
    """What is to be kept stays on the disk that was chosen, or the two contradict each other."""
    recorded = replace(A, marks=("aaaaaaaa0000",))
    system = make([recorded, Ext("fs:x", (A.id,), "aaaaaaaa-0000", version=4)])
    present = here("/dev/sdc", serial="COPY", marks=frozenset({"aaaaaaaa0000", *came}), holds="ext4")
    found = assign(system, [present], {A.id: 1}, {A.id: "/dev/sdc"}, lost={A.id: ["minix"]}, keeps={A.id})
    assert [match.keeps for match in found.matches] == [keeps]
    assert bool(found.problems) != keeps
    if not keeps:
        assert "is to be kept, but it holds something that was not recorded" in found.problems[0]
    blank = assign(system, [here("/dev/sdb")], {A.id: 1}, {A.id: "/dev/sdb"}, lost={A.id: ["minix"]}, keeps={A.id})
    assert not blank.problems and not blank.matches[0].keeps


def test_a_disk_that_keeps_something_can_be_chosen_by_its_path_beside_a_blank_one() -> None:
    system = make([A, Ext("fs:x", (A.id,), "aaaaaaaa-0000", version=4)])
    copy = here("/dev/sdb", serial="COPY", marks=frozenset({"aaaaaaaa0000"}), holds="ext4")
    present, lost = [copy, here("/dev/sdc", serial="NEW")], {A.id: ["minix"]}
    asked = assign(system, present, {A.id: A.size}, {}, lost=lost, keeps={A.id}, gives_up=True)
    assert [match.keeps for match in asked.questions] == [True]
    answered = assign(system, present, {A.id: A.size}, {A.id: "/dev/sdb"}, lost=lost, keeps={A.id}, gives_up=True)
    assert [match.keeps for match in answered.matches] == [True] and not answered.questions
