# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery that would not succeed, on loop devices: refused with its reason, the disks untouched."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from lab.loops import MIB, mounted, run
from lab.recovery import SECRET, Machine, put_data
from rear_core.archive import manifest
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import load, make, save
from rear_core.storage.mount import Mount
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def test_the_machine_comes_back_where_nothing_is_wrong(machine: Machine) -> None:
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert machine.restored() == machine.original()


def test_what_a_recovery_left_alone_is_not_mounted_later(machine: Machine) -> None:
    assert machine.recover().returncode == 0
    layout = load(machine.layout, item_types(CORE_KINDS))
    disk = next(item for item in layout if isinstance(item, Disk))
    system = next(item for item in layout if isinstance(item, Ext))
    lost = replace(disk, id="disk:lost", device="/dev/lost", serial="lost", wwn="")
    other = replace(system, id="ext:other", needs=(lost.id,), uuid="other", label="other")
    save(make([*layout, lost, other, Mount("mount:/srv", (other.id, "mount:/"), "/srv", "ext4")]), machine.layout)
    machine.configure(mapping=f"{machine.old}={machine.new} lost=none")
    ended = machine.do("mountonly", "-n")
    assert ended.returncode == 0, ended.stderr
    assert "WARNING: mount /srv is left out with its disk" in ended.stdout + ended.stderr
    assert (machine.folder / "target" / str(machine.folder).lstrip("/") / "tree/folder/file").read_text() == "text"


# Refused: each reason is named, the exit status is 3, and the disk is as it was.


def flip(machine: Machine) -> None:
    with machine.archive.open("r+b") as file:
        file.seek(MIB)
        byte = file.read(1)
        file.seek(MIB)
        file.write(bytes([byte[0] ^ 1]))


def edit(old: str, new: str) -> Callable[[Machine], None]:
    """An edited layout."""

    def change(machine: Machine) -> None:
        text = machine.layout.read_text()
        changed = re.sub(old, new, text, count=1)
        assert changed != text
        machine.layout.write_text(changed)

    return change


def make_small(machine: Machine) -> None:
    os.truncate(machine.image, 8 * MIB)
    run("losetup", "--set-capacity", machine.new)


def put_raw_data(machine: Machine) -> None:
    """As a database has them, which no tool recognises."""
    put_data(machine)
    run("wipefs", "--all", machine.new)


FAULTS: dict[str, tuple[Callable[[Machine], object], str]] = {
    "truncated archive": (lambda here: os.truncate(here.archive, 1000), "is truncated: it has 1000 of"),
    "flipped byte": (flip, "is damaged: its checksum is wrong"),
    "missing manifest": (lambda here: here.archive.with_name(manifest.NAME).unlink(), "has no manifest"),
    "missing archive": (lambda here: here.archive.unlink(), "has no archive"),
    "missing backup": (lambda here: shutil.rmtree(here.folder / "backups"), "there is no backup in"),
    "key but no encryption": (lambda here: here.configure(f"BACKUP_KEY='{SECRET}'\n"), "not encrypted, but"),
    "too small disk": (make_small, "8 MiB, the recovery needs 64 MiB"),
    "disk with data": (put_data, "not certain which disk is meant"),
    "disk with data without a signature": (put_raw_data, "not certain which disk is meant"),
    "disk that is not there": (
        lambda here: here.configure(mapping=f"{here.old}=/dev/none"), "there is no disk /dev/none",
    ),
    "unknown layout version": (edit('"version": 1', '"version": 2'), "reads only version 1, not 2"),
    "dangling reference": (edit(r'"needs": \["disk:', '"needs": ["disk:lost'), "which is missing"),
    "cycle": (
        edit(r'"type": "disk",\s+"needs": \[\]', '"type": "disk", "needs": ["mount:/"]'),
        "these items need each other",
    ),
    "no JSON": (edit(r"\}\s*$", ""), "this is not JSON"),
    "damaged usage.json": (
        lambda here: (here.folder / "etc/recovery/usage.json").write_text("{"), "usage.json is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_the_disk_is_untouched(machine: Machine, fault: str) -> None:
    harm, said = FAULTS[fault]
    harm(machine)
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert said in ended.stderr
    assert "What to do: " in ended.stderr
    assert "BUG" not in ended.stderr
    assert machine.checksum() == before
    assert not list(machine.folder.glob("rear.[0-9]*"))


LABEL_URL = "usb:///dev/disk/by-label/gr%C3%B6%C3%9Fe"


def test_a_plan_that_is_not_the_rehearsed_one_is_refused_and_no_disk_touched(machine: Machine) -> None:
    machine.configure("REHEARSED_PLAN=12345678\n")
    before = machine.checksum()
    ended = machine.recover()
    found = re.search(r"this is the plan ([0-9a-f]{16}), not 12345678", ended.stderr)
    assert ended.returncode == 3 and found, ended.stderr
    assert machine.checksum() == before
    machine.configure(f"REHEARSED_PLAN={found[1]}\n")
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert machine.restored() == machine.original()


@pytest.mark.parametrize(
    "url", ["usb://{}", "USB://{}", "'  Usb://{} '", "usb:///dev/./{}", LABEL_URL, LABEL_URL.replace("%", "\\\\x")]
)
def test_the_disk_with_the_backup_is_never_taken(machine: Machine, url: str) -> None:
    """However BACKUP_URL is spelled, and although DISK_MAPPING names that disk."""
    run("mkfs.ext4", "-q", "-L", "größe", machine.new)
    with mounted(machine.folder / "stick", machine.new) as stick:
        shutil.copytree(machine.folder / "backups", stick / "rear")
    name = url.format(machine.new.removeprefix("/dev/") if "/./" in url else machine.new)
    machine.configure(f"BACKUP_URL={name}\n")
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert f"{machine.new} was chosen for disk {machine.old}, but BACKUP_URL names it" in ended.stderr
    assert machine.checksum() == before


def several_devices(here: Machine, other: str) -> str:
    if not os.path.exists("/dev/btrfs-control"):
        pytest.skip("the kernel is not told of the other disks of a btrfs here: there is no /dev/btrfs-control")
    run("mkfs.btrfs", "-q", "-f", "-d", "raid0", "-m", "raid0", other, here.new)
    return other


def journal(here: Machine, other: str) -> str:
    run("mke2fs", "-q", "-b", "4096", "-O", "journal_dev", here.new)
    run("mkfs.ext4", "-q", "-b", "4096", "-J", f"device={here.new}", other)
    return other


def other_node(here: Machine, other: str) -> str:
    run("mkfs.ext4", "-q", here.new)
    os.mknod(other, 0o600 | stat.S_IFBLK, os.stat(here.new).st_rdev)
    return other


@pytest.fixture
def node() -> Iterator[Path]:
    """The path of a device that is gone when the test is."""
    path = Path(f"/dev/rear-test-{os.getpid()}")
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("scheme", ["usb", "file"])
@pytest.mark.parametrize("kind", [several_devices, journal, other_node])
def test_a_disk_that_the_backup_needs_is_never_taken(
    machine: Machine, loop: Callable[..., str], node: Path, kind: Callable[[Machine, str], str], scheme: str
) -> None:
    """Also where its name does not tell: another disk of its file system, its journal, a device by another node."""
    run("truncate", "--size=256M", machine.image)
    run("losetup", "--set-capacity", machine.new)
    other = loop("other", 256)
    device = kind(machine, os.fspath(node) if kind is other_node else other)
    stick = machine.folder / "stick"
    with mounted(stick, device):
        shutil.copytree(machine.folder / "backups", stick / "rear")
    machine.configure(f"BACKUP_URL={'usb://' + device if scheme == 'usb' else f'file://{stick}/rear'}\n")
    with mounted(stick, device) if scheme == "file" else nullcontext():
        ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert re.search("BACKUP_URL names it|is in use and cannot be overwritten|but it is mounted on", ended.stderr)
    with mounted(stick, device):
        assert list((stick / "rear" / "web1").iterdir())


def test_a_disk_below_the_target_that_links_lead_to_is_never_taken(machine: Machine) -> None:
    run("mkfs.ext4", "-q", machine.new)
    below = machine.folder / "target" / "below"
    below.mkdir(parents=True)
    with mounted(below, machine.new):
        shutil.move(machine.folder / "backups/web1", below / "web1")
        (machine.folder / "backups/web1").symlink_to(below / "web1")
        ended = machine.recover()
        assert ended.returncode in (1, 3), ended.stderr
        assert "busy" in ended.stderr or "names it" in ended.stderr or "not free" in ended.stderr
        assert list((below / "web1").iterdir())


def test_a_disk_that_is_used_after_the_checks_is_not_taken(machine: Machine) -> None:
    """A helping hand, or an automounter, between the last check and the first write."""
    run("mkfs.ext4", "-q", machine.new)
    hand, scripts = machine.folder / "hand", machine.folder / "etc/verify"
    hand.mkdir()
    scripts.mkdir()
    (scripts / "99_hand.sh").write_text(f"#!/bin/sh\nmount {machine.new} {hand} && touch {hand}/work\n")
    (scripts / "99_hand.sh").chmod(0o755)
    ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert f"{machine.new} is in use and cannot be overwritten" in ended.stderr
    assert (hand / "work").exists()
    run("umount", hand)


def test_without_a_disk_for_the_system_nothing_is_restored(machine: Machine) -> None:
    machine.configure(mapping=f"{machine.old}=none")
    ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert "the disk of the root file system is left out" in ended.stderr


def test_a_wrong_key_is_named_and_the_disk_is_untouched(machine: Machine) -> None:
    machine.configure(f"BACKUP_KEY='{SECRET}'\n")
    machine.save()
    before = machine.checksum()
    for key, said in ("", "no key is configured"), ("battery horse correct", "wrong key"):
        machine.configure(f"BACKUP_KEY='{key}'\n")
        ended = machine.recover()
        assert ended.returncode == 3 and said in ended.stderr, ended.stderr
    assert machine.checksum() == before


def test_all_problems_are_told_at_once(machine: Machine) -> None:
    make_small(machine)
    os.truncate(machine.archive, 1000)
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3
    errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 2, ended.stderr
    assert "8 MiB, the recovery needs 64 MiB" in errors[0]
    assert "is truncated: it has 1000 of" in errors[1]
    assert machine.checksum() == before


def test_a_backup_that_cannot_fit_is_refused(machine: Machine) -> None:
    """Newer than the rescue media, it has more than was recorded of the file systems."""
    (machine.folder / "etc/recovery/usage.json").write_text(json.dumps({"/": MIB}))
    with (machine.folder / "tree/zeros").open("wb") as file:
        for _ in range(60):
            file.write(b"x" * MIB)
    machine.save()
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3
    assert "the file systems on the chosen disks 64.0 MiB together" in ended.stderr
    assert machine.checksum() == before


def test_a_backup_without_a_file_system_of_the_disk_that_is_erased_is_refused(machine: Machine) -> None:
    """It was mounted when the machine was described, and not in the night of the backup."""
    assert machine.recover().returncode == 0
    layout = load(machine.layout, item_types(CORE_KINDS))
    system = next(item for item in layout if isinstance(item, Ext))
    save(make([*layout, Mount("mount:/data", (system.id, "mount:/"), "/data", "ext4")]), machine.layout)
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert "the backup has no files of /data; the disks to overwrite may hold the only copy" in ended.stderr
    assert machine.checksum() == before
    machine.configure("GIVE_UP=( /data )\n")
    assert machine.recover().returncode == 0


def test_a_backup_of_another_layout_is_told(machine: Machine) -> None:
    edit('"label": "root"', '"label": "edited"')(machine)
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "the disk layout changed after this backup" in ended.stderr
    assert "label changed from root to edited" in ended.stderr
    # An edited layout is what is made.
    assert run("blkid", "-p", "-s", "LABEL", "-o", "value", machine.new) == "edited"
