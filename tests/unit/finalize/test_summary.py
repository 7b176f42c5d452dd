# SPDX-License-Identifier: GPL-3.0-or-later
"""The final report."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from rear_core.finalize.summary import duration, keep, lines
from rear_core.run import Recovery


def test_a_good_recovery_says_that_it_can_boot() -> None:
    text = lines(Recovery(done=["GRUB installed"], seconds={"recreate": 4.4, "restore": 185.2}))
    assert text[0] == "  GRUB installed"
    assert text[1].startswith("It can boot")
    assert text[-1] == "Time: recreate 4 s, restore 3 min 5 s"


def test_problems_take_the_place_of_the_promise() -> None:
    text = lines(Recovery(differences=["disk: larger"], problems=["no kernel"]))
    assert text[:4] == ["Differs from before:", "  disk: larger", "It will not start as it should:", "  no kernel"]
    assert not any("can boot" in line for line in text)


def test_report_and_log_are_kept_for_root_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("all of it")
    facts = {"date": "2026-11-22T183000Z", "hostname": "web1"}
    keep(tmp_path, Recovery(done=["x"], seconds={"restore": 1}), facts, log, "<!DOCTYPE html>")
    folder = tmp_path / "var/log/rear"
    kinds = {path.suffix: path for path in folder.iterdir()}
    assert set(kinds) == {".json", ".txt", ".log", ".html"}
    assert {path.stem for path in kinds.values()} == {"recovery-2026-11-22T183000Z"}
    assert kinds[".log"].read_text() == "all of it"
    content = json.loads(kinds[".json"].read_text())
    assert (content["hostname"], content["done"], content["problems"]) == ("web1", ["x"], [])
    assert {stat.S_IMODE(path.stat().st_mode) for path in kinds.values()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_names_that_are_no_letters_are_shown_by_their_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"LABEL=caf\xe9\x1b[2K is on no device")
    keep(tmp_path, Recovery(differences=[name], missing=[name]), {"date": "1"}, None)
    kinds = {path.suffix: path for path in (tmp_path / "var/log/rear").iterdir()}
    assert kinds[".txt"].read_bytes().count(b"\n  LABEL=caf\\xe9\\x1b[2K is on no device\n") == 2
    assert json.loads(kinds[".json"].read_text())["differences"] == [name]


def test_times_are_short() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 3725)] == ["0 s", "59 s", "1 min 0 s", "62 min 5 s"]
