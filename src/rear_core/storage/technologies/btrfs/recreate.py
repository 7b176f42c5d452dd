# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system Btrfs recreated, with its subvolumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rear_core.storage.command import Command, Site
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item

from .capture import Btrfs, Subvolume, capture, contents
from .unseen import unseen
from .within import within


def recreate(item: Item, site: Site) -> Iterator[Command]:
    """Make the file system and, while its top is mounted aside, all its subvolumes."""
    if not isinstance(item, Btrfs):
        return
    devices, options = tuple(site.device(need) for need in item.needs), [*_options(item)]
    yield Command(
        ("mkfs.btrfs", "--quiet", "--force", *options, *devices),
        f"create {item.noun} {item.label or item.uuid} (btrfs)",
        destroys=f"everything on {', '.join(devices)}",
        devices=devices,
        # It refuses a UUID that is there, as it is on the healthy machine.
        trial=("mkfs.btrfs", "--quiet", "--force", *(o for o in options if not o.startswith("--uuid=")), *devices),
    )
    if len(devices) > 1:
        yield Command(("btrfs", "device", "scan", *devices), "tell the kernel which devices belong together")
    subvolumes = [sub for sub in site.layout.order() if isinstance(sub, Subvolume) and item.id in site.below(sub.id)]
    if not subvolumes and not item.quota and not item.no_copy_on_write:
        return
    top = _top(item)
    yield from _mount_top(item, site)
    paths = {sub.path for sub in subvolumes}
    for sub in subvolumes:
        folder = sub.path.rpartition("/")[0]
        if folder and folder not in paths:
            yield Command(("mkdir", "--parents", f"{top}/{folder}"), f"create the folder of subvolume {sub.path}")
        yield Command(("btrfs", "subvolume", "create", f"{top}/{sub.path}"), f"create subvolume {sub.path}")
        yield from _not_copied(f"{top}/{sub.path}", sub.no_copy_on_write)
    yield from _not_copied(top, item.no_copy_on_write)
    if item.default:
        yield Command(("btrfs", "subvolume", "set-default", f"{top}/{item.default}"), "choose the default subvolume")
    if item.quota:
        yield Command(("btrfs", "quota", "enable", top), f"enable quotas on {item.noun} {item.label or item.uuid}")
    yield Command(("umount", top), "unmount the top of the Btrfs")


def _not_copied(root: str, folders: Sequence[str]) -> Iterator[Command]:
    """The attribute of folders, before there are files in them: these have it from the start, or never."""
    for folder in folders:
        path = root if folder == "." else f"{root}/{folder}"
        if folder != ".":
            yield Command(("mkdir", "--parents", path), f"create the folder {folder}")
        yield Command(("chattr", "+C", path), f"turn off copy-on-write in {path}")


def notes(item: Item, _site: Site) -> Iterator[str]:
    """What is not described of quotas, and what only `btrfs receive` can set."""
    if isinstance(item, Btrfs) and item.quota:
        yield "quotas are enabled again, but set their limits and groups by hand (btrfs qgroup)"
    if isinstance(item, Subvolume) and item.received:
        yield "it was received with `btrfs receive`: the next `btrfs send` must send all of it, without -p"


def restored(item: Item, site: Site) -> Iterator[Command]:
    """Subvolumes become read-only when the files are back."""
    subvolumes = [s for s in site.layout if isinstance(s, Subvolume) and s.read_only and item.id in site.below(s.id)]
    if not isinstance(item, Btrfs) or not subvolumes:
        return
    yield from _mount_top(item, site)
    for sub in subvolumes:
        path = f"{_top(item)}/{sub.path}"
        yield Command(("btrfs", "property", "set", "-ts", path, "ro", "true"), f"set subvolume {sub.path} read-only")
    yield Command(("umount", _top(item)), "unmount the top of the Btrfs")


def _options(item: Btrfs) -> Iterator[str]:
    yield f"--uuid={item.uuid}"
    if item.label:
        yield f"--label={item.label}"
    if item.data_profile:
        yield f"--data={item.data_profile}"
    if item.metadata_profile:
        yield f"--metadata={item.metadata_profile}"
    if item.node_size:
        yield f"--nodesize={item.node_size}"
    if item.sector_size:
        yield f"--sectorsize={item.sector_size}"
    if item.checksum:
        yield f"--checksum={item.checksum}"
    if "MIXED_GROUPS" in item.features:
        yield "--mixed"
    if not item.features:
        return
    yield f"--features={'' if 'NO_HOLES' in item.features else '^'}no-holes"
    yield f"--runtime-features={'' if 'FREE_SPACE_TREE' in item.ro_features else '^'}free-space-tree"
    if "BLOCK_GROUP_TREE" in item.ro_features:
        yield "--features=block-group-tree"


def _top(item: Btrfs) -> str:
    return f"/run/rear/{item.uuid}"


def _mount_top(item: Btrfs, site: Site) -> Iterator[Command]:
    yield Command(("mkdir", "--parents", _top(item)), "create a mount point for the top of the Btrfs")
    argv = ("mount", "-t", "btrfs", "-o", "subvolid=5", site.device(item.id), _top(item))
    yield Command(argv, f"mount the top of {item.noun} {item.label or item.uuid}")


KIND = StorageKind(
    "btrfs", (Btrfs, Subvolume), capture, contents, recreate=recreate, restored=restored, notes=notes,
    exclusive=(Btrfs,), unseen=unseen, within=within,
)  # fmt: skip
