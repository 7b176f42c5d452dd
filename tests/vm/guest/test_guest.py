# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory's own machine is what its description promises."""

from __future__ import annotations

import json

import pytest

from lab import qemu

pytestmark = pytest.mark.vm


def test_commands_on_the_console_give_status_and_output(guest: qemu.Machine) -> None:
    answer = guest.sh("printf 'one\\ntwo'\necho three >&2\n(exit 7)")
    assert answer == qemu.Answer(7, "one\ntwothree")


def test_a_file_is_put_as_it_is(guest: qemu.Machine) -> None:
    data = bytes(range(256)) * 40
    guest.put("/tmp/file", data)
    assert guest.check("od -An -v -tx1 /tmp/file | tr -d ' \\n'") == data.hex()


def test_the_guest_has_blank_disks_with_serials(guest: qemu.Machine) -> None:
    devices = json.loads(guest.check("lsblk --json --bytes --output NAME,SERIAL,SIZE,FSTYPE"))["blockdevices"]
    blanks = {device["serial"]: device for device in devices if device["serial"] != "root"}
    assert sorted(blanks) == [f"lab{number}" for number in range(1, 8)]
    assert all(device["size"] == 4 << 30 and device["fstype"] is None for device in blanks.values())


def test_the_guest_has_network_cards_that_are_down(guest: qemu.Machine) -> None:
    links = json.loads(guest.check("ip -json link"))
    cards = {link["address"]: link["operstate"] for link in links if link["ifname"] != "lo"}
    assert cards == {f"52:54:00:00:00:0{number}": "DOWN" for number in range(1, 6)}


def test_rear_runs_in_the_guest(guest: qemu.Machine) -> None:
    assert guest.check("rear --version").startswith("rear")
