# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=REQUESTRESTORE: the administrator restores the files by any means, and rear checks that they are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rear_core import Ask, ConfigurationError, Contents, Refused, Run, Setting, Step, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

REAR_API = 1

TARGET = "{target}"
SHELL = "bash"


def _has_program(words: Sequence[str]) -> str:
    return "must begin with a program" if words and not words[0].strip() else ""


@hookimpl
def rear_settings() -> Iterable[Setting]:
    """What whoever restores the files has to know, or a command that does it."""
    yield Setting(
        "REQUESTRESTORE_TEXT",
        help="What the recovery shows before it waits for the files: where the backup is and how to restore it.",
    )
    yield Setting(
        "REQUESTRESTORE_COMMAND", list, check=_has_program,
        help="Program with its arguments that restores the files, instead of somebody at the console;"
        f" {TARGET} stands for the folder to restore to: REQUESTRESTORE_COMMAND=( acme-restore --all --to {TARGET} )."
        " rear copies it to the rescue system.",
    )  # fmt: skip


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask("REQUESTRESTORE_TEXT", "Where the backup is and how to restore it, as whoever recovers has to know it")


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    return Contents(programs=[SHELL, *run.settings["REQUESTRESTORE_COMMAND"][:1]])


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "backup" in run.phases and "output" not in run.phases:
        yield Step(30, "Check that this method can save files", refuse_to_save)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(55, "Record what has to be restored", record)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "List what your own backup must have", remind)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check that somebody can restore the files", check_request)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Have the files restored", restore_files)


def refuse_to_save(run: Run) -> None:
    """This method has nothing to do when only files are to be saved."""
    raise ConfigurationError(
        "BACKUP=REQUESTRESTORE saves no files", "save them with your own program; `rear mkrescue` creates the media"
    )


def record(run: Run) -> None:
    """Note the file systems, to be listed and compared when somebody restores them."""
    from rear_core.archive import external

    external.record(run)


def remind(run: Run) -> None:
    """Nothing is saved here."""
    from rear_core.archive import external

    paths = " ".join(system.path for system in external.recorded(run))
    run.report.warn(f"BACKUP=REQUESTRESTORE saves no files: your own backup must have {paths}")


def check_request(run: Run) -> None:
    """Set `run.backup`; `Refused` where nobody could restore, or the backup is not at hand.

    rear knows nothing of that backup, so that the word of the administrator is all there is.
    """
    from rear_core.archive import by_hand
    from rear_core.archive.external import Found, recorded

    if "restore" not in run.phases:
        raise Refused("BACKUP=REQUESTRESTORE saves no files, so rear has no backup to check", "use your own program")
    command = run.settings["REQUESTRESTORE_COMMAND"]
    if command and run.sh.which(command[0]) is None:
        raise Refused(f"the program of REQUESTRESTORE_COMMAND is missing: {command[0]}", "create the media again")
    if not command:
        run.report.say("rear has no files of this machine: after it has created the storage, you restore them yourself")
        by_hand.check(run, "BACKUP=REQUESTRESTORE waits for somebody at a terminal, or needs REQUESTRESTORE_COMMAND")
    run.backup = Found("restored by hand", tuple(recorded(run)))


def restore_files(run: Run) -> None:
    """By the command, or by somebody in a shell; then all is compared with what was recorded."""
    from rear_core.archive import by_hand, external

    with external.restoring(run) as (restore, found):
        if command := run.settings["REQUESTRESTORE_COMMAND"]:
            restore(*(word.replace(TARGET, str(run.target)) for word in command), notable="(?i)error|warning|fail")
        else:
            by_hand.wait_for(run, found, run.settings["REQUESTRESTORE_TEXT"])
