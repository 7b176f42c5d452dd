# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume groups that are there: started and stopped, by rear and by the initramfs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rear_core.errors import ProgramFailed
from rear_core.rescue.tree import Tree
from rear_core.shell import Shell
from rear_core.storage.command import Command
from rear_core.storage.execute import is_block_device
from rear_core.storage.inventory import Device, volume_group
from rear_core.storage.kinds import Starting
from rear_core.storage.layout import Item
from rear_core.storage.references import Reference

from .items import LogicalVolume, VolumeGroup

# Its own settings of this machine, see lvm.conf(5).
LOCAL = Path("/etc/lvm/lvmlocal.conf")


def appear(sh: Shell) -> None:
    """Have LVM take the groups of any system for its own: to it the rescue system is another one than the machine
    (lvmsystemid(7)), and groups of others are hidden and cannot be stopped."""
    try:
        systems = {*sh.query("lvm", "vgs", "--foreign", "--noheadings", "--options", "vg_systemid").split()}
        before = LOCAL.read_text(errors="surrogateescape") if LOCAL.exists() else ""
        own = "local {\nextra_system_ids = [ " + ", ".join(f'"{system}"' for system in sorted(systems)) + " ]\n}\n"
        if systems and own not in before:
            LOCAL.parent.mkdir(exist_ok=True)
            LOCAL.write_text(f"{before}\n{own}", errors="surrogateescape")
    except (ProgramFailed, OSError) as error:
        # What is broken may be why the machine is recovered; what stays hidden is asked about.
        sh.log(f"groups of other systems stay hidden: {error}")


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
    return Command(("lvm", "vgchange", "--activate=n", group), f"deactivate volume group {group}")


def configure(tree: Tree) -> None:
    """In the rescue system LVM is to see all disks, whatever the machine hides from it: its filters know them by names
    that are other ones on another machine, and pvcreate(8) obeys them as well."""
    names = ("/etc/lvm/lvmlocal.conf", "/etc/lvm/lvm.conf")
    local, main = (tree.inside(name).read_text(errors="surrogateescape") if tree.has(name) else "" for name in names)
    # A release that has no list of devices would say that it does not know the word.
    listed = "use_devicesfile = 0\n" if "use_devicesfile" in main else ""
    all_disks = f'devices {{\nfilter = [ "a|.*|" ]\nglobal_filter = [ "a|.*|" ]\n{listed}}}\n'
    if local or main:
        tree.text(names[0], f"{local}\n{all_disks}")


def words(text: str) -> Iterator[Reference]:
    """The volumes that words for the kernel have the initramfs activate."""
    for match in re.finditer(r"(?<![\w.])rd\.lvm\.lv=([^\s\"'/]+/[^\s\"']+)", text):
        yield Reference(match.start(1), match.end(1), "LV", match[1])
