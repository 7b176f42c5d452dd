# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay, and how the others go."""

from __future__ import annotations

from collections.abc import Sequence

from rear_core import RearError, Refused, Run, questions
from rear_core.archive import owned
from rear_core.archive.generations import PARTIAL
from rear_core.errors import Interrupted

from .manifest import Generation
from .repository import Store

# What two backups of one period have in common, in UTC.
PERIODS = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G %V", "monthly": "%Y-%m", "yearly": "%Y"}


def kept(made: Sequence[Generation], words: Sequence[str]) -> set[str]:
    """The names of those that stay of backups, the newest last: of each kind in pairs such as `daily 7` the newest of
    so many periods that have one."""
    names: set[str] = set()
    for kind, number in zip(words[::2], map(int, words[1::2])):
        newest: dict[str, str] = {}
        for each in reversed(made):
            newest.setdefault(each.name if kind == "last" else each.moment.strftime(PERIODS[kind]), each.name)
        names.update(list(newest.values())[:number])
    return names


def prune(run: Run, store: Store, made: Sequence[Generation]) -> None:
    """Remove old backups of this machine, never the newest; that this failed harms no backup."""
    words = list(run.settings["RSYNC_KEEP"]) or ["last", str(run.settings["BACKUP_KEEP"])]
    stay = kept(made, words)
    for old in made[:-1]:
        if old.name in stay:
            continue
        try:
            _remove(store, old.name)
            run.report.detail(f"Removed the backup {old.name}: the policy is {' '.join(words)}")
        except Interrupted:
            raise
        except RearError as error:
            run.report.warn(f"an old backup was not removed and takes up room: {error.message}; {error.hint}")


def _remove(store: Store, name: str) -> None:
    """Out of sight first: half a backup must never be taken for one."""
    store.hide(name)
    store.remove(name + PARTIAL)


def discard(run: Run, store: Store, unfinished: str) -> None:
    """Remove what does not count; that this failed is a warning."""
    try:
        store.remove(unfinished)
    except Interrupted:
        raise
    except RearError as error:
        run.report.warn(f"{unfinished} in {store} does not count, and takes up room: {error.message}")


def forget(run: Run, store: Store, name: str) -> None:
    """Remove the backup of a date, once somebody has agreed; `Refused` for any other."""
    mine = owned.own(run, store.look().whole)
    if name not in [each.name for each in mine]:
        advice = "`rear backup list` shows their full names"
        raise Refused(f"there is no backup {name} of this machine in {store}", advice)
    if not questions.is_interactive(run):
        raise Refused("rear removes a backup only if somebody agrees at a terminal", "run it there, without -n")
    if len(mine) == 1:
        run.report.say(f"There is no other backup of this machine in {store}")
    if not questions.confirm(run, f"Remove the backup {name}", default=False, quits="stopped; nothing was removed"):
        raise Refused("the backup stays", "nothing was removed")
    with store.locked():
        _remove(store, name)
    run.report.say(f"Removed the backup {name} from {store}")
