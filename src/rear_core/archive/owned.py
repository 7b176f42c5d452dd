# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups in a repository of several machines are those of this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import Refused
from . import generations
from .repository import hostname, identity
from .restore import agree

if TYPE_CHECKING:
    from ..run import Run


class Owned(Protocol):
    """A backup with its date, and the host name and identity of the machine that it was made on, "" for one unknown."""

    @property
    def name(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def machine(self) -> str: ...


Backup = TypeVar("Backup", bound=Owned)


def own(run: Run, found: Sequence[Backup]) -> list[Backup]:
    """Those of this machine: of its host name, and of its identity where both are known."""
    host, machine = hostname(run), identity(run)
    return [each for each in found if each.host == host and (not machine or each.machine in ("", machine))]


def choose(run: Run, found: Sequence[Backup], place: str, what: str, setting: str) -> Backup:
    """The backup to restore: the newest of this machine, or that of the option --backup.

    One of the same name on other hardware is asked about; `Refused` where there is none, or nobody can be asked. The
    user knows backups as `what`, and the place by a `setting`.
    """
    mine = own(run, found)
    if not mine:
        mine = [each for each in found if each.host == hostname(run)]
        if not mine:
            others = ", ".join(sorted({each.host for each in found}))
            raise Refused(
                f"{place} has no {what} of {hostname(run)} that rear made{f', but of {others}' if others else ''}",
                f"check BACKUP_URL and {setting}; rear restores no other machine's files",
            )
        problem = f"the {what}s of {hostname(run)} are of another machine: identity {mine[-1].machine}"
        if run.demo:
            run.report.warn(problem)
        else:
            agree(run, f"{problem}, not {identity(run)}", f"check {setting}", "Restore them here")
    name = generations.choose([each.name for each in mine], run.options.backup, place)
    return [each for each in mine if each.name == name][-1]
