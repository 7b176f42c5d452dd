# SPDX-License-Identifier: GPL-3.0-or-later
"""A real NFS server and the guest's own client: rescue media and backups go there, and what happens without it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import guests, nfs, qemu

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

CARD = "$(basename $(dirname $(grep -lx 52:54:00:00:00:05 /sys/class/net/*/address)))"
DELEGATIONS = "/sys/module/nfsv4/parameters/directory_delegations"
REAR = "rear -c /root/nfs"
LOG = "/root/nfs/log"

# Only /srv has anything in it that is saved. The time limits are short, as no server here is slow.
CONFIGURATION = """
OUTPUT_URL=nfs://10.0.2.2/export/media
OUTPUT_OPTIONS=vers=4.2,port={port},timeo=20,retrans=1
ISO_DIR=/root/nfs/output
ISO_PREFIX=rescue
BACKUP_URL=nfs://10.0.2.2/export
BACKUP_OPTIONS=vers=4.2,port={port},timeo=20,retrans=1
BACKUP_PROG_EXCLUDE=( '/[!s]*' )
BACKUP_COMPRESSION=none
LOGFILE=/root/nfs/log
"""

FILES = r"""
set -e
mkdir -p /srv/files/empty
echo text >/srv/files/text
head -c 300000 /dev/urandom >"/srv/files/odd name"
ln "/srv/files/odd name" /srv/files/again
ln -s text /srv/files/link
chown 1234:5678 /srv/files/text
setfattr -n user.note -v kept /srv/files/text
"""

# What `rear mkrescue` does with an image that is finished.
DELIVER = """
import rear_output_iso
from rear_core.cli.session import at_work, open_run
from rear_core.run import Options
from rear_output_iso.discs import image_path
from pathlib import Path

with at_work(open_run(Options(config_dir=Path("/root/nfs"))), "mkrescue") as run:
    image = image_path(run)
    image.parent.mkdir()
    for contents in b"first", b"second":
        image.write_bytes(contents * 100000)
        rear_output_iso.check_places(run)
        rear_output_iso.copy_image(run)
"""


@pytest.fixture
def port() -> int:
    """The port that the server has, or would have."""
    return qemu.free_port()


@pytest.fixture
def client(guest: guests.Machine, port: int) -> Iterator[guests.Machine]:
    """The guest with a way to the host, and a configuration of its own; as it was before when the test ends."""
    # This client asks for them at once, which an older nfs-ganesha takes for a broken request.
    guest.check(f"modprobe nfsv4; [ ! -e {DELEGATIONS} ] || echo N >{DELEGATIONS}")
    guest.check("mkdir /root/nfs")
    guest.put("/root/nfs/local.conf", CONFIGURATION.format(port=port).encode())
    guest.put("/root/nfs/files", FILES.encode())
    guest.check(f"ip address add 10.0.2.15/24 dev {CARD} && ip link set {CARD} up")
    try:
        guest.check("sh /root/nfs/files")
        yield guest
        assert nothing_is_left(guest)
    finally:
        guest.sh("umount --all --force --lazy --types nfs,nfs4")
        guest.sh("rm -r /root/nfs /srv/files /srv/large")
        guest.sh(f"ip address flush dev {CARD}; ip link set {CARD} down")


def nothing_is_left(guest: guests.Machine) -> bool:
    """Whether nothing is mounted from a server, and no work area stayed."""
    return guest.sh("grep -E ' nfs4? ' /proc/mounts; ls -d /tmp/rear.[0-9]* 2>/dev/null").output == ""


@contextmanager
def stopped_once(server: nfs.Server, pattern: str, directory: Path) -> Iterator[None]:
    """The server is killed as soon as the exported directory has a file of that pattern."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if any(directory.glob(pattern)):
                server.process.kill()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def generations(directory: Path) -> dict[str, str]:
    """The checksums of all files of complete backups."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.glob("debian12/*Z/*"))
    }


def test_media_are_delivered_to_a_server(client: guests.Machine, port: int, tmp_path: Path) -> None:
    client.put("/root/nfs/deliver.py", DELIVER.encode())
    (tmp_path / "media").mkdir()
    with nfs.server(tmp_path, port, client.network):
        client.check("/opt/rear/bin/python /root/nfs/deliver.py")
    contents = b"second" * 100000
    assert (tmp_path / "media/rescue.iso").read_bytes() == contents
    checksum = hashlib.sha256(contents).hexdigest()
    note, line = (tmp_path / "media/rescue.iso.sha256").read_text().splitlines()
    assert note.startswith("# Written by rear for ") and line == f"{checksum}  rescue.iso"
    assert sorted(path.name for path in (tmp_path / "media").iterdir()) == ["rescue.iso", "rescue.iso.sha256"]
    # Each time to check the place, to see that no clone has an image with its backup there, and to copy.
    assert client.check(f"grep -c '+ mount --types nfs' {LOG}; grep -c '+ umount' {LOG}") == "6\n6"


def test_a_backup_on_a_server_is_restored_and_outlives_one_that_failed(
    client: guests.Machine, port: int, tmp_path: Path
) -> None:
    with nfs.server(tmp_path, port, client.network) as server:
        client.check(f"{REAR} mkbackuponly", timeout=300)
        good = generations(tmp_path)
        assert [Path(name).name for name in good] == ["backup.tar", "coverage.json", "manifest.json"]
        client.check("head -c 64M /dev/zero | tr '\\0' x >/srv/large")
        with stopped_once(server, "debian12/*.partial/backup.tar", tmp_path):
            answer = client.sh(f"{REAR} mkbackuponly", timeout=300)
    assert answer.status == 1, answer.output
    assert "cannot write the backup" in answer.output
    assert generations(tmp_path) == good
    assert nothing_is_left(client)

    with nfs.server(tmp_path, port, client.network):
        client.check(f"{REAR} recover --demo /root/nfs/back", timeout=300)
    client.check("diff --recursive --no-dereference /srv/files /root/nfs/back/srv/files")
    attributes = "find . -printf '%p %y %m %U:%G %n %s %T@ %l\\n' | sort; getfattr -dR ."
    original, restored = (client.check(f"(cd {top}/srv/files; {attributes})") for top in ("", "/root/nfs/back"))
    assert original == restored
    assert 'user.note="kept"' in restored


def test_without_its_server_a_run_is_refused_soon(client: guests.Machine) -> None:
    answer = client.sh(f"{REAR} mkbackuponly", timeout=180)
    assert answer.status == 3
    assert "cannot mount nfs://10.0.2.2/export" in answer.output
    assert "Connection refused" in answer.output
