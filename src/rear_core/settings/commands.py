# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes scripts of the settings of Relax-and-Recover that hold commands, so that they do what they did there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

# Where a recovery mounts the file systems, here as there.
TARGET = {"TARGET_FS_ROOT": "/mnt/local"}
# Functions that scripts of the original have, where a command begins.
_FUNCTION = re.compile(
    r"(?:^|[;&|({]|\b(?:then|do|else)\b)\s*((?:Quiet)?(?:Log|Debug|User|Print|Error|BugError|StopIf|BugIf|Progress"
    r"|AddExitTask|RemoveExitTask|Source)[A-Za-z]*|is_(?:true|false|numeric)|has_binary|u?mount_url)\b(?!=)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Kind:
    """What runs the commands of a setting: a phase with a number in it, before them, after them, and what differs."""

    path: str
    begin: Sequence[str] = ("set -eu",)
    end: Sequence[str] = ()
    remark: str = "and the run ends where a command fails"


# The phase cleanup is part of every command. There a backup that failed ends, too: what has stopped a service is to
# start it again.
_AFTER_BACKUP = Kind(
    "cleanup/10_post_backup.sh",
    ("set -u", "case $REAR_COMMAND in mkbackup | mkbackuponly) ;; *) exit 0 ;; esac"),
    remark="of a backup, also of one that failed",
)
# An address that rear has set up itself cannot be set up again.
_NETWORK = Kind(
    "config/05_network.sh",
    ("set -u",),
    ("exit 0",),
    "after rear has set up the network that it recorded (the kernel parameter ip= takes the place of that), and a"
    " command that fails ends nothing",
)
KINDS = {
    "PRE_BACKUP_SCRIPT": Kind("backup/05_pre_backup.sh"),
    "POST_BACKUP_SCRIPT": _AFTER_BACKUP,
    "PRE_RECOVERY_COMMANDS": Kind("config/90_pre_recovery.sh"),
    "PRE_RECOVERY_SCRIPT": Kind("config/91_pre_recovery.sh"),
    "POST_RECOVERY_SCRIPT": Kind("finalize/95_post_recovery.sh"),
    "POST_RECOVERY_COMMANDS": Kind("finalize/96_post_recovery.sh"),
    "NETWORKING_PREPARATION_COMMANDS": _NETWORK,
}


def of_words(name: str, words: Sequence[str]) -> list[str]:
    """The commands of a setting: each word of NAME_COMMANDS is one, all words of NAME_SCRIPT are one together.

    The original runs `eval "${NAME_SCRIPT[@]}"` where the first word is not empty.
    """
    if name.endswith("_SCRIPT"):
        return [" ".join(words)] if words and words[0].strip() else []
    return [word for word in words if word.strip()]


def not_for_a_script(command: str) -> str:
    """Why a command cannot be a line of a script; "" if it can."""
    if function := _FUNCTION.search(command):
        return f"it calls {function[1]}, a function of Relax-and-Recover"
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return "a quote or backslash is open at its end"
    return ""


def script(name: str, commands: Sequence[str]) -> tuple[str, str, str]:
    """The path of a script below the configuration directory, its text, and a remark on what it does."""
    kind = KINDS[name]
    remark = f"a script does it, {kind.path}, {kind.remark}"
    variables = [f"{variable}={value}" for variable, value in TARGET.items()]
    if any(re.search(r"\breturn\b", command) for command in commands):
        # There the commands are part of a script that another one reads, and `return` ends it.
        commands = ["commands() {", *commands, "}", "commands"]
        remark += "; `return` ends this script alone"
    lines = ("#!/bin/bash", *kind.begin, *variables, *commands, *kind.end)
    return kind.path, "".join(f"{line}\n" for line in lines), remark
