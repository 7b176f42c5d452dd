# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Samba server and the guest's own client: backups on a share that wants a user and a password."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import guests, samba

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

CARD = "$(basename $(dirname $(grep -lx 52:54:00:00:00:05 /sys/class/net/*/address)))"
REAR = "rear -c /root/cifs"
# Only /srv has anything in it that is saved.
CONFIGURATION = """
BACKUP_URL=cifs://10.0.2.2/store/deep%20folder
CIFS_CREDENTIALS=/root/cifs/credentials
BACKUP_PROG_EXCLUDE=( '/[!s]*' )
BACKUP_COMPRESSION=none
BACKUP_KEEP=1
LOGFILE=/root/cifs/log
"""
CREDENTIALS = f"username={samba.USER}\npassword={samba.PASSWORD}\n"
FILES = r"""
set -e
mkdir -p /srv/files/empty
echo text >/srv/files/text
head -c 3000000 /dev/urandom >"/srv/files/odd name"
ln -s text /srv/files/link
chown 1234:5678 /srv/files/text
"""


@pytest.fixture
def client(guest: guests.Machine) -> Iterator[guests.Machine]:
    """The guest with a way to the host, and a configuration of its own; as it was before when the test ends."""
    guest.check("mkdir /root/cifs && touch /root/cifs/credentials && chmod 600 /root/cifs/credentials")
    guest.put("/root/cifs/local.conf", CONFIGURATION.encode())
    guest.put("/root/cifs/credentials", CREDENTIALS.encode())
    guest.put("/root/cifs/files", FILES.encode())
    guest.check(f"ip address add 10.0.2.15/24 dev {CARD} && ip link set {CARD} up")
    try:
        guest.check("sh /root/cifs/files")
        yield guest
        assert guest.sh("grep ' cifs ' /proc/mounts; ls -d /tmp/rear.[0-9]* 2>/dev/null").output == ""
    finally:
        guest.sh("umount --all --force --lazy --types cifs")
        guest.sh("rm -r /root/cifs /srv/files")
        guest.sh(f"ip address flush dev {CARD}; ip link set {CARD} down")


@pytest.mark.skipif(not shutil.which("smbd"), reason="Samba is not installed")
def test_backups_on_a_share_are_made_listed_restored_and_replaced(client: guests.Machine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "deep folder").mkdir(parents=True)
    with samba.server(store, tmp_path / "private", client.network):
        for _ in range(2):
            client.check(f"{REAR} mkbackuponly", timeout=300)
        listed = client.check(f"{REAR} backup list 2>/dev/null")
        assert listed.count("complete") == 1
        client.check(f"{REAR} recover --demo /root/cifs/back", timeout=300)
        client.check("diff --recursive --no-dereference /srv/files /root/cifs/back/srv/files")
        assert client.check("stat -c %u:%g /root/cifs/back/srv/files/text") == "1234:5678"

        client.put("/root/cifs/credentials", CREDENTIALS.replace("pass", "fail").encode())
        refused = client.sh(f"{REAR} -n checkbackup", timeout=120)
        assert refused.status == 3 and "cannot mount cifs://10.0.2.2/store/deep folder" in refused.output
        client.check("rm /root/cifs/credentials")
        refused = client.sh(f"{REAR} -n checkbackup", timeout=120)
        assert refused.status == 3 and "needs a user and a password" in refused.output
        assert samba.PASSWORD not in client.check("cat /root/cifs/log")
    (generation,) = store.glob("deep folder/debian12/*Z")
    assert sorted(path.name for path in generation.iterdir()) == ["backup.tar", "coverage.json", "manifest.json"]


def test_without_its_server_a_run_is_refused_soon(client: guests.Machine) -> None:
    answer = client.sh(f"{REAR} mkbackuponly", timeout=180)
    assert answer.status == 3
    assert "cannot mount cifs://10.0.2.2/store" in answer.output
