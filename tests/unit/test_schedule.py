# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd: what is written, what takes it back, and that systemd itself finds nothing wrong with them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core import schedule
from rear_core.errors import ConfigurationError, ProgramFailed, Refused
from rear_core.schedule import Job
from rear_core.shell import Outcome
from rear_core.testing.fake_shell import FakeShell

REAR = ("/opt/rear/bin/rear", "--config-dir", "/etc/other")
BACKUP = Job("backup", "Mon..Fri 02:00", with_media=True)
STATUS = Job("status", "hourly", ("--prometheus", "/var/lib/metrics/rear.prom"))
ANSWERS = {
    "systemd-analyze calendar 'Mon..Fri 02:00'": "", "systemd-analyze calendar hourly": "",
    "systemctl daemon-reload": "", "systemctl enable rear-backup.timer rear-status.timer": "",
    "systemctl restart rear-backup.timer rear-status.timer": "",
    "systemctl disable --now rear-backup.timer rear-status.timer": "",
}  # fmt: skip


def failing(command: str) -> FakeShell:
    """A systemd that fails at one command."""
    return FakeShell({**ANSWERS, command: Outcome((), 1, "", "no", 0)})


def test_the_units_of_a_job_have_its_command_and_its_time(tmp_path: Path) -> None:
    sh = FakeShell(ANSWERS)
    schedule.enable(sh, [BACKUP, STATUS], REAR, tmp_path)
    backup, timer = (tmp_path / f"rear-backup.{end}" for end in ("service", "timer"))
    start = " ".join(REAR)
    assert f"\nExecStart={start} --quiet --non-interactive --wait 720 mkbackup\n" in backup.read_text()
    assert (
        f"\nExecStart={start} --quiet status --prometheus /var/lib/metrics/rear.prom\n"
        in (tmp_path / "rear-status.service").read_text()
    )
    assert "\nOnCalendar=Mon..Fri 02:00\n" in timer.read_text()
    assert timer.stat().st_mode & 0o777 == 0o644
    assert sh.asked[-1].startswith("systemctl restart")


def test_what_is_disabled_is_gone_and_what_somebody_else_wrote_stays(tmp_path: Path) -> None:
    sh = FakeShell(ANSWERS)
    schedule.enable(sh, [BACKUP, STATUS], REAR, tmp_path)
    (tmp_path / "rear-drill.timer").write_text("[Timer]\nOnCalendar=yearly\n")
    assert schedule.disable(sh, [*schedule.JOBS], tmp_path) == ["backup", "status"]
    assert [path.name for path in tmp_path.iterdir()] == ["rear-drill.timer"]
    assert schedule.disable(sh, ["backup"], tmp_path) == []


def test_only_what_is_not_as_it_should_be_is_pending(tmp_path: Path) -> None:
    asked = f"systemctl show --property={','.join(schedule.PROPERTIES)} rear-{{}}.timer"
    on, off = "UnitFileState=enabled\nActiveState=active\n", "UnitFileState=disabled\nActiveState=inactive\n"
    sh = FakeShell({**ANSWERS, asked.format("backup"): on, asked.format("status"): on})
    assert schedule.pending(sh, [BACKUP, STATUS], REAR, tmp_path) == [BACKUP, STATUS]
    schedule.enable(sh, [BACKUP, STATUS], REAR, tmp_path)
    assert schedule.pending(sh, [BACKUP, STATUS], REAR, tmp_path) == []
    assert schedule.pending(sh, [BACKUP, replace(STATUS, arguments=())], REAR, tmp_path) == [Job("status", "hourly")]
    (tmp_path / "rear-backup.timer").write_text("[Timer]\n")
    assert schedule.pending(sh, [BACKUP], REAR, tmp_path) == [BACKUP]
    sh = FakeShell({**ANSWERS, asked.format("status"): off})
    assert schedule.pending(sh, [STATUS], REAR, tmp_path) == [STATUS]


def test_where_systemd_fails_everything_is_as_it_was(tmp_path: Path) -> None:
    old = tmp_path / "rear-backup.timer"
    old.write_text("[Timer]\n")
    with pytest.raises(ProgramFailed):
        schedule.enable(
            failing("systemctl enable rear-backup.timer rear-status.timer"), [BACKUP, STATUS], REAR, tmp_path
        )
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_text() == "[Timer]\n"


@pytest.mark.parametrize("calendar", ["sometimes", "daily\nExecStart=/bin/sh", "", "%h"])
def test_a_time_that_is_none_is_an_error_before_anything_is_written(tmp_path: Path, calendar: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a time of systemd"):
        schedule.enable(failing(f"systemd-analyze calendar {calendar}"), [Job("backup", calendar)], REAR, tmp_path)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("word", ["/opt/my rear/rear", "/opt/%h/rear", "/opt/$HOME/rear", "/opt/rear;x"])
def test_a_path_that_systemd_would_change_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot stand in a unit"):
        schedule.units(BACKUP, [word], tmp_path)


def test_without_systemd_there_is_no_schedule(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not run this machine"):
        schedule.need_systemd(tmp_path / "nowhere")


def test_each_job_has_its_units_and_no_option_that_changes_what_is_mounted() -> None:
    """What rear sees mounted it describes and saves: a folder that is hidden would be missing in the backup."""
    changing = (
        r"(?m)^(Protect(System|Home|Kernel\w+|Control\w+|Proc|Clock)|PrivateTmp|PrivateDevices|\w*Paths|DynamicUser)="
    )
    units = {path.name for path in schedule.UNITS.iterdir()}
    assert units == {f"rear-{unit}.{end}" for unit in schedule.JOBS.values() for end in ("service", "timer")}
    for path in schedule.UNITS.glob("*.service"):
        text = path.read_text()
        assert not re.search(changing, text), path
        # Two that begin together wait for each other.
        assert path.name == "rear-status.service" or "--quiet --non-interactive --wait 720 " in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name in schedule.JOBS:
        for path, text in schedule.units(Job(name, "daily"), ["/bin/true"], tmp_path).items():
            path.write_text(text)
    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())], capture_output=True, text=True
    )
    assert (verify.returncode, verify.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_services_are_exposed_no_more_than_they_have_to_be() -> None:
    for path in schedule.UNITS.glob("*.service"):
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=75", path], capture_output=True, text=True
        )
        if "unrecognized option" not in judged.stderr:
            assert judged.returncode == 0, judged.stdout
