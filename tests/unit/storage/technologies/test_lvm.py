# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are made of hidden ones: what LVM 2.03.16 reported of them, and the commands that make them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import notes, refusals
from rear_core.storage.layout import make
from rear_core.storage.survey import Survey
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.lvm.items import LogicalVolume, PhysicalVolume, VolumeGroup, _extents
from rear_core.storage.technologies.lvm.parts import Hidden, Part, Row, Segment
from rear_core.storage.technologies.lvm.recreate import recreate
from rear_core.storage.technologies.lvm.seldom import not_started, read
from rear_core.testing.fake_shell import FakeShell

MIB = 1 << 20
UUIDS = {"/dev/sda": "PV1", "/dev/sdb": "PV2"}


def row(kind: str, size: int, ranges: str, **more: str) -> Row:
    """A segment as `lvm fullreport` has it."""
    common = dict.fromkeys(("stripe_size", "region_size", "chunk_size", "parity_chunks"), "0")
    return {
        "segtype": kind, "seg_start": "0", "seg_size": str(size), "stripes": "1", "data_copies": "1", **common,
        "seg_pe_ranges": ranges, "cache_mode": "", "cache_policy": "", **more,
    }  # fmt: skip


CACHE_POOL = {
    "fast_cpool": [row("cache-pool", 64 * MIB, "fast_cpool_cdata:0-15", chunk_size="65536")],
    "fast_cpool_cdata": [row("linear", 64 * MIB, "/dev/sdb:4-19")],
    "fast_cpool_cmeta": [row("linear", 8 * MIB, "/dev/sdb:2-3")],
    "fast_cvol": [row("linear", 64 * MIB, "/dev/sdb:0-15")],
    "lv_corig": [row("linear", 128 * MIB, "/dev/sda:0-31")],
    "pool_tdata": [row("raid1", 64 * MIB, "pool_tdata_rimage_0:0-15 pool_tdata_rimage_1:0-15", data_copies="2")],
    "pool_tdata_rimage_0": [row("linear", 64 * MIB, "/dev/sda:1-16")],
    "pool_tdata_rimage_1": [row("linear", 64 * MIB, "/dev/sdb:1-16")],
    "pool_tmeta": [row("linear", 4 * MIB, "/dev/sda:17-17")],
    "plain_tdata": [row("linear", 64 * MIB, "/dev/sda:1-16")],
    "plain_tmeta": [row("linear", 4 * MIB, "/dev/sda:17-17")],
    "m_mlog": [row("linear", 4 * MIB, "/dev/sda:17-17")],
}
HIDDEN = Hidden(CACHE_POOL, UUIDS)


def parts(pool: str, kind: str, ranges: str, name: str = "lv") -> list[Part]:
    volume = {"lv_name": name, "pool_lv": f"[{pool}]", "origin": "[lv_corig]"}
    return list(HIDDEN.parts(volume, [row(kind, 128 * MIB, ranges)]))


def test_what_a_volume_is_cached_by() -> None:
    assert [(part.role, part.size) for part in parts("fast_cvol", "cache", "lv_corig:0-31")] == [
        ("origin", 128 * MIB), ("cache", 64 * MIB),
    ]  # fmt: skip
    assert [(part.role, part.size) for part in parts("fast_cpool", "cache", "lv_corig:0-31")] == [
        ("origin", 128 * MIB), ("cache data", 64 * MIB), ("cache metadata", 8 * MIB),
    ]  # fmt: skip


def test_pools_of_plain_volumes_have_no_parts() -> None:
    assert parts("", "thin-pool", "plain_tdata:0-15", "plain") == []
    data, metadata = parts("", "thin-pool", "pool_tdata:0-15", "pool")
    assert data.segments == (Segment("raid1", 0, 64 * MIB, copies=2, ranges=("PV1:1-16", "PV2:1-16")),)
    assert metadata.role == "metadata"


def test_where_a_mirror_has_its_log() -> None:
    assert [s.log for s in HIDDEN.segments([row("mirror", MIB, "m_mimage_0:0-15 m_mimage_1:0-15")])] == [""]
    assert [s.log for s in HIDDEN.segments([row("mirror", MIB, "x_mimage_0:0-15 x_mimage_1:0-15")])] == ["core"]
    assert [s.log for s in HIDDEN.segments([row("linear", MIB, "/dev/sda:0-1")])] == [""]


def made(volume: LogicalVolume) -> list[str]:
    """The commands between the group and its identifiers."""
    disks = [Disk(f"disk:{n}", (), 1 << 30, f"/dev/sd{'ab'[n]}") for n in range(2)]
    volumes = [PhysicalVolume(f"pv:PV{n + 1}", (disk.id,), f"PV{n + 1}") for n, disk in enumerate(disks)]
    group = VolumeGroup("vg:vg", tuple(pv.id for pv in volumes), "vg", "u", 4 * MIB)
    site = Site(make([*disks, *volumes, group, volume]), {disk.id: disk.device for disk in disks})
    typed = [" ".join(command.argv[1:]) for command in recreate(group, site)]
    return [line for line in typed if line.startswith(("lvcreate", "lvconvert", "lvchange"))]


def volume(kind: str, parts: list[Part], cache: str = "") -> LogicalVolume:
    segments = (Segment(kind, 0, 128 * MIB, chunk_size=65536),)
    mode, policy = ("writeback", "smq") if cache else ("", "")
    return LogicalVolume(
        "lv:vg/lv", ("vg:vg",), "vg", "lv", "u", 128 * MIB, kind, segments=segments, parts=tuple(parts), cache=cache,
        cache_mode=mode, cache_policy=policy,
    )  # fmt: skip


def test_a_cached_volume_is_made_of_its_parts() -> None:
    found = parts("fast_cvol", "cache", "lv_corig:0-31")
    assert made(volume("cache", found, cache="fast")) == [
        "lvcreate --yes --name=lv --type=linear --wipesignatures=y --extents=32 vg /dev/sda:0-31",
        "lvcreate --yes --name=fast --type=linear --wipesignatures=y --extents=16 vg /dev/sdb:0-15",
        "lvchange --activate=n vg/fast",
        "lvconvert --yes --type=cache --cachevol=fast --chunksize=65536b --cachemode=writeback --cachepolicy=smq vg/lv",
    ]


def test_a_pool_is_made_of_its_parts() -> None:
    found = parts("", "thin-pool", "pool_tdata:0-15", "pool")
    first, second, convert = made(volume("thin-pool", found))
    assert first.startswith("lvcreate --yes --name=lv --type=raid1 --mirrors=1 ")
    assert first.endswith("/dev/sda /dev/sdb")
    assert "--name=lv_meta" in second
    assert convert.startswith("lvconvert --yes --type=thin-pool --poolmetadata=vg/lv_meta --chunksize=65536b")


def test_parts_take_their_extents() -> None:
    cached = volume("cache", parts("fast_cpool", "cache", "lv_corig:0-31"))
    assert _extents(cached, 4 * MIB) == 32 + 16 + 2
    mirrored = volume("thin-pool", parts("", "thin-pool", "pool_tdata:0-15", "pool"))
    assert _extents(mirrored, 4 * MIB) == 2 * 16 + 1 + 1


@pytest.mark.parametrize("kind", ["vdo", "vdo-pool", "integrity", "era"])
def test_kinds_that_cannot_be_made_are_refused_by_name(kind: str) -> None:
    site = Site(make([volume(kind, [])]), {})
    (problem,) = refusals(site, CORE_KINDS)
    assert "vg/lv" in problem and kind in problem
    layers = volume("thin-pool", [Part("data", MIB, (Segment("cache", 0, MIB),)), Part("metadata", 0, ())])
    assert len(refusals(Site(make([layers]), {}), CORE_KINDS)) == 2


def test_what_a_group_has_from_its_machine_is_said() -> None:
    group = VolumeGroup("vg:vg", (), "vg", "u", 4 * MIB, system_id="host1", lock_type="sanlock")
    shared, named = notes(Site(make([group]), {}), CORE_KINDS)
    assert "sanlock" in shared and "host1" in named
    assert notes(Site(make([replace(group, system_id="", lock_type="none")]), {}), CORE_KINDS) == []


@pytest.mark.parametrize(
    ("status", "told", "by_hand"),
    [
        (0, "  enabled/enabled/vg/lv\n", set()),
        (0, "  /enabled/vg/lv\n  enabled//other/lv\n", {"vg", "other/lv"}),
        # LVM before 2.03.12.
        (3, "", set()),
    ],
)
def test_what_nothing_starts_by_itself_is_known(status: int, told: str, by_hand: set[str]) -> None:
    command = "lvm lvs --noheadings --separator / --options vg_autoactivation,lv_autoactivation,vg_name,lv_name"
    shell = FakeShell({command: Outcome((), status, told, "  Unrecognised field: vg_autoactivation\n", 0)})
    assert not_started(Survey(shell, {}, [], [], pytest.fail)) == by_hand


def test_what_is_unusual_and_not_recreated_is_said() -> None:
    asked = "lvm {} --noheadings --separator / --options {}"
    told = {
        asked.format("lvs", "vg_autoactivation,lv_autoactivation,vg_name,lv_name"): "  enabled/enabled/vg/lv\n",
        asked.format("vgs", "vg_exported,vg_mda_copies,vg_name"): "  exported/2/vg\n  /unmanaged/usual\n",
        asked.format("lvs", "lv_minor,vg_name,lv_name"): "  77/vg/lv\n  -1/usual/lv\n",
        asked.format("pvs", "pv_mda_count,pv_mda_used_count,pv_uuid"): "  2/1/P1\n  1/1/P2\n  something else\n",
    }
    found = read(Survey(FakeShell(told), {}, [], [], pytest.fail))
    said = {}
    for number, group in ("P1", "vg"), ("P2", "usual"):
        physical = found.physical(PhysicalVolume("pv", (), number))
        volumes = found.group(VolumeGroup("vg", ("pv",), group, "U", MIB))
        volume = found.volume(LogicalVolume("lv", ("vg",), group, "lv", "u", MIB, "linear"))
        said[group] = "\n".join(notes(Site(make([physical, volumes, volume]), {}), CORE_KINDS))
    assert said["usual"] == ""
    for word in ("--metadataignore=y", "`vgexport`", "--vgmetadatacopies=2", "--minor=77"):
        assert word in said["vg"]


def test_a_mirror_of_its_log_is_said_to_be_none() -> None:
    mirror = LogicalVolume(
        "lv:vg/lv", (), "vg", "lv", "u", MIB, "mirror", segments=(Segment("mirror", 0, MIB, log="mirrored"),)
    )
    assert "log of this mirror" in notes(Site(make([mirror]), {}), CORE_KINDS)[0]
