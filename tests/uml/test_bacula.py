# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back from a Bacula director on another one, after its two passwords were typed."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lab import archives, bacula, docs, methods, small
from lab.small import PLAIN

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    bacula.NEEDS_BACULA,
]

CONFIGURATION = f"""\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=BACULA
EXCLUDE_MOUNTPOINTS=( /srv/backup )
{small.in_guest()}
"""
PAGE = "how-to/bacula.md"
FILE_DAEMON = "/etc/bacula/bacula-fd.conf"
LEFT_OUT = ("/var/cache", "/var/lib/bacula", "/tmp", "/var/tmp")
# Left out, or what the file daemon itself keeps.
MAY_DIFFER = (
    *small.MAY_DIFFER, "/usr/lib/modules/*", "/etc/systemd/network/10-rear-*.link", *LEFT_OUT,
    *(f"{path}/*" for path in LEFT_OUT),
)  # fmt: skip
PACKAGES = (
    "bacula-fd",
    "bacula-console",
    "bacula-common",
    "liblzo2-2",
    "libcap2",
    "libssl3",
    "libreadline8",
    "libacl1",
)


def in_seconds(listed: bytes) -> bytes:
    """A list of files with their times as Bacula keeps them: in whole seconds."""
    found = json.loads(listed)
    for line in found.values():
        if stat.S_ISREG(int(line[0], 8)):
            line[5] -= line[5] % 10**9
    return json.dumps(found).encode()


def test_a_machine_comes_back_from_a_bacula_director(tmp_path: Path) -> None:
    saved, design = small.saved(PLAIN), replace(PLAIN, nics=[methods.CARD])
    system, backup = (saved.copy(serial, tmp_path) for serial in (PLAIN.serials("0a")[0], small.BACKUP))
    server = bacula.Server(
        tmp_path / "server", ("/", "/srv/data"), left_out=LEFT_OUT, address="10.0.2.2", client_address="10.0.2.15",
        working="/var/lib/bacula",
    )  # fmt: skip
    with small.running(design, [system, backup], "bacula") as vm, server:
        small.start(vm, design)
        vm.put("/var/tmp/bacula.tar.gz", archives.packed(*PACKAGES))
        vm.check(
            "tar --extract --absolute-names --file=/var/tmp/bacula.tar.gz; rm /var/tmp/bacula.tar.gz; ldconfig", 60
        )
        vm.check("mkdir -p -m 700 /etc/bacula /var/lib/bacula; rm -r /srv/backup/debian12")
        vm.put(FILE_DAEMON, server.daemon.read_bytes())
        vm.put("/etc/bacula/bconsole.conf", server.console.read_bytes())
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.put("/run/network", methods.NETWORK.encode())
        vm.check(f"chmod 600 /etc/bacula/*; bash /run/network; bacula-fd -P -c {FILE_DAEMON}")
        for name in ("sd", "dir"):
            server.start(name, vm.network)
        refused = vm.sh("rear -n backup check", 120)
        assert refused.status == 3, refused.output
        said = vm.check("rear -n mkbackup", 900)
        assert "Saved as job 1 (save web1, full)" in said
        vm.check("echo later >/srv/data/later")
        said = vm.check("rear -n mkbackuponly", 900)
        assert "Saved as job 3 (save web1, incremental)" in said
        newest = max(re.findall(r"20\S+Z", vm.check("rear backup list 2>/dev/null", 120)))
        for line in (*docs.typed(PAGE, "Set it up"), *docs.typed(PAGE, "List and fetch")):
            vm.check(line.replace("2026-11-22T1830", newest).replace("/home", "/srv/data/later"), 300)
        vm.check("cmp /tmp/back/etc/fstab /etc/fstab && cmp /tmp/older/srv/data/later /srv/data/later")
        (tmp_path / "rescue.iso").write_bytes(vm.get(small.ISO))
        (tmp_path / "was.json").write_bytes(in_seconds(small.listed(vm)))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")
    assert bacula.CLIENT.encode() not in initramfs.read_bytes()

    recovery = small.Recovery(design, initramfs, tmp_path, "bacula")
    with recovery.rescue(backup) as vm, server:
        for name in ("sd", "dir"):
            server.start(name, vm.network)
        refused = vm.sh("rear -n recover", 300)
        assert refused.status == 3 and "rescue media have no password of bconsole" in refused.output
        vm.send("rear recover; echo ended with $?.\n")
        for word in ("wrong", bacula.CONSOLE):
            vm.expect("Password of bconsole for the Bacula director lab-dir: ", 300)
            vm.send(f"{word}\n")
        for word in ("wrong", bacula.CLIENT):
            vm.expect("Password of bacula-fd for the Bacula director lab-dir: ", 300)
            vm.send(f"{word}\n")
        vm.expect("Restore files as of a time, such as .*, or press Enter for the newest: ", 300)
        vm.send("\n")
        vm.expect("The director restored a sample of 2 files", 300)
        vm.expect("The recovery is complete", 900)
        assert vm.expect(r"ended with (\d+)\.", 60)[1] == "0"
    recovery.check(was, tmp_path / "was.json", MAY_DIFFER, backup)
