# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal is reported as text and as JSON."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from rear_core.records import Record, Rehearsal
from rear_drill.verdict import (
    BOOT,
    COMPARE,
    KEPT,
    RECOVER,
    START,
    Verdict,
    dumps,
    junit,
    keep,
    lines,
    measured,
    page,
    recovery_time,
)  # fmt: skip

OPEN = Verdict(
    date="2026-11-22T183000Z", hostname="web1", image="/var/lib/rear/output/rear-web1.iso",
    backup="file:///srv/backup/web1/2026-11-22T180000Z", backup_bytes=3 << 30, firmware="uefi", memory=2048, cpus=2,
    emulated=False, disks=["disk S1 (/dev/sda), 10 GiB, sata"], unproven=["That it works without power."],
)  # fmt: skip
GOOD = replace(
    OPEN, problem="", stages={BOOT: 20, RECOVER: 100, COMPARE: 30, START: 10}, phases={"verify": 5, "restore": 80},
    files_compared=24000,
)  # fmt: skip


def test_a_rehearsal_that_was_not_finished_has_not_succeeded() -> None:
    assert not OPEN.succeeded
    assert "FAILED: it was not finished" in "\n".join(lines(OPEN))


def test_the_recovery_time_is_that_of_a_real_recovery() -> None:
    assert recovery_time(GOOD) == 130
    text = "\n".join(lines(GOOD))
    assert "SUCCEEDED" in text
    assert "Recovery time: 2 min 10 s" in text
    assert "Recover: 1 min 40 s (verify 5 s, restore 1 min 20 s)" in text
    assert "24000 files compared with the backup, none differ" in text
    assert "emulated" not in text


def test_the_plan_is_told_as_a_recovery_takes_it() -> None:
    rehearsed = replace(GOOD, plan="0123456789abcdef" * 4, steps=["rear plan 1"])
    assert "Plan 0123456789abcdef: `rear recover --plan 0123456789abcdef` recovers" in "\n".join(lines(rehearsed))
    assert json.loads(dumps(rehearsed))["steps"] == ["rear plan 1"]
    found = measured(rehearsed, Path("/report"))
    assert found and found.plan == rehearsed.plan
    assert "<dt>Plan</dt><dd>0123456789abcdef</dd>" in page(rehearsed, [])
    failed = replace(rehearsed, problem="Start: it hangs")
    for text in (*(" ".join(lines(each)) for each in (GOOD, failed)), page(GOOD, []), page(failed, [])):
        assert "Plan" not in text


def test_a_failure_comes_with_its_reason_and_what_differs() -> None:
    failed = replace(
        GOOD, problem="2 files differ from the backup", files_different=["/etc/a: Contents differ"] * 30,
        differences=["partition 1 shrank"], notes=["the image is old"], emulated=True,
    )  # fmt: skip
    text = "\n".join(lines(failed))
    assert "FAILED: 2 files" in text and "SUCCEEDED" not in text and "Recovery time" not in text
    assert "/etc/a: Contents differ" in text and "and 10 more" in text
    assert "Differs from before:\n  partition 1 shrank" in text
    assert "Note: the image is old" in text
    assert "many times longer" in text


def test_a_name_that_is_no_utf8_is_shown_by_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "2026-11-01"
    folder.mkdir()
    keep(replace(GOOD, differences=[os.fsdecode(b"caf\xe9")]), folder, lambda: "")
    assert "\n  caf\\xe9\n" in (folder / "report.txt").read_text()


def test_a_ci_sees_each_stage_and_the_one_that_failed() -> None:
    suite = ElementTree.fromstring(junit(GOOD))
    assert [case.get("name") for case in suite] == [BOOT, RECOVER, COMPARE, START]
    assert (suite.get("failures"), suite.get("skipped"), [len(case) for case in suite]) == ("0", "0", [0, 0, 0, 0])
    problem = os.fsdecode(b"Recover: caf\xe9 <\x1b[1m> is missing")
    suite = ElementTree.fromstring(junit(replace(OPEN, stages={BOOT: 20, RECOVER: 1.5}, problem=problem)))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "2")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == r"Recover: caf\xe9 <\x1b[1m> is missing"
    assert [[each.tag for each in case] for case in suite] == [[], ["failure"], ["skipped"], ["skipped"]]


def test_what_it_cannot_prove_is_always_said() -> None:
    assert list(lines(GOOD))[-2:] == ["Not proven by this:", "  That it works without power."]


def test_a_program_reads_the_same_as_json() -> None:
    document = json.loads(dumps(GOOD))
    assert document["version"] == 1
    assert document["succeeded"] is True
    assert document["stages"][RECOVER] == 100
    assert json.loads(dumps(OPEN))["succeeded"] is False


def test_a_page_has_the_times_of_this_rehearsal_and_of_the_last_ones() -> None:
    earlier = [
        Record("drill", "2026-10-01T020000Z", 300, "done", 0, rehearsals=(Rehearsal(200, 100, 1 << 30),)),
        Record("drill", "2026-11-01T020000Z", 9, "failed", 1, error="Recover: </table><script>"),
        Record("mkbackup", "2026-11-02T020000Z", 9, "done", 0),
    ]
    text = page(GOOD, earlier)
    assert text.count("<circle") == 2 and text.count('class="failed"') == 1
    assert "SUCCEEDED in 2 min 10 s" in text and "3 min 20 s" in text
    assert "&lt;/table&gt;&lt;script&gt;" in text and "<script" not in text
    alone = page(GOOD, [])
    assert alone.count("<circle") == 1 and 'class="curve"' not in alone


def test_a_page_of_a_failure_has_its_reason_and_no_plot() -> None:
    text = page(replace(OPEN, problem=os.fsdecode(b"caf\xe9 <b>"), stages={BOOT: 20}), [])
    assert "FAILED" in text and r"caf\xe9 &lt;b&gt;" in text and "<svg" not in text


def test_reports_are_for_root_alone_and_old_ones_go(tmp_path: Path) -> None:
    folders = [tmp_path / f"2026-11-{day:02}" for day in range(1, KEPT + 3)]
    for folder in folders:
        folder.mkdir()
        keep(GOOD, folder, lambda: page(GOOD, []))
    assert sorted(tmp_path.iterdir()) == folders[2:]
    assert json.loads((folders[-1] / "report.json").read_text())["hostname"] == "web1"
    assert "SUCCEEDED" in (folders[-1] / "report.txt").read_text()
    assert "SUCCEEDED" in (folders[-1] / "report.html").read_text()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folders[-1].iterdir())


def test_without_a_page_there_is_the_report_all_the_same(tmp_path: Path) -> None:
    (folder := tmp_path / "2026-11-01").mkdir()

    def draw() -> str:
        assert {path.suffix for path in folder.iterdir()} == {".json", ".txt", ".xml"}
        return ""

    keep(GOOD, folder, draw)
    assert not (folder / "report.html").exists()
