# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems ext2, ext3 and ext4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from rear_core.contents import Contents
from rear_core.shell import Shell
from rear_core.storage.filesystem import MIB, FileSystem, identity
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey

# Features that say in what state the file system is, not how it was made.
STATES = ("needs_recovery", "orphan_present")


@dataclass(frozen=True)
class Ext(FileSystem):
    """An ext2, ext3 or ext4 file system. Sizes are bytes, but for `blocks`, `reserved_blocks` and
    `reserved_gdt_blocks`; `max_mount_count` -1 and `check_interval` 0 (seconds) mean never. One whose journal is
    elsewhere needs that journal, too."""

    type = "ext"
    noun = "file system"
    least = 64 * MIB

    version: int = 0
    features: tuple[str, ...] = ()
    blocks: int = 0
    block_size: int = 0
    reserved_blocks: int = 0
    reserved_uid: int = 0
    reserved_gid: int = 0
    inodes: int = 0
    inode_size: int = 0
    bytes_per_inode: int = 0
    blocks_per_group: int = 0
    flex_group_size: int = 0
    descriptor_size: int = 0
    stride: int = 0
    stripe_width: int = 0
    journal_size: int = 0
    journal_uuid: str = ""
    default_options: tuple[str, ...] = ()
    mount_options: str = ""
    directory_hash: str = ""
    hash_seed: str = ""
    errors: str = ""
    max_mount_count: int = -1
    check_interval: int = 0
    quotas: tuple[str, ...] = ()
    encoding: str = ""
    cluster_size: int = 0
    mmp_interval: int = 0
    reserved_gdt_blocks: int = 0

    @property
    def journal_bytes(self) -> int:
        """As it was."""
        return self.journal_size

    @property
    def modules(self) -> frozenset[str]:
        """The driver by its version; ext4 reads the older ones, too."""
        return frozenset({f"ext{self.version or 4}"})


@dataclass(frozen=True)
class Journal(FileSystem):
    """A device that holds the journal of an ext3 or ext4 file system on another one."""

    type = "ext journal"
    noun = "journal"
    has_files = False

    blocks: int = 0
    block_size: int = 0


def capture(survey: Survey) -> Iterator[Item]:
    """Every ext file system, mounted or not, and the journals of those that have them elsewhere."""
    journals = {}
    for device in survey.carrying("jbd"):
        found = read_superblock(survey.ask("dumpe2fs", "-h", device.path, lost=f"{device.path}: its size is unknown"))
        blocks, size = (_size(found.get(name, "")) for name in ("Block count", "Block size"))
        uuid, label = found.get("Filesystem UUID", device.uuid), found.get("Filesystem volume name", device.label)
        journals[uuid] = Journal(
            f"journal:{uuid or device.path}", (device.path,), uuid, label, blocks=blocks, block_size=size
        )
        yield journals[uuid]
    used = set()
    for device in survey.carrying("ext2", "ext3", "ext4"):
        lost = f"{device.path}: rear knows only the type of this {device.fstype} file system, not its options"
        text = survey.ask("dumpe2fs", "-h", device.path, lost=lost)
        item = _ext(device, found := read_superblock(text))
        if item.empty and not _has_lost_and_found(survey.sh, device.path, found):
            item = replace(item, empty=False)
        journal = journals.get(item.journal_uuid)
        used |= {item.journal_uuid}
        yield replace(item, needs=(*item.needs, journal.id)) if journal else item
    for uuid in journals.keys() - used:
        (path,) = journals[uuid].needs
        # It may hold what its file system has not written yet, and that does not mount without it.
        survey.leave_out(f"journal on {path}", "its file system is not described", lost=True, on=[path])


def read_superblock(text: str) -> dict[str, str]:
    """The fields of a superblock.

    >>> sh.query("dumpe2fs", "-h", "/dev/vda1")
    Filesystem volume name:   data
    Filesystem UUID:          5d6776a6-fd96-4adb-ade1-463678c90eef
    Filesystem features:      has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg ...
    Default mount options:    user_xattr acl
    Errors behavior:          Continue
    Inode count:              76912
    Block count:              307200
    Reserved block count:     15360
    Block size:               1024
    Group descriptor size:    64
    Reserved blocks uid:      0 (user root)
    Inode size:	          256
    Maximum mount count:      -1
    Check interval:           15552000 (6 months)
    Default directory hash:   half_md4
    Directory Hash Seed:      9f3e4536-160c-4d58-8ad2-0c3875a0b057
    Total journal size:       8M
    Cluster size:             65536
    MMP update interval:      5
    Reserved GDT blocks:      49
    """
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in pairs}
    return {name: "" if value in ("<none>", "(none)", "<not available>") else value for name, value in values.items()}


def has_no_files(sh: Shell, device: Device) -> bool:
    """Whether there is a file system on a device that has no files."""
    if not device.fstype.startswith("ext"):
        return False
    found = read_superblock(sh.query("dumpe2fs", "-h", device.path, ok=(0, 1)))
    return is_empty(found) and _has_lost_and_found(sh, device.path, found)


def _has_lost_and_found(sh: Shell, path: str, found: Mapping[str, str]) -> bool:
    """Whether the first inode that is not the system's is a folder: who has removed lost+found has a file there."""
    told = sh.query("debugfs", "-R", f"stat <{found.get('First inode', '11')}>", path)
    return bool(re.match(r"Inode: \d+\s+Type: directory\b", told))


def is_empty(found: Mapping[str, str]) -> bool:
    """Whether a file system that was unmounted in order has no file but lost+found (and that of orphans)."""
    features = found.get("Filesystem features", "").split()
    counts = [found.get(name, "") for name in ("Inode count", "Free inodes", "First inode")]
    if found.get("Filesystem state") != "clean" or "needs_recovery" in features or not all(map(str.isdigit, counts)):
        return False
    inodes, free, first = map(int, counts or ("0", "0", "11"))
    return inodes - free <= first + ("orphan_file" in features)


def _ext(device: Device, found: dict[str, str]) -> Ext:
    def number(name: str, default: int = 0) -> int:
        match = re.match(r"-?\d+", found.get(name, ""))
        return int(match.group()) if match else default

    # What dumpe2fs prints has lost its blanks.
    label = found.get("Filesystem volume name", device.label)
    blocks, size, inodes = number("Block count"), number("Block size"), number("Inode count")
    return Ext(
        id=identity(device),
        needs=(device.path,),
        uuid=found.get("Filesystem UUID", device.uuid),
        label=device.label if device.label.strip() == label else label,
        empty=is_empty(found),
        version=int(device.fstype[-1]),
        features=tuple(sorted(f for f in found.get("Filesystem features", "").split() if f not in STATES)),
        blocks=blocks,
        block_size=size,
        reserved_blocks=number("Reserved block count"),
        reserved_uid=number("Reserved blocks uid"),
        reserved_gid=number("Reserved blocks gid"),
        inodes=inodes,
        inode_size=number("Inode size"),
        bytes_per_inode=blocks * size // inodes if inodes else 0,
        blocks_per_group=number("Blocks per group"),
        flex_group_size=number("Flex block group size"),
        descriptor_size=number("Group descriptor size"),
        stride=number("RAID stride"),
        stripe_width=number("RAID stripe width"),
        journal_size=_size(found.get("Total journal size", found.get("Journal size", ""))),
        journal_uuid=found.get("Journal UUID", ""),
        default_options=tuple(found.get("Default mount options", "").split()),
        mount_options=found.get("Mount options", ""),
        directory_hash=found.get("Default directory hash", ""),
        hash_seed=found.get("Directory Hash Seed", ""),
        errors=found.get("Errors behavior", "").lower(),
        max_mount_count=number("Maximum mount count", -1),
        check_interval=number("Check interval"),
        quotas=tuple(kind for kind in ("User", "Group", "Project") if f"{kind} quota inode" in found),
        encoding=found.get("Character encoding", ""),
        cluster_size=number("Cluster size"),
        mmp_interval=number("MMP update interval"),
        reserved_gdt_blocks=number("Reserved GDT blocks"),
    )


def _size(text: str) -> int:
    """`8M` or `4096k` in bytes."""
    match = re.match(r"(\d+)([kMG]?)", text)
    return int(match[1]) << {"": 0, "k": 10, "M": 20, "G": 30}[match[2]] if match else 0


def contents(_layout: Layout) -> Contents:
    """The e2fsprogs, with the configuration mke2fs takes its defaults from."""
    return Contents(
        programs=["mke2fs", "tune2fs", "e2fsck", "dumpe2fs", "debugfs"],
        optional_programs=[
            "resize2fs",
            "mkfs.ext2",
            "mkfs.ext3",
            "mkfs.ext4",
            "fsck.ext2",
            "fsck.ext3",
            "fsck.ext4",
        ],
        modules=["ext4", "jbd2", "mbcache", "crc32c", "crc32c_intel"],
        files=["/etc/mke2fs.conf"],
    )
