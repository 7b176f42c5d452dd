# SPDX-License-Identifier: GPL-3.0-or-later
"""The passphrases of encrypted volumes: new ones of those that are recreated, those of volumes that stay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .. import questions
from ..errors import Refused

if TYPE_CHECKING:
    from ..run import Run
    from .layout import Item

TRIES = 3


def get_new(run: Run, volumes: Iterable[Item]) -> None:
    """Have a passphrase for every one of these volumes, one that the tool takes and that can be typed at boot."""
    known = str(run.settings["LUKS_PASSPHRASE"])
    for volume in volumes:
        if volume.id in run.passphrases:
            continue
        if known:
            if problem := passphrase_problem(known):
                raise Refused(f"LUKS_PASSPHRASE is not accepted: {problem}", "choose another one")
            run.passphrases[volume.id] = known
        elif not questions.is_interactive(run):
            raise Refused(
                f"{volume} needs a passphrase, and this run is unattended",
                "set LUKS_PASSPHRASE in /etc/rear/local.conf of the rescue system or in the environment,"
                " or recover without -n",
            )
        else:
            run.passphrases[volume.id] = ask(run, volume)
    for word in run.passphrases.values():
        run.report.mask(word)


def passphrase_problem(passphrase: str) -> str:
    """What the tool, or a keyboard at boot, would not accept; "" for a good passphrase."""
    if not passphrase:
        return "it is empty"
    if len(passphrase.encode(errors="surrogateescape")) > 512:
        return "it is longer than 512 bytes"
    if not passphrase.isprintable():
        return "it contains characters that cannot be typed"
    return "it is shorter than 8 characters" if len(passphrase) < 8 else ""


def ask(run: Run, volume: Item) -> str:
    """A passphrase that was typed twice."""
    for _ in range(TRIES):
        word = questions.ask_secret(run, f"New passphrase for {volume}: ")
        problem = passphrase_problem(word)
        if not problem and questions.ask_secret(run, "Once more: ") == word:
            return word
        print(f"Not accepted: {problem or 'the two differ'}", file=sys.stderr)
    raise Refused(f"no passphrase for {volume}", "run it again")


def unlock(run: Run, volume: Item, opens: Callable[[str], bool]) -> None:
    """Open a volume that is there by LUKS_PASSPHRASE, or by what somebody types; `Refused` when nothing `opens` it."""
    known = str(run.settings["LUKS_PASSPHRASE"])
    if known and opens(known):
        return
    if not questions.is_interactive(run):
        problem = "LUKS_PASSPHRASE does not open it" if known else "LUKS_PASSPHRASE is not set"
        raise Refused(
            f"{volume} needs its passphrase: {problem}, and this run is unattended", "set the volume's own passphrase"
        )
    for _ in range(TRIES):
        if opens(questions.ask_secret(run, f"Passphrase of {volume}: ")):
            return
        print("That passphrase does not open it", file=sys.stderr)
    raise Refused(f"no passphrase that opens {volume}", "run it again")
