# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of runs: they come back as they were, their number is bounded, and what is damaged harms nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rear_core import records
from rear_core.records import LeftOut, Medium, Phase, Record, Rehearsal, Saved

RECORD = Record(
    "mkbackup", "2026-11-22T183000Z", 61, "done", 0, warnings=("a", "b"), phases=(Phase("backup", 50),),
    media=(Medium("/var/lib/rear/output/rear-ada.iso", 1 << 20),), saved=(Saved("NFS", "2026-11-22T183001Z"),),
    left_out=(LeftOut("/data", "it is not mounted, so not saved", missed=True),), read=("2026-11-22T183001Z",),
    rehearsals=(Rehearsal(300, 100, 1 << 30),),
)  # fmt: skip


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    path = records.keep(tmp_path, RECORD)
    assert records.load(tmp_path) == [RECORD]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    # Of the same second and result there may be several.
    records.keep(tmp_path, RECORD)
    assert records.load(tmp_path) == [RECORD, RECORD]


def test_those_that_failed_do_not_push_out_the_last_one_that_did_not(tmp_path: Path) -> None:
    records.keep(tmp_path, RECORD)
    for minute in range(records.KEPT + 5):
        records.keep(tmp_path, replace(RECORD, began=f"2026-11-23T18{minute:02d}00Z", result="failed", status=1))
    found = records.load(tmp_path)
    assert found[0] == RECORD
    assert len(found) == 1 + records.KEPT
    assert found[-1].began == f"2026-11-23T18{records.KEPT + 4}00Z"


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    path = records.keep(tmp_path, RECORD)
    for number, text in enumerate(('{"command": 1}', "{", records.dumps(replace(RECORD, began="yesterday")))):
        path.with_name(f"2026-11-2{number}T000000Z-mkbackup-done.json").write_text(text)
    path.with_name("2026-11-25T000000Z-mkbackup-done.json").mkdir()
    path.with_name("notes.txt").write_text("")
    assert records.load(tmp_path) == [RECORD]
    assert records.load(tmp_path / "nowhere") == []
