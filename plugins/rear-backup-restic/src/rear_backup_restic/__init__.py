# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=RESTIC: files saved to and restored from a restic repository, on a server, a disk or in the cloud."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import Ask, BackupAccess, Contents, Refused, Run, SecretFile, SecretLine, Setting, Step, hookimpl
from rear_core.settings.shared import BACKUP_OPTIONS, BACKUP_URL

if TYPE_CHECKING:
    from .snapshot import Snapshot

REAR_API = 1

# By which Go, in which restic is written, knows servers: distributions have one of them.
CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
)  # fmt: skip
KNOWN_HOSTS = ("/root/.ssh/known_hosts", "/root/.ssh/config", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_config")
RCLONE = "/root/.config/rclone/rclone.conf"
# rear gives these itself.
OWN = re.compile("RESTIC_(?:PASSWORD|REPOSITORY).*")


def _address(value: str) -> str:
    from .repository import problem

    return problem(value)


def _variables(values: Sequence[str]) -> str:
    for value in values:
        name = value.partition("=")[0]
        if "=" not in value or not re.fullmatch(r"\w+", name):
            return "must be a list of NAME=value"
        if OWN.fullmatch(name):
            return f"has {name}: set RESTIC_REPOSITORY and RESTIC_PASSWORD_FILE in the configuration instead"
    return ""


def _keep(values: Sequence[str]) -> str:
    from rear_core.archive import retention

    return retention.problem(values)


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield BACKUP_URL
    yield BACKUP_OPTIONS
    yield Setting(
        "RESTIC_REPOSITORY", str, check=_address,
        help="The repository as restic knows it: sftp:user@host:/folder, rest:https://host:8000/name, s3:... or"
        " rclone:remote:path; or a folder below BACKUP_URL. If empty: restic below BACKUP_URL.",
    )  # fmt: skip
    yield Setting(
        "RESTIC_PASSWORD_FILE", str, existing=True,
        help="File with the password of the repository, for root alone. rear never puts it on the rescue media: recover"
        " asks for the password where the file is not there.",
    )  # fmt: skip
    yield Setting(
        "RESTIC_ENVIRONMENT", list, secret=True, check=_variables,
        help="Variables for restic, such as AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=...; for a REST server with"
        " a password RESTIC_REST_USERNAME=... and RESTIC_REST_PASSWORD=... recover asks for them.",
    )  # fmt: skip
    yield Setting(
        "RESTIC_OPTIONS", list,
        help="More options for each command of restic, such as --limit-upload=1000 or --cacert=/etc/ssl/own.pem.",
    )  # fmt: skip
    yield Setting(
        "RESTIC_KEEP", list, check=_keep,
        help="Which snapshots of this machine to keep: RESTIC_KEEP=( daily 7 weekly 4 monthly 6 ). If empty: the last"
        " ones, as many as BACKUP_KEEP says.",
    )  # fmt: skip


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.settings.shared import ASK_BACKUP_URL

    from .repository import backend

    def reached_by(answers: Mapping[str, str]) -> str:
        return backend(answers["RESTIC_REPOSITORY"])

    yield Ask(
        "RESTIC_REPOSITORY",
        "A repository that restic reaches itself: sftp:user@host:/folder, rest:https://host:8000/name,"
        " s3:https://host/bucket/folder or rclone:remote:path. Without it, it is a folder on a share or disk",
    )
    yield Ask(
        "RESTIC_ENVIRONMENT",
        "The variables with which restic logs in there: AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y, for example",
        when=lambda answers: reached_by(answers) not in ("", "sftp", "rclone"),
    )
    yield replace(ASK_BACKUP_URL, when=lambda answers: not reached_by(answers))
    yield Ask(
        "RESTIC_PASSWORD_FILE",
        "The password of the repository. Every recovery asks for it: keep it in a safe place too",
        needed=True,
        file=SecretFile("restic.password", (SecretLine("Password"),)),
    )


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from rear_core.contents import merge
    from rear_core.places.opening import kind_of

    from .repository import backend

    address, url = run.settings["RESTIC_REPOSITORY"], run.settings["BACKUP_URL"]
    secrets = [path for path in (run.settings["RESTIC_PASSWORD_FILE"], RCLONE) if path]
    own = Contents(programs=["restic"], secrets=secrets)
    if not backend(address):
        return merge([own, kind_of(run, url).contents]) if url else own
    if backend(address) == "sftp":
        return merge([own, Contents(programs=["ssh"], files=KNOWN_HOSTS)])
    rclone = ["rclone"] if backend(address) == "rclone" else []
    return merge([own, Contents(programs=rclone, files=CERTIFICATES)])


@hookimpl
def rear_backup_access(run: Run) -> BackupAccess:
    from .repository import FOLDER, backend

    address = run.settings["RESTIC_REPOSITORY"]
    return BackupAccess(server=True) if backend(address) else BackupAccess(folder=address or FOLDER)


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the restic repository opens", check_repository)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(50, "Record which file systems must be in the backup", record)


@hookimpl
def rear_analyse_rescue(run: Run) -> Iterable[Step]:
    if "backup" not in run.phases:
        yield Step(50, "Look for a snapshot of these file systems", look_for_snapshot)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files to the restic repository", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check that the snapshot is there and complete", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files from the restic repository", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Ask for the snapshots of this machine", list_backups)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(50, "Restore the chosen files from the restic repository", restore_some)


@hookimpl
def rear_mount() -> Iterable[Step]:
    yield Step(50, "Show the snapshots of this machine as folders", show_backups)


@hookimpl
def rear_forget() -> Iterable[Step]:
    yield Step(50, "Remove the snapshot", forget_backup)


def check_repository(run: Run) -> None:
    """Open the repository; `Refused` or `ConfigurationError` with the reason when that fails."""
    from rear_core.archive.repository import prefix
    from rear_core.places.room import check_mounted, check_writable

    from .repository import backend, opened, unlocked, version

    url = run.settings["BACKUP_URL"]
    if url and url.scheme == "file" and not backend(run.settings["RESTIC_REPOSITORY"]):
        check_mounted(run, url, "BACKUP_URL", prefix(run))
        if not os.path.isdir(url.path):
            raise Refused(f"BACKUP_URL={url}: there is no such folder", f"mount its disk, or create {url.path}")
    number = ".".join(map(str, version(run)))
    with opened(run) as repository:
        if repository.folder:
            check_writable(repository.folder, str(repository))
        unlocked(run, repository)
        run.report.detail(f"restic {number} opens {repository}")


def record(run: Run) -> None:
    """Note the file systems without what the settings leave out, and which variables restic needs."""
    from rear_core.archive import external
    from rear_core.archive.backup import selected_beside

    from .repository import record_names

    url = run.settings["BACKUP_URL"]
    folder = Path(os.path.realpath(url.path)) if url and url.scheme == "file" else None
    external.record(run, selected_beside(run, folder))
    record_names(run)


def look_for_snapshot(run: Run) -> None:
    """Warn when this machine could not be recovered as yet."""
    from rear_core.archive import external

    found = snapshots(run)
    held = dict.fromkeys(found[-1].paths, found[-1].name) if found else {}
    external.remind(run, external.recorded(run), held)


def snapshots(run: Run) -> list[Snapshot]:
    """The snapshots of this machine, oldest first."""
    from rear_core.archive.owned import own

    from .repository import opened, unlocked

    with opened(run) as repository:
        return own(run, unlocked(run, repository).snapshots())


def list_backups(run: Run) -> None:
    """List the snapshots of this machine."""
    from rear_core.archive import external

    external.show(run, [(each.moment, path) for each in snapshots(run) for path in each.paths])


def show_backups(run: Run) -> None:
    """Have restic show this machine's snapshots, until the user ends it."""
    from rear_core.archive import mounting
    from rear_core.archive.repository import hostname
    from rear_core.places import fuse

    from . import snapshot
    from .repository import READ_ONLY, opened, unlocked

    with opened(run) as found:
        repository = unlocked(run, found)
        own = ("--host", hostname(run), "--tag", ",".join(snapshot.tags(run)))
        command = repository.argv("mount", *own, *READ_ONLY)
        with fuse.shown(run, repository, command, env=repository.environment, writable=False) as directory:
            mounting.show(run, directory)


def forget_backup(run: Run) -> None:
    """Remove the snapshot of a date, and what only it needs, once somebody has agreed."""
    from .repository import opened, unlocked
    from .saving import forget

    with opened(run) as repository:
        forget(run, unlocked(run, repository), run.options.backup)


def save_files(run: Run) -> None:
    """Make a snapshot, check it, and remove old ones."""
    from .repository import opened
    from .saving import save

    with opened(run) as repository:
        save(run, repository)


def check_backup(run: Run) -> None:
    """Prove that a snapshot of this machine can be restored; `RearError` with the reason otherwise."""
    from .restoring import check

    check(run)


def restore_files(run: Run) -> None:
    """Restore the files from the checked snapshot."""
    from .restoring import restore

    restore(run)


def restore_some(run: Run) -> None:
    """Restore single files from the checked snapshot."""
    from .restoring import fetch

    fetch(run)
