# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups that LVM hides from the rescue system, which to it is another system than the machine (lvmsystemid(7))."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rear_core.shell import Outcome
from rear_core.storage.inventory import Device
from rear_core.storage.layout import make
from rear_core.storage.technologies.lvm import running
from rear_core.storage.technologies.lvm.capture import within
from rear_core.testing.fake_shell import Answer, FakeShell

ASKED = "lvm vgs --foreign --noheadings --options vg_systemid"
REPORT = (
    "lvm fullreport --foreign --reportformat json --configreport vg --options vg_name,vg_uuid"
    " --configreport pv --options pv_name,pv_uuid,pv_in_use --configreport lv --options lv_name"
)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lvm/lvmlocal.conf"
    monkeypatch.setattr(running, "LOCAL", path)
    return path


def test_groups_of_all_systems_are_taken_for_own_ones(local: Path) -> None:
    shell = FakeShell({ASKED: "  \n  web1\n  0c9e\n  web1\n"})
    running.appear(shell)
    running.appear(shell)
    assert local.read_text() == '\nlocal {\nextra_system_ids = [ "0c9e", "web1" ]\n}\n'


def test_what_somebody_has_written_there_stays(local: Path) -> None:
    local.parent.mkdir()
    local.write_bytes(b"# \xff\n")
    running.appear(FakeShell({ASKED: "web1\n"}))
    assert local.read_bytes().startswith(b"# \xff\n\nlocal {")


@pytest.mark.parametrize("answer", ["", "\n \n", Outcome(("lvm",), 5, "", "corrupt metadata", 0)])
def test_nothing_is_written_where_no_group_has_a_system_or_lvm_fails(local: Path, answer: Answer) -> None:
    running.appear(FakeShell({ASKED: answer}))
    assert not local.exists()


def test_a_place_that_cannot_be_written_keeps_nobody_from_looking_at_the_disks(local: Path) -> None:
    local.parent.parent.joinpath("lvm").write_text("a file in the place of the folder")
    running.appear(FakeShell({ASKED: "web1\n"}))


@pytest.mark.parametrize(
    ("report", "asked"),
    [
        ([{"pv": [{"pv_name": "/dev/vdb", "pv_uuid": "PV1", "pv_in_use": ""}]}], False),
        ([{"pv": [{"pv_name": "/dev/vdb", "pv_uuid": "PV1", "pv_in_use": "used"}]}], True),
        ([{}], True),
        ([{"vg": [], "lv": []}], True),
    ],
    ids=["in no group", "in one that is not shown", "not shown", "nothing is shown"],
)
def test_a_physical_volume_of_which_nobody_knows_the_group_is_asked_about(report: list[object], asked: bool) -> None:
    disk = Device("/dev/vdb", "vdb", "8:16", "disk", 1 << 30, "LVM2_member", "PV1")
    found = within(FakeShell({REPORT: json.dumps({"report": report})}), {disk.path: disk}, make(()))
    assert found == ({"/dev/vdb": ["pv:PV1 in a volume group that LVM does not show"]} if asked else {})
