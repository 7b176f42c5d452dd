# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody restores the files of a small machine by hand, in the shell that its recovery opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import docs, small
from lab.small import PLAIN

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]

# How the page configures a machine, and what it has somebody type in the rescue system.
SETTINGS, BY_HAND, _ = docs.blocks(docs.ROOT / "docs/how-to/by-hand.md")
CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
{SETTINGS.text}\
EXCLUDE_MOUNTPOINTS=( /srv/backup )
{small.in_guest()}
"""


@pytest.mark.long
def test_a_machine_comes_back_by_hand(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    with small.running(PLAIN, [system, backup], "request") as vm:
        small.start(vm, PLAIN)
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("rear mkrescue", 300)
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "request")
    with recovery.rescue(backup) as vm:
        vm.send("rear recover; echo ended with $?.\n")
        vm.expect("Is the backup at hand[^:]*: ", timeout=60)
        vm.send("yes\n")
        vm.expect("Mount the disk BACKUP[^$]*Type exit when all files are there", timeout=120)
        vm.expect(small.RESCUE_PROMPT)
        vm.send("exit\n")
        vm.expect("Nothing was restored of [^$]*Open the shell again[^:]*: ", timeout=60)
        vm.send("quit\n")
        stopped = vm.expect(r"ended with (\d+)\.", timeout=60)
        assert stopped[1] == "130"

        vm.send("rear recover; echo ended with $?.\n")
        vm.expect("Is the backup at hand[^:]*: ", timeout=60)
        vm.send("yes\n")
        vm.expect("An earlier run created the storage; resuming it[^$]*Type exit when all files are there", timeout=60)
        vm.expect(small.RESCUE_PROMPT)
        vm.send(BY_HAND.text.replace("/media/web1.tar.zst", "/media/debian12/*Z/backup.tar.zst"))
        vm.expect("Are all files restored[^:]*: ", timeout=120)
        vm.send("yes\n")
        ended = vm.expect(r"ended with (\d+)\.", timeout=120)
        assert ended[1] == "0"
    recovery.check(saved.facts, saved.files, small.MAY_DIFFER, backup)
