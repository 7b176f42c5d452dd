# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal makes of what it hears; the rehearsal itself is a test in a virtual machine."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from rear_core import RearError
from rear_drill import qemu, rehearsal
from rear_drill.console import Answer
from rear_drill.image import Entry


def plan(seconds: float) -> rehearsal.Plan:
    machine = qemu.Machine()
    return rehearsal.Plan(
        machine, machine, Entry(2, "Rescue shell", "/k", "/i"), "/srv/backup", "/srv/backup/web1/x", "", Path(),
        time.monotonic() + seconds, "secret of the backup", "secret of the disk",
    )  # fmt: skip


def test_the_reason_is_the_error_that_rear_names() -> None:
    output = "Backup: 2026\nERROR: the archive /srv/x is damaged: its checksum is wrong\n  What to do: choose another\n"
    assert rehearsal.reason(output) == "the archive /srv/x is damaged: its checksum is wrong"
    assert rehearsal.reason("one\nTraceback: odd\n\n") == "Traceback: odd"
    assert rehearsal.reason("") == "no output"


def test_what_finalize_writes_is_explained() -> None:
    different = [
        "/etc/fstab: Contents differ",
        "/etc/passwd: Contents differ",
        "/boot/grub/i386-pc/core.img: Contents differ",
        "/boot/grub2/grubenv: Mod time differs",
        "/boot/efi/EFI/debian/grubx64.efi: Mod time differs",
        "/boot/initrd.img-6.1.0-13-amd64: Size differs",
        "/boot/initramfs-5.14.0.img: Size differs",
        "/boot/vmlinuz-6.1.0-13-amd64: Contents differ",
        "/var/log/rear/recovery.log: Contents differ",
        "/var/log/rear2: Mode differs",
    ]
    assert list(rehearsal.unexplained(different, ["/etc/fstab"])) == [
        "/etc/passwd: Contents differ",
        "/boot/vmlinuz-6.1.0-13-amd64: Contents differ",
        "/var/log/rear2: Mode differs",
    ]


def test_nothing_takes_longer_than_what_is_left() -> None:
    assert plan(10).left(5) == 5
    assert 0 < plan(10).left() <= 10
    with pytest.raises(RearError, match="time limit"):
        plan(-1).left(5)


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(plan(10))


@pytest.mark.parametrize(
    ("said", "group"),
    [
        ("debian12 login: ", None),
        ("Please unlock disk crypt: ", 2),
        ("Enter passphrase for /dev/md1: ", 2),
        ("[    3.1] Kernel panic - not syncing: VFS", 1),
        ("You are in emergency mode. After logging in", 1),
        ("No bootable device.", 1),
        ("grub rescue> ", 1),
    ],
)
def test_consoles_are_understood(said: str, group: int | None) -> None:
    found = re.search(f"({rehearsal.STUCK})|({rehearsal.PASSPHRASE})|{rehearsal.LOGIN}", f"\r\n{said}")
    assert found
    assert (1 if found[1] else 2 if found[2] else None) == group


class Console:
    """A machine whose `rear recover` ends with this status."""

    def __init__(self, status: int) -> None:
        self.status = status

    def check(self, command: str, timeout: float = 0) -> str:
        return ""

    def sh(self, command: str, timeout: float = 0) -> Answer:
        return Answer(self.status, "ERROR: odd")


@pytest.mark.parametrize(("status", "done"), [(0, True), (4, True), (1, False), (3, False)])
def test_a_recovery_that_could_not_tell_everything_is_one(status: int, done: bool) -> None:
    machine: Any = Console(status)
    if done:
        rehearsal.recover(machine, plan(10))
        return
    with pytest.raises(RearError, match=f"exit status {status}: odd"):
        rehearsal.recover(machine, plan(10))
