# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear format` shows a disk, and refuses every one that is not free to be erased."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import rear_output_usb
from rear_core import ConfigurationError, Refused, Run
from rear_core.media.grub_disk import BIOS_BOOT, BIOS_BOOT_SIZE, EFI_SYSTEM
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Outcome, Shell
from rear_core.storage.inventory import COLUMNS
from rear_core.testing.fake_shell import Answer, FakeShell
from rear_output_usb.disk import PROGRAMS, becomes, examine, partition_table

GIB = 1 << 30
ROOT, STICK = "11111111-2222-4333-8444-555555555501", "11111111-2222-4333-8444-555555555502"
# Devices that can be opened, and that nobody claims: what lies on them the fake shell says.
SDX, SDX1 = "/dev/null", "/dev/zero"


def node(path: str, type: str = "disk", size: int = 16 * GIB, **fields: Any) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return {"name": name, "kname": name, "maj:min": f"8:{len(name)}", "type": type, "size": size, **fields}


def stick(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    facts = {"model": "Ultra", "vendor": "SanDisk", "serial": "4C53", "tran": "usb", "rm": True, **fields}
    return node(SDX, **{"children": list(parts), **facts} if parts else facts)


def machine(
    *disks: dict[str, Any],
    mounts: Mapping[str, str] | None = None,
    swap: str = "",
    fstab: Mapping[str, str] | None = None,
    crypttab: str = "",
    labelled: str = "",
) -> FakeShell:
    """A machine with these disks; `mounts` and `fstab` are targets with their sources."""
    nothing = Outcome((), 2, "", "", 0)
    no_table = Outcome((), 1, "", "does not contain a recognized partition table", 0)
    mounted = [
        {"target": target, "source": source, "fstype": "ext4", "options": "rw", "fsroot": "/", "maj:min": "0:1"}
        for target, source in (mounts or {}).items()
    ]
    entries = [
        {"source": source, "target": target, "fstype": "ext4", "options": "noauto", "freq": 0, "passno": 0}
        for target, source in (fstab or {}).items()
    ]
    label = "blkid --cache-file /dev/null --match-token LABEL=REAR-000 --output device"
    answers: dict[str, Answer] = {
        f"lsblk --json --bytes --output {COLUMNS}": json.dumps({"blockdevices": disks}),
        "python3 -m rear_core.storage.inventory": "\n".join(disk["kname"] for disk in disks),
        "findmnt --json --list --output TARGET,SOURCE,FSTYPE,OPTIONS,FSROOT,MAJ:MIN": json.dumps(
            {"filesystems": mounted}
        ),
        "findmnt --fstab --json --list --output SOURCE,TARGET,FSTYPE,OPTIONS,FREQ,PASSNO": json.dumps(
            {"filesystems": entries}
        ),
        "swapon --show=NAME --noheadings --raw": swap,
        "cat /etc/crypttab": crypttab,
        label: labelled or nothing,
        **dict.fromkeys(PROGRAMS, ""),
    }
    waiting = [*disks]
    while waiting:
        device = waiting.pop()
        waiting += device.get("children", ())
        answers[f"sfdisk --json /dev/{device['name']}"] = no_table
        answers[f"blkid --probe --output export /dev/{device['name']}"] = nothing
    return FakeShell(answers)


def run(shell: Shell, conf: str = "") -> Run:
    sources = Sources(assignments=tuple(parse(conf, "local.conf")))
    return Run(evaluate(sources, rear_output_usb.rear_settings(), {}), Plugins([]), sh=shell)


def part(**fields: Any) -> dict[str, Any]:
    return node(SDX1, "part", **{"fstype": "vfat", "label": "PHOTOS", **fields})


def test_what_it_is_and_holds_is_shown() -> None:
    here = run(machine(stick(part())))
    assert examine(here, Path(SDX)) == [
        "/dev/null: SanDisk Ultra, 16 GiB, usb, serial number 4C53",
        '  /dev/zero: 16 GiB, vfat "PHOTOS"',
    ]
    assert becomes(here, Path(SDX)).endswith("an ext4 file system labelled REAR-000")


def test_a_blank_and_a_fixed_disk_are_named_as_such() -> None:
    assert examine(run(machine(stick())), Path(SDX))[1] == "  It is blank."
    here = run(machine(node(SDX, tran="sata")))
    assert examine(here, Path(SDX))[0] == "/dev/null: a disk, 16 GiB, sata, NOT a removable disk"


@pytest.mark.parametrize(
    ("shell", "reason"),
    [
        (machine(stick(part()), mounts={"/media/photos": SDX1}), "/dev/zero is mounted on /media/photos"),
        (machine(stick(fstype="vfat"), mounts={"/media/photos": SDX}), "/dev/null is mounted"),
        (machine(stick(part()), swap=f"{SDX1}\n"), "in use as swap"),
        (machine(stick(part(children=[node("/dev/md0", "raid1")]))), r"/dev/zero is in use: /dev/md0 \(raid1\)"),
        (machine(stick(part(children=[node("/dev/vg-lv", "lvm")]))), r"/dev/zero is in use: .*\(lvm\)"),
        (machine(stick(part(children=[node("/dev/secret", "crypt")]))), r"/dev/zero is in use: .*\(crypt\)"),
        (machine(stick(part(fstype="LVM2_member"))), "part of something larger"),
        (machine(stick(part(fstype="linux_raid_member"))), "part of something larger"),
        (machine(stick(part(uuid=STICK)), fstab={"/srv": f"UUID={STICK}"}), "/etc/fstab mounts it on /srv"),
        (machine(stick(part()), fstab={"/srv": 'LABEL="PHOTOS"'}), "/etc/fstab mounts it on /srv"),
        (machine(stick(part()), fstab={"/srv": SDX1}), "/etc/fstab mounts it on /srv"),
        (machine(stick(part(uuid=STICK)), crypttab=f"vault UUID={STICK} none\n"), "/etc/crypttab opens it as vault"),
        (machine(stick(size=GIB - 1)), "too small"),
        (machine(stick(size=0)), "no medium in it"),
        (machine(stick(ro=True)), "write-protected"),
        (machine(node(SDX, "loop")), "is not a disk, but of the kind loop"),
        (machine(stick(), labelled="/dev/sdy3\n"), "/dev/sdy3 has the label REAR-000 already"),
    ],
)
def test_what_is_not_free_is_refused(shell: FakeShell, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        examine(run(shell), Path(SDX))
    assert refused.value.hint


def test_a_partition_is_refused_with_its_disk() -> None:
    with pytest.raises(Refused, match="/dev/zero is a partition") as refused:
        examine(run(machine(stick(part()))), Path(SDX1))
    assert refused.value.hint == "name the whole disk, /dev/null"


def test_its_own_label_may_be_given_again() -> None:
    shell = machine(stick(part(fstype="ext4", label="REAR-000")), labelled=f"{SDX1}\n")
    assert examine(run(shell), Path(SDX))[1].endswith('ext4 "REAR-000"')


def test_a_missing_program_is_told_before_anything() -> None:
    with pytest.raises(Refused, match=r"needs: wipefs, sfdisk, mkfs\.vfat"):
        examine(run(FakeShell({})), Path(SDX))


def test_the_partition_table_is_taken_by_sfdisk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, GIB)
    Shell().run("sfdisk", disk, input=partition_table("REAR-007", 512))
    bios, efi, data = Shell().json("sfdisk", "--json", disk)["partitiontable"]["partitions"]
    assert bios["start"] * 512 == 1 << 20 and bios["size"] * 512 == BIOS_BOOT_SIZE
    assert efi["size"] * 512 == 64 << 20
    assert (efi["name"], data["name"]) == ("REAR-EFI", "REAR-007")
    assert data["size"] * 512 > 900 << 20


def test_a_disk_with_large_sectors_has_the_same_partitions_in_other_numbers() -> None:
    # FAT32 needs as many clusters, and none is smaller than a sector.
    assert f"start=256, size=512, type={BIOS_BOOT}" in partition_table("REAR-000", 4096)
    assert f"size=131072, type={EFI_SYSTEM}" in partition_table("REAR-000", 4096)


@pytest.mark.parametrize(
    ("conf", "problem"),
    [
        ("USB_DEVICE=sdb\n", "must be a path"),
        ("USB_DEVICE_FILESYSTEM_LABEL='MY STICK'\n", "1 to 16 letters"),
        ("USB_DEVICE_FILESYSTEM_LABEL=REAR-000-OF-THE-CELLAR\n", "1 to 16 letters"),
        ("USB_RETAIN_BACKUP_NR=0\n", "1 or more"),
    ],
)
def test_settings_are_checked(conf: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        run(Shell(), conf)
