# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted where, and what /etc/fstab says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ..contents import Contents
from ..errors import ProgramFailed
from ..fstab import FstabEntry, read_fstab
from ..mounts import unescaped
from ..shell import Shell
from . import mount_references
from .command import Command, Site
from .exclusions import Exclusions
from .filesystem import FileSystem
from .fstypes import NETWORK, VIRTUAL
from .kinds import StorageKind
from .layout import Item, Layout
from .survey import Mounted, Survey, is_called, names, read_mounts

# Why a mount is left out that shows what lies, and is saved, somewhere else: whoever believes it has to see that it is.
OVERLAY = "an overlay: the file systems below it are described"
BIND = "a bind mount of"
SAME = "the same is mounted on"


@dataclass(frozen=True)
class Mount(Item):
    """A file system at its place; it needs the file system or subvolume, and the mount it lies in.

    `options` are those in force, empty where fstab mounts on demand; `fstab_*` is the line of fstab, if there
    is one. `holds_backups` says that BACKUP_URL led to this file system when the machine was described.
    """

    type = "mount"
    noun = "mount"
    is_storage = False

    target: str
    fstype: str
    options: tuple[str, ...] = ()
    mounted: bool = field(default=True, compare=False)
    fstab_spec: str = ""
    fstab_options: str = ""
    fstab_dump: int = 0
    fstab_passno: int = 0
    holds_backups: bool = field(default=False, compare=False)

    def component_names(self, _below: str) -> list[str]:
        """As in `EXCLUDE_COMPONENTS=( fs:/data )`."""
        return [f"fs:{self.target}"]

    def excluded_by(self, exclusions: Exclusions) -> str:
        """EXCLUDE_MOUNTPOINTS, AUTOEXCLUDE_PATH."""
        return exclusions.of_mount(self.target)


def mounted(layout: Layout) -> list[str]:
    """The folders at which the machine's file systems were mounted when it was described."""
    return [item.target for item in layout.of(Mount) if item.mounted]


def why_no_root(layout: Layout) -> str:
    """Why the layout has no root file system, "" where it has one."""
    if any(isinstance(item, Mount) and item.target == "/" for item in layout):
        return ""
    reasons = (entry.reason for entry in layout.left_out if entry.name in ("/", "mount /"))
    return next(reasons, "it is on no disk that rear knows")


def capture(survey: Survey) -> Iterator[Item]:
    """The mounts of described file systems, those above first, then what fstab has besides."""
    seen: dict[tuple[str, str], str] = {}
    targets: list[str] = []
    entries = {entry.target: entry for entry in survey.fstab}
    # Where two mounts lie on the same target the later one is seen.
    visible = {mount.target: mount for mount in survey.mounts}
    in_fstab_first = sorted(visible.values(), key=lambda mount: mount.target not in entries)
    kept = [mount for mount in in_fstab_first if _is_described(survey, mount, seen)]
    for mount in sorted(kept, key=lambda mount: mount.target):
        item = _mounted(survey, mount, entries.get(mount.target), targets)
        targets.append(mount.target)
        yield item
    for entry in sorted(survey.fstab, key=lambda entry: entry.target):
        # An automounter waits in the place of what nobody has used for a while.
        waiting = entry.target not in visible or visible[entry.target].fstype == "autofs"
        if entry.fstype != "swap" and waiting:
            yield from _unmounted(survey, entry, targets)


def wake(sh: Shell, warn: Callable[[str], None]) -> None:
    """Have systemd mount what it only mounts while somebody uses it, where that lies on this machine.

    To enter a folder is to use it. Others than systemd.automount(5) have maps of servers, which may not answer.
    """
    visible = {mount.target: mount for mount in read_mounts(sh)}
    waiting = [mount.target for mount in visible.values() if (mount.fstype, mount.source) == ("autofs", "systemd-1")]
    servers = {entry.target for entry in read_fstab(sh) if entry.fstype in NETWORK} if waiting else set()
    for target in waiting:
        if target not in servers:
            try:
                sh.query("stat", "--format=%i", f"{target}/.", timeout=30)
            except ProgramFailed as error:
                warn(f"{target} is mounted on demand, but cannot be mounted now: {error.message}")


def _is_described(survey: Survey, mount: Mounted, seen: dict[tuple[str, str], str]) -> bool:
    """Whether the layout has this mount; else the reason is noted."""
    if mount.fstype in VIRTUAL:
        return False
    reason = _why_not(survey, mount)
    if not reason:
        first = seen.setdefault((mount.source, mount.root), mount.target)
        reason = "" if first == mount.target else f"{SAME} {first}"
    if reason:
        survey.leave_out(mount.target, reason)
    return not reason


def _why_not(survey: Survey, mount: Mounted) -> str:
    if mount.fstype == "overlay":
        return OVERLAY
    # A cluster's file system lies on a disk, which may be one of this machine's own.
    if mount.fstype in NETWORK and not mount.source.startswith("/dev/"):
        return f"a network file system ({mount.fstype} from {mount.source})"
    if mount.fstype.startswith("fuse") and not mount.source.startswith("/dev/"):
        return f"a file system of a program ({mount.fstype})"
    filesystem = _filesystem(survey, mount.source, mount.number)
    if filesystem is None:
        return f"{mount.source} is not described"
    if mount.root != "/" and _part(survey, filesystem, mount.root) is None:
        return f"{BIND} {mount.root} on {mount.source}"
    return ""


def _filesystem(survey: Survey, source: str, number: str = "") -> FileSystem | None:
    """The file system on a device given by path or number."""
    paths = {d.path for d in survey.devices.values() if number and d.number == number} | {source}
    ids = {item.id for item in survey.items if getattr(item, "device", None) in paths}
    found = (i for i in survey.items if isinstance(i, FileSystem) and ids.intersection(i.needs))
    return next(found, None)


def _part(survey: Survey, filesystem: FileSystem, root: str) -> Item | None:
    id = filesystem.part(root)
    return next((item for item in survey.items if item.id == id), None)


def _mounted(survey: Survey, mount: Mounted, entry: FstabEntry | None, above: list[str]) -> Mount:
    filesystem = _filesystem(survey, mount.source, mount.number)
    assert filesystem is not None
    below: Item = _part(survey, filesystem, mount.root) or filesystem
    on_demand = entry is not None and {"noauto", "x-systemd.automount"}.intersection(entry.options.split(","))
    # The number of a subvolume is another one after it was recreated.
    options = tuple(word for word in mount.options.split(",") if not word.startswith("subvolid="))
    return _with_fstab(
        Mount(
            f"mount:{mount.target}",
            _needs(below.id, mount.target, above),
            mount.target,
            mount.fstype,
            () if on_demand else options,
        ),
        entry,
    )


def _unmounted(survey: Survey, entry: FstabEntry, above: list[str]) -> Iterator[Mount]:
    """A line of fstab that is not mounted now."""
    words = entry.options.split(",")
    if entry.fstype in VIRTUAL:
        return
    if "bind" in words or "rbind" in words:
        survey.leave_out(entry.target, f"a bind mount of {entry.spec}, not mounted")
        return
    found = find_device(survey, entry.spec)
    filesystem = _filesystem(survey, found) if found else None
    if filesystem is None:
        kind = "a network file system" if entry.fstype in NETWORK else f"{entry.spec} is not described"
        survey.leave_out(entry.target, f"{kind}, in fstab but not mounted")
        return
    path = next((word[len("subvol=") :] for word in words if word.startswith("subvol=")), "/")
    below: Item = _part(survey, filesystem, path) or filesystem
    needs = _needs(below.id, entry.target, above)
    yield _with_fstab(Mount(f"mount:{entry.target}", needs, entry.target, entry.fstype, mounted=False), entry)


def find_device(survey: Survey, spec: str) -> str:
    """The path of the device that the first field of an fstab line means, "" when there is none."""
    tag, equals, value = spec.partition("=")
    value = value.strip("\"'")
    for part in ("uuid", "label", "partuuid", "partlabel"):
        if spec.startswith(f"/dev/disk/by-{part}/"):
            tag, equals, value = part.upper(), "=", unescaped(spec.rpartition("/")[2])
    spec = names(survey.devices.values())(spec)
    for item in survey.items:
        path = getattr(item, "device", "")
        device = survey.devices.get(path)
        known = {
            "UUID": device.uuid if device else "",
            "LABEL": device.label if device else "",
            "PARTUUID": getattr(item, "uuid", "") if item.type == "partition" else "",
            "PARTLABEL": getattr(item, "name", "") if item.type == "partition" else "",
        }
        if equals and is_called(tag, value, known.get(tag, "")):
            return str(path)
        if path and (spec == path or item.id == f"lv:{spec[len('/dev/') :]}"):
            return str(path)
    return ""


def _needs(below: str, target: str, above: list[str]) -> tuple[str, ...]:
    holder = max(
        (t for t in above if t != target and f"{target}/".startswith(f"{t.rstrip('/')}/")),
        key=len,
        default="",
    )
    return (below, f"mount:{holder}") if holder else (below,)


def _with_fstab(mount: Mount, entry: FstabEntry | None) -> Mount:
    if entry is None:
        return mount
    return replace(
        mount,
        fstab_spec=entry.spec,
        fstab_options=entry.options,
        fstab_dump=entry.dump,
        fstab_passno=entry.passno,
    )


def contents(_layout: Layout) -> Contents:
    """What mounts and finds."""
    return Contents(programs=["mount", "umount", "findmnt", "blkid"], optional_programs=["fsck"])


# Options that decide how restored files are stored; all others are for the running system.
KEPT_OPTIONS = ("compress", "compress-force", "nodatacow", "nodatasum", "max_inline")


def recreate(item: Mount, site: Site) -> Iterator[Command]:
    """Mount what was mounted below the target, as the restored files are to be stored."""
    if not item.mounted:
        return
    place = (site.target.rstrip("/") + item.target).rstrip("/")
    options = [word for word in item.options if word.partition("=")[0] in KEPT_OPTIONS]
    below = site.item(item.needs[0])
    options = below.mounted_by(site) + options
    device = site.device(item.id)
    yield Command(("mkdir", "--parents", place), f"create the mount point {item.target}")
    yield Command(
        ("mount", "-t", item.fstype, *(["-o", ",".join(options)] if options else []), device, place),
        f"mount {item.target}",
        devices=(device,),
    )


KIND = StorageKind(
    "mount", (Mount,), capture, contents, last=True, recreate=recreate, naming_files=mount_references.FILES,
    words=mount_references.words,
)  # fmt: skip
