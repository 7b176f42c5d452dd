# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear drill` recovers a machine by itself, and fails with the reason when its backup is damaged."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import backups, machines, originals, qemu
from lab.designs.debian import RESTIC
from lab.designs.laptops import LAPTOP
from rear_core.rescue.initramfs import Member, pack
from rear_core.shell import Shell
from rear_drill import image

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

# The machine's name and the place of its backup are true in namespaces of their own, as is a server at an address that
# documentation has. Where /dev/kvm is known to hang, it is not there: each rehearsal would try it for ten seconds.
DRILL = r"""
set -e
hostname debian12
[ -z "$6" ] || mount --bind /dev/null /dev/kvm
mount -t tmpfs tmpfs /srv
mkdir /srv/backup
mount -o loop "$1" /srv/backup
[ -z "$3" ] || "$4" -c "$3" /srv/backup/debian12/*/backup.tar.zst
mount -o remount,ro /srv/backup
ip link set lo up
ip address add 192.0.2.1/32 dev lo
if [ -n "$7" ]; then
    rclone serve restic --addr 192.0.2.1:8000 /srv/backup/restic &
    trap "kill $!" EXIT
fi
"$(dirname "$4")/rear" -c "$2" drill --memory 1024 --cpus 1 "$5"
"""
FLIP = """
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(1000000)
    byte = file.read(1)[0]
    file.seek(1000000)
    file.write(bytes([byte ^ 1]))
"""


@dataclass(frozen=True)
class Drilled:
    """How `rear drill` ended, what it said, and its report."""

    status: int
    said: str
    report: dict[str, Any]


def drill(folder: Path, saved: backups.Saved, iso: Path, *, damage: str = "", server: bool = False) -> Drilled:
    """Rehearse the recovery of a machine with BIOS by a rescue image, with a copy of its backup."""
    place = saved.place.copy(folder / "backup")
    (folder / "etc").mkdir()
    (folder / "work").mkdir()
    conf = f"OS_FAMILY=debian\nVAR_DIR={folder}/var\nTMPDIR={folder}/work\nLOGFILE={folder}/log\n"
    (folder / "etc/local.conf").write_text(conf)
    argv = ["unshare", "--mount", "--uts", "--net", "--propagation=private", "sh", "-c", DRILL, "sh"]
    argv += [str(place.path), f"{folder}/etc", damage, sys.executable, str(iso)]
    argv += ["no KVM" if Path("/dev/kvm").exists() and machines.accelerator() == qemu.EMULATED else ""]
    argv += ["server"] * server
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    (results,) = (folder / "var/drill").iterdir()
    for name in ("rescue.log", "start.log"):
        if (results / name).exists():
            print((results / name).read_text()[-6000:])
    assert not list((folder / "work").iterdir())
    return Drilled(done.returncode, done.stdout, json.loads((results / "report.json").read_text()))


def test_a_healthy_backup_brings_the_machine_back(tmp_path: Path) -> None:
    saved = originals.backed_up()
    before = hashlib.sha256(saved.iso.read_bytes()).hexdigest()
    drilled = drill(tmp_path, saved, saved.iso)
    report = drilled.report
    assert (drilled.status, report["problem"], report["succeeded"]) == (0, "", True)
    # The list leaves out logs and the like, the backup has them.
    assert report["files_different"] == [] and report["files_compared"] >= len(json.loads(saved.files.read_text()))
    # Nothing but the disk that held the backup is not there.
    alone = [line for line in report["differences"] if not line.endswith("is left out with its disk")]
    assert alone == [
        "/etc/fstab, line 3: LABEL=BACKUP is on no device",
        "/etc/rear/config/50_mount.sh, line 4: LABEL=BACKUP, which is on no device; rear left it unchanged",
    ]
    assert {"verify", "recreate", "restore", "finalize"} <= report["phases"].keys()
    assert all(seconds > 0 for seconds in report["stages"].values()) and len(report["stages"]) == 4
    assert "SUCCEEDED" in drilled.said and "Recovery time" in drilled.said and "Not proven" in drilled.said
    assert hashlib.sha256(saved.iso.read_bytes()).hexdigest() == before


# That the backup is damaged is found in `make test` as well, on loop devices and when faults are drawn.
@pytest.mark.long
def test_a_damaged_backup_is_the_reason_of_a_failure(tmp_path: Path) -> None:
    saved = originals.backed_up()
    drilled = drill(tmp_path, saved, saved.iso, damage=FLIP)
    assert drilled.status == 1
    assert "is damaged: its checksum is wrong" in drilled.report["problem"]
    assert "ended with exit status 3" in drilled.report["problem"]
    assert f"FAILED: {drilled.report['problem']}" in drilled.said
    assert list(drilled.report["stages"]) == ["Boot the rescue image", "Recover"]


@pytest.mark.long
@pytest.mark.parametrize("server", [False, True], ids=["on a disk", "on a server"])
def test_a_repository_brings_the_machine_back(tmp_path: Path, server: bool) -> None:
    saved = backups.backed_up(RESTIC)
    iso = saved.iso
    if server:
        more = "BACKUP_URL=\nRESTIC_REPOSITORY=rest:http://192.0.2.1:8000/\n"
        iso = reconfigured(iso, more, tmp_path)
    drilled = drill(tmp_path, saved, iso, server=server)
    report = drilled.report
    assert (drilled.status, report["problem"], report["succeeded"]) == (0, "", True)
    assert (report["files_compared"], list(report["stages"])) == (
        0,
        ["Boot the rescue image", "Recover", "Start the recovered system"],
    )
    assert ("through this machine" in drilled.said) == server


# GRUB asks on the screen, and the initramfs on the serial console.
@pytest.mark.long
def test_a_boot_loader_that_asks_for_a_passphrase_on_the_screen_gets_it(tmp_path: Path) -> None:
    saved = backups.backed_up(LAPTOP)
    drilled = drill(tmp_path, saved, saved.iso)
    report = drilled.report
    assert (drilled.status, report["problem"], report["succeeded"]) == (0, "", True)
    assert report["files_different"] == [] and report["files_compared"]


def reconfigured(iso: Path, more: str, folder: Path) -> Path:
    """A rescue image with more in its local.conf: what comes last in an initramfs counts."""
    sh = Shell()
    (work := folder / "image").mkdir(mode=0o700)
    found = image.read(sh, iso, work)
    initramfs, conf = found.shell.initramfs, found.configuration / "local.conf"
    sh.run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", initramfs, folder / "initramfs")
    # The disk that its own script mounts is not there.
    files = {"local.conf": conf.read_bytes() + more.encode(), "config/50_mount.sh": b"#!/bin/sh\n"}
    members = [Member(f"etc/rear/{name}", 0o100700, content=data) for name, data in files.items()]
    pack(sh, members, work / "more", "zstd", 0)
    (folder / "initramfs").chmod(0o600)
    with (folder / "initramfs").open("ab") as file:
        file.write((work / "more").read_bytes())
    made = folder / "rear-debian12.iso"
    again = ("-boot_image", "any", "replay", "-update", folder / "initramfs", initramfs)
    sh.run("xorriso", "-indev", iso, "-outdev", made, *again)
    return made
