# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal makes of what it hears; the rehearsal itself is a test in a virtual machine."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rear_core import RearError
from rear_drill import qemu, rehearsal
from rear_drill.access import CARD, Given
from rear_drill.console import Answer
from rear_drill.image import Entry


def plan(seconds: float, volumes: int = 1) -> rehearsal.Plan:
    given = Given("nfs://nas/b", mount="/srv/backup", key="secret of the backup", files={"/root/key": b"secret"})
    machine, entry = qemu.Machine(), Entry(2, "Rescue shell", "/k", "/i")
    deadline = time.monotonic() + seconds
    return rehearsal.Plan(machine, machine, entry, given, "", Path(), deadline, volumes, "secret of the disk")


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


class Screen:
    """A machine that asks for passphrases on its screen alone, and is quiet: nothing is on its serial console."""

    def __init__(self, asks: int) -> None:
        self.asks = asks
        self.moved = 0
        self.typed: list[str] = []

    def seen(self, pattern: str, timeout: float) -> None:
        pass

    def transferred(self) -> int:
        return self.moved

    def type(self, text: str) -> None:
        self.typed.append(text)
        self.moved += len(self.typed) <= self.asks


@pytest.mark.parametrize("volumes", [0, 1, 2])
def test_a_passphrase_is_typed_where_nothing_asks_for_it_on_the_serial_console(
    monkeypatch: pytest.MonkeyPatch, volumes: int
) -> None:
    monkeypatch.setattr(rehearsal, "QUIET_SECONDS", -1)
    monkeypatch.setattr(rehearsal, "DERIVE_SECONDS", -1)
    screen: Any = Screen(volumes)
    rehearsal.wait_until_started(screen, plan(10, volumes))
    # Once more than asked for does no harm: it is at a login prompt by then.
    assert screen.typed == ["secret of the disk\n"] * (volumes + 1 if volumes else 0)


def test_a_card_of_its_own_reaches_the_network(tmp_path: Path) -> None:
    (card := tmp_path / "ens9").mkdir()
    (card / "address").write_text(f"{CARD.upper()}\n")
    (other := tmp_path / "ens3").mkdir()
    (other / "address").write_text("52:54:00:00:00:01\n")
    text = (
        rehearsal.CONNECT.format(mac=CARD)
        .replace("/sys/class/net", f"{tmp_path}")
        .replace("/etc/resolv.conf", f"{tmp_path}/resolv")
    )
    done = subprocess.run(
        ["bash", "-c", f'ip() {{ echo "ip $*"; }}\n{text}'], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.splitlines()[2:] == [
        "ip link set ens9 up", "ip address replace 10.0.2.15/24 dev ens9", "ip route replace default via 10.0.2.2",
    ]  # fmt: skip
    assert (tmp_path / "resolv").read_text() == "nameserver 10.0.2.3\n"
