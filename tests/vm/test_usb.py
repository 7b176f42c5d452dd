# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine makes itself a USB stick with rescue system and backup and comes back from it; it is never a target."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import backups, cache, compare, debian, machines, qemu
from lab.designs import BIOS

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]

DOWN = "\x1b[B"
PROMPT = r"RESCUE debian12:\S* # "
# As large as the disk of the machine, which makes it tempting.
STICK = machines.Drive("stick", BIOS.drives[0].size, "usb")
CONFIGURATION = "OUTPUT=USB\nBACKUP=NFS\nBACKUP_URL=usb:///dev/disk/by-label/REAR-000\n"
STATUS = "; echo ended with $?"


@dataclass(frozen=True)
class Saved:
    """The stick, the machine's files and facts, and what was said on the way; the stick is shared: copy it."""

    stick: Path
    files: Path
    facts: dict[str, str]
    said: dict[str, Any]


@pytest.fixture(scope="module")
def saved() -> Saved:
    """A machine that has formatted a stick and run `rear mkbackup` onto it, unless that was done before."""
    key = cache.digest(repr(BIOS), repr(STICK), compare.ODD_FILES, compare.LISTING, inspect.getsource(make),
                       CONFIGURATION, *(layer.name for layer in debian.with_rear()))  # fmt: skip
    folder = cache.cached("backup-usb", key, make)
    about = json.loads((folder / "about.json").read_text())
    return Saved(folder / "stick", folder / "files.json", about["facts"], about["said"])


def make(folder: Path) -> None:
    folder.mkdir()
    disks = machines.copy(BIOS, folder / "original")
    transcript = cache.directory() / "transcripts/original-usb.log"
    transcript.unlink(missing_ok=True)
    with qemu.Machine(
        disks=[*disks, STICK.blank(folder), machines.rear_disk()],
        accelerator=qemu.accelerator(debian.kernel()),
        transcript=transcript,
    ) as vm:
        machines.log_in(vm, BIOS)
        machines.install_rear(vm)
        vm.check("sed -i /BACKUP/d /etc/fstab && mkdir -p /srv /etc/rear")
        vm.put("/root/odd.py", compare.ODD_FILES.encode())
        vm.check("python3 /root/odd.py /srv")
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        name = vm.check("readlink -f /dev/disk/by-id/usb-*_stick-0:0")
        said: dict[str, Any] = {"nobody": vm.sh(f"rear format {name} 2>&1").__dict__}
        said.update({disk: vm.sh(f"rear format --yes {disk} 2>&1").__dict__ for disk in ("/dev/vda", "/dev/vda1")})
        vm.send(f"rear format {name}{STATUS}\n")
        vm.expect(f"Type {name} or yes to go on: ")
        vm.send("yes\n")
        assert vm.expect(r"ended with (\d+)", 300)[1] == "0"
        said["formatted"] = vm.check(f"lsblk --noheadings --raw --output FSTYPE,LABEL,PARTLABEL {name}")
        vm.check("rear mkbackup", timeout=1800)
        vm.check("mount LABEL=REAR-000 /mnt")
        compare.list_files(vm, "/mnt/files.json")
        said["stick"] = vm.check("(cd /mnt && find . -path ./lost+found -prune -o -type f -print)")
        said["mounted"] = vm.sh(f"rear format --yes {name} 2>&1").__dict__
        vm.check("umount /mnt")
        facts = backups.facts(vm, BIOS)
        backups.shut_down(vm)
    take(folder / "stick", "files.json", folder)
    (folder / "about.json").write_text(json.dumps({"facts": facts, "said": said}))
    shutil.rmtree(folder / "original")


def take(stick: Path, name: str, folder: Path) -> Path:
    """A file on the stick, put into a folder."""
    table = json.loads(subprocess.run(["sfdisk", "--json", stick], check=True, capture_output=True).stdout)
    start = table["partitiontable"]["partitions"][2]["start"] * 512
    request = f"dump /{name} {folder / name}"
    subprocess.run(["debugfs", "-R", request, f"{stick}?offset={start}"], check=True, capture_output=True)
    return folder / name


def test_only_a_free_disk_is_formatted(saved: Saved) -> None:
    said = saved.said
    assert said["/dev/vda"]["status"] == 3 and "/dev/vda1 is mounted on /" in said["/dev/vda"]["output"]
    assert said["/dev/vda1"]["status"] == 3 and "name the whole disk, /dev/vda" in said["/dev/vda1"]["output"]
    assert said["nobody"]["status"] == 3 and "It is blank." in said["nobody"]["output"]
    assert said["mounted"]["status"] == 3 and "is mounted on /mnt" in said["mounted"]["output"]
    assert "vfat REAR-EFI REAR-EFI" in said["formatted"] and "ext4 REAR-000 REAR-000" in said["formatted"]


def test_the_stick_holds_one_rescue_system_and_one_backup(saved: Saved) -> None:
    held = [Path(name) for name in saved.said["stick"].splitlines()]
    assert sorted(path.name for path in held if path.parts[:2] == ("boot", "rear")) == [
        "initramfs.img", "rescue.json", "vmlinuz",
    ]  # fmt: skip
    assert sorted(path.name for path in held if path.parts[0] == "rear") == [
        "backup.tar.zst", "coverage.json", "manifest.json",
    ]  # fmt: skip


def test_the_stick_boots_with_secure_boot_and_is_no_target_even_where_it_is_the_only_disk(
    machine: Callable[..., qemu.Machine], saved: Saved
) -> None:
    stick = qemu.Disk(saved.stick, "stick", "usb", snapshot=True)
    with machine(memory=1024, firmware="secureboot", disks=[stick]) as vm:
        vm.expect("Recover debian12, [^\n]*automatically", timeout=600)
        vm.send(DOWN + DOWN + "\r")
        vm.shell(PROMPT, timeout=600)
        assert "secure boot enabled" in vm.check("dmesg").lower()
        by_itself = vm.sh("rear layout plan 2>&1", timeout=300)
        vm.check("echo 'DISK_MAPPING=( system=/dev/sda )' >>/etc/rear/local.conf")
        as_chosen = vm.sh("rear layout plan 2>&1", timeout=300)
    for refused in (by_itself, as_chosen):
        assert refused.status == 3, refused.output
        assert "it is rescue media (labelled REAR-" in refused.output


def test_the_machine_comes_back_from_the_stick(
    machine: Callable[..., qemu.Machine], saved: Saved, tmp_path: Path
) -> None:
    subprocess.run(["cp", "--sparse=always", saved.stick, tmp_path / "stick"], check=True)
    stick = qemu.Disk(tmp_path / "stick", "stick", "usb")
    disks = [drive.blank(tmp_path) for drive in BIOS.drives]
    with machine(memory=1024, disks=[stick, *disks]) as vm:
        vm.expect("Recover debian12, [^\n]*automatically", timeout=600)
        vm.send(DOWN + "\r")
        vm.expect("Unattended recovery", timeout=600)
        ended = vm.expect(r"The recovery is complete\. Rebooting|The recovery failed[^\n]*", timeout=1800)
        assert ended[0].startswith("The recovery is complete"), ended[0]
        vm.wait(300)
    with machine(disks=[*disks, stick]) as vm:
        machines.log_in(vm, BIOS)
        recovered = backups.facts(vm, BIOS)
        vm.check("mount LABEL=REAR-000 /mnt")
        held = vm.check("(cd /mnt && find . -path ./lost+found -prune -o -type f -print)")
        compare.list_files(vm, "/mnt/recovered.json")
        vm.check("umount /mnt")
        backups.shut_down(vm)
    assert held == saved.said["stick"]
    assert recovered == saved.facts
    files = take(tmp_path / "stick", "recovered.json", tmp_path)
    assert compare.differences(saved.files, files) == {}
