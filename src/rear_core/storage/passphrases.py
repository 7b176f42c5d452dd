# SPDX-License-Identifier: GPL-3.0-or-later
"""The passphrases of encrypted volumes: new ones of those that are made again, those of volumes that stay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .. import questions
from ..errors import Refused

if TYPE_CHECKING:
    from ..run import Run
    from .luks import Luks

TRIES = 3


def get_new(run: Run, volumes: Iterable[Luks]) -> None:
    """Have a passphrase for every one of these volumes, one that the tool takes and that can be typed at boot."""
    from .luks_recreate import passphrase_problem

    known = str(run.settings["LUKS_PASSPHRASE"])
    for volume in volumes:
        if volume.id in run.passphrases:
            continue
        if known:
            if problem := passphrase_problem(known):
                raise Refused(f"LUKS_PASSPHRASE is not good enough: {problem}", "choose another one")
            run.passphrases[volume.id] = known
        elif not questions.is_interactive(run):
            raise Refused(
                f"{volume} needs a passphrase, and nobody can be asked",
                "set LUKS_PASSPHRASE in /etc/rear/local.conf of the rescue system or in the environment,"
                " or recover without -n",
            )
        else:
            run.passphrases[volume.id] = ask(run, volume)
    for word in run.passphrases.values():
        run.report.mask(word)


def ask(run: Run, volume: Luks) -> str:
    """A passphrase that was typed twice."""
    from .luks_recreate import passphrase_problem

    for _ in range(TRIES):
        word = questions.ask_secret(run, f"New passphrase for {volume}: ")
        problem = passphrase_problem(word)
        if not problem and questions.ask_secret(run, "Once more: ") == word:
            return word
        print(f"Not taken: {problem or 'they are not the same'}", file=sys.stderr)
    raise Refused(f"no passphrase for {volume}", "run it again")


def unlock(run: Run, volume: Luks, opens: Callable[[str], bool]) -> None:
    """Open a volume that is there by LUKS_PASSPHRASE, or by what somebody types; `Refused` when nothing `opens` it."""
    known = str(run.settings["LUKS_PASSPHRASE"])
    if known and opens(known):
        return
    if not questions.is_interactive(run):
        problem = "LUKS_PASSPHRASE does not open it" if known else "LUKS_PASSPHRASE is not set"
        raise Refused(f"{volume} needs its passphrase: {problem}, and nobody can be asked", "set the one it has")
    for _ in range(TRIES):
        if opens(questions.ask_secret(run, f"Passphrase that {volume} has: ")):
            return
        print("That does not open it", file=sys.stderr)
    raise Refused(f"no passphrase that opens {volume}", "run it again")
