# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=BORG: files saved to and restored from a Borg repository, on a server by ssh or on a disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rear_core import Ask, BackupAccess, Contents, Refused, Run, SecretFile, SecretLine, Setting, Step, hookimpl
from rear_core.settings.shared import BACKUP_OPTIONS, BACKUP_URL

REAR_API = 1

COMPRESSION = re.compile(r"(?:auto,)?(?:none|lz4|zstd(?:,\d{1,2})?|zlib(?:,\d)?|lzma(?:,\d)?)")
KNOWN_HOSTS = ("/root/.ssh/known_hosts", "/root/.ssh/config", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_config")
# A server that is gone ends a command within a minute, and nobody is asked for a password.
RSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"


def _address(value: str) -> str:
    from .repository import problem

    return problem(value)


def _compression(value: str) -> str:
    return "" if COMPRESSION.fullmatch(value) else "must be none, lz4, zstd,LEVEL, zlib,LEVEL or lzma,LEVEL"


def _keep(values: Sequence[str]) -> str:
    from rear_core.archive import retention

    return retention.problem(values)


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield BACKUP_URL
    yield BACKUP_OPTIONS
    yield Setting(
        "BORG_REPOSITORY", str, check=_address,
        help="The repository: ssh://user@host:22/./folder or user@host:folder; or a folder below BACKUP_URL. If empty:"
        " borg below BACKUP_URL.",
    )  # fmt: skip
    yield Setting(
        "BORG_PASSPHRASE_FILE", str, existing=True,
        help="File with the passphrase of the repository, for root alone. rear never puts it on the rescue media:"
        " recover asks for the passphrase where the file is not there. If empty: the repository is not encrypted.",
    )  # fmt: skip
    yield Setting(
        "BORG_KEYS_DIR", str, existing=True,
        help="The folder with the key of a repository whose encryption is keyfile, such as one on a stick. If empty:"
        " /root/.config/borg/keys.",
    )  # fmt: skip
    yield Setting(
        "BORG_RSH", str, default=RSH,
        help="The command by which borg reaches a server, such as ssh -o BatchMode=yes -i /run/key/id.",
    )  # fmt: skip
    yield Setting(
        "BORG_REMOTE_PATH", str,
        help="The name or path of borg on the server, if that is not borg.",
    )  # fmt: skip
    yield Setting(
        "BORG_OPTIONS", list,
        help="More common options for each command of borg, such as --upload-ratelimit=2000 or --umask=0027.",
    )  # fmt: skip
    yield from _settings_of_saves()


def _settings_of_saves() -> Iterable[Setting]:
    yield Setting(
        "BORG_COMPRESSION", str, default="zstd", check=_compression,
        help="How borg compresses: none, lz4, zstd,LEVEL, zlib,LEVEL or lzma,LEVEL; auto, before it leaves out what is"
        " compressed already.",
    )  # fmt: skip
    yield Setting(
        "BORG_LOCK_WAIT", int, default=600,
        help="Seconds for which a save waits until no other borg has locked the repository.",
    )  # fmt: skip
    yield Setting(
        "BORG_KEEP", list, check=_keep,
        help="Which archives of this machine to keep: BORG_KEEP=( daily 7 weekly 4 monthly 6 ). If empty: the last"
        " ones, as many as BACKUP_KEEP says.",
    )  # fmt: skip


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.settings.shared import ASK_BACKUP_URL

    from .repository import is_remote

    yield Ask(
        "BORG_REPOSITORY",
        "A repository on a server: ssh://user@host:22/./folder or user@host:folder. Without it, it is a folder"
        " on a share or disk",
    )
    yield replace(ASK_BACKUP_URL, when=lambda answers: not is_remote(answers["BORG_REPOSITORY"]))
    yield Ask(
        "BORG_PASSPHRASE_FILE",
        "The passphrase that encrypts the repository. Every recovery asks for it: keep it in a safe place too",
        file=SecretFile("borg.passphrase", (SecretLine("Passphrase"),)),
    )


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from rear_core.contents import merge
    from rear_core.places.opening import kind_of

    from . import client
    from .repository import KEYS, is_remote

    address, url = run.settings["BORG_REPOSITORY"], run.settings["BACKUP_URL"]
    keys = run.settings["BORG_KEYS_DIR"] or KEYS
    secrets = [path for path in (run.settings["BORG_PASSPHRASE_FILE"], f"{keys.rstrip('/')}/*") if path]
    own = [client.contents(run.sh), Contents(files=[keys], secrets=secrets)]
    if is_remote(address):
        own.append(Contents(programs=["ssh"], files=KNOWN_HOSTS))
    elif url:
        own.append(kind_of(run, url).contents)
    return merge(own)


@hookimpl
def rear_backup_access(run: Run) -> BackupAccess:
    from .repository import FOLDER, is_remote

    address = run.settings["BORG_REPOSITORY"]
    return BackupAccess(server=True) if is_remote(address) else BackupAccess(folder=address or FOLDER)


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the Borg repository opens", check_repository)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(50, "Record which file systems must be in the backup", record)


@hookimpl
def rear_analyse_rescue(run: Run) -> Iterable[Step]:
    if "backup" not in run.phases:
        yield Step(50, "Look for an archive of these file systems", look_for_archive)


@hookimpl
def rear_build() -> Iterable[Step]:
    yield Step(92, "Check that borg runs in the rescue system", check_rescue)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files to the Borg repository", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check that the archive is there and complete", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files from the Borg repository", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Ask for the archives of this machine", list_backups)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(50, "Restore the chosen files from the Borg repository", restore_some)


@hookimpl
def rear_mount() -> Iterable[Step]:
    yield Step(50, "Show the archives of this machine as folders", show_backups)


@hookimpl
def rear_forget() -> Iterable[Step]:
    yield Step(50, "Remove the archive", forget_backup)


def check_repository(run: Run) -> None:
    """Open the repository; `Refused` or `ConfigurationError` with the reason when that fails."""
    from rear_core.archive.repository import prefix
    from rear_core.places.room import check_mounted, check_writable

    from .client import version
    from .repository import check_key, is_remote, opened, unlocked

    url = run.settings["BACKUP_URL"]
    if url and url.scheme == "file" and not is_remote(run.settings["BORG_REPOSITORY"]):
        check_mounted(run, url, "BACKUP_URL", prefix(run))
        if not os.path.isdir(url.path):
            raise Refused(f"BACKUP_URL={url}: there is no such folder", f"mount its disk, or create {url.path}")
    number = ".".join(map(str, version(run)))
    with opened(run) as repository:
        if repository.folder:
            check_writable(repository.folder, str(repository))
        _, found = unlocked(run, repository)
        check_key(run, repository, found)
        run.report.detail(f"borg {number} opens {repository}, encryption {found.mode}")


def record(run: Run) -> None:
    """Note the file systems without what the settings leave out."""
    from rear_core.archive import external
    from rear_core.archive.backup import selected_beside

    url = run.settings["BACKUP_URL"]
    folder = Path(os.path.realpath(url.path)) if url and url.scheme == "file" else None
    external.record(run, selected_beside(run, folder))


def look_for_archive(run: Run) -> None:
    """Warn when this machine could not be recovered as yet."""
    from rear_core.archive import external
    from rear_core.archive.owned import own

    from .repository import opened, unlocked

    with opened(run) as repository:
        found = own(run, unlocked(run, repository)[1].archives)
    held = dict.fromkeys(found[-1].paths, found[-1].name) if found else {}
    external.remind(run, external.recorded(run), held)


def check_rescue(run: Run) -> None:
    """Run borg inside the rescue system; `RearError` where it does not start there."""
    from .client import check_tree

    check_tree(run)


def list_backups(run: Run) -> None:
    """List the archives of this machine."""
    from rear_core.archive import external
    from rear_core.archive.owned import own

    from .repository import opened, unlocked

    with opened(run) as repository:
        found = own(run, unlocked(run, repository)[1].archives)
    external.show(run, [(each.moment, path) for each in found for path in each.paths])


def show_backups(run: Run) -> None:
    """Have borg show this machine's archives, until the user ends it."""
    from rear_core.archive import mounting
    from rear_core.archive.repository import hostname
    from rear_core.places import fuse

    from .repository import NO_LOCK, opened, unlocked

    with opened(run) as found:
        repository, _ = unlocked(run, found)
        own = ("--foreground", "--glob-archives", f"{hostname(run)}-*")
        command = repository.argv("mount", *own, *NO_LOCK, repository.at())
        with fuse.shown(run, repository, command, env=repository.environment, writable=False) as directory:
            mounting.show(run, directory)


def forget_backup(run: Run) -> None:
    """Remove the archive of a date, and what only it needs, once somebody has agreed."""
    from .repository import opened, unlocked
    from .saving import forget

    with opened(run, lasting=True) as repository:
        forget(run, *unlocked(run, repository), run.options.backup)


def save_files(run: Run) -> None:
    """Make an archive, check it, and remove old ones."""
    from .repository import opened
    from .saving import save

    with opened(run, lasting=True) as repository:
        save(run, repository)


def check_backup(run: Run) -> None:
    """Prove that an archive of this machine can be restored; `RearError` with the reason otherwise."""
    from .restoring import check

    check(run)


def restore_files(run: Run) -> None:
    """Restore the files from the checked archive."""
    from .restoring import restore

    restore(run)


def restore_some(run: Run) -> None:
    """Restore single files from the checked archive."""
    from .restoring import fetch

    fetch(run)
