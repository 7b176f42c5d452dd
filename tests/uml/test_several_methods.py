# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back from two methods: an archive has its system, a folder of rsync its data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab import archives, small
from lab.small import PLAIN

from .test_rsync import MAY_DIFFER, PACKAGES

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("rsync") != "/usr/bin/rsync", reason="rsync is not installed"),
]

CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=( NFS RSYNC )
BACKUP_PARTS=( RSYNC:/srv/data RSYNC:/root )
BACKUP_URL=file:///srv/backup
BACKUP_PROG_EXCLUDE+=( '/var/cache/*' )
{small.in_guest()}
"""


def test_a_machine_comes_back_from_two_methods(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    with small.running(PLAIN, [system, backup], "several") as vm:
        small.start(vm, PLAIN)
        vm.put("/var/tmp/rsync.tar.gz", archives.packed(*PACKAGES))
        vm.check("tar --extract --absolute-names --file=/var/tmp/rsync.tar.gz; rm /var/tmp/rsync.tar.gz; ldconfig", 60)
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("rm -r /srv/backup/debian12; echo own >/root/own")
        vm.check("rear -n mkbackup", 600)
        vm.check("echo later >/srv/data/later; rear -n mkbackuponly --only RSYNC", 600)
        assert vm.check("rear backup list | awk '{ print $NF }'").split() == ["METHOD", "NFS", "RSYNC", "RSYNC"]
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "several")
    with recovery.rescue(backup) as vm:
        # Without the data nothing is written, though the system could come back.
        vm.check("mkdir -p /srv/backup && mount LABEL=BACKUP /srv/backup && cd /srv/backup && mv rsync away")
        said = vm.sh("rear -n recover", 600)
        assert said.status == 3, said.output
        vm.check("cd /srv/backup && mv away rsync && cd / && mount -o remount,ro /srv/backup")
        vm.check("rear -n recover", 600)
    recovery.check(was, tmp_path / "was.json", MAY_DIFFER, backup)
