# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots of btrfs show what comes back anyway, and which hold what nothing else has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rear_core.errors import ProgramFailed
from rear_core.recordings import Answer, FakeShell, read
from rear_core.shell import Argument, Shell
from rear_core.storage.capture import capture
from rear_core.storage.command import Site
from rear_core.storage.inventory import read_devices
from rear_core.storage.kinds import notes
from rear_core.storage.layout import Layout, LeftOut, make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.btrfs import Btrfs, Subvolume, within
from rear_core.storage.technologies.btrfs.recreate import KIND
from rear_core.storage.technologies.btrfs.snapshots import (
    ORIGIN_GONE,
    RECEIVED,
    read_identities,
    read_uuid,
    unoriginal,
)

MACHINE = Path(__file__).parent.parent.parent / "machines" / "loops-btrfs-raid-vfat-swap"
LISTING = "btrfs subvolume list"
DATA = "70bc5b36-802c-7746-8fb1-9a714f5cbd9f"


def described(*changes: tuple[str, str, str]) -> Layout:
    """The machine with answers of `btrfs subvolume list` changed: of which, what, and to what."""
    recording: dict[str, Answer] = dict(read(path) for path in (MACHINE / "commands").glob("*.txt"))
    for options, old, new in changes:
        answer = recording[f"{LISTING} {options} /srv/rec"]
        text = answer if isinstance(answer, str) else answer.stdout
        assert old in text
        recording[f"{LISTING} {options} /srv/rec"] = text.replace(old, new)
    # As older releases of btrfs print it for the top.
    recording["btrfs subvolume show /srv/rec"] = "/ is toplevel subvolume\n"
    include = (MACHINE / "include.txt").read_text().split()
    return capture(FakeShell(recording), include=include)


def told(layout: Layout) -> dict[str, tuple[str, bool]]:
    """What is said of snapshots, and whether a recovery asks about it."""
    return {e.name: (e.reason, bool(e.on)) for e in layout.left_out if e.lost and "snap" in e.name}


def paths(layout: Layout) -> list[str]:
    return sorted(item.path for item in layout.of(Subvolume))


SNAPSHOT = "ID 258 gen 7 parent 5 top level 5 parent_uuid 70bc5b36-802c-7746-8fb1-9a714f5cbd9f path @data-snap\n"
DEVICE = next(iter(read_devices(FakeShell(MACHINE / "commands"), print).values()))
WRITABLE = ("-p -q -a -r", SNAPSHOT, "")


def test_a_read_only_snapshot_of_what_is_described_is_lost_without_a_question() -> None:
    layout = described()
    reason = "1 snapshots: the subvolumes they were taken of are described"
    assert told(layout) == {"snapshots on /srv/rec": (reason, False)}
    assert paths(layout) == ["@data", "@data/nested"]


def test_a_snapshot_that_can_be_written_to_is_a_subvolume_as_any_other() -> None:
    layout = described(WRITABLE)
    assert told(layout) == {} and paths(layout) == ["@data", "@data-snap", "@data/nested"]


def test_a_read_only_snapshot_of_what_is_gone_is_lost_with_its_disks() -> None:
    layout = described(("-u -R -a", DATA, "00000000-0000-4000-8000-000000000000"))
    assert told(layout) == {"snapshot @data-snap": (ORIGIN_GONE, True)}
    assert paths(layout) == ["@data", "@data/nested"]


def test_what_was_received_whole_is_saved_and_only_loses_what_its_sender_knows_it_by() -> None:
    alone = SNAPSHOT.replace(f"parent_uuid {DATA}", "parent_uuid -")
    layout = described(
        ("-p -q -a", SNAPSHOT, alone), ("-p -q -a -r", SNAPSHOT, alone),
        ("-u -R -a", "ID 258 gen 7 top level 5 received_uuid -   ", f"ID 258 gen 7 top level 5 received_uuid {DATA}"),
    )  # fmt: skip
    assert told(layout) == {} and "@data-snap" in paths(layout)
    assert [item.path for item in layout.of(Subvolume) if item.received] == ["@data-snap"]
    (note,) = (note for note in notes(Site(layout, {}), [KIND]) if "btrfs receive" in note)
    assert "@data-snap" in note


def test_a_snapshot_of_which_programs_do_not_tell_the_origin_is_lost_with_its_disks() -> None:
    layout = described(("-u -R -a", "uuid", "unknown"))
    assert told(layout) == {"snapshot @data-snap": (ORIGIN_GONE, True)}


@pytest.mark.parametrize(
    ("snapshots", "lost"),
    [
        ({1: "@"}, {}),
        ({1: "gone"}, {1: ORIGIN_GONE}),
        # Of snapshots, in any order.
        ({1: "two", 2: "@"}, {}),
        ({1: "two", 2: "gone"}, {1: ORIGIN_GONE, 2: ORIGIN_GONE}),
        ({1: ""}, {}),
        ({1: "", 2: "one"}, {}),
        # Filled by what was sent.
        ({3: "@"}, {3: RECEIVED}),
        ({1: "three", 3: "@"}, {1: ORIGIN_GONE, 3: RECEIVED}),
        # Nobody knows its UUID, and so what was taken of it.
        ({4: "@", 1: "four"}, {1: ORIGIN_GONE}),
    ],
)
def test_a_snapshot_shows_what_its_origin_has(snapshots: dict[int, str], lost: dict[int, str]) -> None:
    identities = {1: ("one", False), 2: ("two", False), 3: ("three", True)}
    assert unoriginal(snapshots, identities, ["@", ""]) == lost


def test_uuids_are_read_as_btrfs_prints_them() -> None:
    text = (
        "ID 256 gen 7 top level 5 received_uuid -                                    uuid aa path @\n"
        "ID 257 gen 7 top level 5 received_uuid bb                                   uuid cc path <FS_TREE>/a b\n"
    )
    assert read_identities(text) == {256: ("aa", False), 257: ("cc", True)}
    assert read_uuid("/\n\tName: \t\t\t<FS_TREE>\n\tUUID: \t\t\tdd\n\tParent UUID: \t\t-\n") == "dd"
    assert read_uuid("/ is toplevel subvolume") == ""


RECORDED = make(
    (
        Btrfs("fs:b", (), uuid="0B5C"),
        Subvolume("subvolume:b/@", ("fs:b",), "@"),
        Subvolume("subvolume:b/@/srv", ("subvolume:b/@",), "@/srv"),
        Mount("mount:/", ("subvolume:b/@",), "/", "btrfs"),
        Btrfs("fs:closed", (), uuid="c105ed"),
        Btrfs("fs:gone", (), uuid="904e"),
        Mount("mount:/gone", ("fs:gone",), "/gone", "btrfs"),
    ),
    [LeftOut("snapshot old", ORIGIN_GONE, lost=True), LeftOut("subvolume docker/1", "created by a container engine")],
)
PRESENT = {
    f"/dev/{name}": replace(DEVICE, path=f"/dev/{name}", fstype=fstype, uuid=uuid)
    for name, fstype, uuid in [
        ("sda1", "btrfs", "0b5c"), ("sdb", "btrfs", "0b5c"), ("sdc", "btrfs", "c105ed"), ("sdd", "btrfs", "other"),
        ("sde", "btrfs", ""), ("sdf", "ext4", "904e"),
    ]
}  # fmt: skip


class NoSeed(Shell):
    """To which no Btrfs is the seed of another."""

    def query(self, *argv: Argument, **_: Any) -> str:
        assert argv[:3] == ("btrfs", "inspect-internal", "dump-super")
        return "flags\t\t\t0x1\n\t\t\t( WRITTEN )\n"


@pytest.mark.parametrize(
    ("here", "file", "new"),
    [
        (["@", "@/srv", "old", "docker/1"], "", []),
        (["@"], "", []),
        (["@", "@db", "@/srv/db"], "", ["subvolume:0B5C/@db", "subvolume:0B5C/@/srv/db"]),
        (["@"], "/vm/image", ["file:0B5C/vm/image outside of all that was mounted"]),
    ],
)
def test_what_is_neither_recorded_nor_left_out_has_come_since(
    monkeypatch: pytest.MonkeyPatch, here: list[str], file: str, new: list[str]
) -> None:
    asked: list[list[str]] = []

    def subvolumes(_sh: Shell, paths: list[str]) -> list[str]:
        asked.append(paths)
        return here

    monkeypatch.setattr(within, "subvolumes", subvolumes)
    monkeypatch.setattr(within, "first_unseen", lambda *_: file)
    found = within.within(NoSeed(), PRESENT, RECORDED)
    # The other ones are not recorded, or lost as a whole.
    assert asked == [["/dev/sda1", "/dev/sdb"]]
    assert found == ({"/dev/sda1": new, "/dev/sdb": new} if new else {})


def test_a_btrfs_that_cannot_be_read_is_an_error_unless_another_one_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def subvolumes(_sh: Shell, paths: list[str]) -> list[str]:
        if paths == ["/dev/sda1", "/dev/sdb"]:
            raise ProgramFailed(["mount"], 32, "wrong fs type")
        return here

    monkeypatch.setattr(within, "subvolumes", subvolumes)
    present = {**PRESENT, "/dev/sdf": replace(PRESENT["/dev/sdf"], fstype="btrfs")}
    here = ["new"]
    assert within.within(NoSeed(), present, RECORDED) == {"/dev/sdf": ["subvolume:904e/new"]}
    here = []
    with pytest.raises(ProgramFailed, match="mount"):
        within.within(NoSeed(), present, RECORDED)
