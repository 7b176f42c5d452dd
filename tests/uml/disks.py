# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of a guest that are described, change, and are recreated."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from lab import guests
from lab.guests import PYTHON, Answer

from .test_layouts import RECREATE, STOP

CONF = f"""\
EXCLUDE_DEVICES=( {guests.OWN_DISKS} )
LUKS_PASSPHRASE='correct horse battery'
BACKUP_URL=file:///srv/backup
"""
SYSTEM = """\
sfdisk --quiet --label gpt $d <<END
size=40MiB
type=L
END
udevadm settle
mkfs.ext4 -q -L system ${d}1
mount ${d}1 /srv/data --mkdir
echo precious >/srv/data/file
"""


def prepare(guest: guests.Machine) -> None:
    """Put rear into a guest that has started; recoveries know the passphrase in /run/word, and not that in /run/key."""
    guest.shell()
    guest.install_rear()
    # What does not run stays so.
    guest.check("mkdir -p /etc/mdadm && echo 'AUTO -all' >/etc/mdadm/mdadm.conf")
    guest.check("printf 'old passphrase' >/run/key; cp /etc/fstab /run/fstab")
    guest.check("printf 'correct horse battery' >/run/word")


class Lab:
    """The disk of the system and others, in a guest."""

    def __init__(self, guest: guests.Machine, folder: Path) -> None:
        self.guest, self.folder, self.disks = guest, folder, list[guests.Disk]()
        guest.check("rm -rf /root/lab; mkdir /root/lab")

    def plug(self, script: str, count: int = 1, size: int = 192) -> None:
        """Plug in new disks, and make something on the first, which is $d."""
        for number in range(len(self.disks), len(self.disks) + count):
            self.disks.append(guests.Disk(guests.blank(self.folder / f"0f{number:02}", size), f"0f{number:02}"))
        device = self.guest.attach(*self.disks[-count:])[0]
        self.guest.put("/run/make", f"set -e\nd={device}\n{script}\n".encode())
        self.guest.check("bash /run/make && sync && udevadm settle")

    def configure(self, *lines: str) -> None:
        """Write local.conf."""
        self.guest.put("/root/lab/local.conf", "\n".join([CONF, *lines, ""]).encode())

    def describe(self) -> str:
        """Have the machine described; what is said."""
        return self.guest.check("rear -c /root/lab savelayout")

    def unplug(self) -> None:
        """Stop all that stands on the disks, and pull them out."""
        self.guest.check(f"(\n{STOP}\n)")
        self.guest.detach(*(disk.serial for disk in self.disks))

    def shuffle(self) -> None:
        """Let the disks have other names."""
        self.unplug()
        self.guest.attach(*reversed(self.disks))

    def recreate(self) -> Answer:
        """Make the storage again as an unattended recovery does, up to the restore of files."""
        self.guest.put("/run/recreate.py", RECREATE.encode())
        return self.guest.sh(f"{shlex.join([PYTHON, '-B', '/run/recreate.py'])} 2>&1", 240)

    def checksum(self, device: str) -> str:
        """Of what lies on a device of the guest."""
        return self.guest.check(f"sync; sha256sum <{device}")

    def checksums(self) -> list[str]:
        """Of what lies on the disks now."""
        self.guest.check("sync")
        return [hashlib.sha256(disk.path.read_bytes()).hexdigest() for disk in self.disks]
