# SPDX-License-Identifier: GPL-3.0-or-later
"""What bash runs of the script of a plan, beside what the plan says."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rear_core.storage.command import Command
from rear_core.storage.plan import Plan

# Notes each command with its input instead of running it; there is no other program than what bash brings.
RECORDER = r"""
command_not_found_handle() {
    local input
    IFS= read -r -d '' input || true
    printf '%s\0' "$@" "<$input" -end- >>"$RECORD"
}
test() { printf '%s\0' test "$@" '<' -end- >>"$RECORD"; }
. "$1"
"""


def run_by_bash(text: str) -> list[tuple[bytes, ...]]:
    """The commands that bash runs of a script, each as its words and, behind a <, its input."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plan.sh").write_bytes(text.encode())
        environment = {"PATH": "/nonexistent", "RECORD": f"{folder}/record", "LC_ALL": "C"}
        command = ["/bin/bash", "-c", RECORDER, "bash", f"{folder}/plan.sh"]
        subprocess.run(["/bin/bash", "-n", f"{folder}/plan.sh"], check=True)
        subprocess.run(
            command, check=True, cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        assert sorted(os.listdir(folder)) == ["plan.sh", "record"]
        found = Path(folder, "record").read_bytes().split(b"\0-end-\0")
    return [tuple(entry.split(b"\0")) for entry in found if entry]


def expected(made: Plan) -> list[tuple[bytes, ...]]:
    """The same of the plan itself."""
    build = [entry for command in (*made.teardown, *made.build) for entry in _entries(command)]
    mount = [entry for command in made.mount for entry in _entries(command)]
    return [*build, _entry(["rear", "layout", "made", made.id], ""), *mount]


def _entries(command: Command) -> list[tuple[bytes, ...]]:
    tests = [_entry(["test", "-b", device], "") for device in command.devices]
    return [*tests, _entry(command.argv, command.input)]


def _entry(argv: Sequence[str], given: str) -> tuple[bytes, ...]:
    return tuple(word.encode(errors="surrogateescape") for word in (*argv, f"<{given}"))
