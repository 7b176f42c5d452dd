# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository: where it is, by which passphrase and environment it opens, and what borg answers there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rear_core import ConfigurationError, ProgramFailed, RearError, Refused, Run, questions
from rear_core.archive import passwords
from rear_core.places.mounted import DISK_FOLDER

from . import archives
from .failures import Locked, WrongPassphrase, failure

FOLDER = "borg"
KEYS = "/root/.config/borg/keys"
# Seconds: to wait for a place or a lock where nothing is written, and for an answer of borg that reads little or much.
PATIENCE = 60
SHORT, LONG = 900, 7 * 24 * 3600
SOON = 10
T = TypeVar("T")
# Who reads a list or a folder for a moment leaves no trace: that place may be read-only.
NO_LOCK = ("--bypass-lock",)


@dataclass(frozen=True)
class Repository:
    """A repository as borg finds it, `shown` as the user knows it; the environment has its passphrase."""

    run: Run
    address: str
    shown: str
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None = None

    def __str__(self) -> str:
        return self.shown

    def at(self, archive: str = "") -> str:
        """The repository or an archive in it, as an argument: braces would be placeholders."""
        place = self.address.replace("{", "{{").replace("}", "}}")
        return f"{place}::{archive}" if archive else place

    def argv(self, command: str, *words: str) -> list[str]:
        """A command line whose messages are JSON."""
        return ["borg", command, "--log-json", *self.run.settings["BORG_OPTIONS"], *words]

    def ask(self, command: str, *words: str, timeout: float = SHORT) -> str:
        """What borg prints; raises what `failed` makes of its error."""
        try:
            return self.run.sh.query(*self.argv(command, *words), env=self.environment, timeout=timeout)
        except ProgramFailed as error:
            raise self.failed(error) from error

    def failed(self, error: ProgramFailed) -> RearError:
        """What an error of borg means here."""
        return failure(str(self), how_to_create(self), error, lambda: create(self.run))

    def waiting(self) -> tuple[str, str]:
        """The option that has borg wait for the lock of another one."""
        seconds = PATIENCE if self.run.only_reads else int(self.run.settings["BORG_LOCK_WAIT"])
        return "--lock-wait", str(seconds)

    def locking(self, do: Callable[[Sequence[str]], T]) -> T:
        """Do what needs a lock, with more options: at first for a short time, then for as long as it may wait.

        borg looks at a lock again after a tenth of that time, and removes one of a process that is gone only then.
        """
        option, seconds = self.waiting()
        if int(seconds) > SOON:
            with suppress(Locked):
                return do((option, str(SOON)))
        return do((option, seconds))

    def listed(self, timeout: float = SHORT) -> archives.Listed:
        """All archives that rear has made, of all machines, and how the repository is encrypted."""
        return archives.read(self.ask("list", "--json", "--format", "{comment}", *NO_LOCK, self.at(), timeout=timeout))


def is_remote(address: str) -> bool:
    """Whether an address is on a server, and not a folder below BACKUP_URL."""
    return bool(re.match(r"ssh://|[^/:]+:", address))


def problem(address: str) -> str:
    """What is wrong with BORG_REPOSITORY, "" when nothing is."""
    if "::" in address:
        return "names an archive: rear names archives itself"
    if address.startswith(("/", "file:")):
        return (
            "is a folder: write BACKUP_URL=file:///FOLDER, so that a recovery spares its disk, and only what is below"
            " that folder in BORG_REPOSITORY"
        )
    if re.match(r"ssh://[^/@]*:[^/@]*@", address):
        return "has a password in its address: ssh takes a key, see BORG_RSH"
    if "://" in address and not address.startswith("ssh://"):
        return "must be ssh://user@host/folder, user@host:folder, or a folder below BACKUP_URL"
    return "must be below BACKUP_URL" if not is_remote(address) and ".." in Path(address).parts else ""


def how_to_create(repository: Repository) -> str:
    """The command that makes a repository: rear makes none by itself. Where one is to be read, it must be there."""
    if repository.run.only_reads:
        return "check the address, and that its disk or share is mounted"
    settings = repository.run.settings
    url, file = settings["BACKUP_URL"], settings["BORG_PASSPHRASE_FILE"]
    init = f"BORG_PASSCOMMAND='cat {file}' borg init --encryption repokey-blake2" if file else "borg init -e none"
    if repository.folder is None or url.scheme == "file":
        return f"create it once: {init} {repository.folder or repository}"
    inside = f"{DISK_FOLDER}/" if url.scheme == "usb" else ""
    source = {"usb": url.path, "nfs": url.nfs_source}.get(url.scheme, f"//{url.host}{url.path}")
    place = f"/mnt/{inside}{settings['BORG_REPOSITORY'] or FOLDER}"
    return f"create it once: mount {source} /mnt; {init} {place}; umount /mnt"


def create(run: Run) -> None:
    """Make the repository, encrypted where there is a passphrase."""
    mode = "repokey-blake2" if run.settings["BORG_PASSPHRASE_FILE"] else "none"
    with opened(run) as repository:
        words = repository.argv("init", f"--encryption={mode}", repository.at())
        run.sh.run(*words, env=repository.environment, timeout=SHORT)


@contextmanager
def opened(run: Run, *, lasting: bool = False) -> Iterator[Repository]:
    """The repository with what it is opened by, mounted where need be; nothing has asked borg yet.

    Only for a save what borg remembers of it is `lasting`.
    """
    known = environment(run, lasting=lasting)
    address, url = str(run.settings["BORG_REPOSITORY"]), run.settings["BACKUP_URL"]
    if is_remote(address):
        yield _with_passphrase(run, Repository(run, address, address, known))
        return
    if url is None:
        raise ConfigurationError("rear knows no Borg repository", "set BORG_REPOSITORY, or BACKUP_URL for a folder")
    from rear_core.places.opening import opened as opened_place

    options, reading = str(run.settings["BACKUP_OPTIONS"]), run.only_reads
    # The last one of contradicting options counts.
    words = ",".join(filter(None, (options, "ro"))) if reading else options
    with opened_place(run, url, words, patience=PATIENCE if reading else 0) as directory:
        folder = directory / (address or FOLDER)
        shown = f"{url}/{address or FOLDER}"
        yield _with_passphrase(run, Repository(run, os.fspath(folder), shown, known, folder))


def environment(run: Run, *, lasting: bool) -> dict[str, str]:
    """What borg is told by variables, but for the passphrase."""
    settings = run.settings
    given = {"BORG_RSH": "BORG_RSH", "BORG_REMOTE_PATH": "BORG_REMOTE_PATH", "BORG_KEYS_DIR": "BORG_KEYS_DIR"}
    named = {variable: str(settings[name]) for variable, name in given.items() if settings[name]}
    if lasting:
        places = {"BORG_CACHE_DIR": os.fspath(run.cache_dir / FOLDER)}
    else:
        # Who only looks leaves nothing behind, also in a rescue system that is in memory. What borg knew of a
        # repository would have it accept one without encryption.
        places = {name: os.fspath(run.build_dir / FOLDER / name) for name in ("BORG_CACHE_DIR", "BORG_SECURITY_DIR")}
    return {
        **named,
        **places,
        # rear mounts a place at another path in each run, which borg takes for a repository that was moved. That it
        # is the right one, its key and the machine's identity in each archive prove.
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        # Who has set no passphrase wants no encryption. Whoever has one must never save into, or restore from, a
        # repository without: somebody may have put it there.
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no" if settings["BORG_PASSPHRASE_FILE"] else "yes",
        "BORG_EXIT_CODES": "legacy",
    }


def _with_passphrase(run: Run, repository: Repository) -> Repository:
    """The repository with its passphrase, "" while it has to be asked for, and where there is none."""
    return replace(repository, environment={**repository.environment, "BORG_PASSPHRASE": passphrase(run)})


def passphrase(run: Run) -> str:
    """What is in BORG_PASSPHRASE_FILE; "" in a recovery where the file is not there, so that it is asked for."""
    name = str(run.settings["BORG_PASSPHRASE_FILE"])
    if not name or (run.only_reads and not Path(name).is_file()):
        return ""
    advice = "give the repository another one with `borg key change-passphrase`"
    return passwords.from_file(run, Path(name), "BORG_PASSPHRASE_FILE", advice)


def unlocked(run: Run, repository: Repository) -> tuple[Repository, archives.Listed]:
    """The repository once its passphrase is known to open it, and its archives; in a recovery it is asked for."""

    def opens(secret: str) -> tuple[Repository, archives.Listed]:
        tried = replace(repository, environment={**repository.environment, "BORG_PASSPHRASE": secret})
        return tried, tried.listed(timeout=SHORT)

    secret = repository.environment["BORG_PASSPHRASE"]
    if secret or not run.settings["BORG_PASSPHRASE_FILE"]:
        return opens(secret)
    if not questions.is_interactive(run):
        raise Refused(
            f"the passphrase of {repository} is not on the rescue media, and nobody can be asked",
            "use a terminal without -n, or set BORG_PASSPHRASE_FILE to a file on a disk that you plug in",
        )
    return passwords.typed(run, "Passphrase of the Borg repository: ", opens, WrongPassphrase)


def check_key(run: Run, repository: Repository, found: archives.Listed) -> None:
    """Raise `ConfigurationError` where a recovery could not open the repository, as its key is elsewhere."""
    from rear_core.rescue.tree import matcher

    carried = matcher(run.settings["RESCUE_ALLOW_SECRETS"])
    if found.key_file and not run.settings["BORG_KEYS_DIR"] and not carried(found.key_file):
        raise ConfigurationError(
            f"the key of {repository} is in {found.key_file}, which the rescue media would not carry",
            f"add RESCUE_ALLOW_SECRETS+=( {found.key_file} ): without the passphrase it is of no use to anybody;"
            " or name the folder of a stick in BORG_KEYS_DIR",
        )
