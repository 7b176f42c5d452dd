# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rehearsal in a virtual machine gets at a backup, which the plugin of its method says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackupAccess:
    """What a rescue system in a virtual machine needs to read the backup; nothing where the rescue media have it.

    `archive`: one backup of the form that `rear_core.archive` writes below BACKUP_URL. `folder`: a folder below
    BACKUP_URL, as a path from there, with all in it, which is only read. `server`: the servers themselves, over the
    network of the healthy machine. Besides this it gets the plugin's settings that are secret, and the files that its
    `Contents.secrets` keep off the media.
    """

    archive: bool = False
    folder: str = ""
    server: bool = False
