# SPDX-License-Identifier: GPL-3.0-or-later
"""Every run leaves a record, also one that fails; `--json` prints it, and -q says nothing but what needs somebody."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from rear_core import records, work_area

Rear = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SECRET = "$6$saltsalt$hash"


def script(tmp_path: Path, text: str) -> None:
    path = tmp_path / "etc" / "analyse_dr" / "00_first.sh"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


def test_a_run_that_fails_leaves_a_record_without_secrets(rear: Rear, tmp_path: Path) -> None:
    script(tmp_path, f"echo 'wrong: {SECRET}' >&2; exit 4")
    ended = rear("--json", "savelayout", conf=f"SSH_ROOT_PASSWORD='{SECRET}'\n")
    (record,) = records.load(tmp_path / "var")
    assert json.loads(ended.stdout) == json.loads(records.dumps(record))
    assert (record.command, record.result, record.status) == ("savelayout", "failed", 1)
    assert record.error.endswith("wrong: ********") and record.log == f"{tmp_path}/log"


def test_a_refusal_has_a_record_and_a_simulation_none(rear: Rear, tmp_path: Path) -> None:
    rear("--simulate", "savelayout")
    assert records.load(tmp_path / "var") == []
    rear("recover")
    (record,) = records.load(tmp_path / "var")
    assert (record.command, record.result, record.status) == ("recover", "refused", 3)
    assert record.hint.startswith("boot the rescue media")


def test_a_run_that_another_one_keeps_from_beginning_says_nothing_of_this_machine(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    with ExitStack() as undo:
        work_area.lock(tmp_path / "var", undo, "mkrescue")
        ended = rear("--json", "savelayout")
    assert ended.returncode == 3
    assert "rear is already running" in ended.stderr
    assert json.loads(ended.stdout)["status"] == 3
    assert records.load(tmp_path / "var") == []


def test_a_record_that_cannot_be_kept_is_a_warning(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/runs").write_text("")
    ended = rear("--json", "recover")
    assert ended.returncode == 3
    assert "WARNING: this run has no record: " in ended.stderr
    assert json.loads(ended.stdout)["warnings"][-1].startswith("this run has no record: ")


def test_what_is_wrong_before_a_run_is_json_as_well(rear: Rear) -> None:
    ended = rear("--json", "savelayout", conf="OUTPTU=ISO\n")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["status"]) == (2, 2)
    assert "OUTPTU" in told["error"]


@pytest.mark.slow
def test_with_q_a_run_that_is_done_says_nothing(rear: Rear, tmp_path: Path) -> None:
    loud = rear("savelayout", conf="EXCLUDE_MOUNTPOINTS=( /nowhere )\n")
    quiet = rear("-q", "savelayout", conf="EXCLUDE_MOUNTPOINTS=( /nowhere )\n")
    assert quiet.returncode == loud.returncode == 0
    told = [line for line in loud.stderr.splitlines() if line.startswith("WARNING")]
    assert quiet.stdout == "" and quiet.stderr.splitlines() == told
    assert "WARNING" in (tmp_path / "log").read_text()
    assert rear("-q", "-v", "savelayout").returncode == 2


def test_a_command_that_only_looks_prints_what_it_finds_as_json(rear: Rear) -> None:
    assert json.loads(rear("--json", "dump").stdout)["settings"]
    assert json.loads(rear("--json", "plugins", "list").stdout)
