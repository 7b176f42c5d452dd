# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted, as findmnt tells it."""

from __future__ import annotations

import json

import pytest

from rear_core.fstab import FstabEntry
from rear_core.shell import Outcome
from rear_core.storage import mount, survey
from rear_core.storage.disk import Partition
from rear_core.storage.filesystem import FileSystem
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


def automounts(*rows: tuple[str, str], fstab: str = "") -> FakeShell:
    """A machine with automounters of these sources on these targets."""
    mounted = [
        {
            "target": target,
            "source": source,
            "fstype": "autofs",
            "options": "rw,direct",
            "fsroot": "/",
            "maj:min": "0:9",
        }
        for target, source in rows
    ]
    columns = "SOURCE,TARGET,FSTYPE,OPTIONS,FREQ,PASSNO"
    return FakeShell(
        {
            ASKED: json.dumps({"filesystems": mounted}),
            f"findmnt --fstab --json --list --output {columns}": fstab,
            "stat --format=%i /archive/.": "2",
            "stat --format=%i /efi/.": Outcome((), 1, "", "stat: cannot statx '/efi/.': No such device", 0),
        }
    )


def test_what_is_mounted_on_demand_is_mounted() -> None:
    warnings: list[str] = []
    shell = automounts(("/archive", "systemd-1"), ("/efi", "systemd-1"), ("/home", "/etc/auto.home"))
    mount.wake(shell, warnings.append)
    assert [line for line in shell.asked if line.startswith("stat")] == [
        "stat --format=%i /archive/.",
        "stat --format=%i /efi/.",
    ]
    assert len(warnings) == 1 and warnings[0].startswith("/efi is mounted on demand, but cannot be mounted now: ")


def test_a_server_is_not_woken() -> None:
    row = {"source": "nas:/x", "target": "/archive", "fstype": "nfs4", "options": "x-systemd.automount"}
    shell = automounts(("/archive", "systemd-1"), fstab=json.dumps({"filesystems": [{**row, "freq": 0, "passno": 0}]}))
    mount.wake(shell, lambda line: None)
    assert not [line for line in shell.asked if line.startswith("stat")]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("LABEL=DATA", "/dev/sda1"),
        ("LABEL=data", "/dev/sdb1"),
        ('LABEL="data"', "/dev/sdb1"),
        ("LABEL=Data", ""),
        ("PARTLABEL=Root", "/dev/sda1"),
        ("PARTLABEL=root", "/dev/sdb1"),
        ("UUID=66FC-EA5D", "/dev/sda1"),
        ("UUID=66fc-ea5d", "/dev/sda1"),
        ("PARTUUID=8F2D0B5C-02", "/dev/sdb1"),
        ("/dev/disk/by-label/data", "/dev/sdb1"),
        (r"/dev/disk/by-partlabel/my\x20root", "/dev/sdc1"),
        ("/dev/disk/by-uuid/66FC-EA5D", "/dev/sda1"),
    ],
)
def test_labels_mean_what_is_spelled_just_so_and_identifiers_do_not_mind(spec: str, path: str) -> None:
    rows = (("sda1", "DATA", "66FC-EA5D", "Root"), ("sdb1", "data", "5-5", "root"), ("sdc1", "", "6-6", "my root"))
    devices = {
        f"/dev/{name}": Device(f"/dev/{name}", name, "", "part", 1, "vfat", uuid, label)
        for name, label, uuid, _ in rows
    }
    here = survey.Survey(FakeShell({}), devices, [], [], pytest.fail)
    here.items = [
        Partition(f"partition:{n}", (), n, 0, 1, "83", uuid=f"8f2d0b5c-{n:02x}", name=row[3], device=f"/dev/{row[0]}")
        for n, row in enumerate(rows, 1)
    ]
    assert mount.find_device(here, spec) == path


@pytest.mark.parametrize("spec", ["/dev/disk/by-id/wwn-0x5000c500a1b2c3d4-part3", "/dev/dm-3", "/dev/mapper/vg-lv"])
def test_a_device_is_found_by_whatever_link_fstab_names(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.setattr(survey, "device_number", lambda _name: "8:3")
    here = survey.Survey(FakeShell({}), {device.path: device for device in DEVICES}, [], [], pytest.fail)
    here.items = [Partition(f"p:{n}", (), n, 0, 1, "83", device=device.path) for n, device in enumerate(DEVICES)]
    assert mount.find_device(here, spec) == ("/dev/sda3" if "by-id" in spec else "/dev/mapper/vg-lv")


@pytest.mark.parametrize("options", ["noauto,x-systemd.automount", "x-systemd.automount", "noauto"])
def test_a_line_of_fstab_that_an_automounter_hides_is_one_that_is_not_mounted(options: str) -> None:
    device = Device("/dev/sdb1", "sdb1", "8:17", "part", 1 << 30, "xfs", "1-2")
    part = Partition("partition:p", (), 1, 1 << 20, 1 << 30, "83", device="/dev/sdb1")
    waiting = survey.Mounted("/data", "systemd-1", "autofs", "rw,direct", "/", "0:40")
    line = FstabEntry("UUID=1-2", "/data", "xfs", options)
    mounts = [waiting] if "automount" in options else []
    here = survey.Survey(FakeShell({}), {device.path: device}, mounts, [line], pytest.fail)
    here.items = [part, FileSystem("fs:1-2", ("partition:p",))]
    (item,) = mount.capture(here)
    assert isinstance(item, mount.Mount) and (item.target, item.mounted) == ("/data", False)
