# SPDX-License-Identifier: GPL-3.0-or-later
"""What few groups and volumes have, and LVM's full report does not tell in all releases."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rear_core.storage.survey import Survey

from .items import LogicalVolume, PhysicalVolume, VolumeGroup


@dataclass(frozen=True)
class Seldom:
    """Of groups by name, volumes as group/volume, and physical volumes by UUID, what is not usual."""

    by_hand: set[str] = field(default_factory=set)
    exported: set[str] = field(default_factory=set)
    copies: dict[str, int] = field(default_factory=dict)
    minors: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    def physical(self, item: PhysicalVolume) -> PhysicalVolume:
        """The item with what was found of it."""
        return replace(item, ignored_areas=self.ignored.get(item.uuid, 0))

    def group(self, item: VolumeGroup) -> VolumeGroup:
        """Likewise."""
        name = item.name
        copies = self.copies.get(name, 0)
        return replace(item, by_hand=name in self.by_hand, exported=name in self.exported, metadata_copies=copies)

    def volume(self, item: LogicalVolume) -> LogicalVolume:
        """Likewise."""
        name = f"{item.group}/{item.name}"
        return replace(item, by_hand=name in self.by_hand, minor=self.minors.get(name, -1))


def read(survey: Survey) -> Seldom:
    """Ask LVM for it."""
    found = Seldom(by_hand=not_started(survey))
    for exported, copies, group in _rows(survey, "vgs", "vg_exported,vg_mda_copies,vg_name"):
        if exported:
            found.exported.add(group)
        if copies.isdigit():
            found.copies[group] = int(copies)
    for minor, group, volume in _rows(survey, "lvs", "lv_minor,vg_name,lv_name"):
        if minor.isdigit():
            found.minors[f"{group}/{volume}"] = int(minor)
    for areas, used, uuid in _rows(survey, "pvs", "pv_mda_count,pv_mda_used_count,pv_uuid"):
        if areas.isdigit() and used.isdigit() and areas != used:
            found.ignored[uuid] = int(areas) - int(used)
    return found


def not_started(survey: Survey) -> set[str]:
    """The groups, and the volumes as group/volume, that nothing starts by itself.

    >>> sh.query("lvm", "lvs", "--noheadings", "--separator", "/", "--options", ...)
      /enabled/shared/data
      enabled//vg/by_hand

    LVM before 2.03.12 does not know these columns, nor such volumes.
    """
    found: set[str] = set()
    rows = _rows(survey, "lvs", "vg_autoactivation,lv_autoactivation,vg_name,lv_name")
    for group_starts, starts, group, volume in rows:
        found |= {group} if not group_starts else set()
        found |= {f"{group}/{volume}"} if not starts else set()
    return found


def _rows(survey: Survey, command: str, columns: str) -> list[list[str]]:
    """What LVM says; nothing where it does not know a column (5 is ECMD_FAILED, 3 EINVALID_CMD_LINE)."""
    argv = ("lvm", command, "--noheadings", "--separator", "/", "--options", columns)
    told = survey.ask(*argv, lost="what is unusual of volume groups is unknown", ok=(0, 3, 5))
    rows = [[word.strip() for word in line.split("/")] for line in told.splitlines()]
    return [row for row in rows if len(row) == len(columns.split(","))]
