# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that several plugins declare, each by yielding the one that is here: a machine may use them all."""

from __future__ import annotations

from ..places.url import Url
from .model import Setting

BACKUP_URL = Setting(
    "BACKUP_URL", Url,
    help="Where to keep backups: nfs://server/export, cifs://server/share, sshfs://user@server/folder, a disk such as"
    " usb:///dev/disk/by-label/REAR-000, or file:///folder. If empty, NFS creates the rescue media without preparing a"
    " backup; restic, Borg and rsync have their servers in settings of their own.",
)  # fmt: skip
BACKUP_OPTIONS = Setting(
    "BACKUP_OPTIONS", str, default="rw,noatime",
    help="Options for mounting BACKUP_URL, such as rw,noatime,vers=4.2; for sshfs:// also words of ssh_config(5).",
)  # fmt: skip
