# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of all that lies on a disk when a recovery takes it: it comes back, or it is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import glob

from .. import patterns
from .command import Site
from .disk import BOOT_LOADERS, Disk, Partition
from .exclusions import Exclusions as Exclusions
from .filesystem import FileSystem, PartOfFileSystem
from .layout import Item, Layout
from .mount import Mount

SAVED, REMADE, GIVEN_UP, LOST = "saved", "recreated", "given up", "lost"
FATES = (SAVED, REMADE, GIVEN_UP, LOST)
WAS_EMPTY = "it was empty"
NOT_EMPTY = "it was empty when it was described, but no longer is"
NOT_MOUNTED = "it was not mounted, so it is not saved"
# By the file system hierarchy standard nobody relies on what is in there.
TEMPORARY = ("/tmp", "/var/tmp")


@dataclass(frozen=True)
class Content:
    """Something that lies on disks, by what a person calls it; `names` are all words that mean it, `items` the ids of
    what it is or lies on."""

    title: str
    disks: frozenset[str]
    fate: str
    reason: str = ""
    items: tuple[str, ...] = field(default=(), compare=False)
    names: tuple[str, ...] = field(default=(), compare=False)
    # The place of a boot loader, which is worth nothing that is lost for it.
    beside: bool = field(default=False, compare=False)

    def is_named(self, words: Iterable[str]) -> bool:
        """Whether one of the words of GIVE_UP means it; an empty one means nothing, also where a label is missing."""
        return bool({"*", *filter(None, self.names)}.intersection(words))

    def __str__(self) -> str:
        return f"{self.title} ({self.reason})" if self.reason else self.title


@dataclass(frozen=True)
class Stake:
    """What a recovery that takes a disk gives back of it, and what it destroys."""

    disk: Disk
    contents: tuple[Content, ...]

    @property
    def given_back(self) -> tuple[Content, ...]:
        """What comes back, from the backup or recreated: no place of a boot loader where all else is lost."""
        found = tuple(content for content in self.contents if content.fate in (SAVED, REMADE))
        return () if self.lost and all(content.beside for content in found) else found

    @property
    def lost(self) -> tuple[Content, ...]:
        """What is in no backup."""
        return tuple(content for content in self.contents if content.fate == LOST)

    @property
    def why_alone(self) -> str:
        """Why the disk is best left alone, "" for one of which something comes back."""
        if self.given_back:
            return ""
        lost = "; ".join(map(str, self.contents))
        return f"nothing on it is restored: {lost}" if lost else "nothing is on it"

    def __str__(self) -> str:
        """All of it, in the order of how it comes back: `saved: / /home; recreated: swap x; lost: ntfs on ...`."""
        found = ((fate, [content for content in self.contents if content.fate == fate]) for fate in FATES)
        return "; ".join(f"{fate}: {', '.join(map(str, some))}" for fate, some in found if some) or "nothing is on it"


def excluded(layout: Layout, exclusions: Exclusions) -> dict[str, str]:
    """The ids of all that is not recreated, with the setting that says so.

    What stands on something excluded goes with it, and so does what has nothing else on it: the file system below a
    mount point and its encryption, the physical volumes of a group. Partitions and volumes stay, empty.
    """
    found = {item.id: reason for item in layout if (reason := _why_excluded(layout, item, exclusions))}
    _spread_up(layout, found)
    above: dict[str, list[Item]] = {}
    for item in layout:
        for need in item.needs:
            above.setdefault(need, []).append(item)
    for item in reversed(layout.order()):
        users = above.get(item.id, [])
        if item.goes_with_contents and users and all(user.id in found for user in users):
            found.setdefault(item.id, found[users[0].id])
    _spread_up(layout, found)
    return found


def _spread_up(layout: Layout, found: dict[str, str]) -> None:
    for item in layout.order():
        if reason := next((found[need] for need in item.needs if need in found), ""):
            found.setdefault(item.id, reason)


def unknown_names(layout: Layout, exclusions: Exclusions) -> Iterator[str]:
    """The settings with those of their names that nothing has: `EXCLUDE_VG=data`."""
    wanted = {
        "EXCLUDE_COMPONENTS": exclusions.components,
        "EXCLUDE_VG": exclusions.groups,
        "ONLY_INCLUDE_VG": exclusions.only_groups,
        "EXCLUDE_MD": exclusions.arrays,
    }
    there: dict[str, set[str]] = {"EXCLUDE_COMPONENTS": {n for item in layout for n in _component_names(layout, item)}}
    for item in layout:
        for setting, names in item.setting_names().items():
            there.setdefault(setting, set()).update(names)
    for setting, names in wanted.items():
        yield from (f"{setting}={name}" for name in sorted({*names} - there.get(setting, set())))
    # What is mounted there now and then need not be here.
    yield from (f"EXCLUDE_MOUNTPOINTS={target}" for target in exclusions.mounts if not glob(target))


def _why_excluded(layout: Layout, item: Item, exclusions: Exclusions) -> str:
    """The setting that names an item, "" for none."""
    if set(exclusions.components) & {*filter(None, _component_names(layout, item))}:
        return "EXCLUDE_COMPONENTS names it"
    return item.excluded_by(exclusions)


def _component_names(layout: Layout, item: Item) -> Iterable[str]:
    return item.component_names(str(getattr(layout.get(item.needs[0]), "device", "")) if item.needs else "")


def contents(
    layout: Layout,
    exclusions: Exclusions,
    *,
    not_saved: Sequence[str] = (),
    given_up: Sequence[str] = (),
    backups: Mapping[str, tuple[str, str]] | None = None,
) -> list[Content]:
    """All that lies on the recorded disks.

    `not_saved` are patterns of BACKUP_PROG_EXCLUDE, `given_up` names of contents that may be lost; `backups` says what
    becomes of the file systems that backups are kept in, and why, by mount point.
    """
    site = Site(layout, {})
    found = [*_described(layout, exclusions, not_saved, backups or {}, site), *_unknown(layout, site)]
    return [given_up_by(content, given_up) for content in found if content.disks]


def given_up_by(content: Content, names: Sequence[str]) -> Content:
    """The content, given up where it would be lost and GIVE_UP has one of its names."""
    if content.fate == LOST and content.is_named(names):
        return replace(content, fate=GIVEN_UP, reason=f"{content.reason}; GIVE_UP names it")
    return content


def _described(
    layout: Layout,
    exclusions: Exclusions,
    not_saved: Sequence[str],
    backups: Mapping[str, tuple[str, str]],
    site: Site,
) -> Iterator[Content]:
    """What is in the layout: file systems by where they are mounted, and swap space."""
    gone = excluded(layout, exclusions)
    mounts = layout.of(Mount)
    for item in layout:
        disks = _disks(site, item.id)
        if item.is_scratch and item.is_storage:
            yield _scratch(item, gone, disks)
        elif item.is_storage and (reason := _why_excluded(layout, item, exclusions)):
            # Whatever it carries, and be it nothing yet: it is not to be touched.
            own_names = tuple(str(getattr(item, word, "")) for word in ("device", "name"))
            yield Content(str(item), disks, LOST, reason, (item.id,), own_names)
        if isinstance(item, Partition) and item.code.lower() in BOOT_LOADERS and item.id not in gone:
            yield Content(f"boot loader on {item.device}", disks, REMADE, items=(item.id,), beside=True)
        if not isinstance(item, FileSystem) or not item.has_files:
            continue
        own = [mount for mount in mounts if item.id in _without_mounts(site, mount)]
        if not own:
            yield _unmounted(item, gone, disks, layout)
        for mount in own:
            device = str(getattr(layout.get(item.needs[0]), "device", "")) if item.needs else ""
            fate, reason = _fate(mount, item, gone, not_saved, backups)
            names = (mount.target, device, item.label, item.uuid)
            yield Content(mount.target, disks, fate, reason, (item.id,), names)
        yield from _loose_parts(layout, item, own, disks)


def _loose_parts(
    layout: Layout, filesystem: FileSystem, mounts: Sequence[Mount], disks: frozenset[str]
) -> Iterator[Content]:
    """Parts that lie in no mounted one, and hold none: files beside those in a part that holds some are left out."""
    mounted = [layout.get(mount.needs[0]) for mount in mounts]
    paths = [item.path if isinstance(item, PartOfFileSystem) else "" for item in mounted]
    if not mounts or "" in paths:
        return
    loose = {
        item.id: item
        for item in layout.of(PartOfFileSystem)
        if filesystem in layout.below(item.id)
        and not any(f"{item.path}/".startswith(f"{p}/") or f"{p}/".startswith(f"{item.path}/") for p in paths)
    }
    for item in loose.values():
        # It goes with the one that it lies in.
        if not loose.keys() & {*item.needs}:
            yield Content(f"{item.noun} {item.path}", disks, LOST, NOT_MOUNTED, (item.id,), (item.path,))


def _scratch(item: Item, gone: Mapping[str, str], disks: frozenset[str]) -> Content:
    reason, label = gone.get(item.id, ""), item.identifiers.get("LABEL", "")
    return Content(str(item), disks, GIVEN_UP if reason else REMADE, reason, (item.id,), (label,))


def _fate(
    mount: Mount,
    below: FileSystem,
    gone: Mapping[str, str],
    not_saved: Sequence[str],
    backups: Mapping[str, tuple[str, str]],
) -> tuple[str, str]:
    if mount.id in gone:
        return LOST, gone[mount.id]
    if mount.target in backups:
        return backups[mount.target]
    if not mount.mounted:
        return (REMADE, WAS_EMPTY) if below.empty else (LOST, NOT_MOUNTED)
    if reason := why_emptied(mount.target, not_saved):
        return (REMADE if mount.target in TEMPORARY else LOST), reason
    return SAVED, ""


def why_emptied(target: str, not_saved: Sequence[str]) -> str:
    """Why nothing of what is mounted there is saved by these patterns of BACKUP_PROG_EXCLUDE, "" when some is."""
    if not patterns.emptying(target, not_saved):
        return ""
    return "temporary files" if target in TEMPORARY else "BACKUP_PROG_EXCLUDE names all that is in it"


def _unmounted(item: FileSystem, gone: Mapping[str, str], disks: frozenset[str], layout: Layout) -> Content:
    device = str(getattr(layout.get(item.needs[0]), "device", "")) if item.needs else ""
    title = f"{item.noun} {item.label}".strip() + f" on {device}"
    names = (device, item.label, item.uuid)
    if item.empty and item.id not in gone:
        return Content(title, disks, REMADE, WAS_EMPTY, (item.id,), names)
    return Content(title, disks, LOST, gone.get(item.id, NOT_MOUNTED), (item.id,), names)


def _unknown(layout: Layout, site: Site) -> Iterator[Content]:
    """What the layout does not describe, where it lies on something that it does."""
    for entry in layout.left_out:
        known = [id for id in entry.on if id in layout]
        disks = frozenset(disk for id in known for disk in _disks(site, id))
        devices = [str(getattr(layout[id], "device", "")) for id in known]
        yield Content(entry.name, disks, LOST, entry.reason, tuple(known), (entry.name, *devices))


def _without_mounts(site: Site, mount: Mount) -> set[str]:
    """What a mount lies on, without the mounts that it lies in."""
    return site.below(mount.needs[0]) if mount.needs else set()


def _disks(site: Site, id: str) -> frozenset[str]:
    return frozenset(below for below in site.below(id) if isinstance(site.item(below), Disk))


def stakes(layout: Layout, found: Iterable[Content]) -> dict[str, Stake]:
    """What is at stake on each recorded disk, by its id."""
    found = list(found)
    return {
        disk.id: Stake(disk, tuple(content for content in found if disk.id in content.disks))
        for disk in layout.of(Disk)
    }
