# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back from a restic repository on a disk, with nobody at its console."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab import guests, small
from lab.small import PLAIN

RESTIC = shutil.which("restic")

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(RESTIC is None, reason="restic is not installed: tools/install test does that"),
]

KEY = "0e02"
CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=RESTIC
BACKUP_URL=file:///srv/backup
RESTIC_PASSWORD_FILE=/run/key/password
BACKUP_PROG_EXCLUDE+=( '/var/cache/*' )
EXCLUDE_MOUNTPOINTS=( /run/key )
{small.in_guest()}
"""
# The stick with the password, as the page on restic has it.
MOUNT = """\
#!/bin/sh
mkdir -p /run/key
mountpoint -q /run/key || mount -o ro LABEL=KEY /run/key
"""
# restic before 0.15 restores no holes.
MAY_DIFFER = (*small.MAY_DIFFER, "/srv/data/odd/sparse", "/usr/lib/modules/*")


def stick(folder: Path) -> guests.Disk:
    """A disk with the password of the repository."""
    disk = guests.Disk(guests.blank(folder / KEY, 16), KEY)
    (folder / "key").mkdir()
    (folder / "key/password").write_text(f"{small.PASSPHRASE}\n")
    (folder / "key/password").chmod(0o600)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "KEY", "-d", folder / "key", disk.path], check=True)
    return disk


def test_a_machine_comes_back_from_a_restic_repository(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    key = stick(tmp_path)
    with small.running(PLAIN, [system, backup, key], "restic") as vm:
        small.start(vm, PLAIN)
        assert RESTIC
        vm.put("/usr/local/bin/restic", Path(RESTIC).read_bytes())
        vm.put("/etc/rear/config/60_key.sh", MOUNT.encode())
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("chmod 755 /usr/local/bin/restic /etc/rear/config/60_key.sh; rm -r /srv/backup/debian12")
        refused = vm.sh("sh /etc/rear/config/60_key.sh; rear -n mkbackup")
        assert refused.status == 3 and "there is no restic repository" in refused.output
        vm.check("restic --repo /srv/backup/restic --password-file /run/key/password init", 60)
        said = vm.check("rear -n mkbackup", 600)
        assert "as snapshot " in said
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")
    assert small.PASSPHRASE.encode() not in initramfs.read_bytes()

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "restic")
    with recovery.rescue(backup, key) as vm:
        assert vm.sh("test -e /run/key/password").status
        said = vm.check("rear -n recover", 600)
        assert "The repository is complete: folders, index and size of all data" in said
    recovery.check(was, tmp_path / "was.json", MAY_DIFFER, backup)
