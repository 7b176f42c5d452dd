# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of a status, as programs read them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rear_core.health import checks, forms, measured
from rear_core.health.checks import Check, State
from rear_core.records import Rehearsal

FOUND = [
    Check("backup", State.OK, "12 hours old", {"backup_timestamp_seconds": 1795372260.0, "backup_files": 24700}),
    Check("layout", State.WARNING, "changed: disk a|b is new", {"layout_changes": 1}),
]


def test_for_people_only_what_is_not_well_when_quiet() -> None:
    assert [*forms.lines(FOUND)] == [
        "backup  ok        12 hours old",
        "layout  warning   changed: disk a|b is new",
    ]
    assert [*forms.lines(FOUND, quiet=True)] == ["layout  warning   changed: disk a|b is new"]


def test_for_nagios_one_line_with_the_numbers_behind_a_bar() -> None:
    assert forms.nagios(FOUND) == (
        "REAR WARNING - layout: changed: disk a/b is new"
        " | backup_timestamp_seconds=1795372260 backup_files=24700 layout_changes=1"
    )
    assert forms.nagios(FOUND[:1]).startswith("REAR OK - all is well | ")
    assert forms.nagios(forms.unknown("rear needs root")) == "REAR UNKNOWN - status: rear needs root"


def test_large_numbers_are_plain_for_nagios() -> None:
    assert forms.nagios([Check("coverage", State.OK, "", {"left_out_bytes": 8.2964135936e10})]).endswith("=82964135936")


def test_json_has_the_numbers_of_each_check() -> None:
    found = json.loads(forms.as_json(FOUND, "web1", 1795372300.4))
    assert (found["version"], found["host"], found["time"], found["state"]) == (1, "web1", 1795372300, "warning")
    assert found["checks"]["layout"] == {"state": "warning", "text": "changed: disk a|b is new", "layout_changes": 1}


def test_every_metric_of_a_check_is_explained() -> None:
    """Their names are written in the checks alone."""
    text = Path(checks.__file__).read_text()
    named = set(re.findall(r'"((?:\w+_)?(?:seconds|bytes|files|missed|outdated|changes))":', text))
    assert named | {"check_state", "status_timestamp_seconds"} == {*forms.METRICS}
    lines = forms.prometheus(FOUND, 1795372300.0).splitlines()
    assert 'rear_check_state{check="layout"} 1' in lines
    assert "rear_backup_timestamp_seconds 1795372260" in lines
    assert lines[lines.index("rear_backup_files 24700") - 1] == "# TYPE rear_backup_files gauge"


def test_reports_of_recoveries_say_how_long_they_took(tmp_path: Path) -> None:
    (tmp_path / "recovery-2026-11-20T000000Z.json").write_text('{"seconds": {"verify": 5.4, "restore": 60.2}}')
    (tmp_path / "recovery-2026-11-21T000000Z.json").write_text('{"seconds": {"verify": 5, "restore": 50}}')
    (tmp_path / "recovery-2026-11-22T000000Z.json").write_text("[]")
    assert measured.recoveries(tmp_path) == [Rehearsal(55, 50, 0), Rehearsal(66, 60, 0)]


def test_every_metric_is_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/watch.md").read_text()
    assert [name for name, text in forms.METRICS.items() if f"`rear_{name}" not in page or text not in page] == []
