# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted, as findmnt tells it."""

from __future__ import annotations

import json

import pytest

from rear_core.storage import survey
from rear_core.storage.inventory import Device
from rear_core.testing.fake_shell import FakeShell

ASKED = "findmnt --json --list --output TARGET,SOURCE,FSTYPE,OPTIONS,FSROOT,MAJ:MIN"
DEVICES = (Device("/dev/sda3", "sda3", "8:3", "part", 0), Device("/dev/mapper/vg-lv", "dm-3", "253:3", "lvm", 0))


@pytest.mark.parametrize(
    ("shown", "number", "path"),
    [
        ("/dev/sda3", "", "/dev/sda3"),
        ("/dev/sda3[/@home]", "", "/dev/sda3"),
        ("/dev/dm-3", "", "/dev/mapper/vg-lv"),
        ("/dev/disk/by-id/wwn-0x5000c500a1b2c3d4-part3", "8:3", "/dev/sda3"),
        ("/dev/vg/lv", "253:3", "/dev/mapper/vg-lv"),
        ("/dev/gone", "", "/dev/gone"),
        ("tmpfs", "8:3", "tmpfs"),
    ],
)
def test_a_source_is_known_by_whatever_name_the_kernel_was_told(
    monkeypatch: pytest.MonkeyPatch, shown: str, number: str, path: str
) -> None:
    row = {"target": "/srv", "source": shown, "fstype": "btrfs", "options": "rw", "fsroot": "/", "maj:min": "0:45"}
    monkeypatch.setattr(survey, "device_number", lambda name: number)
    (mounted,) = survey.read_mounts(FakeShell({ASKED: json.dumps({"filesystems": [row]})}), DEVICES)
    assert mounted.source == path
