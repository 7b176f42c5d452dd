# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on a machine by the records of its runs, at the limits that the settings give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from rear_core.builtin.health import _two_numbers
from rear_core.health.checks import DAY, Check, Facts, State, examine, predicted, worst
from rear_core.records import LeftOut, Medium, Record, Rehearsal, Saved

LIMITS = {"backup": (2, 7), "verification": (35, 100), "media": (), "drill": (100, 400)}
BACKUP = Record(
    "mkbackup", "2026-11-22T183000Z", 60, "done", 0, kernel="6.1.0-38-amd64",
    media=(Medium("/var/lib/rear/output/rear-ada.iso", 1 << 27),), read=("2026-11-22T183000Z",),
    saved=(Saved("NFS", "2026-11-22T183000Z", "nfs://nas/rear", 24_700, 1 << 30, 1 << 29),),
)  # fmt: skip
CHECKED = Record("checkbackup", "2026-11-22T190000Z", 60, "done", 0)
DRILL = Record(
    "drill", "2026-11-22T200000Z", 600, "done", 0, rehearsals=(Rehearsal(300, 200, 1 << 29, emulated=True),)
)  # fmt: skip
FAILED = Record("mkbackup", "2026-11-23T183000Z", 3, "refused", 3, error="the server nas does not answer")


def checks(*records: Record, days: float = 0.5, **facts: Any) -> dict[str, Check]:
    """The checks so many days after the good backup."""
    known = {"methods": ("NFS",), "kernel": "6.1.0-38-amd64", **facts}
    found = examine(Facts(BACKUP.ended + days * DAY, records, LIMITS, **known))
    return {check.name: check for check in found}


def test_a_machine_that_is_well() -> None:
    found = checks(BACKUP, CHECKED, DRILL)
    assert worst([*found.values()]) == State.OK
    assert found["backup"].text == "12 hours old, 24700 files, 1.0 GiB, in 1:00"
    assert found["recovery-time"].text == "about 8:20 at most, as the processor was emulated"
    assert found["coverage"].text == "everything is saved"


@pytest.mark.parametrize(
    ("check", "days", "state"),
    [
        ("backup", 1.9, State.OK), ("backup", 2.1, State.WARNING), ("backup", 7.1, State.CRITICAL),
        ("verification", 34, State.OK), ("verification", 36, State.WARNING), ("verification", 101, State.CRITICAL),
        ("drill", 99, State.OK), ("drill", 101, State.WARNING), ("drill", 401, State.CRITICAL),
        ("media", 4000, State.OK),
    ],
)  # fmt: skip
def test_what_gets_too_old(check: str, days: float, state: State) -> None:
    assert checks(BACKUP, DRILL, days=days)[check].state == state


def test_a_machine_of_which_nothing_was_ever_made() -> None:
    found = checks(replace(FAILED, began="2026-11-21T000000Z"), changes=None, rehearses=True)
    states = {name: check.state.name for name, check in found.items()}
    assert states == {
        "backup": "CRITICAL", "verification": "WARNING", "coverage": "OK", "media": "CRITICAL", "layout": "CRITICAL",
        "drill": "WARNING", "recovery-time": "OK",
    }  # fmt: skip
    assert found["backup"].text == (
        "there is no backup by NFS; the last try was refused: the server nas does not answer"
    )


def test_a_try_that_failed_is_a_warning_while_the_backup_before_it_is_young() -> None:
    found = checks(BACKUP, FAILED, days=1.5)
    assert found["backup"].state == found["media"].state == State.WARNING
    assert found["backup"].text.endswith("; the last try was refused: the server nas does not answer")
    assert checks(BACKUP, FAILED, days=8)["backup"].state == State.CRITICAL


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ((BACKUP, replace(CHECKED, result="refused", error="chunk 3 differs")), State.CRITICAL),
        # What was read since is as it was made.
        ((BACKUP, replace(CHECKED, result="refused"), replace(BACKUP, began="2026-11-22T230000Z")), State.OK),
        ((replace(BACKUP, read=()),), State.WARNING),
    ],
)
def test_a_backup_that_is_not_as_it_was_made_is_critical(records: Sequence[Record], state: State) -> None:
    assert checks(*records)["verification"].state == state


def test_each_of_several_methods_needs_its_backup() -> None:
    of_one = replace(BACKUP, command="mkbackuponly", only="restic", began="2026-11-23T000000Z")
    assert checks(BACKUP, of_one, methods=("NFS", "RESTIC"))["backup"].state == State.OK
    # The one of RESTIC alone is young, that of NFS is not.
    assert checks(BACKUP, of_one, methods=("NFS", "RESTIC"), days=2.1)["backup"].state == State.WARNING
    assert "there is no backup by NFS" in checks(of_one, methods=("NFS", "RESTIC"))["backup"].text
    assert checks(methods=())["backup"].state == State.OK


def test_a_backup_that_was_removed_is_none() -> None:
    forget = Record("backup-forget", "2026-11-23T000000Z", 1, "done", 0, forgotten="2026-11-22T183000Z")
    assert checks(BACKUP, forget)["backup"].text == "there is no backup by NFS"
    older = replace(BACKUP, began="2026-11-20T183000Z", saved=(Saved("NFS", "2026-11-20T183000Z"),))
    assert checks(older, BACKUP, forget, days=1)["backup"].state == State.WARNING
    other = replace(BACKUP, saved=(*BACKUP.saved, Saved("RESTIC", "2026-11-22T183500Z")))
    assert "by NFS" in checks(other, forget, methods=("NFS", "RESTIC"))["backup"].text


def test_what_another_method_has_saved_does_not_count_for_the_one_of_now() -> None:
    records = [replace(record, methods=("NETFS",)) for record in (BACKUP, CHECKED, DRILL)]
    found = checks(*records, methods=("BORG",))
    assert (found["backup"].state, found["backup"].text) == (State.CRITICAL, "there is no backup by BORG")
    assert found["verification"].text == "no backup was read back: run `rear backup check`"
    assert found["coverage"].text == "there is no backup to look at"
    assert found["drill"].text == "no recovery was rehearsed: run `rear drill`"
    assert found["media"].state == State.OK
    assert checks(BACKUP, methods=("BORG",))["backup"].text == "there is no backup by BORG"
    # One that was added needs a backup of its own, the others keep theirs.
    assert checks(*records, methods=("NETFS", "BORG"))["backup"].text == "there is no backup by BORG"
    assert worst([*checks(*records, methods=("netfs",)).values()]) == State.OK


def test_what_changed_since_the_media_were_made() -> None:
    found = checks(BACKUP, kernel="6.1.0-40-amd64", changes=["disk sdb is new"], exists=lambda _: False)
    assert found["layout"].state == found["media"].state == State.WARNING
    assert "6.1.0-40-amd64 is here; /var/lib/rear/output/rear-ada.iso is gone" in found["media"].text
    assert checks(BACKUP, kernel="6.1.0-9-amd64")["media"].state == State.OK
    assert checks(BACKUP, problem="rear is running")["layout"].state == State.UNKNOWN


def test_what_no_setting_leaves_out_is_a_warning() -> None:
    left_out = LeftOut("/srv", "EXCLUDE_MOUNTPOINTS names it", 1 << 30)
    found = checks(replace(BACKUP, left_out=(left_out,)))["coverage"]
    assert (found.state, found.text) == (State.OK, "1.0 GiB are left out, as the settings say")
    missed = LeftOut("/data", "not mounted, so not saved", missed=True)
    found = checks(replace(BACKUP, left_out=(left_out, missed)))["coverage"]
    assert (found.state, found.text) == (State.WARNING, "not saved: /data (not mounted, so not saved)")


def test_a_rehearsal_that_failed_is_critical_and_one_that_could_not_begin_is_not() -> None:
    later = replace(DRILL, began="2026-11-22T220000Z", rehearsals=())
    assert checks(BACKUP, DRILL, replace(later, result="failed"))["drill"].state == State.CRITICAL
    assert checks(BACKUP, DRILL, replace(later, result="refused"))["drill"].state == State.WARNING
    assert "drill" not in checks(BACKUP)


def test_a_record_of_the_future_does_not_count() -> None:
    ahead = replace(BACKUP, began="2036-11-22T183000Z")
    assert checks(BACKUP, ahead, days=8)["backup"].state == State.CRITICAL


def test_a_real_recovery_says_more_about_the_next_than_an_emulated_one() -> None:
    assert checks(BACKUP, DRILL, recoveries=(Rehearsal(100, 50, 0),))["recovery-time"].text == "about 1:40"
    assert checks(BACKUP)["recovery-time"].text == "not known: `rear drill` measures it"
    assert predicted(Rehearsal(300, 200, 10), 5) == 200


@pytest.mark.parametrize(
    ("words", "good"),
    [((), True), (("2",), True), (("2", "7"), True), (("0", "7"), True), (("2", "0"), True), (("7", "2"), False),
     (("1", "2", "3"), False), (("two",), False), (("-1",), False)],
)  # fmt: skip
def test_limits_are_up_to_two_days(words: tuple[str, ...], good: bool) -> None:
    assert (_two_numbers(words) == "") is good
