# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the recorded machine on the rebuilt storage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core.finalize.devices import Device, Storage, decoded, read_devices
from rear_core.finalize.proof import needed_modules
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.plan import Rebuilt, without
from rear_core.storage.references import TAGS
from rear_core.testing.fake_shell import FakeShell
from unit.finalize.storage import ARRAY, CRYPT, DEVICES, LAYOUT, ROOT, SWAP, storage

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
        ("LABEL", "MY ROOT", None),
        ("LABEL", "dvd", None),
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
    assert decoded(r"gr\303\266\xc3\x9fe") == "größe"


BY_ID = "/dev/disk/by-id/"


@pytest.mark.parametrize(
    ("serial", "wwn", "link", "meant"),
    [
        ("QM00001", "", "ata-QEMU_HARDDISK_QM00001", "/dev/vda"),
        ("QM00001", "", "ata-QEMU_HARDDISK_QM00001-part1", "/dev/vda1"),
        ("QM00001", "", "ata-QEMU_HARDDISK_QM00001-part9", None),
        ("QM00001", "", "ata-QEMU_HARDDISK_AQM00001", None),
        ("S64D NX0R", "", "nvme-Samsung_SSD_980_S64D_NX0R_1-part1", "/dev/vda1"),
        ("", "0x5000c500a1b2c3d4", "wwn-0x5000c500a1b2c3d4", "/dev/vda"),
        ("", "0x5000c500a1b2c3d4", "scsi-35000c500a1b2c3d4-part1", "/dev/vda1"),
        ("", "eui.002538b121b0c0a5", "nvme-eui.002538b121b0c0a5", "/dev/vda"),
        ("", "", "ata-QEMU_HARDDISK_QM00001", None),
        ("x", "", f"md-uuid-{ARRAY}", "/dev/md127"),
        ("x", "", "dm-name-vg0-my--data", "/dev/mapper/vg0-my--data"),
    ],
)
def test_a_link_by_identity_leads_to_the_successor_of_its_disk(
    serial: str, wwn: str, link: str, meant: str | None
) -> None:
    items = [replace(i, serial=serial, wwn=wwn) if isinstance(i, Disk) and i.id == "disk:one" else i for i in LAYOUT]
    disks = {"disk:one": "/dev/vda", "disk:two": "/dev/vdb"}
    bare = [replace(found, names=frozenset({found.path})) for found in DEVICES]
    now = Storage(make(items), Rebuilt(Site(make(items), disks), disks), bare).now("", BY_ID + link)
    assert now == meant


def test_a_link_of_the_same_kind_takes_the_place_of_one_that_is_gone() -> None:
    names = frozenset({"/dev/vda", BY_ID + "ata-new_X1", BY_ID + "wwn-0x1234567812345678"})
    items = [replace(i, wwn="0x5000c500a1b2c3d4") if isinstance(i, Disk) and i.id == "disk:one" else i for i in LAYOUT]
    disks = {"disk:one": "/dev/vda"}
    storage = Storage(make(items), Rebuilt(Site(make(items), disks), disks), [Device("/dev/vda", names)])
    assert storage.now("", BY_ID + "wwn-0x5000c500a1b2c3d4") == BY_ID + "wwn-0x1234567812345678"
    assert storage.now("", BY_ID + "ata-old_one") == BY_ID + "ata-new_X1"


@pytest.mark.parametrize("gone", [{"disk:one"}, {"disk:two"}, {"disk:one", "disk:two", "disk:left"}])
def test_whatever_was_left_out_every_name_has_an_answer(gone: set[str]) -> None:
    disks = {id: f"/dev/vd{id[-1]}" for id in ("disk:one", "disk:two", "disk:left") if id not in gone}
    rebuilt = Rebuilt(Site(without(LAYOUT, gone), disks), disks)
    storage = Storage(LAYOUT, rebuilt, DEVICES)
    assert needed_modules(LAYOUT, rebuilt, Path("/nowhere")) == {"ext4"}
    for item in LAYOUT:
        assert (storage.place(item) != "") == (item.id in rebuilt.site.layout)
        for tag in (*TAGS, "MD", "LV", ""):
            for name in ("uuid", "label", "device", "name"):
                storage.now(tag, str(getattr(item, name, "")))


def test_what_was_left_out_with_its_disk_leads_nowhere() -> None:
    kept = make(item for item in LAYOUT if item.id not in ("disk:left", "fs:left"))
    storage = Storage(LAYOUT, Rebuilt(Site(kept, {"disk:one": "/dev/vda"}), {"disk:one": "/dev/vda"}), [])
    assert storage.now("UUID", "5-5") is None
    assert storage.now("", "/dev/sdc") is None
