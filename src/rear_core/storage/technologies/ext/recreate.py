# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems ext2, ext3 and ext4 recreated, and the journals that they have on other devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rear_core.storage.command import Command, Site
from rear_core.storage.disk import sector_size
from rear_core.storage.kinds import StorageKind

from .capture import Ext, Journal, capture, contents, has_no_files

# Only ever set by other programs, or of no use without them.
NOT_MADE = ("shared_blocks", "journal_dev")
ERRORS = {"continue": "continue", "remount read-only": "remount-ro", "panic": "panic"}


def recreate(item: Ext | Journal, site: Site) -> Iterator[Command]:
    """Make the file system with exactly its features, then set what only tune2fs knows; or the journal of one."""
    device = site.device(item.id)
    if isinstance(item, Journal):
        yield _journal(item, site)
        return
    item = _in_sectors(item, site)
    options = ["-t", f"ext{item.version or 4}", *(["-U", item.uuid] if item.uuid else [])]
    options += ["-L", item.label] if item.label else []
    options += _geometry(item, site) if item.blocks else []
    journal = ["-J", f"device={site.device(item.needs[1])}"] if len(item.needs) > 1 else []
    reserved = ["-m", f"{100 * item.reserved_blocks / item.blocks:.4f}"] if item.blocks else []
    size, blocks = site.size(item.needs[0]), list[str]()
    if item.blocks and not site.is_resized(item.id) and item.blocks < size // item.block_size:
        # It did not fill its device.
        blocks = [str(item.blocks)]
    extended = [*_extended(item, site)] if item.blocks else []

    def argv(*more: str) -> tuple[str, ...]:
        words = [*extended, *more]
        return ("mke2fs", "-q", "-F", *options, *(["-E", ",".join(words)] if words else []), *reserved, device, *blocks)

    # Inode tables and journal of a large one are GiBs. A journal elsewhere has to be on a device.
    trial = argv("lazy_itable_init=1", "lazy_journal_init=1")
    options += journal
    yield Command(
        argv(),
        f"create {item.noun} {item.label or item.uuid or device} (ext{item.version or 4})",
        destroys=f"everything on {device}",
        devices=(device,),
        trial=trial,
    )
    if item.blocks:
        tuned = ("tune2fs", *_tuned(item, site), device)
        yield Command(tuned, f"tune {item.noun} {item.label or item.uuid}", trial=tuned)


def _in_sectors(item: Ext, site: Site) -> Ext:
    """The file system with blocks of a sector of its disk where they were smaller, which no kernel would mount."""
    sector = sector_size(site, item.id)
    if not item.blocks or item.block_size >= sector:
        return item
    times = sector // item.block_size
    return replace(
        item,
        block_size=sector,
        blocks=item.blocks // times,
        reserved_blocks=item.reserved_blocks // times,
        stride=item.stride // times,
        stripe_width=item.stripe_width // times,
        # What follows from the size of a block, and the least that a journal can have.
        blocks_per_group=0,
        reserved_gdt_blocks=0,
        cluster_size=item.cluster_size if item.cluster_size > sector else 0,
        journal_size=item.journal_size if item.journal_size >= 1024 * sector else 0,
    )


def _journal(item: Journal, site: Site) -> Command:
    """An empty journal; the file system that is made with it writes itself there."""
    device = site.device(item.id)
    options = ["-O", "journal_dev", *(["-b", str(item.block_size)] if item.block_size else [])]
    options += (["-U", item.uuid] if item.uuid else []) + (["-L", item.label] if item.label else [])
    room = site.size(item.needs[0]) // (item.block_size or 1)
    filled = not item.block_size or site.is_resized(item.id) or item.blocks >= room
    argv = ("mke2fs", "-q", "-F", *options, device, *([] if filled else [str(item.blocks)]))
    return Command(
        argv, f"create {item.noun} {item.label or item.uuid}", destroys=f"everything on {device}", devices=(device,),
        trial=argv,
    )  # fmt: skip


def _geometry(item: Ext, site: Site) -> list[str]:
    """Features, blocks, inodes and journal; inodes by density, and the usual journal, where the size is another."""
    resized = site.is_resized(item.id)
    density = ["-i", str(max(item.bytes_per_inode, item.block_size))] if resized else ["-N", str(item.inodes)]
    # One that the tools do not know is shown as FEATURE_C17.
    made = [word for word in item.features if word not in NOT_MADE and not word.startswith("FEATURE_")]
    options = ["-O", ",".join(["none", *made]), "-b", str(item.block_size), *density]
    # The oldest revision does not say: its inodes have 128 bytes.
    options += ["-I", str(item.inode_size or 128)]
    options += ["-C", str(item.cluster_size)] if item.cluster_size else []
    # A bit of the bitmap of a group stands for a cluster, which is a block in most.
    if item.blocks_per_group not in (0, (item.cluster_size or item.block_size) * 8):
        options += ["-g", str(item.blocks_per_group)]
    options += ["-G", str(item.flex_group_size)] if item.flex_group_size else []
    if item.journal_size and "has_journal" in made and not resized:
        options += ["-J", f"size={item.journal_size >> 20}"]
    return options


def _extended(item: Ext, site: Site) -> Iterator[str]:
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
    if item.mmp_interval and "mmp" in item.features:
        yield f"mmp_update_interval={item.mmp_interval}"
    if (most := _grows_to(item)) and not site.is_resized(item.id):
        yield f"resize={most}"


def _grows_to(item: Ext) -> int:
    """The blocks that there is room to grow to, as mke2fs reserves it, 0 where that is what it does by itself.

    It keeps place for the descriptors of a file system 1024 times as large, as far as one block of addresses goes.
    """
    if not item.reserved_gdt_blocks or "resize_inode" not in item.features:
        return 0
    per_group = item.blocks_per_group or item.block_size * 8
    per_block = item.block_size // (item.descriptor_size if "64bit" in item.features else 32) * per_group
    now = -(-item.blocks // per_block)
    usual = min(-(-min(item.blocks * 1024, (1 << 32) - 1) // per_block) - now, item.block_size // 4)
    # The least that makes it reserve as many.
    return 0 if usual == item.reserved_gdt_blocks else (now + item.reserved_gdt_blocks - 1) * per_block + 1


def refuses(item: Ext | Journal, site: Site) -> Iterator[str]:
    """A file system whose journal is on a device that is not described, or blocks that are smaller than sectors."""
    if 0 < item.block_size < sector_size(site, item.id) and (isinstance(item, Journal) or len(item.needs) > 1):
        yield (
            f"its journal is on another device, so its blocks of {item.block_size} bytes need disks with sectors as"
            " small"
        )
    if isinstance(item, Ext) and item.journal_uuid and not item.journal_size and len(item.needs) == 1:
        yield f"its journal {item.journal_uuid} is on a device that is missing or left out"


def notes(item: Ext | Journal, site: Site) -> Iterator[str]:
    """What mke2fs cannot make."""
    if isinstance(item, Ext) and (made := _in_sectors(item, site)) is not item:
        yield (
            f"its blocks now have {made.block_size} bytes, like the sectors of its disk, instead of"
            f" {item.block_size}: small files need more space"
        )
    if unknown := [word for word in item.features if word in NOT_MADE] if isinstance(item, Ext) else []:
        yield f"it is created without {', '.join(unknown)}"
    if isinstance(item, Ext) and "," in item.mount_options:
        yield f"tune2fs accepts only one default mount option, not {item.mount_options}"
    if isinstance(item, Ext) and item.quotas:
        yield "the limits of its quotas are not restored: set them again (setquota)"


def _tuned(item: Ext, site: Site) -> Iterator[str]:
    if not site.is_resized(item.id):
        yield from ("-r", str(item.reserved_blocks))
    yield from ("-u", str(item.reserved_uid), "-g", str(item.reserved_gid))
    yield from ("-c", str(item.max_mount_count), "-i", f"{item.check_interval}s")
    yield from ("-e", ERRORS.get(item.errors, "continue"))
    # The configuration of mke2fs has set these two where they were not asked for.
    unwanted = [f"^{option}" for option in ("acl", "user_xattr") if option not in item.default_options]
    yield from ("-o", ",".join([*item.default_options, *unwanted]))
    # mke2fs takes from the disk below what it is not given. Of several -E the last one counts.
    widths = {"stride": item.stride, "stripe_width": item.stripe_width}
    extended = [f"{name}=0" for name, width in widths.items() if not width]
    if item.directory_hash and "dir_index" in item.features:
        extended.append(f"hash_alg={item.directory_hash}")
    if item.mount_options and "," not in item.mount_options:
        extended.append(f"mount_opts={item.mount_options}")
    yield from ("-E", ",".join(extended)) if extended else ()


KIND = StorageKind(
    "ext", (Ext, Journal), capture, contents, recreate=recreate, refuses=refuses, notes=notes, is_empty=has_no_files
)
