# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine saves itself by the script of docs/how-to/external.md, and comes back by it, with nobody there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import debian, small
from lab.small import PLAIN

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(900)]

PAGE = (debian.CHECKOUT / "docs/how-to/external.md").read_text()
SCRIPT, SETTINGS = (
    next(block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if block.startswith(beginning))
    for beginning in ("#!", "BACKUP=")
)
CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
{SETTINGS}
{small.in_guest().replace("EXCLUDE_DEVICES=", "EXCLUDE_DEVICES+=")}
"""


def test_a_machine_comes_back_by_the_documented_script(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    files = tmp_path / "saved.json"
    with small.running(PLAIN, [system, backup], "external") as vm:
        small.start(vm, PLAIN)
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.put("/usr/local/sbin/disk-backup", SCRIPT.encode())
        # The script mounts the disk itself.
        vm.check("chmod 755 /usr/local/sbin/disk-backup; rm /etc/rear/config/50_mount.sh; rm -r /srv/backup/debian12")
        said = vm.check("rear mkbackup", 300)
        assert re.search(r"Saved the files as 2\S+Z", said), said
        assert "EXTERNAL_SAVE ended with" not in said, said
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        files.write_bytes(small.listed(vm))
        facts = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "external")
    with recovery.rescue(backup) as vm:
        for command in ("rear checkbackup", "rear -n recover"):
            said = vm.check(command, 300)
            assert re.search(r"accepts the backup (2\S+Z): /srv/backup/debian12/\1.tar.zst is whole", said), said
    recovery.check(facts, files, small.MAY_DIFFER, backup)
