# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine keeps the header of its encrypted volume with its backup: after a recovery all passphrases open it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import small

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(900)]

SECOND = "staple of another"
KEY = "BACKUP_KEY='a passphrase of backups'"
VAULT = "/dev/sys-tem/vault"


def test_every_passphrase_opens_the_recovered_volume(tmp_path: Path) -> None:
    design, saved = small.MIRROR, small.saved(small.MIRROR)
    backup = saved.copy(small.BACKUP, tmp_path)
    own = [saved.copy(serial, tmp_path) for serial in design.serials("0a")]
    with small.running(design, [*own, backup], "luks-header-saves") as vm:
        small.start(vm, design)
        vm.put("/run/first", small.PASSPHRASE.encode())
        vm.put("/run/second", SECOND.encode())
        cheap = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
        vm.check(f"cryptsetup luksAddKey -q {cheap} --key-file /run/first {VAULT} /run/second")
        vm.check("echo LUKS_HEADER_BACKUP=yes >>/etc/rear/local.conf")
        refused = vm.sh("rear mkbackup")
        assert refused.status == 2 and "this one is not encrypted" in refused.output
        vm.check(f'echo "{KEY}" >>/etc/rear/local.conf')
        said = vm.check("rear mkbackup", 300)
        assert "Saved the header of LUKS volume" in said and "key slots 0 1" in said
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")
    recovery = small.Recovery(design, initramfs, tmp_path, "luks-header")
    with recovery.rescue(backup) as vm:
        vm.check("! find / -xdev -name 'header-luks*' | grep .")
        vm.check(f'echo "{KEY}" >>/etc/rear/local.conf')
        wrong = vm.sh("LUKS_PASSPHRASE='neither of them' rear -n recover", 120)
        assert wrong.status == 3 and "LUKS_PASSPHRASE does not open it" in wrong.output
        said = vm.check(f"LUKS_PASSPHRASE='{SECOND}' rear -n recover", 300)
        assert "gets its header of" in said
        assert SECOND not in vm.check("cat /var/log/rear/*.log")
        for word in (small.PASSPHRASE, SECOND):
            vm.check(f"printf '{word}' | cryptsetup open --test-passphrase --key-file=- {VAULT}")
    recovery.check_start(backup)
