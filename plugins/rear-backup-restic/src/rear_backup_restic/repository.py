# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository: where it is, by which password and environment it opens, and what restic answers there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from rear_core import Absent, ConfigurationError, ProgramFailed, RearError, Refused, Run, durable, own_files, questions
from rear_core.archive import passwords
from rear_core.places.mounted import DISK_FOLDER

from . import snapshot

NAMES = "restic.json"
FOLDER = "restic"
# Seconds: to wait for a server, which restic since 0.17 does for a quarter of an hour, and for an answer of restic that
# reads little or much.
PATIENCE = 60
SHORT, LONG = 900, 7 * 24 * 3600
# Exit statuses since 0.17; before it was always 1.
NO_REPOSITORY, LOCKED, WRONG_PASSWORD = 10, 11, 12
# What our shell says of a program that it has ended.
TOO_LONG = 124
# Those who use the repository at the same time must not see it change: this one only reads, and keeps nothing.
READ_ONLY = ("--no-lock", "--no-cache")

T = TypeVar("T")


class WrongPassword(Refused):
    """The repository does not open with this password."""


class Locked(RearError):
    """Another restic has locked the repository, or it cannot be locked."""


@dataclass(frozen=True)
class Repository:
    """A repository as restic finds it, `shown` as the user knows it; the environment has its password."""

    run: Run
    address: str
    shown: str
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None = None

    def __str__(self) -> str:
        return self.shown

    def argv(self, command: str, *words: str) -> list[str]:
        """A command line; the address is not on it, as it may have a password."""
        return ["restic", command, *self.run.settings["RESTIC_OPTIONS"], *words]

    def ask(self, command: str, *words: str, timeout: float = SHORT) -> str:
        """What restic prints; raises what `failure` makes of its error."""
        try:
            return self.run.sh.query(*self.argv(command, *words), env=self.environment, timeout=timeout)
        except ProgramFailed as error:
            raise failure(self, error) from error

    def snapshots(self) -> list[snapshot.Snapshot]:
        """All that rear has made, of all machines."""
        return snapshot.read(self.ask("snapshots", "--json", "--tag", snapshot.TAG, *READ_ONLY))

    def locking(self, do: Callable[[Sequence[str]], T]) -> T:
        """Do what needs a lock, with more options; where it gets none, again without locks of processes that are gone.

        Not before: each command of restic derives the key anew, for half a second.
        """
        try:
            return do(())
        except Locked:
            if "removed" in (said := self.ask("unlock")):
                self.run.report.log(said.strip())
            return do(self.waiting())

    def waiting(self) -> list[str]:
        """The option to wait for the lock of another machine, where this restic has it."""
        return ["--retry-lock", "10m"] if version(self.run) >= (0, 16) else []


def failure(repository: Repository, error: ProgramFailed) -> RearError:
    """What an error of restic means, by its status where it has one, else by its words."""
    said = error.output
    first = next((line for line in said.splitlines() if line.startswith("Fatal: ")), error.message)
    reason = first[len("Fatal: ") :] if first.startswith("Fatal: ") else first
    if error.status == WRONG_PASSWORD or re.search("wrong password|empty password", said):
        return WrongPassword(f"the password does not open {repository}", "check RESTIC_PASSWORD_FILE")
    locked = re.search(".*(?:create lock|already locked).*", said)
    if error.status == LOCKED or locked:
        return Locked(
            f"{repository} cannot be locked: {locked[0] if locked else reason.strip()}",
            "wait until no other restic works there, or remove stale locks with `restic unlock`",
        )
    missing = re.search("does not exist|no such file|not found", first)
    if error.status == NO_REPOSITORY or ("Is there a repository" in said and missing):
        advice = how_to_create(repository)
        return Absent(f"there is no restic repository in {repository}", advice, lambda: create(repository.run))
    if error.status == TOO_LONG:
        return Refused(
            f"{repository} does not answer: {error.message}", "check its server, the network and the address"
        )
    if "Is there a repository" in said:
        return Refused(f"{repository} does not answer: {reason}", "check its server, the network and the address")
    detail = re.search(r"^(?:[Pp]ack |error for |Load\().*", said, re.MULTILINE)
    return RearError(f"restic failed: {reason.strip()}" + (f" ({detail[0]})" if detail else ""), "correct what it says")


def how_to_create(repository: Repository) -> str:
    """The command that makes a repository: rear makes none by itself. Where one is to be read, it must be there."""
    if repository.run.only_reads:
        return "check the address, and that its disk or share is mounted"
    settings = repository.run.settings
    url, file = settings["BACKUP_URL"], settings["RESTIC_PASSWORD_FILE"] or "FILE"
    if repository.folder is None or url.scheme == "file":
        return f"create it once: restic --repo {repository.folder or repository} --password-file {file} init"
    inside = f"{DISK_FOLDER}/" if url.scheme == "usb" else ""
    source = {"usb": url.path, "nfs": url.nfs_source}.get(url.scheme, f"//{url.host}{url.path}")
    place = f"/mnt/{inside}{settings['RESTIC_REPOSITORY'] or FOLDER}"
    return f"create it once: mount {source} /mnt; restic --repo {place} --password-file {file} init; umount /mnt"


def create(run: Run) -> None:
    """Make the repository, with the password that is configured."""
    with opened(run) as repository:
        run.sh.run(*repository.argv("init", "--no-cache"), env=repository.environment, timeout=SHORT)


def problem(address: str) -> str:
    """What is wrong with RESTIC_REPOSITORY, "" when nothing is."""
    if address.startswith("/"):
        return (
            "is a folder: write BACKUP_URL=file:///FOLDER, so that a recovery spares its disk, and only what is below"
            " that folder in RESTIC_REPOSITORY"
        )
    if backend(address):
        where = re.match(r"rest:https?://[^/]*@|(?!rclone:)\w+:(?://|\w+://)?[^/@]*:[^/@]*@", address)
        return f"has a user or password in its address: {CREDENTIALS}" if where else ""
    return "must be below BACKUP_URL" if ".." in Path(address).parts else ""


CREDENTIALS = "write RESTIC_REST_USERNAME=... and RESTIC_REST_PASSWORD=... into RESTIC_ENVIRONMENT"


def backend(address: str) -> str:
    """By which of restic's backends an address is reached, "" for a folder below BACKUP_URL."""
    return address.partition(":")[0] if ":" in address else ""


@contextmanager
def opened(run: Run) -> Iterator[Repository]:
    """The repository with what it is opened by, mounted where need be; nothing has asked restic yet."""
    address, url = str(run.settings["RESTIC_REPOSITORY"]), run.settings["BACKUP_URL"]
    given = environment(run)
    if backend(address):
        yield _with_password(run, Repository(run, _with_login(address, given), address, given))
        return
    if url is None:
        raise ConfigurationError("rear knows no restic repository", "set RESTIC_REPOSITORY, or BACKUP_URL for a folder")
    from rear_core.places.opening import opened as opened_place

    options, reading = str(run.settings["BACKUP_OPTIONS"]), run.only_reads
    # The last one of contradicting options counts.
    words = ",".join(filter(None, (options, "ro"))) if reading else options
    with opened_place(run, url, words, patience=PATIENCE if reading else 0) as directory:
        folder = directory / (address or FOLDER)
        shown = f"{url}/{address or FOLDER}"
        yield _with_password(run, Repository(run, os.fspath(folder), shown, given, folder))


def _with_login(address: str, given: Mapping[str, str]) -> str:
    """The address of a REST server with its user and password, which restic before 0.16 takes from nowhere else."""
    user, password = (given.get(f"RESTIC_REST_{name}", "") for name in ("USERNAME", "PASSWORD"))
    found = re.match(r"(rest:https?://)(.*)", address)
    return f"{found[1]}{quote(user, safe='')}:{quote(password, safe='')}@{found[2]}" if found and user else address


def _with_password(run: Run, repository: Repository) -> Repository:
    """The repository with its password, "" while it has to be asked for."""
    secret = {"RESTIC_PASSWORD": password(run), "RESTIC_REPOSITORY": repository.address}
    # Status lines twice a second, not 60 times.
    return replace(repository, environment={**repository.environment, **secret, "RESTIC_PROGRESS_FPS": "2"})


def environment(run: Run) -> dict[str, str]:
    """RESTIC_ENVIRONMENT by names; a recovery asks for what the machine had and the media have not."""
    given = dict(word.split("=", 1) for word in run.settings["RESTIC_ENVIRONMENT"])
    missing = [name for name in recorded_names(run) if name not in given] if run.only_reads else []
    if missing and not questions.is_interactive(run):
        raise Refused(
            f"{', '.join(missing)} of RESTIC_ENVIRONMENT are not on the rescue media, and nobody can be asked",
            "use a terminal without -n, or set RESTIC_ENVIRONMENT in a file that you name with -C",
        )
    for name in missing:
        given[name] = questions.ask_secret(run, f"{name} for the restic repository: ")
    for value in given.values():
        run.report.mask(value)
    return given


def record_names(run: Run) -> None:
    """Note which variables restic needs, without their values."""
    names = [word.partition("=")[0] for word in run.settings["RESTIC_ENVIRONMENT"]]
    durable.write(run.recovery_dir / NAMES, json.dumps({"environment": names}) + "\n")


def recorded_names(run: Run) -> list[str]:
    """The names of the variables that the machine set for restic."""
    path = run.recovery_dir / NAMES
    try:
        return [str(name) for name in json.loads(own_files.read_text(path))["environment"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"cannot read {path}: {error}", "create the rescue media again") from error


def password(run: Run) -> str:
    """What is in RESTIC_PASSWORD_FILE; "" in a recovery where the file is not there, so that it is asked for."""
    path = Path(run.settings["RESTIC_PASSWORD_FILE"])
    if run.only_reads and not path.is_file():
        return ""
    if path == Path():
        raise ConfigurationError("RESTIC_PASSWORD_FILE is not set", "name a file with the password of the repository")
    advice = "give the repository another one with `restic key passwd`"
    return passwords.from_file(run, path, "RESTIC_PASSWORD_FILE", advice)


def unlocked(run: Run, repository: Repository) -> Repository:
    """The repository once its password is known to open it: in a recovery it is asked for, three times at most."""

    def opens(secret: str) -> Repository:
        tried = replace(repository, environment={**repository.environment, "RESTIC_PASSWORD": secret})
        tried.ask("cat", "config", *READ_ONLY, timeout=PATIENCE)
        return tried

    if secret := repository.environment["RESTIC_PASSWORD"]:
        return opens(secret)
    if not questions.is_interactive(run):
        raise Refused(
            f"the password of {repository} is not on the rescue media, and nobody can be asked",
            "use a terminal without -n, or set RESTIC_PASSWORD_FILE to a file on a disk that you plug in",
        )
    return passwords.typed(run, "Password of the restic repository: ", opens, WrongPassword)


def version(run: Run) -> tuple[int, ...]:
    """The version of restic, as (0, 14, 0); raises `RearError` when it tells none."""
    found = re.search(r"restic (\d+)\.(\d+)(?:\.(\d+))?", run.sh.query("restic", "version"))
    if not found:
        raise RearError("`restic version` tells no version", "install restic 0.14 or later")
    return tuple(int(number or 0) for number in found.groups())


def cache(run: Run) -> Sequence[str]:
    """The options for a cache that rear keeps between saves."""
    return "--cache-dir", os.fspath(run.cache_dir / FOLDER)
