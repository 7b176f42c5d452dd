# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM: physical volumes, volume groups, and logical volumes of every layout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from rear_core.contents import Contents
from rear_core.errors import ProgramMissing
from rear_core.shell import Shell
from rear_core.storage.inventory import Device, volume_group
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey, names

from . import seldom
from .items import LogicalVolume, PhysicalVolume, VolumeGroup
from .parts import CACHED, Hidden, Row

# The rows of a group, or of what is in none, by their kind.
Report = dict[str, list[Row]]

# The columns of each part of the report.
REPORT = {
    "vg": "vg_name,vg_uuid,vg_extent_size,vg_extent_count,vg_tags,max_lv,max_pv,vg_allocation_policy,"
    "vg_systemid,vg_lock_type",
    "pv": "pv_name,pv_uuid,vg_name,pv_size,pv_pe_count,pe_start,pv_mda_size,pv_mda_count,pv_ba_start,"
    "pv_ba_size,pv_tags,pv_allocatable",
    "lv": "lv_name,lv_uuid,lv_dm_path,lv_size,lv_layout,lv_role,lv_metadata_size,pool_lv,origin,lv_tags,"
    "lv_permissions,lv_allocation_policy,lv_read_ahead,lv_skip_activation,lv_kernel_major,lv_kernel_minor",
    "seg": "lv_uuid,segtype,seg_start,seg_size,stripes,stripe_size,region_size,chunk_size,discards,zero,"
    "data_copies,parity_chunks,seg_pe_ranges,transaction_id,cache_mode,cache_policy",
    "pvseg": "pv_uuid",
}


def capture(survey: Survey) -> Iterator[Item]:
    """All volume groups whose disks are described.

    >>> sh.json("lvm", "fullreport", "--reportformat", "json", "--units", "b", "--nosuffix", "--all", ...)
    {"report": [{
        "vg": [{"vg_name": "vgt", "vg_uuid": "Hv3OAx-azjT-...", "vg_extent_size": "4194304", "max_lv": "0",
        ...}],
        "pv": [{"pv_name": "/dev/vdb", "pv_uuid": "GlKtdJ-3xOD-...", "vg_name": "vgt", "pe_start": "1048576",
        ...}],
        "lv": [{"lv_name": "root", "lv_uuid": "LCjk5z-ZKBE-...", "lv_dm_path": "/dev/mapper/vgt-root",
                "lv_size": "29360128", "lv_layout": "linear", "lv_role": "public", ...}],
        "seg": [{"lv_uuid": "LCjk5z-ZKBE-...", "segtype": "linear", "seg_start": "0", "seg_size": "20971520",
                 "stripes": "1", "seg_pe_ranges": "/dev/vdb:0-4", ...}],
        "pvseg": [...]}, {"pv": [those without a group], ...}]}
    """
    paths = {device.path for device in survey.carrying("LVM2_member")}
    if not paths:
        return
    reports = read_report(survey)
    shown = {row["pv_name"] for report in reports for row in report.get("pv", ())}
    for path in sorted(paths - shown):
        if not survey.devices[path].children:
            reason = "LVM does not show it: it is of another system, or a devices file or filters leave it out"
            survey.leave_out(f"physical volume on {path}", reason, lost=True, on=[path])
    found = [report for report in reports if any(row["pv_name"] in paths for row in report.get("pv", ()))]
    unusual = seldom.read(survey) if found else seldom.Seldom()
    for report in _of_different_names(survey, found):
        volumes = [row for row in report["pv"] if row["pv_name"] in paths]
        yield from (unusual.physical(_physical(row)) for row in volumes)
        for group in report.get("vg", ()):
            if len(volumes) < len(report["pv"]):
                survey.warn(f"volume group {group['vg_name']} also lies on disks that are missing or left out")
            yield unusual.group(_group(group, volumes))
            described = {row["pv_name"] for row in volumes}
            yield from map(unusual.volume, _logical_volumes(survey, group, report, described))


def read_report(survey: Survey) -> list[Report]:
    """The full report, one part for each volume group and one for what is in none, with the paths of devices.

    LVM shows each by the name that `preferred_names` of lvm.conf chooses, as a link below /dev/disk/by-id.
    """
    columns = [word for part, some in REPORT.items() for word in ("--configreport", part, "--options", some)]
    report: list[Report] = survey.sh.json(
        "lvm", "fullreport", "--reportformat", "json", "--units", "b", "--nosuffix", "--all", *columns
    )["report"]
    path = names(survey.devices.values())
    return [{part: [_with_paths(row, path) for row in rows] for part, rows in each.items()} for each in report]


def _with_paths(row: Row, path: Callable[[str], str]) -> Row:
    """A row of a report with its devices by their paths: `pv_name`, and `/dev/vdb:0-4` among `seg_pe_ranges`."""
    found = dict(row)
    if "pv_name" in found:
        found["pv_name"] = path(found["pv_name"])
    if "seg_pe_ranges" in found:
        ranges = (extents.rpartition(":") for extents in found["seg_pe_ranges"].split())
        found["seg_pe_ranges"] = " ".join(f"{path(name)}{colon}{numbers}" for name, colon, numbers in ranges)
    return found


def _of_different_names(survey: Survey, reports: Sequence[Report]) -> Iterator[Report]:
    """The parts of the report without the groups that have the name of another one, as on the disk of another machine.

    Only one can be recreated under a name: that in use.
    """
    best: dict[str, Report] = {}
    for report in reports:
        for group in report.get("vg", ()):
            other = best.setdefault(group["vg_name"], report)
            if _use(survey, report) > _use(survey, other):
                best[group["vg_name"]] = report
    for report in reports:
        for group in report.get("vg", ()):
            if best[group["vg_name"]] is not report:
                _leave_out(survey, group, [row["pv_name"] for row in report["pv"]])
                break
        else:
            yield report


def _use(survey: Survey, report: Report) -> tuple[int, int]:
    """How many devices on the physical volumes of a group are mounted, and how many there are."""
    above = _above(survey, [row["pv_name"] for row in report["pv"]])
    used = {name for mount in survey.mounts for name in (mount.number, mount.source)}
    return sum(not used.isdisjoint((device.number, device.path)) for device in above), len(above)


def _above(survey: Survey, paths: Sequence[str]) -> list[Device]:
    """All devices that stand on these."""
    found: dict[str, Device] = {}
    waiting = [child for path in paths if path in survey.devices for child in survey.devices[path].children]
    while waiting:
        path = waiting.pop()
        found[path] = survey.devices[path]
        waiting += found[path].children
    return list(found.values())


def _leave_out(survey: Survey, group: Row, paths: Sequence[str]) -> None:
    """Leave out a group with its physical volumes and all that runs of it."""
    name, uuid = group["vg_name"], group["vg_uuid"]
    reason = f"another volume group has the same name: rename this one with `vgrename {uuid} NAME`"
    survey.leave_out(f"volume group {name} ({uuid})", reason, lost=True, on=paths)
    volumes = [d.path for d in _above(survey, paths) if d.type == "lvm" and volume_group(d) == name]
    survey.without.update(dict.fromkeys([*paths, *volumes], survey.left_out[-1]))


def within(sh: Shell, devices: Mapping[str, Device], layout: Layout) -> dict[str, list[str]]:
    """The volumes that nobody recorded, by the physical volumes of their groups: LVM knows them without starting any.

    Of a group of a recorded name that has another UUID, or a physical volume that nobody recorded, the id of that: it
    was being recreated, or is of another machine, or has got another disk since. What LVM does not show may hold
    anything: nobody may overwrite it unasked.
    """
    if not any(device.fstype == "LVM2_member" for device in devices.values()):
        return {}
    options = {"vg": "vg_name,vg_uuid", "pv": "pv_name,pv_uuid,pv_in_use", "lv": "lv_name"}
    columns = [word for part, some in options.items() for word in ("--configreport", part, "--options", some)]
    try:
        # 5: a disk of a group is missing.
        text = sh.query("lvm", "fullreport", "--foreign", "--reportformat", "json", *columns, ok=(0, 5))
    except ProgramMissing:
        # Then nothing of LVM was recorded.
        return {}
    groups = layout.of(VolumeGroup)
    uuids = {item.name: item.uuid for item in groups}
    homes = {need: (item.name, item.uuid) for item in groups for need in item.needs}
    known = {*(item.id for item in layout), *(entry.name for entry in layout.left_out)}
    path = names(devices.values())
    found: dict[str, list[str]] = {}
    reports = json.loads(text)["report"]
    shown = [row for part in reports for row in part.get("pv", ())]
    homeless = [row for part in reports if not part.get("vg") for row in part.get("pv", ())]
    unseen = {row["pv_uuid"] for row in homeless if row["pv_in_use"]}
    unseen |= {device.uuid for device in devices.values() if _is_volume(device)} - {row["pv_uuid"] for row in shown}
    for device in devices.values():
        if _is_volume(device) and device.uuid in unseen:
            found[device.path] = [f"pv:{device.uuid} in a volume group that LVM does not show"]
    for part in reports:
        for group in part.get("vg", ()):
            name = group["vg_name"]
            ids = [f"lv:{name}/{row['lv_name']}" for row in part.get("lv", ())]
            other = uuids.get(name, group["vg_uuid"]) != group["vg_uuid"]
            new = [] if other else [id for id in ids if id not in known]
            for row in part.get("pv", ()):
                id = f"pv:{row['pv_uuid']}"
                own = name in uuids and (other or id not in known)
                # Of the recorded name it was being recreated, and of the recorded UUID it was renamed.
                moved = id in homes and name != homes[id][0] and group["vg_uuid"] != homes[id][1]
                away = [f"{id} in the volume group {name}"] * moved
                found[path(row["pv_name"])] = [*new, *[f"vg:{name}"] * own, *away]
    return found


def _is_volume(device: Device) -> bool:
    return device.fstype == "LVM2_member" and not device.children


def _physical(row: Row) -> PhysicalVolume:
    return PhysicalVolume(
        id=f"pv:{row['pv_uuid']}",
        needs=(row["pv_name"],),
        uuid=row["pv_uuid"],
        size=int(row["pv_size"]),
        extents=int(row["pv_pe_count"]),
        data_start=int(row["pe_start"]),
        metadata_size=int(row["pv_mda_size"]),
        metadata_areas=int(row["pv_mda_count"]),
        boot_area_start=int(row["pv_ba_start"] or 0),
        boot_area_size=int(row["pv_ba_size"] or 0),
        tags=_words(row["pv_tags"]),
        allocatable=bool(row["pv_allocatable"]) or not row["vg_name"],
    )


def _group(row: Row, volumes: list[Row]) -> VolumeGroup:
    return VolumeGroup(
        id=f"vg:{row['vg_name']}",
        needs=tuple(sorted(f"pv:{volume['pv_uuid']}" for volume in volumes)),
        name=row["vg_name"],
        uuid=row["vg_uuid"],
        extent_size=int(row["vg_extent_size"]),
        extents=int(row["vg_extent_count"]),
        max_logical_volumes=int(row["max_lv"]),
        max_physical_volumes=int(row["max_pv"]),
        allocation=row["vg_allocation_policy"],
        system_id=row["vg_systemid"],
        lock_type=row["vg_lock_type"],
        tags=_words(row["vg_tags"]),
    )


def _logical_volumes(survey: Survey, group: Row, report: Report, described: Collection[str]) -> Iterator[LogicalVolume]:
    uuids = {row["pv_name"]: row["pv_uuid"] for row in report["pv"]}
    segments: dict[str, list[Row]] = {}
    for segment in report["seg"]:
        segments.setdefault(segment["lv_uuid"], []).append(segment)
    # Parts of others stand in brackets: [mirror_rimage_0], [pool_tdata].
    parts = {row["lv_name"].strip("[]"): segments.get(row["lv_uuid"], []) for row in report.get("lv", ())}
    hidden = Hidden(parts, uuids)
    for row in report.get("lv", ()):
        if row["lv_name"].startswith("["):
            continue
        with survey.reading(f"volume {row['lv_name']}", [f"vg:{group['vg_name']}"], row.get("lv_dm_path", "")):
            yield from _logical_volume(survey, group, row, segments[row["lv_uuid"]], hidden, described)


def _has_its_own(survey: Survey, snapshot: LogicalVolume) -> bool:
    """Whether what lies in a snapshot is something else than in its origin."""
    origin = replace(snapshot, name=snapshot.origin).place("")
    here, there = (survey.devices.get(path) for path in (snapshot.device, origin))
    if not here or not there or not here.fstype:
        return False
    return (here.fstype, here.uuid) != (there.fstype, there.uuid)


def _logical_volume(
    survey: Survey, group: Row, row: Row, own: list[Row], hidden: Hidden, described: Collection[str]
) -> Iterator[LogicalVolume]:
    """A volume, of which `own` are the segments, unless it is left out."""
    volume = _logical(group["vg_name"], row, own)
    if "thicksnapshot" in volume.role:
        reason, on = f"a snapshot of {volume.origin}: its origin is described", []
        if _has_its_own(survey, volume):
            reason, on = f"a snapshot of {volume.origin} with a file system of its own", [f"vg:{volume.group}"]
        survey.leave_out(volume.id, reason, lost=True, on=on, device=volume.device)
        return
    if not set(described).issuperset(hidden.places(row, own)):
        reason = "it lies on disks that are missing or left out"
        survey.leave_out(volume.id, reason, lost=True, on=[f"vg:{volume.group}"], device=volume.device)
        return
    volume = replace(
        volume,
        segments=hidden.segments(own),
        integrity=any(segment["segtype"] == "integrity" for segment in hidden.below(own)),
        parts=tuple(hidden.parts(row, own)),
    )
    is_snapshot = "snapshot" in volume.role
    if volume.device not in survey.devices and not volume.is_pool and not is_snapshot:
        reason = "the volume is not active, so its contents are unknown: activate it before `rear savelayout`"
        survey.leave_out(f"inside {volume.id}", reason, lost=True, on=[volume.id])
    if volume.cache and volume.segments[0].kind == "cache":
        volume = replace(volume, cache_settings=_cache_settings(survey, volume))
    yield volume


def _cache_settings(survey: Survey, volume: LogicalVolume) -> str:
    """`migration_threshold=16384`, "" where nothing was set."""
    lost = f"the cache settings of {volume} are unknown"
    argv = ("lvm", "lvs", "--noheadings", "--options", "cache_settings", f"{volume.group}/{volume.name}")
    return survey.ask(*argv, lost=lost).strip()


def _logical(group: str, row: Row, segments: list[Row]) -> LogicalVolume:
    first = segments[0]
    pool, origin = row["pool_lv"].strip("[]"), row["origin"].strip("[]")
    cache = ""
    if first["segtype"] in CACHED:
        # LVM has put endings to their names, and will again.
        cache, pool, origin = re.sub(r"_c(vol|pool)$", "", pool), "", ""
    below = [name for name in (pool, origin if "thin" in row["lv_layout"] else "") if name]
    return LogicalVolume(
        id=f"lv:{group}/{row['lv_name']}",
        needs=(f"vg:{group}", *(f"lv:{group}/{name}" for name in below)),
        group=group,
        name=row["lv_name"],
        uuid=row["lv_uuid"],
        size=int(row["lv_size"]),
        layout=row["lv_layout"],
        device=row["lv_dm_path"],
        role=row["lv_role"],
        pool=pool,
        origin=origin,
        metadata_size=int(row["lv_metadata_size"] or 0),
        discards=first["discards"],
        zero=first["zero"] == "zero",
        cache_mode=first["cache_mode"],
        cache_policy=first["cache_policy"],
        cache=cache,
        read_only=row["lv_permissions"] == "read-only",
        allocation=row["lv_allocation_policy"],
        read_ahead=row["lv_read_ahead"],
        skip_activation=bool(row["lv_skip_activation"]),
        tags=_words(row["lv_tags"]),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in text.split(",") if word))


def contents(layout: Layout) -> Contents:
    """LVM with the targets that the layout uses; thin and cache pools are checked by programs of their
    own."""
    volumes = [item for item in layout if isinstance(item, LogicalVolume)]
    kinds = {segment.kind for item in volumes for part in item.parts for segment in part.segments}
    layouts = " ".join([*(item.layout for item in volumes), *kinds])
    thin, cache, raid = "thin" in layouts, "cache" in layouts, "raid" in layouts or "mirror" in layouts
    return Contents(
        programs=["lvm", "dmsetup", *(["thin_check"] if thin else []), *(["cache_check"] if cache else [])],
        optional_programs=["thin_repair", "thin_dump", "dmeventd"],
        libraries=["/lib*/liblvm2cmd.so*", "/usr/lib/*/device-mapper/*.so", "/usr/lib64/device-mapper/*.so"],
        modules=[
            "dm_mod",
            "dm_snapshot",
            *(["dm_thin_pool"] if thin else []),
            *(["dm_cache", "dm_cache_smq", "dm_writecache"] if cache else []),
            *(["dm_integrity"] if any(item.integrity for item in volumes) else []),
            *(["dm_raid", "dm_mirror", "raid1", "raid10", "raid456"] if raid else []),
        ],
        files=[
            "/etc/lvm/lvm.conf",
            "/etc/lvm/lvmlocal.conf",
            "/etc/lvm/profile",
            "/usr/lib/udev/rules.d/*-lvm*.rules",
            "/usr/lib/udev/rules.d/*-dm*.rules",
        ],
    )
