# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the place that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rear_core import ConfigurationError, Run
from rear_core.archive.repository import prefix

from . import address
from .folder import Folder
from .repository import Store
from .server import Server

FOLDER = "rsync"
# Places that keep neither owners nor hard links, with what to do.
UNFIT = {
    "cifs": "use BACKUP=NFS with shares of Windows, or a server that has ssh",
    "sshfs": "write RSYNC_REPOSITORY=user@server:/folder instead",
}
# Seconds to wait for a place where nothing is written.
PATIENCE = 60


def lasting(run: Run) -> Folder | None:
    """The place where it is a folder that is there also when nobody saves; None for others."""
    name, url = str(run.settings["RSYNC_REPOSITORY"]), run.settings["BACKUP_URL"]
    if address.is_remote(name) or url is None or url.scheme != "file":
        return None
    return Folder(run, Path(url.path), name or FOLDER, prefix(run), str(url))


@contextmanager
def opened(run: Run) -> Iterator[Store]:
    """The place of this machine's backups, mounted where need be, and read-only where nothing is written."""
    name, url = str(run.settings["RSYNC_REPOSITORY"]), run.settings["BACKUP_URL"]
    if address.is_remote(name):
        yield Server(run, address.read(name), prefix(run))
        return
    if url is None:
        raise ConfigurationError("rear knows no place for backups", "set RSYNC_REPOSITORY, or BACKUP_URL for a folder")
    if url.scheme in UNFIT:
        raise ConfigurationError(
            f"BACKUP_URL={url} is no place for rsync: {url.scheme} keeps neither owners nor hard links",
            UNFIT[url.scheme],
        )
    from rear_core.places.opening import opened as opened_place

    options, reading = str(run.settings["BACKUP_OPTIONS"]), run.only_reads
    # The last one of contradicting options counts.
    words = ",".join(filter(None, (options, "ro"))) if reading else options
    with opened_place(run, url, words, patience=PATIENCE if reading else 0) as directory:
        yield Folder(run, directory, name or FOLDER, prefix(run), str(url))
