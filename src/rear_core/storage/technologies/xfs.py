# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system XFS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rear_core.contents import Contents
from rear_core.storage.command import Command, Site
from rear_core.storage.disk import sector_size
from rear_core.storage.filesystem import MIB, FileSystem, identity
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout
from rear_core.storage.mount import Mount
from rear_core.storage.survey import Survey, names


@dataclass(frozen=True)
class Xfs(FileSystem):
    """An XFS file system: its geometry as the words `name=value` of each section of xfs_info.

    Options of newer releases are kept without being known here. External log and realtime devices are named, or
    `external` where only that is known.
    """

    type = "xfs"
    noun = "file system"
    # mkfs.xfs makes none below 300 MiB.
    least = 320 * MIB

    meta: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    naming: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    realtime: tuple[str, ...] = ()
    # Names that the kernel gives; the devices themselves are among the needs.
    log_device: str = field(default="", compare=False)
    realtime_device: str = field(default="", compare=False)

    @property
    def modules(self) -> frozenset[str]:
        """Its driver."""
        return frozenset({"xfs"})

    def mounted_by(self, site: Site) -> list[str]:
        """The names of its other devices, which were others."""
        return devices(self, site)


def capture(survey: Survey) -> Iterator[Item]:
    """Every XFS; the kernel is asked about a mounted one, the superblock otherwise."""
    for device in survey.carrying("xfs"):
        lost = f"{device.path}: rear knows only the type and UUID of this XFS, not its geometry"
        text = survey.ask("xfs_info", survey.mount_point(device) or device.path, lost=lost)
        sections, devices = read_geometry(text)
        # `external` where it is not mounted.
        path = names(survey.devices.values())
        if devices.get("log") == "external":
            devices["log"] = _find_log(survey, device.uuid) or "external"
        others = {name: path(other) for name, other in devices.items() if other not in ("", "none", "internal")}
        yield Xfs(
            id=identity(device),
            needs=(device.path, *(other for other in others.values() if other.startswith("/"))),
            uuid=device.uuid,
            label=device.label,
            meta=sections.get("meta-data", ()),
            data=sections.get("data", ()),
            naming=sections.get("naming", ()),
            log=sections.get("log", ()),
            realtime=sections.get("realtime", ()),
            log_device=others.get("log", ""),
            realtime_device=others.get("realtime", ""),
        )


def _find_log(survey: Survey, uuid: str) -> str:
    """The device with the log of a file system that is not mounted, by the UUID that it begins with."""
    for device in survey.carrying("xfs_external_log"):
        lost = f"{device.path}: rear does not know which file system this log belongs to"
        argv = ("blkid", "--probe", "--output", "value", "--match-tag", "LOGUUID", device.path)
        if survey.ask(*argv, lost=lost, ok=(0, 2, 8)).strip() == uuid:
            return device.path
    return ""


def read_geometry(text: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The words of each section, and the devices of log and realtime section.

    >>> sh.query("xfs_info", "/srv")
    meta-data=/dev/vdb1              isize=512    agcount=4, agsize=19200 blks
             =                       sectsz=512   attr=2, projid32bit=1
             =                       crc=1        finobt=1, sparse=1, rmapbt=0
             =                       reflink=1    bigtime=1 inobtcount=1 nrext64=0
    data     =                       bsize=4096   blocks=76800, imaxpct=25
             =                       sunit=0      swidth=0 blks
    naming   =version 2              bsize=4096   ascii-ci=0, ftype=1
    log      =internal log           bsize=4096   blocks=16384, version=2
             =                       sectsz=512   sunit=0 blks, lazy-count=1
    realtime =none                   extsz=4096   blocks=0, rtextents=0
    """
    sections: dict[str, tuple[str, ...]] = {}
    devices: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        head, equals, rest = line.partition("=")
        if not equals:
            continue
        section = head.strip() or section
        options = tuple(re.findall(r"[\w-]+=[^\s,]+", rest))
        sections[section] = sections.get(section, ()) + options
        if head.strip() in ("log", "realtime"):
            devices[section] = rest.split()[0] if rest.split() else ""
    return sections, devices


def contents(_layout: Layout) -> Contents:
    """The xfsprogs."""
    return Contents(
        programs=["mkfs.xfs", "xfs_repair", "xfs_admin"],
        optional_programs=["xfs_info", "xfs_spaceman", "xfs_db", "xfs_growfs", "xfs_io", "fsck.xfs"],
        modules=["xfs"],
    )


# Which option of mkfs.xfs takes a word of its geometry; of the others only sizes are set, the rest follows
# from the device. Version 5 (crc=1) has some of them always, and mkfs.xfs then refuses to be told.
OPTIONS = {
    "-m": ("crc", "finobt", "rmapbt", "reflink", "bigtime", "inobtcount", "metadir", "autofsck"),
    "-i": ("maxpct", "sparse", "nrext64", "exchange", "attr", "projid32bit"),
    "-n": ("parent", "ftype"),
    "-l": ("lazy-count",),
}
IMPLIED = ("attr", "projid32bit", "ftype", "lazy-count")
NOT_IN_VERSION_4 = ("finobt", "rmapbt", "reflink", "bigtime", "inobtcount", "metadir", "autofsck", "sparse", "nrext64",
                    "exchange", "parent")  # fmt: skip


def recreate(item: Xfs, site: Site) -> Iterator[Command]:
    """Make the file system with its features, and on a device of the same size with its geometry."""
    device = site.device(item.id)
    options = {option: list(_words(item, words)) for option, words in OPTIONS.items()}
    options["-m"] += [f"uuid={item.uuid}"] * bool(item.uuid)
    meta, data, naming = (dict(word.split("=", 1) for word in part) for part in (item.meta, item.data, item.naming))
    for option, part, word in (("-i", meta, "isize"), ("-b", data, "bsize"), ("-n", naming, "bsize")):
        options[option] = [*options.get(option, []), *([f"size={part[word]}"] if word in part else [])]
    options["-n"] += ["version=ci"] * (naming.get("ascii-ci") == "1")
    if int(meta.get("sectsz", 0)) >= sector_size(site, item.id):
        options["-s"] = [f"size={meta['sectsz']}"]
    others = {word.partition("=")[0]: word for word in devices(item, site)}
    options["-l"] += [others["logdev"]] if "logdev" in others else []
    options["-r"] = [others["rtdev"]] if "rtdev" in others else []
    if not site.is_resized(item.id):
        for option, words in _geometry(item, site).items():
            options[option] = [*options.get(option, []), *words]
    argv = [part for option, words in options.items() if words for part in (option, ",".join(words))]
    command = ("mkfs.xfs", "-q", "-f", *(["-L", item.label] if item.label else []), *argv, device)
    yield Command(
        command,
        f"create {item.noun} {item.label or item.uuid} (xfs)",
        destroys=f"everything on {' and '.join(site.device(need) for need in item.needs)}",
        devices=tuple(site.device(need) for need in item.needs),
        trial=command,
    )


def devices(item: Xfs, site: Site) -> list[str]:
    """The options that name the devices of log and realtime section, as mkfs.xfs and mount both take them."""
    names = ["logdev"] * bool(item.log_device) + ["rtdev"] * bool(item.realtime_device)
    return [f"{name}={site.device(need)}" for name, need in zip(names, item.needs[1:])]


def _numbers(words: tuple[str, ...]) -> dict[str, int]:
    """Those words that are numbers; of a word that is there twice, the first."""
    pairs = [word.split("=", 1) for word in reversed(words)]
    return {name: int(value) for name, value in pairs if value.isdigit()}


def _geometry(item: Xfs, site: Site) -> dict[str, list[str]]:
    """Allocation groups, stripes, and log as they were; without stripes, those of a RAID below are not wanted.

    Sizes are bytes, as numbers with b would be blocks of the size that was given before.
    """
    meta, data, log, realtime = map(_numbers, (item.meta, item.data, item.log, item.realtime))
    block = data.get("bsize", 0)
    if not (block and meta.get("agsize") and log.get("blocks")):
        return {}
    found = {"-d": [f"agsize={meta['agsize'] * block}"], "-l": [f"size={log['blocks'] * log.get('bsize', block)}"]}
    size = site.size(item.needs[0])
    if data.get("blocks", 0) < size // block:
        # It did not fill its device.
        found["-d"].append(f"size={data['blocks'] * block}")
    if data.get("sunit"):
        found["-d"] += [f"su={data['sunit'] * block}", f"sw={data.get('swidth', data['sunit']) // data['sunit']}"]
    else:
        found["-d"].append("noalign")
    if log.get("version", 2) == 2 and log.get("sunit", 0) > 1:
        found["-l"].append(f"su={log['sunit'] * block}")
    if item.realtime_device and realtime.get("extsz"):
        found["-r"] = [f"extsize={realtime['extsz']}"]
    return found


def refuses(item: Xfs, site: Site) -> Iterator[str]:
    """Blocks that are smaller than a sector; a log that is elsewhere, nobody knows where, or a realtime section, which
    does not say what it belongs to."""
    block, sector = _numbers(item.data).get("bsize", 0), sector_size(site, item.id)
    if 0 < block < sector:
        yield f"its blocks have {block} bytes, less than the sectors of its disk ({sector})"
    for name, path in (("log", item.log_device), ("realtime section", item.realtime_device)):
        if path and not path.startswith("/"):
            yield f"its {name} is on another device, which only the mounted file system names: mount it, then try again"


def notes(item: Xfs, site: Site) -> Iterator[str]:
    """What is computed for the new device, and what no file tells."""
    if site.is_resized(item.id):
        yield "mkfs.xfs chooses its allocation groups, stripes and log, as its device has another size"
    options = {word for mount in site.layout.of(Mount) if item.id in mount.needs for word in mount.options}
    if any(re.fullmatch("(usr|grp|prj)quota|[ugp]qnoenforce", word) for word in options):
        yield "the limits of its quotas are not restored: set them again (xfs_quota -x -c limit)"


def _words(item: Xfs, names: tuple[str, ...]) -> Iterator[str]:
    known = dict(word.split("=", 1) for word in (*item.data, *item.log, *item.naming, *item.meta))
    known["maxpct"] = known.get("imaxpct", "")
    refused = IMPLIED if known.get("crc") == "1" else NOT_IN_VERSION_4
    return (f"{name}={known[name]}" for name in names if known.get(name) and name not in refused)


KIND = StorageKind("xfs", (Xfs,), capture, contents, recreate=recreate, refuses=refuses, notes=notes)
