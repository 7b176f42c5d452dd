# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back from a folder of rsync on a disk; and a share of NFS keeps such folders, too."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lab import archives, guests, methods, nfs, qemu, servers, small
from lab.small import PLAIN

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("rsync") != "/usr/bin/rsync", reason="rsync is not installed"),
]

CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=RSYNC
BACKUP_URL=file:///srv/backup
BACKUP_PROG_EXCLUDE+=( '/var/cache/*' )
{small.in_guest()}
"""
SERVED = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=RSYNC
RSYNC_REPOSITORY=ssh://root@10.0.2.2:{{port}}{{place}}
RSYNC_RSH='ssh -i /root/.ssh/rear -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=4'
RSYNC_FAKE_SUPER=yes
RESCUE_FILES=( /root/.ssh/rear )
RESCUE_ALLOW_SECRETS=( /root/.ssh/rear )
BACKUP_PROG_EXCLUDE+=( '/var/cache/*' )
EXCLUDE_MOUNTPOINTS=( /srv/backup )
{small.in_guest()}
"""
CARD = "$(basename $(dirname $(grep -lx 52:54:00:00:00:05 /sys/class/net/*/address)))"
DELEGATIONS = "/sys/module/nfsv4/parameters/directory_delegations"
# Only /srv has anything in it that is saved.
SHARED = """\
BACKUP=RSYNC
BACKUP_URL=nfs://10.0.2.2/export
BACKUP_OPTIONS=vers=4.2,port={port},timeo=20,retrans=1
BACKUP_PROG_EXCLUDE=( '/[!s]*' )
LOGFILE=/root/nfs/log
"""
REAR = "rear -c /root/nfs"
MAY_DIFFER = (*small.MAY_DIFFER, "/usr/lib/modules/*")
PACKAGES = ("rsync", "libpopt0", "libxxhash0", "liblz4-1")


def test_a_machine_comes_back_from_a_folder_of_rsync(tmp_path: Path) -> None:
    saved = small.saved(PLAIN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    with small.running(PLAIN, [system, backup], "rsync") as vm:
        small.start(vm, PLAIN)
        vm.put("/var/tmp/rsync.tar.gz", archives.packed(*PACKAGES))
        vm.check("tar --extract --absolute-names --file=/var/tmp/rsync.tar.gz; rm /var/tmp/rsync.tar.gz; ldconfig", 60)
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("rm -r /srv/backup/debian12")
        said = vm.check("rear -n mkbackuponly", 600)
        assert "/srv/backup/rsync/debian12" in said
        vm.check("echo later >/srv/data/later")
        said = vm.check("rear -n mkbackup", 600)
        assert vm.check("ls /srv/backup/rsync/debian12 | wc -l").strip().endswith("2")
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(PLAIN, initramfs, tmp_path, "rsync")
    with recovery.rescue(backup) as vm:
        said = vm.check("rear -n recover", 600)
        assert "The backup is complete: " in said
    recovery.check(was, tmp_path / "was.json", MAY_DIFFER, backup)


def test_a_machine_comes_back_from_a_server_where_owners_are_attributes(tmp_path: Path) -> None:
    saved, design = small.saved(PLAIN), replace(PLAIN, nics=[methods.CARD])
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    work, place, port = tmp_path / "sshd", tmp_path / "place", qemu.free_port()
    work.mkdir()
    place.mkdir()
    with small.running(design, [system, backup], "rsync-ssh") as vm:
        small.start(vm, design)
        vm.put("/var/tmp/rsync.tar.gz", archives.packed(*PACKAGES))
        vm.check("tar --extract --absolute-names --file=/var/tmp/rsync.tar.gz; rm /var/tmp/rsync.tar.gz; ldconfig", 60)
        vm.put("/run/network", methods.NETWORK.encode())
        vm.check("bash /run/network; rm -r /srv/backup/debian12; mkdir -p -m 700 /root/.ssh")
        with servers.sshd(work, port=port, address="10.0.2.2", network=vm.network):
            vm.put("/root/.ssh/rear", (work / "user").read_bytes())
            vm.put("/root/.ssh/known_hosts", (work / "known").read_bytes())
            vm.check("chmod 600 /root/.ssh/rear")
            vm.put("/etc/rear/local.conf", SERVED.format(port=port, place=place).encode())
            vm.check("rear -n mkbackup", 900)
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    (made,) = (place / "debian12").glob("*Z")
    assert {path.lstat().st_uid for path in (made / "tree").rglob("*")} == {0}
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(design, initramfs, tmp_path, "rsync-ssh")
    with recovery.rescue(backup) as vm, servers.sshd(work, port=port, address="10.0.2.2", network=vm.network):
        said = vm.check("rear -n recover", 900)
        assert f"in root@10.0.2.2:{place}/debian12" in said and "The backup is complete: " in said
    recovery.check(was, tmp_path / "was.json", (*MAY_DIFFER, "/etc/systemd/network/10-rear-*.link"), backup)


def test_a_share_of_nfs_takes_files_without_their_attributes(guest: guests.Machine, tmp_path: Path) -> None:
    port = qemu.free_port()
    # This client asks for them at once, which an older nfs-ganesha takes for a broken request.
    guest.check(f"modprobe nfsv4; [ ! -e {DELEGATIONS} ] || echo N >{DELEGATIONS}; mkdir -p /root/nfs /srv/files")
    guest.put("/root/nfs/local.conf", SHARED.format(port=port).encode())
    guest.put("/var/tmp/rsync.tar.gz", archives.packed(*PACKAGES))
    guest.check("tar --extract --absolute-names --file=/var/tmp/rsync.tar.gz; rm /var/tmp/rsync.tar.gz; ldconfig", 60)
    guest.check(f"ip address add 10.0.2.15/24 dev {CARD} && ip link set {CARD} up")
    try:
        guest.check(
            "cd /srv/files; echo text >text; ln text again; ln -s text link; chown 1234:5678 text; chmod 4750 text"
        )
        with nfs.server(tmp_path, port, guest.network):
            refused = guest.sh(f"{REAR} mkbackuponly", 300)
            assert refused.status == 3 and "keeps no ACLs and no extended attributes of files" in refused.output
            guest.check("echo 'RSYNC_ATTRIBUTES=()' >>/root/nfs/local.conf")
            for _ in range(2):
                guest.check(f"{REAR} mkbackuponly", 300)
            said = guest.check(f"{REAR} backup restore --to /root/nfs/back /srv/files", 300)
            assert "this backup has no acls and no xattrs" in said
        first, second = sorted((tmp_path / "rsync/debian12").glob("*Z"))
        assert os.path.samefile(first / "tree/srv/files/text", second / "tree/srv/files/text")
        # This server keeps no times of links.
        listed = "find . ! -type l -printf '%p %y %m %U:%G %n %s %T@\\n' | sort"
        original, restored = (guest.check(f"cd {top}/srv/files; {listed}") for top in ("", "/root/nfs/back"))
        assert original == restored and guest.check("readlink /root/nfs/back/srv/files/link") == "text"
    finally:
        guest.sh("umount --all --force --lazy --types nfs,nfs4; rm -r /root/nfs /srv/files")
        guest.sh(f"ip address flush dev {CARD}; ip link set {CARD} down")
