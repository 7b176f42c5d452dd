# SPDX-License-Identifier: GPL-3.0-or-later
"""A layout on larger and smaller disks: the last growable partition changes, everything else stays."""

from __future__ import annotations

from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import Item, Layout, make
from rear_core.storage.mount import Mount
from rear_core.storage.resize import MIB, Fitted, fit, minimum
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.lvm.parts import Segment
from rear_core.storage.technologies.swap import Swap

GIB = 1 << 30
DISK = "disk:A"


def disk(label: str, *partitions: tuple[int, int, int, str], extra: tuple[Item, ...] = ()) -> Layout:
    """A disk of 10 GiB; of each partition number, start and size in MiB, and type; 5 and above lie in the extended."""
    extended = next((f"partition:{number}" for number, _, _, code in partitions if code == "5"), "")
    return make(
        [
            Disk(DISK, (), 10 * GIB, "/dev/sda"),
            PartitionTable("table:A", (DISK,), label),
            *(
                Partition(
                    f"partition:{number}", ("table:A", extended) if number > 4 and label == "dos" else ("table:A",),
                    number, start * MIB, size * MIB, code,
                )
                for number, start, size, code in partitions
            ),
            *extra,
        ]
    )  # fmt: skip


def ext(partition: int, target: str = "") -> tuple[Item, ...]:
    found: tuple[Item, ...] = (Ext(f"fs:{partition}", (f"partition:{partition}",), str(partition), version=4),)
    return (*found, Mount(f"mount:{target}", (f"fs:{partition}",), target, "ext4")) if target else found


def places(fitted: Fitted) -> dict[int, tuple[int, int]]:
    return {p.number: (p.start // MIB, p.size // MIB) for p in fitted.layout if isinstance(p, Partition)}


SWAP_LAST = disk("gpt", (1, 1, 512, "ef"), (2, 513, 8000, "83"), (3, 8513, 1024, "82"),
                 extra=(*ext(2, "/"), Swap("swap:3", ("partition:3",))))  # fmt: skip


def test_the_same_size_changes_nothing() -> None:
    assert fit(SWAP_LAST, {DISK: 10 * GIB}, {}) == Fitted(SWAP_LAST)


def test_what_lies_behind_the_growing_partition_moves() -> None:
    fitted = fit(SWAP_LAST, {DISK: 12 * GIB}, {})
    assert places(fitted) == {1: (1, 512), 2: (513, 8000 + 2048), 3: (8513 + 2048, 1024)}
    assert fitted.resized == {DISK, "partition:2"}
    assert fitted.notes == ("partition 2 grows from 8000 to 10048 MiB",)


def test_growth_is_by_whole_mebibytes() -> None:
    fitted = fit(SWAP_LAST, {DISK: 12 * GIB - 1234}, {})
    assert places(fitted)[2] == (513, 8000 + 2047)


def test_slack_behind_the_last_partition_is_lost_first() -> None:
    fitted = fit(SWAP_LAST, {DISK: 9700 * MIB}, {})
    assert places(fitted) == places(Fitted(SWAP_LAST)) and not fitted.problems and fitted.resized == {DISK}


def test_a_partition_shrinks_as_far_as_its_files_allow() -> None:
    used = {"/": 2000 * MIB}
    least = minimum(SWAP_LAST, used)[DISK]
    assert 4000 * MIB < least < 5000 * MIB
    fitted = fit(SWAP_LAST, {DISK: least}, used)
    assert not fitted.problems and places(fitted)[2][1] >= 2500
    assert places(fitted)[3][0] == places(fitted)[2][0] + places(fitted)[2][1]
    assert fit(SWAP_LAST, {DISK: least - MIB}, used).problems


def test_without_a_word_on_its_files_nothing_shrinks() -> None:
    assert minimum(SWAP_LAST, {})[DISK] == 9538 * MIB
    assert fit(SWAP_LAST, {DISK: 5 * GIB}, {}).problems


def test_an_extended_partition_grows_with_the_logical_one_in_it() -> None:
    layout = disk("dos", (1, 1, 1000, "83"), (2, 1001, 8000, "5"), (5, 1002, 2000, "82"), (6, 3003, 5998, "83"),
                  extra=(*ext(1, "/"), *ext(6, "/home")))  # fmt: skip
    fitted = fit(layout, {DISK: 11 * GIB}, {})
    assert places(fitted) == {1: (1, 1000), 2: (1001, 9024), 5: (1002, 2000), 6: (3003, 7022)}


def test_boot_does_not_grow_when_there_is_another() -> None:
    layout = disk("gpt", (1, 1, 5000, "83"), (2, 5001, 1000, "83"), extra=(*ext(1, "/"), *ext(2, "/boot")))
    assert places(fit(layout, {DISK: 11 * GIB}, {})) == {1: (1, 6024), 2: (6025, 1000)}
    alone = disk("gpt", (1, 1, 5000, "83"), extra=ext(1, "/boot"))
    assert places(fit(alone, {DISK: 11 * GIB}, {})) == {1: (1, 6024)}


def test_an_mbr_never_grows_beyond_what_it_can_number() -> None:
    fitted = fit(disk("dos", (1, 1, 9000, "83"), extra=ext(1, "/")), {DISK: 4096 * GIB}, {})
    start, size = places(fitted)[1]
    assert 2046 * 1024 < start + size < 2048 * 1024


def volumes(free: int) -> Layout:
    """A volume group of 2000 extents of 4 MiB on the second partition, with so many free ones."""

    def volume(name: str, extents: int) -> LogicalVolume:
        size = extents * 4 * MIB
        segment = Segment("linear", 0, size, ranges=(f"U:0-{extents - 1}",))
        return LogicalVolume(f"lv:vg/{name}", ("vg:vg",), "vg", name, name, size, "linear", segments=(segment,))

    return disk(
        "gpt", (1, 1, 512, "ef"), (2, 513, 8001, "8e"),
        extra=(
            PhysicalVolume("pv:U", ("partition:2",), "U", 8000 * MIB, 2000, MIB),
            VolumeGroup("vg:vg", ("pv:U",), "vg", "V", 4 * MIB, 2000),
            volume("root", 500), volume("home", 1500 - free),
            Ext("fs:r", ("lv:vg/root",), "r", version=4), Mount("mount:/", ("fs:r",), "/", "ext4"),
            Ext("fs:h", ("lv:vg/home",), "h", version=4), Mount("mount:/home", ("fs:h", "mount:/"), "/home", "ext4"),
        ),
    )  # fmt: skip


def test_volumes_keep_their_size_on_a_larger_disk() -> None:
    layout = volumes(0)
    fitted = fit(layout, {DISK: 12 * GIB}, {})
    assert [fitted.layout[f"lv:vg/{name}"] for name in ("root", "home")] == [
        layout[f"lv:vg/{name}"] for name in ("root", "home")
    ]
    assert places(fitted)[2] == (513, 8001 + 2048)


def test_free_extents_are_lost_before_a_volume_shrinks() -> None:
    used = {"/": 100 * MIB, "/home": 200 * MIB}
    fitted = fit(volumes(500), {DISK: 7000 * MIB}, used)
    home = fitted.layout["lv:vg/home"]
    assert isinstance(home, LogicalVolume) and home.size == 4000 * MIB
    # Extents may lie where there is nothing now.
    assert home.segments[0].ranges == ()


def test_the_volume_with_most_room_shrinks() -> None:
    used = {"/": 1500 * MIB, "/home": 200 * MIB}
    fitted = fit(volumes(0), {DISK: 6000 * MIB}, used)
    root, home = fitted.layout["lv:vg/root"], fitted.layout["lv:vg/home"]
    assert isinstance(root, LogicalVolume) and isinstance(home, LogicalVolume)
    assert root.size == 2000 * MIB and 3000 * MIB < home.size < 3600 * MIB and home.size % (4 * MIB) == 0
    partition = fitted.layout["partition:2"]
    assert isinstance(partition, Partition) and root.size + home.size + MIB <= partition.size
    assert not fitted.problems and "shrinks" in fitted.notes[1]


def test_partitions_of_an_edited_layout_must_not_lie_on_each_other() -> None:
    layout = disk("gpt", (1, 1, 512, "83"), (2, 500, 100, "83"), (3, 9000, 2000, "83"))
    assert fit(layout, {}, {}).problems == (
        "partition 2 begins before the end of the previous partition",
        "partition 3 ends after the end of its disk",
    )
