# SPDX-License-Identifier: GPL-3.0-or-later
"""The drivers that it takes to reach a file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.finalize.drivers import missing, of_cards, of_disk
from rear_core.storage.disk import Disk
from unit.finalize.storage import LAYOUT


def sysfs(root: Path, place: str, block: str, drivers: dict[str, str]) -> Path:
    """A /sys with one disk at a place below /sys/devices; drivers by folder, "" for one that is built in."""
    (root / "devices" / place).mkdir(parents=True)
    (root / "class/block").mkdir(parents=True)
    (root / "class/block" / block).symlink_to(root / "devices" / place)
    for folder, module in drivers.items():
        driver = root / "bus/drivers" / folder.replace("/", "-")
        driver.mkdir(parents=True)
        (root / "devices" / folder / "driver").symlink_to(driver)
        if module:
            (root / "module" / module).mkdir(parents=True)
            (driver / "module").symlink_to(root / "module" / module)
    return root


@pytest.mark.parametrize(
    ("place", "block", "drivers", "expected"),
    [
        ("pci0000:00/0000:00:04.0/virtio1/block/vda", "vda",
         {"pci0000:00/0000:00:04.0": "virtio_pci", "pci0000:00/0000:00:04.0/virtio1": "virtio_blk"},
         {"virtio_pci", "virtio_blk"}),
        ("pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "sda",
         {"pci0000:00/0000:00:1f.2": "ahci", "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0": "sd_mod"},
         {"ahci", "sd_mod"}),
        ("pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1", "nvme0n1", {"pci0000:00/0000:00:04.0": "nvme"}, {"nvme"}),
        ("pci0000:00/0000:00:04.0/virtio1/block/vda", "vda", {"pci0000:00/0000:00:04.0": ""}, set()),
    ],
)  # fmt: skip
def test_the_drivers_of_a_disk_are_those_of_its_buses(
    tmp_path: Path, place: str, block: str, drivers: dict[str, str], expected: set[str]
) -> None:
    assert of_disk(f"/dev/{block}", sysfs(tmp_path, place, block, drivers)) == expected


def test_an_nvme_disk_with_several_paths_needs_the_driver_of_its_controllers(tmp_path: Path) -> None:
    root = sysfs(tmp_path, "virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "nvme0n1", {})
    sysfs(tmp_path / "other", "pci0/0000:00:04.0/nvme/nvme0", "unused", {"pci0/0000:00:04.0": "nvme"})
    controller = tmp_path / "other/devices/pci0/0000:00:04.0/nvme/nvme0"
    (controller / "device").symlink_to("../..")
    (root / "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0").symlink_to(controller)
    assert of_disk("/dev/nvme0n1", root) == {"nvme"}


@pytest.mark.parametrize(
    ("id", "disks", "modules"),
    [("mount:/", ["disk:one"], {"ext4"}), ("lv:vg0/my-data", ["disk:two"], {"dm_mod", "dm_crypt", "raid1"})],
)
def test_the_stack_is_followed_down_to_the_disks(id: str, disks: list[str], modules: set[str]) -> None:
    below = LAYOUT.below(id)
    assert [item.id for item in below if isinstance(item, Disk)] == disks
    assert {name for item in below for name in item.modules} == modules


def test_what_is_built_in_or_carried_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "modules.builtin").write_text("kernel/drivers/ata/libata.ko\nkernel/fs/ext4/ext4.ko\n")
    needed = {"libata", "ext4", "ext3", "ahci", "virtio_blk"}
    assert missing(needed, frozenset({"virtio_blk"}), tmp_path) == ["ahci"]


def test_a_disk_at_the_other_end_of_a_network_needs_the_cards_that_are_up(tmp_path: Path) -> None:
    root = sysfs(tmp_path, "pci0000:00/0000:00:03.0", "none", {"pci0000:00/0000:00:03.0": "e1000e"})
    (root / "class/net").mkdir()
    for name, state in {"eth0": "up", "eth1": "down", "lo": "unknown"}.items():
        card = root / "devices" / ("virtual" if name == "lo" else "pci0000:00/0000:00:03.0") / "net" / name
        card.mkdir(parents=True)
        (card / "operstate").write_text(f"{state}\n")
        (root / "class/net" / name).symlink_to(card)
    (root / "devices/pci0000:00/0000:00:03.0/net/eth0/device").symlink_to(root / "devices/pci0000:00/0000:00:03.0")
    (root / "class/net/bonding_masters").write_text("")
    assert of_cards(root) == {"e1000e"}
