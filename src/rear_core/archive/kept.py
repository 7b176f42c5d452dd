# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups that are there: listed, and removed one by one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import questions
from ..errors import RearError, Refused
from . import generations, notes, signature
from .described import recorded, signers
from .progress import size
from .repository import FolderRepository, Repository, identity, opened
from .restore import read_manifest

if TYPE_CHECKING:
    from ..run import Run

COMPLETE = "complete"


@dataclass(frozen=True)
class Kept:
    """A backup that a method keeps.

    `name` is the date that chooses it (--backup DATE), `size` the bytes that it takes up, and `files` what it has, both
    0 where nobody knows; `host` is the machine that it is of. `state` is "complete", as far as can be told without
    reading it, or what is wrong. `signed` says whose signature it has. `checked` is when all of it was last read.
    `method` is that of BACKUP; it need not be given.
    """

    name: str
    size: int = 0
    files: int = 0
    host: str = ""
    state: str = COMPLETE
    signed: str = ""
    checked: str = ""
    method: str = ""


def look(run: Run, place: Path | Repository) -> None:
    """Add the backups of a place to `run.kept`, oldest first."""
    repository = opened(run, place)
    flaws, noted = dict[str, str](), notes.read(run.var_dir)
    try:
        if isinstance(repository, FolderRepository):
            flaws = {found.name: found.flaw for found in generations.found(repository.home)}
        keys = [key for key in (signature.public_key(run), *signers(run)) if key]
        for name in repository.names():
            run.kept.append(_kept(run, repository, name, flaws.get(name, ""), keys, noted.get(name, "")))
    except OSError as error:
        raise Refused(
            f"cannot list the backups in {repository}: {error.strerror}", "check its server or disk"
        ) from error
    notes.write(run, {found.name: found.checked for found in run.kept})


def _kept(run: Run, repository: Repository, name: str, flaw: str, keys: list[str], checked: str) -> Kept:
    try:
        sealed = read_manifest(repository, name)
    except RearError as error:
        return Kept(name, state=error.message)
    found, own = sealed.manifest, recorded(run, "identity") or identity(run)
    other = f"of another machine, identity {found.machine}" if own and found.machine not in ("", own) else ""
    signed = "no"
    if sealed.signature:
        signed = "yes" if signature.verify(run, sealed.text, sealed.signature, keys) else "by another key"
    return Kept(name, found.size, found.members, found.hostname, flaw or other or COMPLETE, signed, checked)


def forget(run: Run, folder: Path) -> None:
    """Remove the backup that `run.options.backup` names, once somebody has agreed."""
    repository, name = FolderRepository(run, folder), run.options.backup
    there = {found.name: found for found in repository.check_owner()}
    if name not in there:
        raise Refused(f"there is no backup {name} in {repository}", "`rear backup list` shows their full names")
    if not there[name].ours:
        raise Refused(f"{repository}/{name} is a link, not a backup", "remove it by hand")
    _agree(run, repository, name, list(there.values()))
    with generations.locked(repository.home):
        try:
            generations.withdraw(repository.home / name)
        except OSError as error:
            raise RearError(
                f"cannot remove {repository}/{name}: {error.strerror}", "check its server or disk"
            ) from error
    notes.write(run, {other: when for other, when in notes.read(run.var_dir).items() if other != name})
    run.report.say(f"Removed the backup {name} from {repository}")


def _agree(run: Run, repository: FolderRepository, name: str, there: list[generations.Generation]) -> None:
    if not questions.is_interactive(run):
        raise Refused("rear removes a backup only if somebody agrees at a terminal", "run it there, without -n")
    with suppress(RearError):
        found = read_manifest(repository, name).manifest
        run.report.say(f"{repository}/{name}: {found.members} files, {size(found.bytes)}, of {found.hostname}")
    if not any(other.whole for other in there if other.name != name):
        run.report.say("There is no other complete backup of this machine in that place")
    if not questions.confirm(run, f"Remove the backup {name}", default=False, quits="stopped; nothing was removed"):
        raise Refused("the backup stays", "nothing was removed")
