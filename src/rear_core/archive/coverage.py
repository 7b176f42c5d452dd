# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup saves, and for every mounted byte that it does not save, why not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..errors import RearError
from ..methods import Portion
from ..mounts import backing_file
from ..patterns import emptying, leaving_out
from ..storage.fate import Exclusions, Stake, excluded, why_emptied
from ..storage.filesystem import FileSystem, PartOfFileSystem
from ..storage.fstypes import NETWORK, VIRTUAL
from ..storage.inventory import NOT_DISKS
from ..storage.layout import Item, Layout, of_type
from ..storage.mount import BIND, OVERLAY, SAME, Mount
from ..storage.survey import Mounted

SAVED, RECREATED, EXCLUDED, UNEXPLAINED = "saved", "recreated", "excluded", "unexplained"
NOT_MOUNTED = "not mounted, so not saved"
ASLEEP = "mounted on demand, and not now, so not saved"
HOLDS_BACKUP = "it holds the backup"
BY_PATTERN = "BACKUP_PROG_EXCLUDE names it"
BEHIND_IS_LOST = "and the file behind it is not saved"
MAY_BE_TORN = "as it is in that moment: unmount it before if something writes to it"


@dataclass(frozen=True)
class Wishes:
    """What the settings say about the selection; `target` is the folder that backups are kept in, None when they are
    on other media, `home` where this machine's really are, `private` folders of rear itself with the reason that their
    contents stay out, `portion` what this one of several methods saves."""

    target: Path | None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    exclusions: Exclusions = field(default_factory=Exclusions)
    private: Mapping[Path, str] = field(default_factory=dict)
    home: Path | None = None
    portion: Portion | None = None

    @property
    def kept(self) -> list[Path]:
        """The folders that backups are kept in: a link may lead from one to the other."""
        return list(dict.fromkeys(path for path in (self.target, self.home) if path))


@dataclass(frozen=True)
class Covered:
    """A file system or swap space and what becomes of it; one that is mounted twice has its bytes at the first."""

    name: str
    source: str
    type: str
    verdict: str
    reason: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Part:
    """A part of saved file systems that is left out, by its pattern; its bytes are None where nobody counted."""

    pattern: str
    reason: str
    bytes: int | None = None


@dataclass(frozen=True)
class Selection:
    """Where tar starts, `.` for the root, and what it leaves out; it never goes on to another file system.

    `stakes` are what lies on each disk, and what of it a recovery that takes the disk destroys.
    """

    starts: tuple[str, ...]
    parts: tuple[Part, ...]
    covered: tuple[Covered, ...]
    stakes: tuple[Stake, ...] = ()

    @property
    def bytes(self) -> int:
        """About how many bytes will be read."""
        saved = sum(entry.bytes for entry in self.covered if entry.verdict == SAVED)
        return max(saved - sum(part.bytes or 0 for part in self.parts), 0)

    def dumps(self) -> str:
        """The coverage report as JSON."""
        document = {
            "version": 1,
            "covered": [asdict(entry) for entry in self.covered],
            "left_out": [asdict(part) for part in self.parts],
            "disks": [
                {
                    "disk": str(stake.disk),
                    "left_alone": stake.why_alone,
                    "contents": [{"name": c.title, "fate": c.fate, "reason": c.reason} for c in stake.contents],
                }
                for stake in self.stakes
            ],
        }
        return json.dumps(document, indent=2) + "\n"


def select(
    layout: Layout,
    mounts: Iterable[Mounted],
    wishes: Wishes,
    used: Callable[[str], int],
    below: Callable[[str], int],
    hidden_by: Callable[[str], str] = lambda _target: "",
) -> Selection:
    """Decide about everything that is mounted.

    `used` says how many bytes a mounted file system holds, `below` how many lie below a folder, `hidden_by` what is
    mounted over a mount. Raises `RearError` naming all that neither the layout nor a setting explains.
    """
    # Where two mounts lie on the same target the later one is seen.
    visible = {mount.target: mount for mount in mounts}
    gone = excluded(layout, wishes.exclusions)
    covered = [_seen(_verdict(layout, mount, wishes, gone), hidden_by) for mount in visible.values()]
    covered = _counted(covered, visible, used)
    saved = [entry.name for entry in covered if entry.verdict == SAVED]
    covered = [
        _elsewhere(entry, covered, saved, visible)
        if entry.reason.startswith((BIND, SAME))
        else _behind(entry, saved, visible, wishes)
        for entry in covered
    ]
    problems = [f"{entry.name} ({entry.source}): {entry.reason}" for entry in covered if entry.verdict == UNEXPLAINED]
    is_whole = wishes.portion is None or wishes.portion.is_first
    if is_whole and "/" not in saved and not wishes.exclusions.of_mount("/"):
        problems.append("/: the root file system is not among what is saved")
    if problems:
        raise RearError(
            "the backup would be incomplete, and no setting allows that: " + "; ".join(problems),
            "name in EXCLUDE_MOUNTPOINTS what may be lost, or lies in a file that is saved, or in BACKUP_PROG_INCLUDE"
            " what to save",
        )
    if not saved and not _wanted(wishes):
        raise RearError("nothing to save: every file system is excluded", "name folders in BACKUP_PROG_INCLUDE")
    wanted = list(dict.fromkeys([*saved, *_emptied(covered, wishes), *_included(wishes, saved, visible)]))
    parts = tuple(_parts(layout, wishes, saved, wanted, visible, below))
    _check_starts(wanted, _wanted(wishes), parts)
    patterns = [part.pattern for part in parts]
    nested = [path for path in _nested(layout, saved, visible) if not leaving_out(path, patterns)]
    return Selection(
        tuple("." + path.rstrip("/") for path in sorted({*wanted, *nested})),
        parts,
        (*covered, *_not_mounted(layout, visible, wishes)),
    )


def _check_starts(starts: Iterable[str], included: Sequence[str], parts: Iterable[Part]) -> None:
    """Raise `RearError` for what is to be saved where something is left out: tar would leave it out without a word."""
    ours = {part.pattern: part for part in parts if part.reason != BY_PATTERN}
    for start in starts:
        if pattern := leaving_out(start, ours):
            raise RearError(
                f"{start} cannot be saved: it is below {pattern}, which rear leaves out: {ours[pattern].reason}",
                "move it, name it in BACKUP_PROG_INCLUDE by another path, or name its mount point in"
                " EXCLUDE_MOUNTPOINTS",
            )
    for path in included:
        if pattern := emptying(path, ours):
            raise RearError(
                f"nothing in {path} can be saved: rear leaves out {pattern}: {ours[pattern].reason}",
                "do not name it in BACKUP_PROG_INCLUDE, or keep the backups in another folder",
            )


def _verdict(layout: Layout, mount: Mounted, wishes: Wishes, gone: Mapping[str, str]) -> Covered:
    """Saved when the layout recreates it and nothing speaks against it."""

    def covered(verdict: str, reason: str = "") -> Covered:
        return Covered(mount.target, mount.source, mount.fstype, verdict, reason)

    if mount.target in wishes.include and not _why_of_another(mount.target, wishes):
        return covered(SAVED, "BACKUP_PROG_INCLUDE names it")
    item = next((i for i in layout.of(Mount) if i.target == mount.target), None)
    if mount.fstype in VIRTUAL:
        nothing = NOT_MOUNTED if item is not None else ASLEEP
        return covered(EXCLUDED, nothing if mount.fstype == "autofs" else "in memory or created by the kernel")
    if reason := wishes.exclusions.of_mount(mount.target):
        return covered(EXCLUDED, reason)
    if mount.target != "/" and Path(mount.target) in wishes.kept:
        return covered(EXCLUDED, HOLDS_BACKUP)
    if item is None:
        private = (why for path, why in wishes.private.items() if _lies_in(mount.target, os.fspath(path)))
        reason = next(private, "") or _why_left_out(layout, mount)
        return covered(EXCLUDED if reason else UNEXPLAINED, reason or "the layout does not describe it")
    reason = gone.get(item.id, "") or why_emptied(mount.target, wishes.exclude) or _why_of_another(mount.target, wishes)
    return covered(EXCLUDED if reason else SAVED, reason)


def _why_of_another(path: str, wishes: Wishes) -> str:
    """That another method saves it, where there are several."""
    return f"{wishes.portion.owner(path)} saves it" if wishes.portion and not wishes.portion.saves(path) else ""


def _why_left_out(layout: Layout, mount: Mounted) -> str:
    """The layout's reason; that a device is not described is one only if there is one for that, too."""
    reasons = {entry.name: entry.reason for entry in layout.left_out if not entry.lost}
    reason = reasons.get(mount.target, "")
    if reason == f"{mount.source} is not described":
        # A partition carries the name of its disk: sda1, md126p1.
        return reasons.get(mount.source) or reasons.get(re.sub(r"(?<=\D)\d+$|(?<=\d)p\d+$", "", mount.source), "")
    return reason


def _seen(entry: Covered, hidden_by: Callable[[str], str]) -> Covered:
    """What was mounted over a folder above it later hides a mount: tar would save what is seen there instead."""
    above = hidden_by(entry.name) if entry.verdict == SAVED else ""
    return replace(entry, verdict=UNEXPLAINED, reason=f"a mount on {above} hides it") if above else entry


def _behind(entry: Covered, saved: Sequence[str], visible: Mapping[str, Mounted], wishes: Wishes) -> Covered:
    """What is said of a mount that shows what lies elsewhere is only true when that is saved."""
    mount = visible[entry.name]
    upper = re.search(r"(?:^|,)upperdir=([^,]*)", mount.options) if entry.reason == OVERLAY else None
    file = backing_file(mount.number) if entry.reason == NOT_DISKS["loop"] else upper[1] if upper else ""
    # As the kernel names one that nobody can save any more (Documentation/filesystems/vfs.rst, d_path).
    is_gone = file.endswith(" (deleted)") and not os.path.exists(file)
    if file and (is_gone or _holder(file, visible) not in saved or leaving_out(file, wishes.exclude)):
        what = (
            "an overlay, and the file systems below it are not saved" if upper else f"a loop device, {BEHIND_IS_LOST}"
        )
        return replace(entry, reason=f"{what}: {file}")
    if file and not upper and "rw" in mount.options.split(","):
        return replace(entry, reason=f"{entry.reason}, {MAY_BE_TORN}")
    return entry


def _elsewhere(
    entry: Covered, covered: Sequence[Covered], saved: Sequence[str], visible: Mapping[str, Mounted]
) -> Covered:
    """A mount of what is seen at another one as well: there it is saved, or a setting leaves it out."""
    mount = visible[entry.name]
    others = [
        other.name
        for other in covered
        if not other.reason.startswith((BIND, SAME))
        and visible[other.name].number == mount.number
        and _lies_in(mount.root, visible[other.name].root)
    ]
    if not others:
        return replace(entry, verdict=UNEXPLAINED, reason=f"{entry.reason}, and no other part of it is mounted")
    return entry if {*others} & {*saved} else replace(entry, reason=f"{entry.reason}, which is not saved either")


def _counted(covered: Sequence[Covered], visible: Mapping[str, Mounted], used: Callable[[str], int]) -> list[Covered]:
    """With the bytes of every local file system; a server or program that does not answer must not be asked."""
    seen: set[str] = set()
    counted = []
    for entry in sorted(covered, key=lambda entry: (entry.verdict != SAVED, entry.name)):
        mount = visible[entry.name]
        remote = entry.type in VIRTUAL or is_served(entry.type) or entry.type == "overlay"
        known = mount.source in seen or mount.number in seen
        seen |= {mount.source, mount.number}
        size = 0 if known or remote else used(entry.name)
        counted.append(Covered(entry.name, entry.source, entry.type, entry.verdict, entry.reason, size))
    return counted


def _nested(layout: Layout, saved: Sequence[str], visible: Mapping[str, Mounted]) -> list[str]:
    """Paths of described subvolumes that lie in a saved one and are mounted nowhere: to tar they are file systems."""
    items = [item for item in layout.of(Mount) if item.needs and item.target in saved]
    mounted = {need for item in items for need in item.needs}
    found = []
    for item in items:
        root = visible[item.target].root.strip("/")
        below = {part.id for part in of_type(layout.below(item.needs[0]), FileSystem)}
        for other in layout.of(PartOfFileSystem):
            if other.id not in mounted and below.intersection(part.id for part in layout.below(other.id)):
                within = other.path[len(root) :].lstrip("/") if _lies_in(f"/{other.path}", f"/{root}") else ""
                path = f"{item.target.rstrip('/')}/{within}"
                if within and _holder(path, visible) == item.target:
                    found.append(path)
    return found


def _emptied(covered: Iterable[Covered], wishes: Wishes) -> list[str]:
    """File systems of which only the folder itself is saved, whose owner and mode come back: a pattern leaves out all
    that is in it, as in /tmp, or another method saves that."""
    others = wishes.portion.others if wishes.portion else {}
    return [
        entry.name
        for entry in covered
        if entry.verdict == EXCLUDED
        and (entry.reason == why_emptied(entry.name, wishes.exclude) or entry.name in others)
        and not leaving_out(entry.name, wishes.exclude)
    ]


def _included(wishes: Wishes, saved: Sequence[str], visible: Mapping[str, Mounted]) -> list[str]:
    """Wanted paths that are not saved anyway."""
    return [path for path in _wanted(wishes) if _holder(path, visible) not in saved]


def _wanted(wishes: Wishes) -> list[str]:
    """What is to be saved by name: of several methods each saves its own."""
    portion = wishes.portion
    if portion is None:
        return list(wishes.include)
    return [path for path in (*wishes.include, *portion.folders) if path != "/" and portion.saves(path)]


def _parts(
    layout: Layout,
    wishes: Wishes,
    saved: Sequence[str],
    starts: Sequence[str],
    visible: Mapping[str, Mounted],
    below: Callable[[str], int],
) -> Iterable[Part]:
    """What is left out of saved file systems, and of other folders that tar starts in."""

    def counted(path: str) -> int:
        return below(path) if _holder(path, visible) in saved else 0

    for item in layout:
        if item.made_file:
            counts = _holder(item.made_file, visible) in saved
            yield Part(literal(item.made_file), f"a {item.noun}: it is recreated", _size(item) if counts else 0)
    kept = dict.fromkeys(wishes.kept, "backups are kept there")
    for private, reason in {**kept, **wishes.private}.items():
        # Of a folder only what is in it.
        inside = "" if private.is_file() else "/*"
        yield Part(literal(os.fspath(private)) + inside, reason, counted(os.fspath(private)))
    for mount in visible.values():
        # To root it may be forbidden, and whoever serves it may never answer: tar is not even to look at it.
        # Where something in it is wished for it is looked at anyway, and the pattern would leave that out as well.
        wished = any(_lies_in(start, mount.target) for start in starts)
        if is_served(mount.fstype) and not wished:
            yield Part(literal(mount.target), f"{mount.fstype} is mounted there", 0)
    for mount in visible.values():
        # A bind mount is the same file system to tar: it would go on into it.
        above = [start for start in starts if start != mount.target and _lies_in(mount.target, start)]
        entered = any(visible[_holder(start, visible)].number == mount.number for start in above)
        whole = [visible[path] for path in saved if visible[path].number == mount.number]
        elsewhere = any(_lies_in(mount.root, other.root) for other in whole)
        if mount.target not in saved and entered and elsewhere:
            yield Part(literal(mount.target) + "/*", "the same file system is saved elsewhere", 0)
    for path, method in (wishes.portion.others if wishes.portion else {}).items():
        yield Part(f"{literal(path)}/*", f"{method} saves it", counted(path))
    for pattern in wishes.exclude:
        folder = pattern[:-2] if pattern.endswith("/*") else pattern
        known = "\\" not in folder
        yield Part(pattern.rstrip("/"), BY_PATTERN, counted(folder or "/") if known else None)


def _not_mounted(layout: Layout, visible: Mapping[str, Mounted], wishes: Wishes) -> Iterable[Covered]:
    """What the layout has besides: swap, and file systems of fstab that nobody mounted."""
    for item in layout:
        if item.is_scratch:
            size = _size(item) if item.made_file else 0
            yield Covered(item.made_file or item.id, "", "swap", RECREATED, "swap space has no files", size)
    for mount in layout.of(Mount):
        if mount.target not in visible:
            reason = _why_of_another(mount.target, wishes) or NOT_MOUNTED
            yield Covered(mount.target, mount.fstab_spec, mount.fstype, EXCLUDED, reason)


def _size(item: Item) -> int:
    return int(getattr(item, "size", 0))


def is_served(fstype: str) -> bool:
    """Whether a server or a program of a user stands behind a file system."""
    return fstype in NETWORK or fstype == "autofs" or fstype.startswith("fuse")


def literal(path: str) -> str:
    """The pattern that matches this path alone."""
    return "".join("\\" + letter if letter in "*?[\\" else letter for letter in path.rstrip("/"))


def _lies_in(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _holder(path: str, visible: Mapping[str, Mounted]) -> str:
    """The mount that a path lies in."""
    return max((target for target in visible if _lies_in(path, target)), key=len, default="/")
