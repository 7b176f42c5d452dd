# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with 64-bit ARM saves itself, is lost, comes back on another disk from media that boot there, and starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import arm64, backups, cache, compare, debian, machines, qemu
from lab.machines import Design, Drive

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(7200)]

DESIGN = Design(
    name="arm64",
    drives=[Drive("system", 0)],
    storage="",
    files={"/etc/fstab": arm64.FSTAB},
    settle="",
    facts=[
        "systemctl is-system-running --wait", "uname -m",
        "lsblk --noheadings --raw --output TYPE,FSTYPE,UUID,LABEL,PARTTYPE,PARTUUID,MOUNTPOINT"
        " $(findmnt -n -o SOURCE / | sed 's/p\\?2$//') | sort -u",
        "cat /proc/cmdline",
    ],
)  # fmt: skip


def test_an_arm_server_comes_back(tmp_path: Path) -> None:
    original = tmp_path / "original"
    debian.run("cp", "--sparse=always", arm64.disk(), original)
    place = backups.Place.empty(tmp_path / "backup", DESIGN)
    disks = [qemu.Disk(original, "original"), *place.disks]
    with arm64.Machine(disks=disks, memory=1024, transcript=cache.transcript("arm64-original")) as vm:
        machines.log_in(vm, DESIGN)
        backups.configure(vm, place, DESIGN)
        backups.put_odd_files(vm, DESIGN)
        vm.check("rear mkbackup", timeout=3600)
        vm.check(f"cp /var/lib/rear/output/{backups.ISO} /srv/backup/")
        compare.list_files(vm, "/srv/backup/files.json")
        facts = backups.facts(vm, DESIGN)
        backups.shut_down(vm)
    iso, files = (place.take(name, tmp_path) for name in (backups.ISO, "files.json"))

    disks = [qemu.Disk(qemu.blank(tmp_path / "new", 8192), "new", "nvme"), *place.disks]
    nvram = tmp_path / "nvram"
    with arm64.Machine(
        cdrom=iso, disks=disks, memory=1024, nvram=nvram, transcript=cache.transcript("arm64-recover")
    ) as vm:
        backups.recover(vm)
    with arm64.Machine(disks=disks, memory=1024, nvram=nvram, transcript=cache.transcript("arm64-recovered")) as vm:
        machines.log_in(vm, DESIGN)
        assert backups.facts(vm, DESIGN) == facts
        assert json.loads(vm.check("cat /var/log/rear/recovery-*.json"))["problems"] == []
        assert "debian" in vm.check("efibootmgr").lower()
        compare.list_files(vm, "/srv/backup/recovered.json")
        backups.shut_down(vm)
    assert compare.differences(files, place.take("recovered.json", tmp_path)) == {}
