# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of logical volumes, and which devices are only parts of them."""
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.storage.inventory import Device, is_part, volume_group
from rear_core.storage.lvm import LogicalVolume


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
