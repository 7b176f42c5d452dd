# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery that is to follow a rehearsed plan refuses any other one, and says what is different."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rear_core import builtin
from rear_core.builtin.rehearsed import MOST, check_plan, difference
from rear_core.errors import ConfigurationError, Refused
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.inventory import Device
from rear_core.storage.layout import make
from rear_core.storage.mapping import assign
from rear_core.storage.plan import plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.resize import minimum
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.xfs import Xfs
from rear_core.system import Firmware, OperatingSystem, System

GIB = 1 << 30
LAYOUT = make(
    [
        Disk("disk:S1", (), GIB, "/dev/sda", serial="S1"),
        PartitionTable("table:1", ("disk:S1",), "gpt", "0b1cd0a3-1111-4222-8333-123456789abc"),
        Partition("partition:1", ("table:1",), 1, 1 << 20, GIB - (2 << 20), "0fc63daf-8483-4772-8e79-3d69d8477de4"),
        Xfs("fs:1", ("partition:1",), "0b1cd0a3-2222-4222-8333-123456789abc"),
    ]
)


def made(folder: Path, wanted: str = "", *, conf: str = "", size: int = GIB, path: str = "/dev/vdb") -> Run:
    """A recovery to a disk of this size and name, in which a plan was made."""
    plugins = Plugins(builtin.modules())
    settings = evaluate(Sources(assignments=tuple(parse(conf, "local.conf"))), plugins.settings(), {})
    run = Run(settings, plugins, Options(config_dir=folder, plan=wanted), Report(terminal=io.StringIO()))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    disk = PresentDisk(path=path, size=size, serial="S1")
    here = Machine({path: Device(path, path[5:], "", "disk", size, is_disk=True)}, (), frozenset(), (disk,))
    assignment = assign(LAYOUT, here.disks, minimum(LAYOUT, {}), {})
    run.layout, run.plan = LAYOUT, plan(LAYOUT, assignment, here, CORE_KINDS)
    return run


def said(run: Run) -> str:
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


@pytest.fixture
def rehearsed(tmp_path: Path) -> Run:
    """A recovery that was rehearsed, whose plan the media have."""
    run = made(tmp_path)
    check_plan(run)
    (tmp_path / "recovery").mkdir()
    (tmp_path / "recovery" / "rehearsed.json").write_text(
        json.dumps({"plan": run.recovery.plan, "steps": run.recovery.steps})
    )
    return run


def test_the_plan_is_told_where_none_is_wanted(rehearsed: Run) -> None:
    assert said(rehearsed) == f"Plan {rehearsed.recovery.plan[:16]}\n"


def test_the_rehearsed_plan_is_followed_on_a_disk_of_any_name(rehearsed: Run, tmp_path: Path) -> None:
    id, report = rehearsed.recovery.plan, str(tmp_path / "recovery" / "rehearsed.json")
    for run in (
        made(tmp_path, id[:8].upper()), made(tmp_path, id, path="/dev/nvme0n1"),
        made(tmp_path, conf=f"REHEARSED_PLAN={id[:16]}\n"), made(tmp_path, report),
    ):  # fmt: skip
        check_plan(run)
        assert "the one that is wanted" in said(run)


def test_another_plan_is_refused_with_what_is_different(rehearsed: Run, tmp_path: Path) -> None:
    run = made(tmp_path, rehearsed.recovery.plan[:16], size=2 * GIB)
    with pytest.raises(Refused, match=f"not {rehearsed.recovery.plan[:16]}$"):
        check_plan(run)
    lines = said(run).splitlines()
    assert f"Wanted: disk:S1: /dev/diskA, {GIB} bytes in sectors of 512, becomes blank" in lines
    assert f"Here:   disk:S1: /dev/diskA, {2 * GIB} bytes in sectors of 512, becomes blank" in lines


def test_an_option_comes_before_the_setting(rehearsed: Run, tmp_path: Path) -> None:
    check_plan(made(tmp_path, rehearsed.recovery.plan, conf="REHEARSED_PLAN=00000000\n"))
    with pytest.raises(Refused, match="not 00000000, and the wanted one is not here"):
        check_plan(made(tmp_path, "00000000", conf=f"REHEARSED_PLAN={rehearsed.recovery.plan}\n"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"steps": []}', '{"steps": ["a", 1]}', '{"steps": "rear plan 1"}'])
def test_a_damaged_copy_of_the_plan_keeps_nobody_from_recovering(rehearsed: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "recovery" / "rehearsed.json").write_text(text)
    check_plan(made(tmp_path, rehearsed.recovery.plan))
    with pytest.raises(ConfigurationError, match="cannot read the plan"):
        check_plan(made(tmp_path, str(tmp_path / "recovery" / "rehearsed.json")))


def test_a_rehearsal_that_failed_is_none_to_recover_by(rehearsed: Run, tmp_path: Path) -> None:
    report = tmp_path / "recovery" / "rehearsed.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "problem": "Start: it hangs"}))
    with pytest.raises(ConfigurationError, match="that rehearsal failed"):
        check_plan(made(tmp_path, str(report)))


def test_a_report_in_the_current_folder_is_one(rehearsed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "recovery")
    run = made(tmp_path, "rehearsed.json")
    check_plan(run)
    assert "the one that is wanted" in said(run)


@pytest.mark.parametrize("wanted", ["abc", "not a plan", "1234567g", "\x1b[2J12345678", "/nosuch/report.json"])
def test_what_is_no_plan_is_an_error_of_the_command(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        check_plan(made(tmp_path, wanted))
    assert "\x1b" not in error.value.message


def test_an_id_in_the_configuration_is_checked_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="REHEARSED_PLAN is 'abc': must be 8 or more"):
        made(tmp_path, conf="REHEARSED_PLAN=abc\n")


def test_a_run_without_a_plan_has_told_why_already(tmp_path: Path) -> None:
    run = made(tmp_path, "12345678")
    run.plan = None
    check_plan(run)
    assert said(run) == ""


def test_a_long_difference_is_cut() -> None:
    lines = difference(["a"], [f"line {number}" for number in range(40)])
    assert len(lines) == MOST + 1 and lines[-1] == f"and {41 - MOST} more lines are different"
