# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of iSCSI targets: how they are known, what the rescue system has of them, and how it logs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.errors import RearError
from rear_core.rescue.tree import Tree
from rear_core.shell import Outcome
from rear_core.storage.disk import Disk
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Layout, make
from rear_core.storage.technologies import iscsi
from rear_core.storage.technologies.iscsi import IscsiUnit, connect, places, sessions
from rear_core.testing.fake_shell import Answer, FakeShell

TARGET = "iqn.2026-11.example:web1"
UNIT = IscsiUnit(f"iscsi:{TARGET}/1", (), TARGET, "1", ("192.0.2.1:3260", "[2001:db8::1]:3260"))
DISK = Disk("disk:0x6001", (UNIT.id,), 1 << 30, device="/dev/sda", wwn="0x6001", transport="iscsi")
LAYOUT = make([UNIT, DISK])
LSBLK = "lsblk --nodeps --noheadings --raw --output WWN"
SESSION = "iscsiadm --mode session"
ONE = f"tcp: [1] 192.0.2.1:3260,1 {TARGET} (non-flash)\n"
BOTH = f"{ONE}tcp: [2] [2001:db8::1]:3260,1 {TARGET} (non-flash)\n"
RECORD = "node.name = web1\nnode.session.auth.authmethod = CHAP\nnode.session.auth.password = Winter2026\n"


def disk(path: str, transport: str = "iscsi") -> Device:
    return Device(path, path[5:], "8:0", "disk", 1 << 30, transport=transport)


def test_the_place_of_a_disk_tells_target_portal_and_unit() -> None:
    told = {
        "/dev/sda": f"ID_PATH=ip-192.0.2.1:3260-iscsi-{TARGET}-lun-1",
        "/dev/sdb": f"ID_PATH=ip-2001:db8::1:3260-iscsi-{TARGET}-lun-1",
        # A card that is an initiator itself.
        "/dev/sdc": f"ID_PATH=pci-0000:04:00.0-ip-192.0.2.1:3260-iscsi-{TARGET}-lun-1",
    }
    sh = FakeShell({f"udevadm info --query=property --name={path}": f"A=b\n{line}\n" for path, line in told.items()})
    found = dict(places(sh, [*map(disk, told), disk("/dev/sdd", "sata")]))
    assert [unit.portals for unit in found.values()] == [(UNIT.portals[0],), (UNIT.portals[1],), (UNIT.portals[0],)]
    assert {(unit.id, unit.target, unit.lun) for unit in found.values()} == {(UNIT.id, TARGET, "1")}


def test_sessions_are_known_by_target_and_portal() -> None:
    assert sessions(FakeShell({SESSION: BOTH})) == {(TARGET, portal) for portal in UNIT.portals}
    assert sessions(FakeShell({SESSION: Outcome((), 21, "", "iscsiadm: No active sessions.", 0)})) == set()


def test_nothing_is_done_where_all_paths_are_there() -> None:
    sh = FakeShell({SESSION: BOTH})
    connect(LAYOUT, sh, pytest.fail)
    assert sh.asked == [SESSION]


def shell(monkeypatch: pytest.MonkeyPatch, found: str, status: int, wwn: str = "0x5000") -> FakeShell:
    """One portal does not let the machine in; a session with the other may be there."""
    monkeypatch.setattr(iscsi, "_silent", set())
    monkeypatch.setattr(iscsi, "_start", lambda _sh: None)
    answers: dict[str, Answer] = {
        SESSION: found or Outcome((), 21, "", "", 0),
        "udevadm settle --timeout=60": "",
        LSBLK: f"{wwn}\n\n",
    }
    for portal in UNIT.portals:
        record = f"iscsiadm --mode node --targetname {TARGET} --portal '{portal}'".replace("'1", "1")
        record = record.replace("3260'", "3260") if portal.startswith("1") else record
        answers[record] = RECORD
        for name, value in iscsi.PATIENCE.items():
            quoted = f"'{name}'" if "[" in name else name
            answers[f"{record} --op update --name {quoted} --value {value}"] = ""
        said = f"iscsiadm: initiator reported error ({status} - it says no)\niscsiadm: Could not log into all portals"
        answers[f"{record} --login"] = Outcome((), status, "", said, 0)
    return FakeShell(answers)


def test_a_path_that_is_missing_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    sh = shell(monkeypatch, ONE, 8)
    connect(LAYOUT, sh, told.append)
    connect(LAYOUT, sh, told.append)
    assert told == [
        f"a path to iSCSI disks is missing: cannot log in to {TARGET} at [2001:db8::1]:3260: it says no"
    ]  # asked once: each attempt takes its time


@pytest.mark.parametrize(("status", "advice"), [(8, "check the network"), (24, "enter the password")])
def test_a_disk_without_a_path_is_an_error(monkeypatch: pytest.MonkeyPatch, status: int, advice: str) -> None:
    with pytest.raises(RearError, match=f"no path leads to .*0x6001.*{TARGET} at 192.0.2.1:3260: it says no") as caught:
        connect(LAYOUT, shell(monkeypatch, "", status), pytest.fail)
    assert caught.value.hint.startswith(advice)


def test_another_target_may_take_the_place_of_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    connect(LAYOUT, shell(monkeypatch, ONE.replace("web1", "new"), 8), told.append)
    assert len(told) == 2


def test_a_disk_that_is_here_in_another_way_needs_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    connect(LAYOUT, shell(monkeypatch, "", 8, DISK.wwn), told.append)
    assert len(told) == 2


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a machine's initiator."""
    folder = tmp_path / "machine/etc/iscsi"
    folder.mkdir(parents=True)
    monkeypatch.setattr(iscsi, "FOLDERS", (str(folder),))
    (folder / "iscsid.conf").write_text("#node.session.auth.password = none\nnode.startup = manual\n")
    (folder / "record").write_text(RECORD)
    (folder / "iscsi.initramfs").write_text('ISCSI_USERNAME=web1\nISCSI_PASSWORD="Winter2026"\n')
    return folder


def test_passwords_stay_off_the_rescue_media(records: Path, tmp_path: Path) -> None:
    secret = [str(records / "iscsi.initramfs"), str(records / "record")]
    assert iscsi.contents(Layout()).secrets == secret
    assert all(name in "".join(iscsi.notes(UNIT, None)) for name in secret)  # type: ignore[arg-type]
    tree = Tree(tmp_path / "tree")
    iscsi.configure(tree)
    assert tree.inside(records / "record").read_text() == RECORD.replace("node.session.auth.password = Winter2026", "")
    assert "Winter" not in tree.inside(records / "iscsi.initramfs").read_text()
    assert "node.startup = manual" in tree.inside(records / "iscsid.conf").read_text()


def test_passwords_are_taken_along_as_configured(records: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    tree = Tree(tmp_path / "tree")
    tree.add(records / "record")
    iscsi.configure(tree)
    assert tree.inside(records / "record").read_text() == RECORD
