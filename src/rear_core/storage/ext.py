# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems ext2, ext3 and ext4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..rescue.contents import Contents
from .command import Command, Site
from .filesystem import FileSystem, identity
from .inventory import Device
from .kinds import StorageKind
from .layout import Item, Layout
from .survey import Survey

# Features that say in what state the file system is, not how it was made.
STATES = ("needs_recovery", "orphan_present")


@dataclass(frozen=True)
class Ext(FileSystem):
    """An ext2, ext3 or ext4 file system. Sizes are bytes, but for `blocks` and `reserved_blocks`;
    `max_mount_count` -1 and `check_interval` 0 (seconds) mean never."""

    type = "ext"
    noun = "file system"

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


def capture(survey: Survey) -> Iterator[Item]:
    """Every ext file system, mounted or not."""
    for device in survey.carrying("ext2", "ext3", "ext4"):
        lost = f"{device.path}: only the type of this {device.fstype} file system is known, its options are lost"
        text = survey.ask("dumpe2fs", "-h", device.path, lost=lost)
        yield _ext(device, read_superblock(text))


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
    """
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in pairs}
    return {name: "" if value in ("<none>", "(none)", "<not available>") else value for name, value in values.items()}


def _ext(device: Device, found: dict[str, str]) -> Ext:
    def number(name: str, default: int = 0) -> int:
        match = re.match(r"-?\d+", found.get(name, ""))
        return int(match.group()) if match else default

    blocks, size, inodes = number("Block count"), number("Block size"), number("Inode count")
    return Ext(
        id=identity(device),
        needs=(device.path,),
        uuid=found.get("Filesystem UUID", device.uuid),
        label=found.get("Filesystem volume name", device.label),
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
    )


def _size(text: str) -> int:
    """`8M` or `4096k` in bytes."""
    match = re.match(r"(\d+)([kMG]?)", text)
    return int(match[1]) << {"": 0, "k": 10, "M": 20, "G": 30}[match[2]] if match else 0


def contents(_layout: Layout) -> Contents:
    """The e2fsprogs, with the configuration mke2fs takes its defaults from."""
    return Contents(
        programs=["mke2fs", "tune2fs", "e2fsck", "dumpe2fs"],
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


# Only ever set by other programs, or of no use without them.
NOT_MADE = ("shared_blocks", "bigalloc", "journal_dev")
ERRORS = {"continue": "continue", "remount read-only": "remount-ro", "panic": "panic"}


def recreate(item: Ext, site: Site) -> Iterator[Command]:
    """Make the file system with exactly its features, then set what only tune2fs knows."""
    device = site.device(item.id)
    options = ["-t", f"ext{item.version or 4}", *(["-U", item.uuid] if item.uuid else [])]
    options += ["-L", item.label] if item.label else []
    blocks: list[str] = []
    reserved: list[str] = []
    if item.blocks:
        resized = site.is_resized(item.id)
        density = ["-i", str(max(item.bytes_per_inode, item.block_size))] if resized else ["-N", str(item.inodes)]
        # One that the tools do not know is shown as FEATURE_C17.
        made = [word for word in item.features if word not in NOT_MADE and not word.startswith("FEATURE_")]
        options += ["-O", ",".join(["none", *made]), "-b", str(item.block_size), *density]
        # The oldest revision does not say: its inodes have 128 bytes.
        options += ["-I", str(item.inode_size or 128)]
        if item.blocks_per_group not in (0, item.block_size * 8):
            options += ["-g", str(item.blocks_per_group)]
        options += ["-G", str(item.flex_group_size)] if item.flex_group_size else []
        if item.journal_size and "has_journal" in made and not resized:
            options += ["-J", f"size={item.journal_size >> 20}"]
        reserved = ["-m", f"{100 * item.reserved_blocks / item.blocks:.4f}"]
        size = site.size(item.needs[0])
        if not resized and size and item.blocks < size // item.block_size:
            # It did not fill its device.
            blocks = [str(item.blocks)]
    extended = [*_extended(item)] if item.blocks else []

    def argv(*more: str) -> tuple[str, ...]:
        words = [*extended, *more]
        return ("mke2fs", "-q", "-F", *options, *(["-E", ",".join(words)] if words else []), *reserved, device, *blocks)

    yield Command(
        argv(),
        f"make {item.noun} {item.label or item.uuid or device} (ext{item.version or 4})",
        destroys=f"what lies on {device}",
        devices=(device,),
        # Inode tables and journal of a large one are GiBs.
        trial=argv("lazy_itable_init=1", "lazy_journal_init=1"),
    )
    if item.blocks:
        tuned = ("tune2fs", *_tuned(item, site), device)
        yield Command(tuned, f"tune {item.noun} {item.label or item.uuid}", trial=tuned)


def _extended(item: Ext) -> Iterator[str]:
    if item.hash_seed:
        yield f"hash_seed={item.hash_seed}"
    if item.stride:
        yield f"stride={item.stride}"
    if item.stripe_width:
        yield f"stripe_width={item.stripe_width}"
    if item.encoding:
        yield f"encoding={item.encoding}"
    if item.quotas:
        kinds = {"User": "usrquota", "Group": "grpquota", "Project": "prjquota"}
        yield "quotatype=" + ":".join(kinds[kind] for kind in item.quotas)


def _tuned(item: Ext, site: Site) -> Iterator[str]:
    if not site.is_resized(item.id):
        yield from ("-r", str(item.reserved_blocks))
    yield from ("-u", str(item.reserved_uid), "-g", str(item.reserved_gid))
    yield from ("-c", str(item.max_mount_count), "-i", f"{item.check_interval}s")
    yield from ("-e", ERRORS.get(item.errors, "continue"))
    # The configuration of mke2fs has set these two where they were not asked for.
    unwanted = [f"^{option}" for option in ("acl", "user_xattr") if option not in item.default_options]
    yield from ("-o", ",".join([*item.default_options, *unwanted]))
    if item.directory_hash and "dir_index" in item.features:
        yield from ("-E", f"hash_alg={item.directory_hash}")
    if item.mount_options:
        yield from ("-E", f"mount_opts={item.mount_options}")


KIND = StorageKind("ext", (Ext,), capture, contents, recreate=recreate)
