# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of logical volumes, and which devices are only parts of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.storage.inventory import COLUMNS, Device, is_part, probe, read_devices, unshelled, volume_group
from rear_core.storage.technologies.lvm import LogicalVolume
from rear_core.testing.fake_shell import FakeShell


def volume(name: str, *children: str, type: str = "lvm") -> Device:
    return Device(f"/dev/mapper/{name}", "dm-0", "", type, 1, children=tuple(f"/dev/mapper/{c}" for c in children))


@given(*[st.text("ab-_.", min_size=1).filter(lambda name: not name.startswith("-") and not name.endswith("-"))] * 2)
def test_the_group_of_a_volume_is_read_from_its_name(group: str, name: str) -> None:
    made = LogicalVolume("lv", (), group, name, "u", 1, "linear")
    assert volume_group(volume(made.place("").rpartition("/")[2])) == group


@pytest.mark.parametrize(
    ("device", "child", "expected"),
    [
        (volume("vg-mirror_rmeta_0", "vg-mirror"), volume("vg-mirror"), True),
        (volume("vg-disk", "inner-root"), volume("inner-root"), False),
        (volume("vg-vault", "vault"), volume("vault", type="crypt"), False),
    ],
    ids=["metadata of a mirror", "a group in a volume", "LUKS on a volume"],
)
def test_parts_are_told_from_volumes(device: Device, child: Device, expected: bool) -> None:
    devices = {d.path: d for d in (device, child)}
    assert is_part(devices, device) is expected
    assert not is_part(devices, child)
    assert not is_part(devices, replace(device, children=()))


def test_partitions_of_an_array_are_not_those_of_its_disks() -> None:
    """With metadata 1.0 a mirror begins where its disks do."""

    def node(name: str, type: str, *children: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "kname": name, "maj:min": "8:0", "type": type, "size": 1, "children": list(children)}

    array = node("md127", "raid1", node("md127p1", "part"))
    tree = [node(disk, "disk", array, node(f"{disk}1", "part")) for disk in ("sda", "sdb")]
    tree.append(node("sdc", "disk", node("sdc1", "part", node("md1", "raid1")), node("sdc2", "part")))
    listing = json.dumps({"blockdevices": tree})
    lsblk = f"lsblk --json --bytes --output {COLUMNS}"
    shell = FakeShell({lsblk: listing, "python3 -m rear_core.storage.inventory": ""})
    devices = read_devices(shell, pytest.fail)
    assert "/dev/sda1" not in devices and devices["/dev/sdb"].children == ("/dev/md127",)
    assert {"/dev/md127p1", "/dev/sdc1", "/dev/sdc2"} <= {*devices}


@pytest.mark.parametrize(
    ("shown", "label"),
    [
        (r"\ M-CM-\$\ b\'c\$d\\", " ä b'c$d\\"), ("plain", "plain"), ("grün", "grün"), ("a^Ib", "a\tb"),
    ],
)  # fmt: skip
def test_labels_as_they_were_before_they_were_made_for_a_shell(shown: str, label: str) -> None:
    assert unshelled(shown) == label


def test_odd_labels_are_asked_for_as_they_are() -> None:
    export = "blkid --probe --output export /dev/sda"
    exact = {"blkid --probe --output value --match-tag LABEL /dev/sda": "M-^a\\040\n"}
    shell = FakeShell({export: "DEVNAME=/dev/sda\nLABEL=M-^a\\\\040\nTYPE=ext4\n", **exact})
    assert probe(shell, "/dev/sda") == (0, {"DEVNAME": "/dev/sda", "LABEL": "M-^a\\040", "TYPE": "ext4"})
    assert probe(FakeShell({export: "LABEL=a\\ b\n"}), "/dev/sda")[1]["LABEL"] == "a b"


def test_what_stands_on_disks_is_none_whatever_lsblk_calls_it() -> None:
    """A driver that is no device mapper has no word of its own there."""

    def node(name: str, *children: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "kname": name, "maj:min": "8:0", "type": "disk", "size": 1, "children": list(children)}

    tree = json.dumps({"blockdevices": [node("sda", node("fast0")), node("sdb", node("fast0")), node("sdc")]})
    lsblk = f"lsblk --json --bytes --output {COLUMNS}"
    devices = read_devices(FakeShell({lsblk: tree, "python3 -m rear_core.storage.inventory": ""}), pytest.fail)
    assert [path for path, device in devices.items() if device.is_disk] == ["/dev/sda", "/dev/sdb", "/dev/sdc"]
    assert devices["/dev/fast0"].parents == ("/dev/sda", "/dev/sdb")
