# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that several plugins declare, each by yielding the one that is here: a machine may use them all."""

from __future__ import annotations

import os
import re
from dataclasses import replace

from ..first_setup import Ask
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
PREPARED = "/dev/disk/by-label/REAR-000"


def _prepared(_run: object) -> str:
    """A disk that `rear format` has made, where one is plugged in."""
    return f"usb://{PREPARED}" if os.path.exists(PREPARED) else ""


ASK_BACKUP_URL = Ask(
    "BACKUP_URL",
    "Where to keep the backups: nfs://server/export, cifs://server/share, sshfs://user@server/folder,"
    f" usb://{PREPARED} (a disk with this label) or file:///folder (on a disk that outlives this system)",
    default=_prepared,
    needed=True,
)
ASK_OUTPUT_URL = Ask(
    "OUTPUT_URL",
    "Where to copy the media, so that they are at hand when this machine is not: nfs://server/export,"
    " cifs://server/share, sftp://user@server/folder, https://server/folder or file:///folder",
)
LUKS_HEADER_BACKUP = Setting(
    "LUKS_HEADER_BACKUP", bool, default=False,
    help="Whether to keep the headers of LUKS volumes with the backup, encrypted as the backup is, so that a recovery"
    " brings back all key slots, tokens and passphrases. The backup must be encrypted (BACKUP_KEY_FILE). Security: a"
    " header from a backup also brings back passphrases and keys that you have revoked since, and the volume key of"
    " the lost disk; anyone who has the passphrase of the backup and one of these opens the volume.",
)  # fmt: skip
OUTPUT_URL = Setting(
    "OUTPUT_URL", Url, files=True,
    help="Where to copy the rescue media, besides the folder of this machine: file:///folder,"
    " nfs://server/export/folder, https://server/folder, sftp://user@server/folder or"
    " rsync+ssh://user@server/folder.",
)  # fmt: skip
OUTPUT_OPTIONS = Setting(
    "OUTPUT_OPTIONS", str,
    help="Options for mounting OUTPUT_URL, such as vers=4.2; for sftp and rsync+ssh options of ssh_config, such as"
    " IdentityFile=/root/.ssh/rescue.",
)  # fmt: skip


def _prefix(value: str) -> str:
    if value.startswith("/"):
        return "must be a folder below OUTPUT_URL, not an absolute path"
    if odd := re.search(r"[^\w.@+/-]", value, re.ASCII):
        return f"must have letters, digits and . _ - + @ only, and / between folders, not {odd[0]!a}"
    folders = value.split("/") if value else []
    if wrong := next((folder for folder in folders if folder in (".", "..")), ""):
        return f"must not have the folder {wrong}, which leads elsewhere"
    return "must not have // or a / at the end" if "" in folders else ""


OUTPUT_PREFIX = Setting(
    "OUTPUT_PREFIX", str, check=_prefix,
    help="Folder below OUTPUT_URL for the media of this machine, such as $HOSTNAME or rescue/web1; rear creates it. If"
    " empty, they lie in OUTPUT_URL itself, with the host name in their names.",
)  # fmt: skip
KEEP_OLD_OUTPUT_COPY = Setting(
    "KEEP_OLD_OUTPUT_COPY", bool, default=False,
    help="Whether to keep the previous media beside the new ones, as NAME.old. OUTPUT_URL must then be a folder: with"
    " file, nfs, cifs, sshfs or usb.",
)  # fmt: skip
# Of outputs that make files.


def by_other_means(setting: Setting, instead: str) -> Setting:
    """A setting as an output declares it that does not what it asks for, and says what to do instead."""
    return replace(setting, help=f"Not for this output: {instead}.")


OUTPUT = (OUTPUT_URL, OUTPUT_OPTIONS, OUTPUT_PREFIX, KEEP_OLD_OUTPUT_COPY)
