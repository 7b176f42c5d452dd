# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine saves itself by the script of docs/how-to/external.md, and comes back by it, with nobody there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab import docs, guests, small
from lab.small import PLAIN

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(900)]

# The script, its settings, what is typed, and a check for a secret that is on a stick.
SCRIPT, SETTINGS, COMMANDS, SECRET = docs.blocks(docs.ROOT / "docs/how-to/external.md")
STICK = "0e02"
CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
{SETTINGS.text}
{small.in_guest().replace("EXCLUDE_DEVICES=", "EXCLUDE_DEVICES+=")}
"""


def stick(folder: Path) -> guests.Disk:
    """A disk with the label KEYS and a secret."""
    disk = guests.Disk(guests.blank(folder / STICK, 16), STICK)
    (folder / "keys").mkdir()
    (folder / "keys/backup.key").write_text("secret\n")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "KEYS", "-d", folder / "keys", disk.path], check=True)
    return disk


def test_a_machine_comes_back_by_the_documented_script(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    files = tmp_path / "saved.json"
    key = stick(tmp_path)
    mkbackup, check, recover, recover_older = COMMANDS.lines()
    with small.running(PLAIN, [system, backup, key], "external") as vm:
        small.start(vm, PLAIN)
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        script = SCRIPT.text.replace("    check)\n", f"    check)\n{SECRET.text}")
        vm.put(SCRIPT.file, script.encode())
        # The script mounts the disk itself.
        vm.check("chmod 755 /usr/local/sbin/disk-backup; rm /etc/rear/config/50_mount.sh; rm -r /srv/backup/debian12")
        said = vm.check(mkbackup, 300)
        assert re.search(r"Saved the files as 2\S+Z", said), said
        assert "EXTERNAL_SAVE ended with" not in said, said
        assert "is whole" in vm.check(check, 120)
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        files.write_bytes(small.listed(vm))
        facts = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "external")
    with recovery.rescue(backup) as vm:
        refused = vm.sh(check, 120)
        assert refused.status == 3 and "plug in the stick KEYS" in refused.output
        vm.attach(key)
        today = re.search(r"2\S+Z", said)
        assert today
        for command in (recover, recover_older.replace("2026-11-22", today[0][:10])):
            said = vm.check(command, 300)
            assert re.search(r"accepts the backup (2\S+Z): /srv/backup/debian12/\1.tar.zst is whole", said), said
        # The second recovery went on with the storage of the first one, and its files came over those.
        vm.check("rear mountonly; rm $(ls /mnt/local/var/log/rear/recovery-*.json | head -n 1)", 120)
    recovery.check(facts, files, small.MAY_DIFFER, backup)
