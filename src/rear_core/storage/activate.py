# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings storage that is there to life without changing it: arrays, LUKS, volume groups, mounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ..shell import Shell
from .command import Command, Site
from .execute import is_block_device
from .inventory import is_part, read_devices
from .kinds import StorageKind
from .layout import Layout, make
from .luks import Luks
from .lvm import LogicalVolume, VolumeGroup
from .md import Array
from .mount import Mount

# By cryptsetup(8), when no key slot takes the passphrase.
NO_KEY = 2


def activate(
    sh: Shell, layout: Layout, unlock: Callable[[Luks, Callable[[str], bool]], None], tell: Callable[[str], None]
) -> None:
    """Start what the layout has and what does not run yet; `unlock` is given a volume and what tries a passphrase."""
    for item in layout.order():
        if isinstance(item, Array):
            tell(f"assemble {item}")
            # It is no failure that it runs already.
            sh.run("mdadm", "--assemble", "--scan", f"--uuid={item.uuid}", ok=(0, 1, 2))
        elif isinstance(item, Luks) and item.name and not is_block_device(f"/dev/mapper/{item.name}"):
            tell(f"open {item}")
            unlock(item, _trying(sh, item))
        elif isinstance(item, VolumeGroup):
            tell(f"activate {item}")
            sh.run("lvm", "vgchange", "--activate=y", item.name)
    sh.run("udevadm", "settle", "--timeout=60")


@contextmanager
def readable(sh: Shell, layout: Layout, tell: Callable[[str], None]) -> Iterator[None]:
    """A block in which that of a layout runs which can without anything being written: arrays, plain volumes.

    A mirrored or cached volume, or one of a pool, is not started: LVM would write to it. Nor is a closed LUKS volume.
    """
    with ExitStack() as undo:
        for item in layout.order():
            link = f"/dev/disk/by-id/md-uuid-{getattr(item, 'uuid', '')}"
            if isinstance(item, Array) and not is_block_device(link):
                argv = ["mdadm", "--assemble", "--readonly", "--scan", f"--uuid={item.uuid}"]
                stop = ["mdadm", "--stop", link]
            elif isinstance(item, LogicalVolume) and item.is_plain and not is_block_device(item.device):
                volume = f"{item.group}/{item.name}"
                read_only = f'activation {{ read_only_volume_list=["{volume}"] }}'
                argv = ["lvm", "lvchange", "--activate=y", f"--config={read_only}", volume]
                stop = ["lvm", "lvchange", "--activate=n", volume]
            else:
                continue
            tell(f"start {item}, to be read")
            # Where it is not there, as on a new disk, it is no failure.
            if sh.run(*argv, ok=(0, 1, 2, 5)).status == 0:
                undo.callback(sh.run, *stop, ok=(0, 1, 2, 5))
                sh.run("udevadm", "settle", "--timeout=60")
        yield


def _trying(sh: Shell, volume: Luks) -> Callable[[str], bool]:
    """What opens a volume with a passphrase, and tells whether it has it."""
    argv = ("cryptsetup", "open", "--key-file=-", _holding(sh, volume), volume.name)
    return lambda word: sh.run(*argv, input=word, ok=(0, NO_KEY)).status == 0


def _holding(sh: Shell, volume: Luks) -> str:
    """The device that holds a volume, or the link that cryptsetup says is missing.

    The link may be that of something which begins where the device does: a leg of a mirrored logical volume, a
    partition that only the kernel sees.
    """
    sh.run("udevadm", "settle", "--timeout=60")
    devices = read_devices(sh, lambda _line: None)
    holding = (d.path for d in devices.values() if d.uuid == volume.uuid and not is_part(devices, d))
    return next(holding, f"/dev/disk/by-uuid/{volume.uuid}")


def mounting(
    layout: Layout, now: Layout, disks: Mapping[str, str], kinds: Sequence[StorageKind], target: str
) -> Iterator[Command]:
    """The commands that mount what a layout has, where its items are `now`."""
    items = [item if isinstance(item, Mount) else now.get(item.id) or item for item in layout]
    site = Site(make(items), disks, target=target)
    recreate = next(kind.recreate for kind in kinds if Mount in kind.items)
    assert recreate is not None
    for item in site.layout.order():
        if isinstance(item, Mount):
            yield from recreate(item, site)
