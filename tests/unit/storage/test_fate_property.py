# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever lies on whichever disks, none is taken without a question that holds what nothing gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from rear_core.storage.disk import Disk
from rear_core.storage.fate import GIVEN_UP, LOST, REMADE, SAVED, Exclusions, contents, stakes
from rear_core.storage.layout import Item, Layout, LeftOut, make
from rear_core.storage.mapping import STRONG, Assignment, assign, marks, score
from rear_core.storage.marks import mark
from rear_core.storage.mount import Mount
from rear_core.storage.present import PresentDisk
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.swap import Swap

GIB = 1 << 30
KINDS = ("mounted", "not mounted", "automounted", "swap", "foreign", "closed", "group", "empty")
FATES = (SAVED, REMADE, GIVEN_UP)


@dataclass(frozen=True)
class Drawn:
    """A disk of the machine, by what lies on it; what became of it since; whether it knows its serial number."""

    kinds: tuple[str, ...]
    now: str
    serial: bool


DISKS = st.builds(
    Drawn,
    st.lists(st.sampled_from(KINDS), max_size=3).map(tuple),
    st.sampled_from(["same", "same", "replaced", "gone", "other contents", "more contents"]),
    st.booleans(),
)
SETTINGS = st.builds(
    Exclusions,
    mounts=st.lists(st.sampled_from(["/0-0", "/1-0", "/1-*", "/2-1"]), max_size=2),
    groups=st.lists(st.sampled_from(["vg0-0", "vg1-0", "vg1-1"]), max_size=1),
    only_groups=st.lists(st.sampled_from(["vg0-0", "vg2-0"]), max_size=1),
    components=st.lists(st.sampled_from(["/dev/sd1", "fs:/1-1"]), max_size=1),
)


def uuid(disk: int, part: int) -> str:
    return f"{disk:04x}{part:04x}-aaaa"


def described(disk: int, part: int, kind: str) -> tuple[list[Item], list[LeftOut]]:
    """What the description has of a thing on a disk, whose title is `fs`, `swap` and so on by these numbers."""
    id, name = uuid(disk, part), f"{disk}-{part}"
    lower = (f"disk:{disk}",)
    if kind in ("mounted", "not mounted", "automounted"):
        found: list[Item] = [Ext(f"fs:{id}", lower, id)]
        mount = Mount(f"mount:/{name}", (f"fs:{id}",), f"/{name}", "ext4", mounted=kind == "mounted")
        return (found if kind == "not mounted" else [*found, mount]), []
    if kind == "swap":
        return [Swap(f"swap:{id}", lower, id)], []
    if kind == "closed":
        left_out = LeftOut(f"inside {name}", "closed", True, (f"luks:{id}",))
        return [Luks(f"luks:{id}", lower, 2, id, "aes", 256, "sha256")], [left_out]
    if kind == "group":
        return [
            PhysicalVolume(f"pv:{id}", lower, id, GIB), VolumeGroup(f"vg:vg{name}", (f"pv:{id}",), f"vg{name}", "u", 1),
            LogicalVolume(f"lv:{name}", (f"vg:vg{name}",), f"vg{name}", "lv", "u", GIB, "linear"),
            Ext(f"fs:{id}", (f"lv:{name}",), f"{id}-fs"), Mount(f"mount:/{name}", (f"fs:{id}",), f"/{name}", "ext4"),
        ], []  # fmt: skip
    return [], [LeftOut(f"ntfs {name}", "not described", True, lower)] if kind == "foreign" else []


def recorded(disks: Sequence[Drawn]) -> Layout:
    """The machine as it was described."""
    items: list[Item] = []
    left_out: list[LeftOut] = []
    for number, disk in enumerate(disks):
        serial = f"S{number}" if disk.serial else ""
        items.append(Disk(f"disk:{number}", (), 10 * GIB, f"/dev/sd{number}", serial=serial))
        for part, kind in enumerate(disk.kinds):
            more, unknown = described(number, part, kind)
            items += more
            left_out += unknown
    return make(items, left_out)


def present(disks: Sequence[Drawn], strangers: int) -> tuple[list[PresentDisk], dict[str, list[str]]]:
    """The disks that are here, in another order, and the marks of all that really lies on each."""
    found, truth = [], {}
    for number, disk in reversed(list(enumerate(disks))):
        if disk.now == "gone":
            continue
        path = f"/dev/vd{number}"
        own = [uuid(number, part) for part, kind in enumerate(disk.kinds) if kind != "empty"]
        lies = {"same": own, "replaced": [], "other contents": ["ffff-new"], "more contents": [*own, "ffff-new"]}
        truth[path] = lies[disk.now]
        serial = f"S{number}" if disk.serial and disk.now != "replaced" else f"N{number}"
        marks = frozenset(map(mark, truth[path]))
        found.append(PresentDisk(path, 10 * GIB, serial=serial, marks=marks, holds="things" * bool(marks)))
    for number in range(strangers):
        path = f"/dev/vdz{number}"
        truth[path] = [f"eeee{number}-stranger"]
        found.append(
            PresentDisk(path, 20 * GIB, serial=f"Z{number}", marks=frozenset({mark(truth[path][0])}), holds="x")
        )
    return found, truth


def assignment_of(
    disks: Sequence[Drawn], strangers: int, settings: Exclusions, given_up: Sequence[str]
) -> tuple[Assignment, dict[str, str], dict[str, list[str]]]:
    """Which disks would be taken; the fate of what lies on the recorded ones, and what really lies on those here."""
    layout = recorded(disks)
    at_stake = stakes(layout, contents(layout, settings, given_up=given_up))
    alone = {id: stake.why_alone for id, stake in at_stake.items() if stake.why_alone}
    lost = {id: [str(content) for content in stake.lost] for id, stake in at_stake.items()}
    here, truth = present(disks, strangers)
    known = [item for item in layout if isinstance(item, Disk) and item.id in alone]
    # As `inspection.look` does.
    here = [
        replace(p, spared=next((alone[d.id] for d in known if score(d, p, marks(layout, d))[0] >= STRONG), ""))
        for p in here
    ]
    minimum = dict.fromkeys(at_stake, GIB)
    fates: dict[str, str] = {}  # by the UUID of each thing
    for number, disk in enumerate(disks):
        stake = at_stake[f"disk:{number}"]
        for part in range(len(disk.kinds)):
            words = {f"/{number}-{part}", f"inside {number}-{part}", f"ntfs {number}-{part}", uuid(number, part)}
            own = [c.fate for c in stake.contents if words & {c.title, c.title.partition(" ")[2], *c.names}]
            fates[uuid(number, part)] = own[0] if own else LOST
    return assign(layout, here, minimum, {}, alone=alone, lost=lost), fates, truth


@given(
    st.lists(DISKS, min_size=1, max_size=4),
    st.integers(0, 2),
    SETTINGS,
    st.lists(st.sampled_from(["/0-0", "/1-0", "*", "/dev/sd2"]), max_size=1),
)
def test_no_disk_is_taken_unasked_that_holds_what_nothing_gives_back(
    disks: list[Drawn], strangers: int, settings: Exclusions, given_up: list[str]
) -> None:
    assignment, fates, truth = assignment_of(disks, strangers, settings, given_up)
    for match in assignment.matches:
        if match.path and match.sure:
            for thing in truth[match.path]:
                assert fates.get(thing, LOST) in FATES, (match, thing)
                assert thing.startswith(f"{int(match.recorded.id[5:]):04x}"), "it belongs to another recorded disk"


@given(st.lists(DISKS, min_size=1, max_size=4), SETTINGS)
def test_a_disk_comes_back_unless_nothing_on_it_does(disks: list[Drawn], settings: Exclusions) -> None:
    """Being careful is no excuse for leaving out what the backup has."""
    disks = [Drawn(disk.kinds, "same", True) for disk in disks]
    assignment, fates, _ = assignment_of(disks, 0, settings, [])
    assert not assignment.problems
    for match in assignment.matches:
        number = int(match.recorded.id[5:])
        kinds = enumerate(disks[number].kinds)
        back = [fates[uuid(number, part)] for part, kind in kinds if fates[uuid(number, part)] in (SAVED, REMADE)]
        assert bool(match.path) == bool(back)
