# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume groups that are there: started and stopped, by rear and by the initramfs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .command import Command
from .execute import is_block_device
from .inventory import Device, volume_group
from .kinds import Starting
from .layout import Item
from .lvm import LogicalVolume, VolumeGroup
from .references import Reference


def start(item: Item, starting: Starting) -> None:
    """Activate a group, with all its volumes."""
    if isinstance(item, VolumeGroup):
        starting.tell(f"activate {item}")
        starting.sh.run("lvm", "vgchange", "--activate=y", item.name)


def read_only(item: Item) -> tuple[list[str], list[str]] | None:
    """Activate a plain volume: to one that is mirrored or cached, or of a pool, LVM would write."""
    if not isinstance(item, LogicalVolume) or not item.is_plain or is_block_device(item.device):
        return None
    volume = f"{item.group}/{item.name}"
    config = f'activation {{ read_only_volume_list=["{volume}"] }}'
    argv = ["lvm", "lvchange", "--activate=y", f"--config={config}", volume]
    return argv, ["lvm", "lvchange", "--activate=n", volume]


def stop(device: Device) -> Command | None:
    """Deactivate the group of a volume, with all its volumes."""
    if device.type != "lvm":
        return None
    group = volume_group(device)
    return Command(("lvm", "vgchange", "--activate=n", group), f"volume group {group} is active")


def words(text: str) -> Iterator[Reference]:
    """The volumes that words for the kernel have the initramfs activate."""
    for match in re.finditer(r"(?<![\w.])rd\.lvm\.lv=([^\s\"'/]+/[^\s\"']+)", text):
        yield Reference(match.start(1), match.end(1), "LV", match[1])
