# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back from a Borg repository on a disk, with nobody at its console."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab import archives, guests, small
from lab.small import PLAIN

BORG = shutil.which("borg")

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(BORG != "/usr/bin/borg", reason="borg is not installed: tools/install test does that"),
]

KEY = "0e02"
CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=BORG
BACKUP_URL=file:///srv/backup
BORG_PASSPHRASE_FILE=/run/key/passphrase
BACKUP_PROG_EXCLUDE+=( '/var/cache/*' )
EXCLUDE_MOUNTPOINTS=( /run/key )
{small.in_guest()}
"""
# The stick with the passphrase, as the page on Borg has it.
MOUNT = """\
#!/bin/sh
mkdir -p /run/key
mountpoint -q /run/key || mount -o ro LABEL=KEY /run/key
"""
# What borg remembers of a repository changes at the end of a save.
MAY_DIFFER = (*small.MAY_DIFFER, "/root/.config/borg/*", "/usr/lib/modules/*")
PACKAGES = ("borgbackup", "python3-msgpack", "python3-packaging", "python3-pkg-resources", "libxxhash0", "liblz4-1")


def stick(folder: Path) -> guests.Disk:
    """A disk with the passphrase of the repository."""
    disk = guests.Disk(guests.blank(folder / KEY, 16), KEY)
    (folder / "key").mkdir()
    (folder / "key/passphrase").write_text(f"{small.PASSPHRASE}\n")
    (folder / "key/passphrase").chmod(0o600)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "KEY", "-d", folder / "key", disk.path], check=True)
    return disk


def test_a_machine_comes_back_from_a_borg_repository(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    key = stick(tmp_path)
    with small.running(PLAIN, [system, backup, key], "borg") as vm:
        small.start(vm, PLAIN)
        vm.put("/var/tmp/borg.tar.gz", archives.packed(*PACKAGES))
        vm.check("tar --extract --absolute-names --file=/var/tmp/borg.tar.gz; rm /var/tmp/borg.tar.gz; ldconfig", 60)
        vm.put("/etc/rear/config/60_key.sh", MOUNT.encode())
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("chmod 755 /etc/rear/config/60_key.sh; rm -r /srv/backup/debian12")
        refused = vm.sh("sh /etc/rear/config/60_key.sh; rear -n mkbackup")
        assert refused.status == 3 and "there is no Borg repository" in refused.output
        vm.check("BORG_PASSCOMMAND='cat /run/key/passphrase' borg init -e repokey-blake2 /srv/backup/borg", 60)
        said = vm.check("rear -n mkbackup", 600)
        assert "as debian12-20" in said
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")
    assert small.PASSPHRASE.encode() not in initramfs.read_bytes()

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "borg")
    with recovery.rescue(backup, key) as vm:
        assert vm.sh("test -e /run/key/passphrase").status
        said = vm.check("rear -n recover", 600)
        assert "The archive is complete: " in said
    recovery.check(was, tmp_path / "was.json", MAY_DIFFER, backup)
