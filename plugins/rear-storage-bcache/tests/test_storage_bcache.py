# SPDX-License-Identifier: GPL-3.0-or-later
"""bcache as its tools and the kernel show it, and how it is recreated; `tests/uml` does so for real.

`machine` is what a guest printed that had a device with a cache on a partition, and one without, on three disks.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rear_core.shell import Outcome
from rear_core.storage.capture import capture
from rear_core.storage.command import Command, Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import item_types, lacking, notes, refusals
from rear_core.storage.layout import Item, Layout, dumps, load, make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import commands
from rear_core.storage.present import Machine
from rear_core.storage.resize import fit, minimum
from rear_core.storage.survey import Survey
from rear_core.storage.teardown import teardown
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext
from rear_core.testing.fake_shell import FakeShell
from rear_storage_bcache import running, superblock
from rear_storage_bcache.items import BUCKETS, Bcache, CacheSet, read_superblock
from rear_storage_bcache.kind import KIND

MACHINE = Path(__file__).parent / "machine"
KINDS = (*CORE_KINDS, KIND)
GIB = 1 << 30
SET, ONE, TWO = (f"11111111-2222-4333-8444-55555555550{number}" for number in (1, 2, 3))
FAST, SLOW = (
    Disk(f"disk:{name}", (), size, f"/dev/{name}", serial=name) for name, size in (("sdb", GIB), ("sda", 100 * GIB))
)
CACHE = CacheSet("bcache set:" + SET, ("disk:sdb",), SET, TWO, 1 << 19, 512, GIB >> 19)
DEVICE = Bcache("bcache:" + ONE, ("disk:sda", CACHE.id), ONE, "writeback", 512, 1 << 19, cset=SET, state="clean")
ROOT = Ext(id="fs:1", needs=(DEVICE.id,), uuid="1")
MOUNT = Mount("mount:/", ("fs:1",), "/", "ext4")
LAYOUT = make([FAST, SLOW, CACHE, DEVICE, ROOT, MOUNT])


def site(*items: Item, resized: Sequence[str] = ()) -> Site:
    layout = make(items) if items else LAYOUT
    return Site(layout, {item.id: item.device for item in layout if isinstance(item, Disk)}, frozenset(resized))


def test_the_recorded_machine_is_described_as_expected() -> None:
    layout = capture(FakeShell(MACHINE / "commands"), KINDS, exclude=["/dev/ubd?"], warn=pytest.fail)
    assert dumps(layout) == (MACHINE / "layout.json").read_text()
    assert not [item for item in layout.of(Disk) if "bcache" in item.device]


def recorded() -> Layout:
    return load(MACHINE / "layout.json", item_types(KINDS))


def test_superblocks_are_those_of_make_bcache() -> None:
    """What make-bcache wrote on that machine, before the kernel saw it."""
    (cache,) = recorded().of(CacheSet)
    cached, alone = sorted(recorded().of(Bcache), key=lambda item: len(item.needs), reverse=True)
    written = {path.stem: bytes.fromhex(path.read_text()) for path in MACHINE.glob("*.hex")}
    assert superblock.cache(cache, cache.buckets) == written["cache"]
    assert superblock.backing(alone) == written["device-alone"]
    # It was attached, and labelled, after that.
    first = replace(cached, cset=str(UUID(bytes=written["device-with-cache"][56:72])), label="")
    assert superblock.backing(first) == written["device-with-cache"]


def test_a_superblock_with_an_offset_keeps_its_version_where_that_is_the_usual_one() -> None:
    assert superblock.backing(replace(DEVICE, version=4))[16] == 4 and superblock.backing(DEVICE)[16] == 1
    assert superblock.backing(replace(DEVICE, data_offset=1 << 20))[16] == 4


def test_a_cache_and_its_device_are_written_and_started_in_this_order() -> None:
    made = list(commands(site(), KINDS, lambda item: isinstance(item, (CacheSet, Bcache))))
    assert [command.reason for command in made] == [
        f"create bcache cache set {SET}",
        "start the cache on /dev/sdb",
        f"create bcache device {ONE}",
        f"start bcache device {ONE}",
        f"wait for bcache device {ONE}",
    ]
    assert [command.devices for command in made[:4]] == [("/dev/sdb",), ("/dev/sdb",), ("/dev/sda",), ("/dev/sda",)]
    assert [b64decode(made[number].input) for number in (0, 2)] == [
        superblock.cache(CACHE, CACHE.buckets),
        superblock.backing(DEVICE),
    ]
    assert made[0].destroys == "everything on /dev/sdb" and "nocreat" in made[0].argv[2]


def test_a_cache_on_a_larger_or_smaller_disk_has_as_many_buckets_as_fit() -> None:
    smaller = replace(FAST, size=GIB // 2)
    here = site(smaller, SLOW, CACHE, DEVICE, resized=["disk:sdb"])
    made = next(iter(KIND.recreate(CACHE, here) if KIND.recreate else ()))
    assert b64decode(made.input) == superblock.cache(CACHE, CACHE.buckets // 2)
    tiny = site(replace(FAST, size=BUCKETS << 18), SLOW, CACHE, DEVICE, resized=["disk:sdb"])
    assert [line for line in refusals(tiny, KINDS) if f"fewer than {BUCKETS} buckets" in line]


def test_what_lies_on_a_device_goes_by_its_link_as_the_kernel_counts_devices() -> None:
    assert site().device("fs:1") == f"/dev/bcache/by-uuid/{ONE}"
    known = replace(DEVICE, device="/dev/bcache3", label="fast").device_paths
    assert known == {"/dev/bcache3", f"/dev/bcache/by-uuid/{ONE}", "/dev/bcache/by-label/fast"}


def test_the_module_and_the_word_of_dracut_are_named_for_a_root_on_it() -> None:
    below = LAYOUT.below("mount:/")
    assert {"bcache"} <= {module for item in below for module in item.modules}
    assert "bcache" in {item.dracut for item in below}


def test_a_device_shrinks_by_what_its_file_system_can_spare() -> None:
    sizes = minimum(LAYOUT, {"/": 5 * GIB})
    assert sizes["disk:sda"] < 8 * GIB and sizes["disk:sdb"] == (BUCKETS + 1) << 19
    assert minimum(LAYOUT, {})["disk:sda"] == 100 * GIB
    fitted = fit(LAYOUT, {"disk:sda": 20 * GIB, "disk:sdb": 2 * GIB}, {"/": 5 * GIB})
    assert not fitted.problems and fitted.resized == {"disk:sda", "disk:sdb"}
    assert fit(LAYOUT, {"disk:sda": GIB}, {"/": 5 * GIB}).problems


def test_a_larger_cache_makes_nothing_larger() -> None:
    here = site(*LAYOUT, resized=["disk:sdb"])
    assert not here.is_resized("fs:1") and site(*LAYOUT, resized=["disk:sda"]).is_resized("fs:1")


def test_partitions_with_a_device_or_a_cache_take_the_difference() -> None:
    items: list[Item] = []
    for disk, size, above in ((SLOW, 100 * GIB, DEVICE), (FAST, GIB, CACHE)):
        table = PartitionTable(f"table:{disk.serial}", (disk.id,), "gpt", f"u{disk.serial}")
        part = Partition(f"partition:{disk.serial}", (table.id,), 1, 1 << 20, size - (2 << 20), "x", 1 << 20)
        items += [disk, table, part, replace(above, needs=(part.id, *above.needs[1:]))]
    layout = make([*items, ROOT, MOUNT])
    fitted = fit(layout, {"disk:sda": 50 * GIB, "disk:sdb": GIB // 2}, {"/": 5 * GIB})
    assert not fitted.problems and {"partition:sda", "partition:sdb"} <= fitted.resized


def test_without_its_cache_a_device_comes_back_and_that_is_said() -> None:
    alone = lacking(DEVICE, {CACHE.id}, KINDS)
    assert alone == replace(DEVICE, needs=("disk:sda",))
    assert lacking(DEVICE, {"disk:sda"}, KINDS) is None and lacking(CACHE, {"disk:sdb"}, KINDS) is None
    assert notes(site(SLOW, replace(DEVICE, needs=("disk:sda",))), KINDS) == [
        f"bcache device {ONE}: it is recreated without its cache set {SET}"
    ]
    assert notes(site(), KINDS) == []


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (replace(CACHE, version=5), "a cache with a superblock of version 5"),
        (replace(DEVICE, version=6), "a superblock of version 6"),
        (replace(DEVICE, mode=""), "a superblock of version 1 with the mode ''"),
        (replace(DEVICE, state="inconsistent"), "it lost its cache"),
    ],
    ids=["features of a cache", "features of a device", "no mode", "inconsistent"],
)
def test_what_is_not_known_is_refused_by_name(item: Item, why: str) -> None:
    (line,) = refusals(site(*(other for other in LAYOUT if other.id != item.id), item), KINDS)
    assert line.startswith(f"{item.noun} {item.id.partition(':')[2]}: ") and why in line


def test_blocks_smaller_than_sectors_are_refused() -> None:
    (line,) = refusals(site(replace(SLOW, logical_sector_size=4096), FAST, CACHE, DEVICE), KINDS)
    assert "its blocks of 512 bytes are smaller than the sectors of 4096 bytes" in line


def test_a_partition_table_on_it_is_refused() -> None:
    (line,) = refusals(site(SLOW, FAST, CACHE, DEVICE, PartitionTable("table:x", (DEVICE.id,), "gpt")), KINDS)
    assert "a partition table on it" in line


def test_devices_and_caches_are_stopped_before_their_disks_are_erased() -> None:
    here = {
        "/dev/sda": Device("/dev/sda", "sda", "", "disk", GIB, "bcache", is_disk=True, children=("/dev/bcache0",)),
        "/dev/sdb": Device("/dev/sdb", "sdb", "", "disk", GIB, "bcache", is_disk=True, children=("/dev/bcache0",)),
        "/dev/bcache0": Device("/dev/bcache0", "bcache0", "", "disk", GIB, "ext4", parents=("/dev/sda", "/dev/sdb")),
    }
    made = teardown(Machine(here, (), frozenset(), ()), ["/dev/sda", "/dev/sdb"], KINDS)
    assert [(command.argv[0], command.argv[-1]) for command in made if not command.destroys] == [
        ("sh", "/sys/block/bcache0"),
        ("sh", "/sys/class/block/sdb/bcache"),
        ("sh", "/sys/class/block/sda/bcache"),
    ]
    assert made[0].argv[2] == running.STOP and made[1].argv[2] == running.RELEASE


UNKNOWN = """\
sb.magic		ok
sb.first_sector		8 [match]
sb.csum			F9DD4ED76249E542 [match]
sb.version		6 [unknown]
"""


def survey(devices: Sequence[Device], answers: dict[str, Any]) -> Survey:
    return Survey(FakeShell(answers), {device.path: device for device in devices}, [], [], pytest.fail)


def test_a_device_of_an_unknown_version_is_described_so_that_it_is_refused() -> None:
    backing = Device("/dev/sda", "sda", "", "disk", GIB, "bcache", ONE, children=("/dev/bcache0",))
    device = Device("/dev/bcache0", "bcache0", "", "disk", GIB, parents=("/dev/sda",))
    (item,) = KIND.capture(survey([backing, device], {"bcache-super-show /dev/sda": UNKNOWN}))
    assert isinstance(item, Bcache) and (item.id, item.version) == (f"bcache:{ONE}", 6)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (UNKNOWN.replace("6 [unknown]", "1 [backing device]"), "a stopped device"),
        (f"sb.version 1\ndev.data.cache_state 2 [dirty]\ncset.uuid {SET}\n", "data that only the cache has"),
        (Outcome((), 2, "Invalid superblock (bad magic)\n", "", 0), "bcache-super-show"),
    ],
    ids=["does not run", "dirty, and no cache", "damaged"],
)
def test_what_does_not_run_is_named_as_lost(answer: str | Outcome, why: str) -> None:
    backing = Device("/dev/sda", "sda", "", "disk", GIB, "bcache", ONE)
    here = survey([backing], {"bcache-super-show /dev/sda": answer})
    assert list(KIND.capture(here)) == []
    (entry,) = here.left_out
    assert entry.lost and entry.name == "bcache on /dev/sda" and why in entry.reason


def test_a_label_with_a_blank_is_read() -> None:
    words = read_superblock(FakeShell({"bcache-super-show /dev/sda": "dev.label\t\tmy%20label\n"}), "/dev/sda")
    assert words == {"dev.label": "my%20label"}


def test_commands_that_start_and_stop_are_for_every_shell() -> None:
    for command in (running.register_cache("/dev/sdb"), running.register(DEVICE, "/dev/sda")):
        assert isinstance(command, Command) and command.argv[:2] == ("sh", "-c") and "[[" not in command.argv[2]
