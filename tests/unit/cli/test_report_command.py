# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear report` as a program: a file for root alone, never over another one, also when the configuration is broken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core.testing.bundle import unpacked

Rear = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"), pytest.mark.slow]


def test_a_report_of_this_machine_can_be_replayed(rear: Rear, tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    told = rear("report", str(path), conf="OUTPTU=ISO\nBACKUP_KEY='a secret of the machine'\n")
    assert (told.returncode, told.stdout) == (0, f"{path}\n") and "masked secrets: " in told.stderr
    files = unpacked(path)
    assert b"OUTPTU is not a setting" in files["configuration.txt"]
    assert not [name for name, data in files.items() if b"a secret of the machine" in data]
    assert {"doctor.json", "versions.json", "network.json", "machine/layout.json"} <= {*files}
    command = [sys.executable, "-m", "rear_core.testing.bundle", str(path), str(tmp_path / "made")]
    made = subprocess.run(command, capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "") and (tmp_path / "made/layout.json").exists()
    assert subprocess.run(command, capture_output=True, text=True).stderr.startswith("ERROR: ")
    again = rear("report", str(path))
    assert again.returncode == 3 and again.stderr.startswith(f"ERROR: {path} is there already")
    assert unpacked(path) == files and not [*tmp_path.glob(".*")]


def test_an_anonymized_report_has_no_name_of_this_machine(rear: Rear, tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    told = rear("report", "--anonymize", str(path), conf="BACKUP_PREFIX=qzxvbnmk\n")
    assert told.returncode == 0 and "Replaced by pseudonyms: " in told.stderr
    files = unpacked(path)
    assert "machine/layout.json" in files
    names = ["qzxvbnmk", *([socket.gethostname()] if len(socket.gethostname()) > 4 else [])]
    assert not [name for name, data in files.items() if any(word.encode() in data for word in names)]
