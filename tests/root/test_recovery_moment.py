# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a chosen disk between the checks and the first write, on loop devices: then nothing is written."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.loops import MIB, attached, run
from lab.recovery import Machine
from rear_core.errors import Refused
from rear_core.mounts import device_number, loop_devices
from rear_core.storage import present
from rear_core.storage.held import HeldDisks

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

# Run by the last step of verify. $new is the chosen device, $folder that of the machine.
EVENTS = {
    # The test's own look is what keeps the old sectors in memory.
    "another disk comes in its place": (
        "dd if=$new of=/dev/null bs=1M status=none\ncp $folder/precious $folder/new",
        "held ext4 root when it was chosen, but holds ext4 precious now",
    ),
    "it is smaller": ("truncate -s 32M $folder/new; losetup -c $new", "changed after it was chosen"),
    "somebody makes a file system on it": ("mkfs.ext4 -q -F -L work $new", "holds ext4 work now"),
    "somebody erases it": ("wipefs -qa $new", "holds unknown data now"),
    "it is mounted where the backup is looked for": ("mount $new $folder/backups", "BACKUP_URL names it"),
    "it is mounted in another mount namespace": (
        "unshare --mount --propagation=private sh -c 'mount $0 /mnt && touch $1; exec sleep 600' $new $folder/mounted"
        " </dev/null >/dev/null 2>&1 &\necho $! >$folder/pid\nuntil [ -e $folder/mounted ]; do sleep 0.1; done",
        "is in use and cannot be overwritten",
    ),
    "a loop device stands on it": (
        "losetup --read-only --find --show $new >$folder/loop",
        "is in use and cannot be overwritten: the loop device /dev/loop",
    ),
}


def prepare(machine: Machine, event: str) -> Path:
    """The chosen disk is the recorded one by its contents; somebody else's is near."""
    uuid = run("blkid", "-o", "value", "-s", "UUID", machine.old)
    run("mkfs.ext4", "-q", "-F", "-L", "root", "-U", uuid, machine.new)
    precious = machine.folder / "precious"
    precious.write_bytes(b"")
    with precious.open("r+b") as file:
        file.truncate(64 * MIB)
    run("mkfs.ext4", "-q", "-F", "-L", "precious", precious)
    machine.configure()
    text = (machine.folder / "etc/local.conf").read_text()
    (machine.folder / "etc/local.conf").write_text(re.sub(r"DISK_MAPPING=.*\n", "", text))
    script = machine.folder / "etc/verify/99_event.sh"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\nnew={machine.new} folder={machine.folder}\n{event}\nudevadm settle\n")
    script.chmod(0o755)
    return precious


def clean_up(folder: Path) -> None:
    """End what the events leave behind."""
    subprocess.run(["umount", folder / "backups"], capture_output=True)
    if (folder / "pid").exists():
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    if (folder / "loop").exists():
        run("losetup", "--detach", (folder / "loop").read_text().strip())


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("event", "said"), EVENTS.values(), ids=EVENTS)
def test_nothing_is_written_when_the_disk_has_changed_since_it_was_chosen(
    machine: Machine, event: str, said: str
) -> None:
    precious = prepare(machine, event)
    before = checksum(precious)
    ended = machine.recover()
    clean_up(machine.folder)
    assert ended.returncode == 3, ended.stderr
    assert said in ended.stderr
    assert "nothing was written" in ended.stderr
    assert checksum(precious) == before
    assert "+ wipefs" not in machine.log() and "+ mke2fs" not in machine.log()


def test_a_loop_device_on_a_device_is_known_by_the_number_of_that(loop: Callable[..., str], undo: ExitStack) -> None:
    """Whatever the path is by now at which the device was."""
    device = loop("one", 8)
    alias = Path(f"{device}-alias")
    run("mknod", alias, "b", *device_number(device).split(":"))
    upper = attached(undo, alias, "--read-only")
    alias.unlink()
    assert loop_devices()[device_number(device)] == upper
    assert device_number(upper) not in loop_devices()


def test_no_other_disk_gets_the_name_of_a_chosen_one(machine: Machine) -> None:
    # Nobody else finds it when it is free: to tests beside this one it would be theirs.
    machine = replace(machine, new=f"/dev/loop{200 + os.getpid() % 50}")
    run("losetup", machine.new, machine.image)
    precious = prepare(machine, "losetup -d $new; losetup $new $folder/precious")
    before = checksum(precious)
    ended = machine.recover()
    # The kernel has put off the end of the device for as long as it is held.
    assert ended.returncode == 0, ended.stderr
    assert checksum(precious) == before
    run("losetup", machine.new, machine.image)
    assert machine.restored() == machine.original()
    run("losetup", "--detach", machine.new)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"serial": "S2"}, "is another disk than the one"),
        ({"wwn": "0x5001"}, "is another disk than the one"),
        ({"model": "other"}, "is another disk than the one"),
        ({"size": 1}, "changed after it was chosen"),
        ({"marks": frozenset({"new"})}, "held ext4 when it was chosen, but holds something else now"),
        ({"path": "/dev/elsewhere"}, "is no longer the disk that was chosen"),
        ({"locked": "BACKUP_URL names it"}, "can no longer be used: BACKUP_URL names it"),
    ],
)
def test_what_is_held_is_the_same_disk_in_all_that_is_known_of_it(
    loop: Callable[..., str], undo: ExitStack, changes: dict[str, Any], said: str
) -> None:
    chosen = present.PresentDisk(loop("one", 8), 8 * MIB, "model", serial="S1", wwn="0x5000", holds="ext4")
    held = HeldDisks([chosen], undo)
    now = present.Machine({}, (), frozenset(), (replace(chosen, **changes),))
    spared = {disk.path: disk.locked for disk in now.disks if disk.locked}
    with pytest.raises(Refused, match=said) if said else nullcontext():
        held.check(now, spared)
