# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear doctor` as a program: it changes nothing, and ends in one line where it cannot work."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Rear = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"), pytest.mark.slow]


def tree(folder: Path) -> list[str]:
    return sorted(os.fspath(path) for path in folder.rglob("*"))


def test_it_finds_what_is_missing_and_leaves_nothing_behind(rear: Rear, tmp_path: Path) -> None:
    conf = f"BACKUP=NFS\nBACKUP_URL=file://{tmp_path}/none\nRESCUE_BINARIES=( no-such-program )\n"
    rear("dump")
    before = tree(tmp_path)
    told = rear("doctor", "--json", conf=conf)
    found = json.loads(told.stdout)
    assert (told.returncode, found["state"], told.stderr) == (1, "critical", "")
    texts = {(check["name"], check["state"]): check for check in found["checks"]}
    assert "not installed: no-such-program" in texts["prep", "critical"]["text"]
    assert texts["nfs", "critical"]["advice"].startswith(f"mount its disk, or create {tmp_path}/none")
    assert {name for name, _ in texts} >= {"configuration", "storage", "clock", "drivers", "backup", "media"}
    assert tree(tmp_path) == before


def test_a_broken_configuration_is_a_finding(rear: Rear) -> None:
    told = rear("-q", "doctor", conf="OUTPTU=ISO\nOUTPUT=NONE_SUCH\n")
    assert told.returncode == 1 and "did you mean OUTPUT" in told.stdout
    assert "there is no OUTPUT=NONE_SUCH" in told.stdout and "What to do: " in told.stdout
    assert "  ok  " not in told.stdout and "Traceback" not in told.stdout + told.stderr


def test_it_waits_for_no_run_and_needs_root(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    with (tmp_path / "var/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = rear("doctor")
    assert told.returncode == 3 and told.stderr.startswith("ERROR: rear is running")
    code = "import os, rear_core.cli.doctor, rear_core.cli as cli; os.setuid(65534); cli.main()"
    denied = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True, cwd="/")
    assert (denied.returncode, denied.stdout) == (3, "")
    assert denied.stderr == "ERROR: this command needs root\n  What to do: run it with sudo\n"
