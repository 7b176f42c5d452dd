# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the recorded machine on the rebuilt storage."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from rear_core.finalize.devices import Device, decoded, read_devices
from rear_core.testing.fake_shell import FakeShell
from unit.finalize.storage import ARRAY, CRYPT, ROOT, SWAP, storage

NEW = "99999999-9999-9999-9999-999999999999"


@pytest.mark.parametrize(
    ("tag", "value", "now"),
    [
        ("UUID", ROOT, ROOT),
        ("UUID", ROOT.upper(), ROOT.upper()),
        ("LABEL", "my root", "my root"),
        ("LABEL", r"my\040root", r"my\040root"),
        ("LABEL", r"my\x20root", r"my\x20root"),
        ("LABEL", "DVD", "DVD"),
        ("PARTUUID", "8f2d0b5c-02", "8f2d0b5c-02"),
        ("UUID", CRYPT, CRYPT),
        ("UUID", "gone", None),
        # A disk that the recovery left alone: its names by the kernel may mean another one now.
        ("UUID", "5-5", "5-5"),
        ("LABEL", "kept", "kept"),
        ("", "/dev/sdc", None),
        ("PARTLABEL", "root", None),
        ("", "/dev/sda1", "/dev/vda1"),
        ("", "/dev/sda", "/dev/vda"),
        ("", "/dev/md/data", "/dev/md/data"),
        ("", "/dev/mapper/crypt", "/dev/mapper/crypt"),
        ("", "/dev/vg0/my-data", "/dev/vg0/my-data"),
        ("", "/dev/mapper/vg0-my--data", "/dev/mapper/vg0-my--data"),
        ("", "/dev/sr0", "/dev/sr0"),
        ("", "/dev/sdz1", None),
        ("MD", ARRAY, ARRAY),
        ("MD", ARRAY.replace("a", "e"), None),
        ("LV", "vg0/my-data", "vg0/my-data"),
        ("LV", "vg0/other", None),
    ],
)
def test_a_name_is_kept_changed_or_lost(tag: str, value: str, now: str | None) -> None:
    assert storage().now(tag, value) == now


@pytest.mark.parametrize(("tag", "old"), [("UUID", ROOT), ("UUID", SWAP), ("UUID", CRYPT)])
def test_an_identifier_that_could_not_be_kept_is_found_by_its_place(tag: str, old: str) -> None:
    assert storage({old: NEW}).now(tag, old) == NEW


def test_a_changed_array_is_known_by_its_new_identifier() -> None:
    assert storage({ARRAY: "new"}).now("MD", ARRAY) == "new"


def test_devices_are_read_with_all_their_names(tmp_path: Path) -> None:
    (tmp_path / "disk/by-id").mkdir(parents=True)
    (tmp_path / "dm-0").touch()
    (tmp_path / "disk/by-id/dm-name-vg-root").symlink_to("../../dm-0")
    rows = [{"name": "/dev/mapper/vg-root", "kname": str(tmp_path / "dm-0")}, {"name": "/dev/sr0", "kname": "/dev/sr0"}]
    sh = FakeShell(
        {
            "lsblk --json --list --paths --output NAME,KNAME": json.dumps({"blockdevices": rows}),
            "blkid --cache-file /dev/null --output export": "DEVNAME=/dev/sda1\nPARTUUID=1-2\n\n"
            f"DEVNAME=/dev/mapper/vg-root\nLABEL=my\\ root\nUUID={ROOT}\nTYPE=ext4\n",
        }
    )
    names = {"/dev/mapper/vg-root", str(tmp_path / "dm-0"), str(tmp_path / "disk/by-id/dm-name-vg-root")}
    assert read_devices(sh, tmp_path) == [
        Device("/dev/mapper/vg-root", frozenset(names), {"UUID": ROOT, "LABEL": "my root"}),
        Device("/dev/sr0", frozenset({"/dev/sr0"}), {}),
    ]


def test_escapes_of_fstab_and_udev_are_read() -> None:
    assert decoded(r"a\040b\x2fc\134") == "a b/c\\"
