# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system Btrfs, its devices, profiles and subvolumes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rear_core.contents import Contents
from rear_core.errors import ProgramFailed
from rear_core.storage.command import Site
from rear_core.storage.filesystem import MIB, FileSystem, PartOfFileSystem
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey, names

from .snapshots import LISTING, read_identities, read_subvolumes, read_uuid, sorted_out, unoriginal

# How deep folders that are not copied on write are looked for, as /var/lib/libvirt/images.
DEPTH = 4

# Flags that are set when something is first used.
BY_USE = ("BIG_METADATA", "COMPRESS_LZO", "COMPRESS_ZSTD", "DEFAULT_SUBVOL", "FREE_SPACE_TREE_VALID")


@dataclass(frozen=True)
class Btrfs(FileSystem):
    """A Btrfs on one or more devices. Profiles are single, dup, raid1 ...; `default` is the path of the
    subvolume that is mounted when none is named, "" for the top. `no_copy_on_write` are the folders with this
    attribute, which the files in them inherit: of the top, or by their paths in a subvolume, whose own is `.`"""

    type = "btrfs"
    noun = "file system"
    dracut = "btrfs"
    compresses = True
    least = 64 * MIB

    data_profile: str = ""
    metadata_profile: str = ""
    system_profile: str = ""
    sector_size: int = 0
    node_size: int = 0
    checksum: str = ""
    features: tuple[str, ...] = ()
    ro_features: tuple[str, ...] = ()
    default: str = ""
    quota: bool = False
    no_copy_on_write: tuple[str, ...] = ()

    @property
    def modules(self) -> frozenset[str]:
        """Its driver."""
        return frozenset({"btrfs"})

    def part(self, root: str) -> str:
        """The subvolume of that path."""
        return f"subvolume:{self.id[len('fs:') :]}/{root.lstrip('/')}"

    def mounted_by(self, _site: Site) -> list[str]:
        """The top, whatever is mounted when none is named."""
        return ["subvol=/"]

    def as_planned(self, planned: Btrfs) -> Btrfs:
        """Without regard to the features that come by use."""
        features = _used(self.features, planned.features)
        ro_features = _used(self.ro_features, planned.ro_features)
        return replace(super().as_planned(planned), features=features, ro_features=ro_features)


def _used(features: tuple[str, ...], planned: tuple[str, ...]) -> tuple[str, ...]:
    """The features, with those that come by use as they were planned."""
    made = [name for name in features if name not in BY_USE]
    return (*(n for n in planned if n in BY_USE or n in made), *(n for n in made if n not in planned))


@dataclass(frozen=True)
class Subvolume(PartOfFileSystem):
    """A subvolume by its path from the top; it needs the one that it lies in. Its number is given by the
    kernel. One that was `received` is known by that to the machine that sent it."""

    type = "subvolume"
    noun = "subvolume"
    # Set when the files are back, or by hand.
    configured = ("read_only",)

    number: int = field(default=0, compare=False)
    read_only: bool = False
    no_copy_on_write: tuple[str, ...] = ()
    received: bool = field(default=False, compare=False)

    def mounted_by(self, _site: Site) -> list[str]:
        """By its path."""
        return [f"subvol={self.path}"]


def capture(survey: Survey) -> Iterator[Item]:
    """Every Btrfs, once; of one that is not mounted the subvolumes and profiles cannot be known."""
    groups: dict[str, list[Device]] = {}
    for device in survey.carrying("btrfs"):
        # A snapshot of a volume below has the same UUID.
        if device.path not in survey.without:
            groups.setdefault(device.uuid or device.path, []).append(device)
    for uuid, found in groups.items():
        devices = _without_clones(survey, found)
        mount = next((m.target for m in survey.mounts if m.source in {d.path for d in devices}), "")
        yield from _btrfs(survey, f"fs:{uuid}", devices, mount)


def _without_clones(survey: Survey, devices: list[Device]) -> list[Device]:
    """The devices that the kernel has put together; those with the same UUID beyond their number are clones."""
    if len(devices) < 2:
        return devices
    lost = f"{devices[0].path}: the devices of this Btrfs are unknown"
    text = survey.ask("btrfs", "inspect-internal", "dump-super", devices[0].path, lost=lost)
    if int(read_superblock(text)[0].get("num_devices", len(devices))) >= len(devices):
        return devices
    mounted = [device for device in devices if device.path in {mount.source for mount in survey.mounts}]
    first = (mounted or devices)[0].path
    shown = re.findall(r"path (\S+)", survey.ask("btrfs", "filesystem", "show", "--raw", first, lost=lost))
    own = {*map(names(devices), shown)} or {first}
    for device in devices:
        if device.path not in own:
            survey.leave_out(
                f"btrfs on {device.path}", f"a clone of the file system on {min(own)}", lost=True, on=[device.path],
                device=device.path,
            )  # fmt: skip
    return [device for device in devices if device.path in own]


def _btrfs(survey: Survey, id: str, devices: list[Device], mount: str) -> Iterator[Item]:
    path = devices[0].path
    lost = f"{path}: the features of this Btrfs are unknown"
    values, flags = read_superblock(survey.ask("btrfs", "inspect-internal", "dump-super", path, lost=lost))
    total, known = int(values.get("num_devices", len(devices))), len(devices)
    if total != known:
        survey.warn(f"{path}: this Btrfs has {total} devices, but only {known} of them are described")
    profiles: dict[str, str] = {}
    default = ""
    if mount:
        lost = f"{mount}: profiles or subvolumes of this Btrfs are unknown"
        profiles = read_profiles(survey.ask("btrfs", "filesystem", "df", "--raw", mount, lost=lost))
        # `ID 5 (FS_TREE)`, or `ID 256 gen 9 top level 5 path @`
        default = survey.ask("btrfs", "subvolume", "get-default", mount, lost=lost).strip().partition(" path ")[2]
    else:
        survey.warn(f"{path}: this Btrfs is not mounted, so its profiles and subvolumes are unknown")
    yield Btrfs(
        id=id,
        needs=_in_order(survey, devices),
        uuid=devices[0].uuid,
        label=devices[0].label,
        data_profile=profiles.get("Data", profiles.get("Data+Metadata", "")),
        metadata_profile=profiles.get("Metadata", profiles.get("Data+Metadata", "")),
        system_profile=profiles.get("System", ""),
        sector_size=int(values.get("sectorsize", 0)),
        node_size=int(values.get("nodesize", 0)),
        checksum=values.get("csum_type", "").strip("()"),
        features=flags.get("incompat_flags", ()),
        ro_features=flags.get("compat_ro_flags", ()),
        default=default,
        quota=bool(mount) and _has_quota(survey, mount),
        no_copy_on_write=_not_copied(survey, devices, ""),
    )
    if mount:
        for subvolume in _subvolumes(survey, id, devices, mount, default):
            yield replace(subvolume, no_copy_on_write=_not_copied(survey, devices, subvolume.path))


def _not_copied(survey: Survey, devices: list[Device], subvolume: str) -> tuple[str, ...]:
    """The folders of a subvolume that are not copied on write, as far as it is mounted and not too deep in it.

    >>> sh.query("find", "/srv", "-maxdepth", "4", "-xdev", "-type", "d", ..., "-exec", "lsattr", "-d", "{}", "+")
    ---------------------- /srv
    ---------------C------ /srv/images
    """
    place = _place(survey, devices, f"/{subvolume}")
    if not place:
        return ()
    lost = f"{place}: the folders without copy-on-write are unknown"
    # The roots of all subvolumes, which are shown where they are mounted or lie, have the same number.
    own = ("(", "!", "-inum", "256", "-o", "-samefile", place, ")")
    attributes = ("-maxdepth", str(DEPTH), "-xdev", "-type", "d", *own, "-exec", "lsattr", "-d", "{}", "+")
    # 1: some attributes cannot be read, as of what a program has mounted there.
    text = survey.ask("find", place, *attributes, lost=lost, ok=(0, 1))
    found: list[str] = []
    for path in re.findall(r"^\S*C\S* (/.*)$", text, re.MULTILINE):
        folder = path[len(place) :].strip("/") or "."
        # What is made in such a folder is such a folder.
        if not any(above == "." or folder.startswith(f"{above}/") for above in found):
            found.append(folder)
    return tuple(sorted(found))


def _place(survey: Survey, devices: Sequence[Device], path: str) -> str:
    """Where a subvolume is seen, "" when it is not mounted, or something else is in its place."""
    paths = {device.path for device in devices}
    mounts = [m for m in survey.mounts if m.source in paths and f"{path}/".startswith(f"{m.root.rstrip('/')}/")]
    if not mounts:
        return ""
    best = max(mounts, key=lambda mount: len(mount.root))
    place = f"{best.target.rstrip('/')}{path[len(best.root.rstrip('/')) :]}".rstrip("/") or "/"
    others = [m.target for m in survey.mounts if m not in mounts and f"{place}/".startswith(f"{m.target.rstrip('/')}/")]
    return "" if any(len(other) > len(best.target) for other in others) else place


def _in_order(survey: Survey, devices: list[Device]) -> tuple[str, ...]:
    """The devices by their number in the file system.

    >>> sh.query("btrfs", "filesystem", "show", "--raw", "/dev/vdb")
    Label: 'bt'  uuid: 0661698b-fe1a-4f37-aa20-01a1b2ec2225
        Total devices 1 FS bytes used 196608
        devid    1 size 314572800 used 92274688 path /dev/vdb
    """
    paths = [device.path for device in devices]
    if len(paths) > 1:
        lost = f"{paths[0]}: the order of the devices of this Btrfs is unknown"
        shown = re.findall(r"path (\S+)", survey.ask("btrfs", "filesystem", "show", "--raw", paths[0], lost=lost))
        paths.sort(key=lambda path: shown.index(path) if path in shown else len(shown))
    return tuple(paths)


def read_superblock(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The fields, and the names of the flags.

    >>> sh.query("btrfs", "inspect-internal", "dump-super", "/dev/vdb")
    superblock: bytenr=65536, device=/dev/vdb
    csum_type		0 (crc32c)
    label			bt
    sectorsize		4096
    nodesize		16384
    num_devices		1
    compat_ro_flags		0x3
                        ( FREE_SPACE_TREE |
                              FREE_SPACE_TREE_VALID )
    incompat_flags		0x341
                        ( MIXED_BACKREF |
                              EXTENDED_IREF |
                              SKINNY_METADATA |
                              NO_HOLES )
    """
    values: dict[str, str] = {}
    flags: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in text.splitlines():
        words = line.split()
        if line[:1].isspace() and name:
            flags[name] = flags.get(name, ()) + tuple(word for word in words if word.isidentifier())
        elif len(words) > 1:
            name, values[words[0]] = words[0], words[-1]
    return values, flags


def read_profiles(text: str) -> dict[str, str]:
    """The profile of each type of block group; while a balance converts, the last one shown is the new one.

    >>> sh.query("btrfs", "filesystem", "df", "--raw", "/")
    Data, single: total=8388608, used=0
    System, DUP: total=8388608, used=16384
    Metadata, DUP: total=33554432, used=180224
    GlobalReserve, single: total=5767168, used=0
    """
    return {kind: profile.lower() for kind, profile in re.findall(r"^([\w+]+), (\w+):", text, re.MULTILINE)}


def _subvolumes(survey: Survey, id: str, devices: Sequence[Device], mount: str, default: str) -> Iterator[Subvolume]:
    """The subvolumes, without those that container engines made, and without read-only snapshots, unless the system
    runs from them. A snapshot that can be written to is a subvolume like any other: it has files of its own."""
    lost = f"{mount}: the subvolumes of this Btrfs are unknown"
    rows = read_subvolumes(survey.ask(*LISTING, mount, lost=lost))
    read_only = {number for number, _, _ in read_subvolumes(survey.ask(*LISTING, "-r", mount, lost=lost))}
    needed = {default} | {m.options.partition("subvol=/")[2].split(",")[0] for m in survey.mounts}
    kept, snapshots, containers = sorted_out(rows, read_only, needed)
    for path in containers:
        survey.leave_out(f"subvolume {path}", "created by a container engine")
    if snapshots:
        gone = _unoriginal(survey, devices, mount, snapshots, [number for number, _ in kept])
        for number, _, path in rows:
            if number in gone:
                survey.leave_out(f"snapshot {path}", gone[number], lost=True, on=[device.path for device in devices])
        if others := len(snapshots) - len(gone):
            reason = f"{others} snapshots: the subvolumes they were taken of are described"
            survey.leave_out(f"snapshots on {mount}", reason, lost=True)
    # What is received is read-only.
    received = _identities(survey, mount) if any(number in read_only for number, _ in kept) else {}
    paths = [path for _, path in kept]
    for number, path in kept:
        above = max((p for p in paths if path.startswith(f"{p}/")), key=len, default="")
        needs = (f"subvolume:{id[3:]}/{above}",) if above else (id,)
        came = received.get(number, ("", False))[1]
        yield Subvolume(f"subvolume:{id[3:]}/{path}", needs, path, number, number in read_only, received=came)


def _identities(survey: Survey, mount: str) -> dict[int, tuple[str, bool]]:
    lost = f"{mount}: what the snapshots of this Btrfs were taken of is unknown"
    return read_identities(survey.ask("btrfs", "subvolume", "list", "-u", "-R", "-a", mount, lost=lost))


def _unoriginal(
    survey: Survey, devices: Sequence[Device], mount: str, snapshots: Mapping[int, str], kept: Sequence[int]
) -> dict[int, str]:
    """`unoriginal` with the UUIDs that the machine has."""
    identities = _identities(survey, mount)
    described = [identities[number][0] for number in kept if number in identities]
    gone = unoriginal(snapshots, identities, described)
    # Where nobody sees the top nothing of it is saved, either.
    if gone and (top := _place(survey, devices, "/")):
        lost = f"{mount}: what the snapshots of this Btrfs were taken of is unknown"
        described.append(read_uuid(survey.ask("btrfs", "subvolume", "show", top, lost=lost)))
        gone = unoriginal(snapshots, identities, described)
    return gone


def _has_quota(survey: Survey, mount: str) -> bool:
    """`btrfs qgroup show` fails when quotas are not enabled."""
    try:
        survey.sh.query("btrfs", "qgroup", "show", mount)
    except ProgramFailed:
        return False
    return True


def contents(layout: Layout) -> Contents:
    """The btrfs-progs, and what sets the attributes of folders."""
    attributes = any(item.no_copy_on_write for item in layout if isinstance(item, (Btrfs, Subvolume)))
    return Contents(
        programs=["mkfs.btrfs", "btrfs", "unshare", *(["chattr"] if attributes else [])],
        optional_programs=["btrfstune", "fsck.btrfs", "find", "lsattr"],
        modules=["btrfs", "crc32c", "xxhash_generic", "blake2b_generic", "sha256"],
    )
