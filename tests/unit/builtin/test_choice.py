# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks may be taken, as settings, mounts and labels decide; and when a run ends before its first write."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core.builtin import backup, storage
from rear_core.builtin.choice import Decision, chosen, decide, destinies, usage
from rear_core.builtin.inspection import at_stake_now, look
from rear_core.errors import Interrupted, Refused
from rear_core.places.room import check_mounted
from rear_core.places.url import parse_url
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.shell import Outcome
from rear_core.storage import present
from rear_core.storage.at_stake import at_stake
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.fate import LOST, NOT_EMPTY, Content, Stake
from rear_core.storage.in_place import staying
from rear_core.storage.inventory import COLUMNS, Device
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import Item, Layout, LeftOut, dumps, loads, make
from rear_core.storage.mapping import Assignment, Match
from rear_core.storage.marks import mark
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.spared import backup_disks, check_backup_survives, with_backups_noted
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.testing.fake_shell import Answer, FakeShell

GIB = 1 << 30
ROOT, DATA, OLD = (f"11111111-2222-4333-8444-55555555550{number}" for number in (1, 2, 3))


class Settings(dict[str, Any]):
    """Settings of which only those asked for are declared."""

    @property
    def declared(self) -> dict[str, Any]:
        return self


DECLARED = (*backup.rear_settings(), *storage.rear_settings())


def node(kname: str, size: int = 10, **fields: Any) -> dict[str, Any]:
    return {
        "name": kname,
        "kname": kname,
        "maj:min": f"8:{ord(kname[-1])}",
        "type": "disk",
        "size": size * GIB,
        **fields,
    }


NO_TABLE = "does not contain a recognized partition table"


def machine(
    *disks: dict[str, Any],
    mounts: Mapping[str, str] | None = None,
    sfdisk: str = NO_TABLE,
    more: Mapping[str, Answer] | None = None,
) -> FakeShell:
    """A rescue system with these disks, of which sfdisk says this, and sources mounted on targets; `more` answers."""
    mounted = [
        {"target": target, "source": source, "fstype": "ext4", "options": "rw", "fsroot": "/", "maj:min": "0:1"}
        for target, source in (mounts or {}).items()
    ]
    nothing = Outcome((), 2, "", "", 0)
    no_table = Outcome((), 1, "", sfdisk, 0)
    answers: dict[str, Answer] = {
        f"lsblk --json --bytes --output {COLUMNS}": json.dumps({"blockdevices": disks}),
        "python3 -m rear_core.storage.inventory": "\n".join(disk["kname"] for disk in disks),
        "findmnt --json --list --output TARGET,SOURCE,FSTYPE,OPTIONS,FSROOT,MAJ:MIN": json.dumps(
            {"filesystems": mounted}
        ),
        "swapon --show=NAME --noheadings --raw": "",
        "lvm vgs --foreign --noheadings --options vg_systemid": "",
    }
    for disk in disks:
        answers[f"blkid --probe --output export /dev/{disk['name']}"] = nothing
        answers[f"sfdisk --json /dev/{disk['name']}"] = no_table
    return FakeShell({**answers, **(more or {})})


def run(shell: FakeShell, tmp_path: Path, *, unattended: bool = True, **settings: Any) -> Run:
    values = Settings(
        {setting.name: setting.default for setting in DECLARED},
        DISK_MAPPING=(),
        BACKUP_URL=None,
        VAR_DIR="/var/lib/rear",
    )
    values.update({name: parse_url(value) if name.endswith("_URL") else value for name, value in settings.items()})
    options = Options(unattended=unattended, config_dir=tmp_path)
    plugins = SimpleNamespace(call=lambda _hook: CORE_KINDS)
    return Run(cast(Any, values), cast(Any, plugins), options, Report(), shell)


def layout() -> Layout:
    """Two disks with a file system each, on / and /srv/backup."""
    return make(
        [
            Disk("disk:A", (), 10 * GIB, "/dev/sda", serial="A"),
            Disk("disk:B", (), 10 * GIB, "/dev/sdb", serial="B"),
            Ext(f"fs:{ROOT}", ("disk:A",), ROOT, version=4),
            Ext(f"fs:{DATA}", ("disk:B",), DATA, version=4),
            Mount("mount:/", (f"fs:{ROOT}",), "/", "ext4"),
            Mount("mount:/srv/backup", (f"fs:{DATA}", "mount:/"), "/srv/backup", "ext4"),
        ]
    )


def test_known_disks_are_taken_without_a_word(tmp_path: Path) -> None:
    here = run(machine(node("vda", serial="B"), node("vdb", serial="A")), tmp_path)
    assignment, *_ = decide(here, layout())
    assert assignment.disks == {"disk:A": "/dev/vdb", "disk:B": "/dev/vda"}


def test_an_open_question_ends_an_unattended_run(tmp_path: Path) -> None:
    here = run(machine(node("vda"), node("vdb"), node("vdc")), tmp_path)
    with pytest.raises(Refused, match="not certain which disk is meant") as refused:
        decide(here, layout())
    assert "DISK_MAPPING=( A=/dev/... )" in refused.value.hint


def test_a_run_without_a_terminal_is_unattended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run(machine(node("vda"), node("vdb"), node("vdc")), tmp_path, unattended=False)
    with open("/dev/null") as nobody, pytest.raises(Refused, match="this run is unattended"):
        monkeypatch.setattr(sys, "stdin", nobody)
        decide(here, layout())


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_a_tie_is_a_question_with_the_first_blank_disk_as_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = run(machine(node("vda"), node("vdb"), node("vdc")), tmp_path, unattended=False)
    monkeypatch.setattr(sys, "stdin", Terminal("\n/dev/none\n/dev/vdc\n"))
    assignment, *_ = decide(here, layout())
    assert assignment.disks == {"disk:A": "/dev/vda", "disk:B": "/dev/vdc"}
    said = capsys.readouterr().err
    assert "Which disk becomes disk A (was /dev/sda)? A path, none, or quit [/dev/vda]: " in said
    assert "also here: /dev/vdc (blank)" in said
    assert "Not possible: there is no disk /dev/none" in said


@pytest.mark.parametrize("typed", ["", "quit\n", "q\n"])
def test_without_an_answer_nothing_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    here = run(machine(node("vda"), node("vdb"), node("vdc")), tmp_path, unattended=False)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with pytest.raises(Interrupted):
        decide(here, layout())


def test_the_setting_answers(tmp_path: Path) -> None:
    here = run(machine(node("vda"), node("vdb"), node("vdc")), tmp_path, DISK_MAPPING=("A=/dev/vdc", "/dev/sdb=none"))
    assignment, *_ = decide(here, layout())
    assert assignment.disks == {"disk:A": "/dev/vdc"}
    assert chosen(here, layout()) == {"A": "/dev/vdc", "/dev/sdb": "none"}


def test_a_disk_that_is_named_in_two_ways_has_one_answer(tmp_path: Path) -> None:
    for other in ("/dev/vda", "/dev/vdb"):
        here = run(machine(node("vda"), node("vdb")), tmp_path, DISK_MAPPING=("A=none", f"/dev/sda={other}"))
        with pytest.raises(Refused, match=r"two answers for disk A .*: A=none and /dev/sda="):
            decide(here, layout())


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    here = run(machine(node("vda", 1, serial="A")), tmp_path)
    with pytest.raises(Refused) as refused:
        decide(here, layout())
    assert "disk A (was /dev/sda)" in refused.value.message and "disk B (was /dev/sdb)" in refused.value.message
    assert "1 GiB, the recovery needs 10 GiB" in refused.value.message


@pytest.mark.parametrize(
    ("disk", "mounts", "reason"),
    [
        (node("sdx", fstype="iso9660", label="REAR-ISO"), {}, "it is rescue media (labelled REAR-ISO)"),
        (node("sdx", fstype="ext4"), {"/srv/backup": "/dev/sdx"}, "it is mounted on /srv/backup"),
        (node("sdx", fstype="ext4"), {"/mnt/local/srv": "/dev/sdx"}, ""),
        (node("sdx", fstype="ext4"), {"/mnt/localhost": "/dev/sdx"}, "it is mounted on /mnt/localhost"),
    ],
    ids=["rescue media", "mounted", "mounted below the target", "beside the target"],
)
def test_what_is_locked(tmp_path: Path, disk: dict[str, Any], mounts: dict[str, str], reason: str) -> None:
    here = run(machine(disk, mounts=mounts), tmp_path)
    (found,) = look(here, layout()).disks
    assert found.locked == reason
    assert look(here, layout(), lock=False).disks[0].locked == ""


def test_what_cannot_be_read_any_more_does_not_count_as_empty_and_stops_nobody(tmp_path: Path) -> None:
    """A bad sector may be why the machine is recovered."""
    disk = Disk("disk:A", (), 10 * GIB, "/dev/sda", serial="A")
    broken = "dumpe2fs: Input/output error while trying to open /dev/sda"
    shell = machine(
        node("sda", serial="A", fstype="ext4", uuid=DATA),
        more={"dumpe2fs -h /dev/sda": Outcome((), 5, "", broken, 0)},
    )
    once_empty = make([disk, Ext(f"fs:{DATA}", ("disk:A",), DATA, version=4, empty=True)])
    _, stakes = at_stake_now(run(shell, tmp_path), once_empty, lock=False)
    (content,) = stakes["disk:A"].contents
    assert (content.fate, content.reason) == (LOST, NOT_EMPTY)


@pytest.mark.parametrize("lost", [True, False])
def test_a_disk_without_a_name_that_began_with_zeros_when_something_lay_on_it_is_not_blank(
    tmp_path: Path, lost: bool
) -> None:
    """Nothing on it tells that it is the recorded one."""
    seen = LeftOut("/dev/loop0 on /dev/sdb", "rear does not describe what lies in a loop device", lost, ("disk:B",))
    recorded = Layout((Disk("disk:B", (), 10 * GIB, "/dev/sdb"),), (seen,))
    here = run(machine(node("sdb")), tmp_path)
    stakes = {"disk:B": Stake(recorded.of(Disk)[0], (Content(seen.name, frozenset({"disk:B"}), LOST, seen.reason),))}
    (disk,) = look(here, recorded, stakes).disks
    assert disk.remains == lost


@pytest.mark.parametrize("number", ["8:120", "8:49"], ids=["the disk", "a partition"])
def test_a_disk_under_a_loop_device_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """lsblk does not show one device above the other."""
    monkeypatch.setattr(present, "loop_devices", lambda: {number: "/dev/loop0"})
    disk = node("sdx", children=[node("sdx1", type="part", fstype="ext4")])
    here = run(machine(disk, node("sdy")), tmp_path)
    locked = {disk.path: disk.locked for disk in look(here, layout()).disks}
    assert locked == {"/dev/sdx": "the loop device /dev/loop0 uses it", "/dev/sdy": ""}


def test_a_disk_is_locked_while_a_loop_device_uses_one_of_its_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present, "loop_devices", lambda: {"8:98": "/dev/loop0"})
    shell = machine(node("sdb", children=[node("dm-0", name="mpatha", type="mpath", fstype="ext4")]))
    shell._answers["sfdisk --json /dev/mapper/mpatha"] = Outcome((), 1, "", NO_TABLE, 0)
    (disk,) = look(run(shell, tmp_path), layout()).disks
    assert (disk.path, disk.locked) == ("/dev/mapper/mpatha", "the loop device /dev/loop0 uses it")


def test_a_disk_is_locked_by_all_its_paths_and_taken_by_one(tmp_path: Path) -> None:
    """Without multipathd, as in a rescue system that nobody told of it, each path is a disk of its own."""
    own: dict[str, Any] = {"serial": "A", "wwn": "0x5000"}
    part = node("sdx1", type="part", fstype="ext4", uuid=ROOT)
    used = machine(node("sdx", **own, children=[part]), node("sdy", **own), mounts={"/mnt/x": "/dev/sdx1"})
    locked = "it is mounted on /mnt/x"
    assert [disk.locked for disk in look(run(used, tmp_path), layout()).disks] == [
        locked,
        f"/dev/sdx is the same disk, and {locked}",
    ]
    here = run(machine(node("sdx", **own), node("sdy", **own)), tmp_path, DISK_MAPPING=("A=/dev/sdx", "B=/dev/sdy"))
    with pytest.raises(Refused, match="/dev/sdx and /dev/sdy are the same disk by their WWN and serial number"):
        decide(here, layout())
    here = run(machine(node("sdx", **own), node("sdy", **own)), tmp_path, DISK_MAPPING=("A=/dev/sdx",))
    with pytest.raises(Refused, match="no disk can replace disk B"):
        decide(here, layout())


def test_an_excluded_disk_is_locked_unless_it_is_a_recorded_one_by_another_name(tmp_path: Path) -> None:
    here = run(machine(node("vda", serial="A"), node("vdb")), tmp_path, EXCLUDE_DEVICES=("/dev/vd?",))
    for _ in range(2):
        assert [disk.locked for disk in look(here, layout()).disks] == ["", "EXCLUDE_DEVICES names it"]
        # Nor does the plan take it that is asked for on the running machine.
        assert [disk.locked for disk in look(here, layout(), lock=False).disks] == ["", "EXCLUDE_DEVICES names it"]
        describe(here, exclude_devices=["/dev/vd?"])


def test_a_recorded_disk_that_somebody_excludes_since_is_locked(tmp_path: Path) -> None:
    here = run(machine(node("vda", serial="A"), node("vdb", serial="B")), tmp_path, EXCLUDE_DEVICES=("/dev/vdb",))
    describe(here, exclude_devices=["/dev/sdz"])
    assert [disk.locked for disk in look(here, layout()).disks] == ["", "EXCLUDE_DEVICES names it"]


def describe(run: Run, **facts: Any) -> None:
    """Write facts into the description of the machine."""
    run.recovery_dir.mkdir(exist_ok=True, parents=True)
    (run.recovery_dir / "system.json").write_text(json.dumps(facts))


def test_a_multipath_disk_without_paths_is_locked_and_never_read(tmp_path: Path) -> None:
    """Nobody recorded that it is, nor what stands on it."""
    dead = node("dm-1", name="mpathz", type="mpath", children=[node("dm-2", name="mpathz-part1", type="part")])
    shell = machine(node("vda", serial="A"))
    lsblk = next(command for command in shell._answers if command.startswith("lsblk"))
    shell._answers[lsblk] = json.dumps({"blockdevices": [node("vda", serial="A"), dead]})
    disks = {disk.path: disk for disk in look(run(shell, tmp_path, INCLUDE_DEVICES=["*"]), layout()).disks}
    assert disks["/dev/mapper/mpathz"].locked == "all its paths are missing, so its contents are unknown"
    assert disks["/dev/mapper/mpathz"].holds and not disks["/dev/vda"].locked


@pytest.mark.parametrize("described", [("sdb", "sdc"), ("sdc",)])
def test_a_multipath_disk_has_the_identity_of_its_paths(tmp_path: Path, described: tuple[str, ...]) -> None:
    map = node("dm-0", name="mpatha", type="mpath", fstype="ext4", uuid=DATA)
    shell = machine(*[node(name, serial="S1", wwn="0x5000", children=[map]) for name in described])
    shell._answers["sfdisk --json /dev/mapper/mpatha"] = Outcome((), 1, "", NO_TABLE, 0)
    (disk,) = look(run(shell, tmp_path), layout()).disks
    assert (disk.path, disk.serial, disk.wwn, disk.locked) == ("/dev/mapper/mpatha", "S1", "0x5000", "")


def test_what_stands_on_a_disk_is_no_disk_to_take(tmp_path: Path) -> None:
    """As a cached device of bcache does, which the kernel calls a disk."""
    cached = node("bcache0", size=9)
    shell = machine(node("sdb", serial="B2", fstype="bcache", children=[cached]), node("sdc", serial="C2"))
    shell._answers.update({"blkid --probe --output export /dev/bcache0": "", "sfdisk --json /dev/bcache0": "{}"})
    assert [disk.path for disk in look(run(shell, tmp_path), layout()).disks] == ["/dev/sdb", "/dev/sdc"]


BLKID = "blkid --cache-file /dev/null --match-token LABEL=DATA --output device"
SPELLINGS = ("usb:///dev/disk/by-label/DATA", " USB:///dev//disk/by-label/DATA\t", "Usb:///dev/./disk/by-label/%44ATA")


@pytest.mark.parametrize("setting", ["BACKUP_URL", "OUTPUT_URL", "ACME_URL"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_disk_that_a_url_names_is_locked_however_it_is_spelled(tmp_path: Path, setting: str, spelling: str) -> None:
    """Also where nothing on it is mounted yet, and whatever it is called."""
    stick = node("sdx", 32, children=[node("sdx1", 32, type="part", fstype="ext4", label="DATA")])
    shell = machine(node("vda", serial="A"), stick)
    shell._answers[BLKID] = "/dev/sdx1\n"
    values: dict[str, Any] = {setting: spelling}
    here = run(shell, tmp_path, **values)
    assert {disk.path: disk.locked for disk in look(here, layout()).disks} == {
        "/dev/sdx": f"{setting} names it",
        "/dev/vda": "",
    }
    assert all(not disk.locked for disk in look(here, layout(), lock=False).disks)


@pytest.mark.parametrize(
    "url", [f"usb:///dev/disk/by-uuid/{DATA}", f"USB:///dev/disk/by-uuid/{DATA.upper()}", "usb:///dev/sdb"]
)
def test_the_recorded_disk_of_a_backup_on_a_disk_is_left_out(tmp_path: Path, url: str) -> None:
    assert backup_disks(run(machine(), tmp_path, BACKUP_URL=url), layout()) == {"disk:B": "none"}


def test_a_disk_that_is_not_recorded_leaves_all_others(tmp_path: Path) -> None:
    here = run(machine(), tmp_path, BACKUP_URL="usb:///dev/disk/by-label/REAR-000")
    assert backup_disks(here, layout()) == {}


@pytest.mark.parametrize(("label", "left"), [("Backup", {"disk:B": "none"}), ("BACKUP", {}), ("backup", {})])
def test_a_label_in_other_letters_is_that_of_another_disk(tmp_path: Path, label: str, left: dict[str, str]) -> None:
    labelled = (
        replace(item, label="Backup") if isinstance(item, Ext) and item.uuid == DATA else item for item in layout()
    )
    here = run(machine(), tmp_path, BACKUP_URL=f"usb:///dev/disk/by-label/{label}")
    assert backup_disks(here, make(labelled)) == left


def test_a_recorded_disk_with_the_backup_stays_as_it_is(tmp_path: Path) -> None:
    shell = machine(node("vda", serial="A"), node("vdb", serial="B"))
    here = run(shell, tmp_path, BACKUP_URL="file:///srv/backup/machine")
    assert backup_disks(here, layout()) == {"disk:B": "none"}
    assignment, found, _ = decide(here, layout())
    assert assignment.disks == {"disk:A": "/dev/vda"}
    assert [disk.locked for disk in found.disks] == ["", "it holds the backup"]


def test_a_disk_of_the_system_is_made_again_when_its_backups_are_elsewhere(tmp_path: Path) -> None:
    here = run(machine(), tmp_path, BACKUP_URL="usb:///dev/sda", BACKUP_ALLOW_SYSTEM_DISK=True)
    assert backup_disks(here, layout()) == {}
    here = run(machine(), tmp_path, BACKUP_URL="file:///srv/backup", BACKUP_ALLOW_SYSTEM_DISK=True)
    assert backup_disks(here, layout()) == {"disk:B": "none"}


def noted(target: str, found: Layout | None = None) -> Layout:
    """The layout with the note that backups were on one of its mounts when the machine was described."""
    items = found or layout()
    return make(replace(i, holds_backups=True) if isinstance(i, Mount) and i.target == target else i for i in items)


@pytest.mark.parametrize("url", ["nfs://192.0.2.1/copy", "file:///run/copy", "usb:///dev/disk/by-label/COPY"])
def test_a_recorded_disk_with_older_backups_stays_when_the_url_is_another(tmp_path: Path, url: str) -> None:
    shell = machine(node("vda", serial="A"), node("vdb", serial="B"))
    shell._answers[BLKID.replace("DATA", "COPY")] = ""
    here = run(shell, tmp_path, BACKUP_URL=url)
    assert backup_disks(here, layout()) == {}
    assert backup_disks(here, noted("/srv/backup")) == {"disk:B": "none"}
    assignment, found, _ = decide(here, noted("/srv/backup"))
    assert assignment.disks == {"disk:A": "/dev/vda"}
    assert [disk.locked for disk in found.disks] == ["", "it holds the backup"]


def test_the_disk_of_older_backups_is_made_again_on_another_that_is_named(tmp_path: Path) -> None:
    """As on new hardware, with a copy of the backups."""
    url = "nfs://192.0.2.1/copy"
    here = run(machine(node("vda", serial="A"), node("vdc")), tmp_path, BACKUP_URL=url, DISK_MAPPING=("B=/dev/vdc",))
    assert decide(here, noted("/srv/backup")).assignment.disks == {"disk:A": "/dev/vda", "disk:B": "/dev/vdc"}


@pytest.mark.parametrize("allowed", [False, True])
def test_a_disk_of_the_system_that_held_backups_is_made_again_when_the_url_is_another(
    tmp_path: Path, allowed: bool
) -> None:
    shared = make(replace(i, needs=("disk:A",)) if i.id == f"fs:{DATA}" else i for i in layout())
    url = "nfs://192.0.2.1/copy"
    here = run(machine(), tmp_path, BACKUP_URL=url, BACKUP_ALLOW_SYSTEM_DISK=allowed)
    assert backup_disks(here, noted("/srv/backup", shared)) == {}


@pytest.mark.parametrize(
    ("url", "found"),
    [(DATA, ["/srv/backup"]), (ROOT, []), ("", [])],
    ids=["a data disk", "the disk of the system", "a server"],
)
def test_what_holds_the_backups_is_noted(tmp_path: Path, url: str, found: list[str]) -> None:
    """Not for / and the like: without these there is no system."""
    shell = machine()
    for uuid, device in ((DATA, "/dev/sdb"), (ROOT, "/dev/sda")):
        shell._answers[BLKID.replace("LABEL=DATA", f"UUID={uuid}")] = f"{device}\n"
    where = f"usb:///dev/disk/by-uuid/{url}" if url else "nfs://192.0.2.1/rear"
    here = run(shell, tmp_path, BACKUP_URL=where, BACKUP_PREFIX="web1")
    described = with_backups_noted(here, layout())
    assert [mount.target for mount in described.of(Mount) if mount.holds_backups] == found
    # It is no difference of the machine, and layouts without it are read as before.
    types = item_types(CORE_KINDS)
    assert described == layout() and dumps(loads(dumps(described), types)) == dumps(described)
    assert ("holds_backups" in dumps(described)) is bool(found)


def test_what_is_recorded_though_not_described_is_kept_in_place_or_given_up(tmp_path: Path) -> None:
    """Windows beside Linux, as it was when the machine was described."""
    parts = [
        node("vdb1", 5, type="part", fstype="ext4", uuid=DATA),
        node("vdb2", 5, type="part", fstype="ntfs", uuid="6A0"),
    ]
    here = machine(node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="B", children=parts))
    ntfs = LeftOut("ntfs on /dev/sdb2", "the ntfs on it is not described", True, ("disk:B",))
    mixed = other(ntfs, mounted=True)
    mixed = make((replace(i, marks=(mark(DATA), "6a0")) if i.id == "disk:B" else i for i in mixed), [ntfs])  # type: ignore[call-arg]
    kept = decide(run(here, tmp_path, KEEP_IN_PLACE=True), mixed).assignment
    assert [match.recorded.id for match in kept.matches if match.keeps] == ["disk:B"]
    assert len(decide(run(here, tmp_path, GIVE_UP=("ntfs on /dev/sdb2",)), mixed).assignment.disks) == 2


def test_an_excluded_copy_of_a_recorded_disk_stays_locked(tmp_path: Path) -> None:
    """Nobody knows the serial numbers, and both carry the same identifiers."""
    recorded = make(replace(item, serial="") if isinstance(item, Disk) else item for item in layout())
    here = run(machine(node("vda"), node("vdb", fstype="ext4", uuid=ROOT)), tmp_path, EXCLUDE_DEVICES=("/dev/vdb",))
    assert [disk.locked for disk in look(here, recorded).disks] == ["", "EXCLUDE_DEVICES names it"]


def test_an_excluded_namespace_locks_no_other_of_its_controller(tmp_path: Path) -> None:
    excluded = LeftOut("/dev/nvme0n2", "EXCLUDE_DEVICES names it", wwn="eui.2", serial="S5X")
    disks = node("nvme0n1", serial="S5X", wwn="eui.1"), node("nvme0n3", serial="S5X", wwn="eui.2")
    found = look(run(machine(*disks), tmp_path), make(layout().items, [excluded]))
    assert [disk.locked for disk in found.disks] == ["", "EXCLUDE_DEVICES names it"]


@pytest.mark.parametrize("label, lost", [("ROOT", True), ("DATA", False), ("STICK", False)])
@pytest.mark.parametrize("phases", [("backup",), ("build",)])
def test_a_backup_on_a_disk_of_the_system_is_no_backup(
    tmp_path: Path, label: str, lost: bool, phases: tuple[str, ...]
) -> None:
    """It is refused, and where only media are made a warning; unless somebody says that it is copied elsewhere."""
    url, shell, said = f"usb:///dev/disk/by-label/{label}", machine(), io.StringIO()
    devices = {"ROOT": "/dev/sda", "DATA": "/dev/sdb", "STICK": "/dev/sdx1"}
    shell._answers[BLKID.replace("DATA", label)] = f"{devices[label]}\n"
    for allowed in (False, True):
        here = run(shell, tmp_path, BACKUP_URL=url, BACKUP_ALLOW_SYSTEM_DISK=allowed)
        here.layout, here.phases, here.report = layout(), phases, Report(terminal=said)
        if lost and phases == ("backup",) and not allowed:
            with pytest.raises(Refused, match=rf"BACKUP_URL={url} lies on disk A \(/dev/sda\), which a recovery"):
                check_backup_survives(here, "web1")
        else:
            check_backup_survives(here, "web1")
    assert said.getvalue().count("WARNING") == (lost and phases == ("build",))


@pytest.mark.parametrize(
    ("folder", "target", "refused"),
    [
        ("{0}/disk/rear", "{0}/disk", True),
        ("{0}/disk", "{0}/disk", True),
        ("{0}/link/rear", "{0}/disk", True),
        ("{0}/disk2", "{0}/disk", False),
        ("{0}", "{0}/disk", False),
        ("{0}/disk", "/", False),
        ("{0}/disk", "none", False),
        ("/proc/rear", "/proc", False),
    ],
)
def test_a_folder_is_no_place_for_backups_while_its_disk_is_not_mounted(
    tmp_path: Path, folder: str, target: str, refused: bool
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    row = {"source": "LABEL=usb", "target": target.format(tmp_path), "fstype": "ext4", "options": "nofail"}
    fstab = "findmnt --fstab --json --list --output SOURCE,TARGET,FSTYPE,OPTIONS,FREQ,PASSNO"
    here = run(FakeShell({fstab: json.dumps({"filesystems": [row]})}), tmp_path)
    url = parse_url(f"file://{folder.format(tmp_path)}")
    with pytest.raises(Refused, match="LABEL=usb is not mounted on") if refused else nullcontext():
        check_mounted(here, url, "BACKUP_URL")


def test_a_damaged_record_of_usage_is_named(tmp_path: Path) -> None:
    here = run(machine(), tmp_path)
    assert usage(here) == {}
    (tmp_path / "recovery").mkdir()
    (tmp_path / "recovery/usage.json").write_text('{"/": 1')
    with pytest.raises(Refused, match=r"usage\.json is damaged"):
        usage(here)


def test_a_disk_that_cannot_be_read_is_locked_and_never_counts_as_blank(tmp_path: Path) -> None:
    shell = machine(node("sdx"), sfdisk="sfdisk: cannot open /dev/sdx: Input/output error")
    (found,) = look(run(shell, tmp_path), layout()).disks
    assert found.locked.startswith("it cannot be read, so its contents are unknown: sfdisk failed")


WINDOWS = LeftOut("ntfs on /dev/sdb", "the ntfs on it is not described", True, ("disk:B",))


def other(*left_out: LeftOut, mounted: bool = False) -> Layout:
    """The system on a disk, and on the other what the backup has nothing of, unless it is `mounted`."""
    items = [item for item in layout() if "backup" not in item.id and DATA not in item.id]
    data = [Ext(f"fs:{DATA}", ("disk:B",), DATA), Mount("mount:/data", (f"fs:{DATA}", "mount:/"), "/data", "ext4")]
    return make([*items, *(data if mounted else [])], left_out)


def test_a_disk_of_which_nothing_comes_back_is_left_alone_without_a_word(tmp_path: Path) -> None:
    disks = node("vda", serial="B", fstype="ntfs", uuid="WINDOWS0"), node("vdb", serial="A")
    assignment, found, _ = decide(run(machine(*disks), tmp_path), other(WINDOWS))
    assert assignment.disks == {"disk:A": "/dev/vdb"}
    assert "nothing on it is restored: ntfs on /dev/sdb" in assignment.spare["/dev/vda"]
    assert [disk.path for disk in found.disks if disk.spared] == ["/dev/vda"]


def test_a_disk_that_is_left_alone_takes_the_place_of_no_other_unless_it_is_named(tmp_path: Path) -> None:
    """The system disk has died, and only that with Windows is left."""
    windows = machine(node("vda", serial="B", fstype="ntfs", uuid="WINDOWS0"))
    with pytest.raises(Refused, match=r"no disk can replace disk A .*nothing on it is restored.*you name it"):
        decide(run(windows, tmp_path), other(WINDOWS))
    with pytest.raises(Refused, match=r"it is disk B .* now; if /dev/vda is to be overwritten, add B=none"):
        decide(run(windows, tmp_path, DISK_MAPPING=("A=/dev/vda",)), other(WINDOWS))
    here = run(windows, tmp_path, DISK_MAPPING=("A=/dev/vda", "B=none"))
    assert decide(here, other(WINDOWS))[0].disks == {"disk:A": "/dev/vda"}


def both(fstype: str = "ext4", uuid: str = DATA, more: Mapping[str, Answer] | None = None) -> FakeShell:
    """The recorded disks with their contents."""
    system = node("vda", serial="A", fstype="ext4", uuid=ROOT)
    return machine(system, node("vdb", serial="B", fstype=fstype, uuid=uuid), more=more)


def test_a_disk_with_something_of_both_is_a_question_and_unattended_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = other(WINDOWS, mounted=True)
    with pytest.raises(Refused, match=r"the data on the disk would be lost.*ntfs on /dev/sdb") as refused:
        decide(run(both(), tmp_path), mixed)
    assert "GIVE_UP" in refused.value.hint and "DISK_MAPPING=( B=/dev/... )" in refused.value.hint
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    with pytest.raises(Interrupted):
        decide(run(both(), tmp_path, unattended=False), mixed)
    assert "(type /dev/vdb to overwrite it) [quit]" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("/dev/vdb\n"))
    assert decide(run(both(), tmp_path, unattended=False), mixed)[0].disks["disk:B"] == "/dev/vdb"


def test_what_would_be_lost_can_be_kept_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = other(WINDOWS, mounted=True)
    assignment, *_ = decide(run(both(), tmp_path, KEEP_IN_PLACE=True), mixed)
    assert [match.recorded.id for match in assignment.matches if match.keeps] == ["disk:B"]
    monkeypatch.setattr(sys, "stdin", Terminal("keep\n"))
    assignment, *_ = decide(run(both(), tmp_path, unattended=False), mixed)
    assert [match.recorded.id for match in assignment.matches if match.keeps] == ["disk:B"]
    assert "keep (to recreate only the rest)" in capsys.readouterr().err
    # What is not recorded cannot be kept: nobody knows what it stands on.
    with pytest.raises(Refused, match="not recorded"):
        decide(run(both("xfs", "99999999-2222"), tmp_path, KEEP_IN_PLACE=True), mixed)


@pytest.mark.parametrize(
    "settings",
    [{"GIVE_UP": ("/dev/sdb",)}, {"GIVE_UP": ("*",)}, {"DISK_MAPPING": ("B=/dev/vdb",)}],
    ids=["by device", "all", "by disk"],
)
def test_what_is_given_up_beforehand_is_not_asked_for(tmp_path: Path, settings: dict[str, Any]) -> None:
    mixed = other(WINDOWS, mounted=True)
    assert decide(run(both(), tmp_path, **settings), mixed)[0].disks["disk:B"] == "/dev/vdb"


def test_a_disk_that_holds_what_was_not_recorded_is_a_question(tmp_path: Path) -> None:
    """Somebody has put something else onto it since."""
    assert len(decide(run(both(), tmp_path), other(mounted=True))[0].disks) == 2
    with pytest.raises(Refused, match="it holds something that was not recorded: xfs"):
        decide(run(both("xfs", "99999999-2222"), tmp_path), other(mounted=True))
    here = run(both("xfs", "99999999-2222"), tmp_path, GIVE_UP=("*",))
    assert decide(here, other(mounted=True))[0].disks["disk:B"] == "/dev/vdb"


def test_a_volume_that_nobody_recorded_is_a_question_though_its_group_does_not_run(tmp_path: Path) -> None:
    """All that was recorded of the disk is there; LVM knows of one more without starting it."""
    volume = LogicalVolume("lv:sys/root", ("vg:sys",), "sys", "root", "LV0001", GIB, "linear")
    pv = PhysicalVolume("pv:PV000001", ("disk:B",), "PV000001")
    group = VolumeGroup("vg:sys", ("pv:PV000001",), "sys", "VG000001", 4 << 20)
    items = [item for item in layout() if "backup" not in item.id and DATA not in item.id]
    mount = Mount("mount:/data", (f"fs:{DATA}", "mount:/"), "/data", "ext4")
    recorded = make([*items, pv, group, volume, Ext(f"fs:{DATA}", ("lv:sys/root",), DATA), mount], [])
    options = ("vg", "vg_name,vg_uuid"), ("pv", "pv_name,pv_uuid,pv_in_use"), ("lv", "lv_name")
    columns = " ".join(f"--configreport {part} --options {names}" for part, names in options)
    activate = "lvm lvchange --activate=y '--config=activation { read_only_volume_list=[\"sys/root\"] }' sys/root"
    stopped = {activate: Outcome(("lvm",), 5, "", "", 0)}

    def here(*volumes: str, uuid: str = "VG000001", pv_uuid: str = "PV000001") -> FakeShell:
        names = [{"lv_name": volume} for volume in volumes]
        pvs = [{"pv_name": "/dev/vdb", "pv_uuid": pv_uuid, "pv_in_use": "used"}]
        report = {"vg": [{"vg_name": "sys", "vg_uuid": uuid}], "pv": pvs, "lv": names}
        more = {f"lvm fullreport --foreign --reportformat json {columns}": json.dumps({"report": [report]})}
        return both("LVM2_member", "PV000001", {**more, **stopped})

    assert len(decide(run(here("root"), tmp_path), recorded)[0].disks) == 2
    with pytest.raises(Refused, match="something that was not recorded: LVM2_member, sys/new"):
        decide(run(here("root", "new"), tmp_path), recorded)
    # A run that was killed while it made the group again may have left anything in it.
    assert len(decide(run(here("lvol0", uuid="new"), tmp_path), recorded)[0].disks) == 2
    # Where it is that of a disk which is not taken, the group cannot be made beside it.
    for shell in (here("root", uuid="other"), here("root", pv_uuid="PV000002")):
        (disk,) = [disk for disk in look(run(shell, tmp_path), recorded).disks if disk.names]
        assert disk.path == "/dev/vdb" and disk.names == frozenset({"vg:sys"})
    broken = Outcome(("lvm",), 3, "", "cannot read its metadata", 0)
    again = run(
        both("LVM2_member", "PV000001", {f"lvm fullreport --foreign --reportformat json {columns}": broken, **stopped}),
        tmp_path,
    )
    decide(again, recorded)
    assert [line for line in again.report.warnings if "lvm has more on the disks" in line]


def test_a_partition_that_nobody_recorded_is_a_question_whatever_is_in_it(tmp_path: Path) -> None:
    """A database without a file system has no UUID; its partition has one."""
    table = PartitionTable("table:aaaaaaaa-0001", ("disk:B",), "gpt", "aaaaaaaa-0001")
    part = Partition("partition:bbbbbbbb-0001", (table.id,), 1, 1 << 20, GIB, "linux", uuid="bbbbbbbb-0001")
    items = [item for item in layout() if "backup" not in item.id and DATA not in item.id]
    data = [Ext(f"fs:{DATA}", (part.id,), DATA), Mount("mount:/data", (f"fs:{DATA}", "mount:/"), "/data", "ext4")]
    recorded = make([*items, table, part, *data], [])

    def here(*uuids: str) -> FakeShell:
        children = [
            node(f"vdb{number}", 1, type="part", fstype=fstype, uuid=uuid)
            for number, fstype, uuid in ((1, "ext4", DATA), (2, None, None))[: len(uuids)]
        ]
        rows = [{"node": f"/dev/vdb{number}", "uuid": uuid} for number, uuid in enumerate(uuids, 1)]
        found = {"label": "gpt", "id": "AAAAAAAA-0001", "device": "/dev/vdb", "partitions": rows}
        more: dict[str, Answer] = {
            "sfdisk --json /dev/vdb": json.dumps({"partitiontable": found}),
            "blkid --probe --output export /dev/vdb2": Outcome((), 2, "", "", 0),
            "cmp --silent --bytes=1048576 /dev/vdb2 /dev/zero": Outcome((), 1, "", "", 0),
        }
        disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="B", children=children)
        return machine(*disks, more=more)

    assert len(decide(run(here("BBBBBBBB-0001"), tmp_path), recorded)[0].disks) == 2
    with pytest.raises(Refused, match="something that was not recorded: 2 partitions"):
        decide(run(here("BBBBBBBB-0001", "CCCCCCCC-0001"), tmp_path), recorded)


def test_enter_takes_no_disk_that_holds_something_where_two_match_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk of the system and its copy, of which nobody knows the serial numbers."""
    clones = node("vda", fstype="ext4", uuid=ROOT), node("vdb", fstype="ext4", uuid=ROOT)
    recorded = make([item for item in layout() if item.id in ("disk:A", f"fs:{ROOT}", "mount:/")])
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    with pytest.raises(Interrupted):
        decide(run(machine(*clones), tmp_path, unattended=False), recorded)
    asked = capsys.readouterr().err
    assert "/dev/vda and /dev/vdb match as well, it holds ext4" in asked
    assert "(type /dev/vda to overwrite it) [quit]" in asked


def without_its_table(serial: str = "") -> tuple[Layout, dict[str, Answer]]:
    """A disk with the system and a file system that nobody mounted, and what reads it without its table."""
    system = [
        Disk("disk:A", (), 10 * GIB, "/dev/sda", serial=serial),
        PartitionTable("table:A", ("disk:A",), "gpt", uuid="AAAAAAAA-0000"),
        *(Partition(f"partition:{n}", ("table:A",), n, n * GIB, GIB, "linux", uuid=f"AAAAAAAA-{n}") for n in (1, 2)),
        Ext(f"fs:{ROOT}", ("partition:1",), ROOT, version=4),
        Ext(f"fs:{OLD}", ("partition:2",), OLD, version=4),
        Mount("mount:/", (f"fs:{ROOT}",), "/", "ext4"),
    ]
    differs = Outcome((), 1, "", "", 0)
    return make(system), {f"cmp --silent --bytes=1048576 --ignore-initial={GIB}:0 /dev/vda /dev/zero": differs}


@pytest.mark.parametrize("serial", ["A", ""], ids=["with a serial number", "without one"])
def test_enter_takes_no_disk_that_lost_its_table_and_holds_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], serial: str
) -> None:
    recorded, data = without_its_table(serial)
    shell = machine(node("vda", serial=serial), more=data)
    with pytest.raises(Refused, match="this run is unattended"):
        decide(run(shell, tmp_path), recorded)
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    with pytest.raises(Interrupted):
        decide(run(shell, tmp_path, unattended=False), recorded)
    assert "(type /dev/vda to overwrite it) [quit]" in capsys.readouterr().err
    assert decide(run(shell, tmp_path, GIVE_UP=(OLD,)), recorded)[0].disks == {"disk:A": "/dev/vda"}


def test_a_disk_of_lvm_that_lost_its_label_is_not_blank_while_its_volumes_are_there(tmp_path: Path) -> None:
    disk = Disk("disk:A", (), 10 * GIB, "/dev/sda", serial="A")
    recorded = make([disk, PhysicalVolume("pv:A", ("disk:A",), "PV000001")])
    differs = Outcome((), 1, "", "", 0)
    data: dict[str, Answer] = {"cmp --silent --bytes=1048576 --ignore-initial=1048576:0 /dev/vda /dev/zero": differs}
    for more, contents in (data, "data behind a lost table or signature"), (None, ""):
        here = run(machine(node("vda", serial="A"), more=more), tmp_path)
        assert [disk.contents for disk in look(here, recorded).disks] == [contents]


def test_a_disk_that_is_left_out_and_lost_its_table_is_no_blank_one(tmp_path: Path) -> None:
    recorded, data = without_its_table("A")
    recorded = make([*recorded, Disk("disk:B", (), 10 * GIB, "/dev/sdb", serial="B"), Ext("fs:x", ("disk:B",), DATA)])
    here = run(machine(node("vda", serial="A"), more=data), tmp_path, DISK_MAPPING=("A=none",))
    recorded = make([*recorded, Mount("mount:/data", ("fs:x", "mount:/"), "/data", "ext4")])
    with pytest.raises(Refused, match=r"/dev/vda .*it holds data behind a lost table or signature"):
        decide(here, recorded)


def test_an_excluded_disk_is_locked_under_whatever_name_it_has_now(tmp_path: Path) -> None:
    excluded = LeftOut("/dev/sdc", "EXCLUDE_DEVICES names it", wwn="WWN-C", serial="C")
    recorded = make(layout().items, [excluded])
    disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="C", fstype="ext4", uuid=OLD)
    found = look(run(machine(*disks), tmp_path), recorded)
    assert [disk.locked for disk in found.disks] == ["", "EXCLUDE_DEVICES names it"]
    # One that QEMU gives to all.
    generic = make(layout().items, [LeftOut("/dev/sdc", "EXCLUDE_DEVICES names it", serial="QM00003")])
    disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="QM00003")
    assert [disk.locked for disk in look(run(machine(*disks), tmp_path), generic).disks] == ["", ""]


def test_a_blank_disk_in_the_place_of_one_with_something_of_both_is_no_question(tmp_path: Path) -> None:
    disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="B")
    assert len(decide(run(machine(*disks), tmp_path), other(WINDOWS, mounted=True))[0].disks) == 2


@pytest.mark.parametrize(("typed", "taken"), [("\n", None), ("no\n", None), ("/dev/vdb\n", "/dev/vdb")])
def test_a_disk_that_would_be_left_alone_and_was_replaced_is_made_again_empty_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, taken: str | None
) -> None:
    disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="NEW")
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assignment, *_ = decide(run(machine(*disks), tmp_path, unattended=False), other(WINDOWS))
    assert assignment.disks.get("disk:B") == taken
    unattended, *_ = decide(run(machine(*disks), tmp_path), other(WINDOWS))
    assert "disk:B" not in unattended.disks


def test_what_is_only_mounted_may_lie_on_a_disk_that_a_recovery_leaves_alone(tmp_path: Path) -> None:
    here = run(both(), tmp_path, EXCLUDE_MOUNTPOINTS=("/data",))
    assert "disk:B" not in decide(here, other(mounted=True))[0].disks
    assert decide(here, other(mounted=True), takes=False)[0].disks["disk:B"] == "/dev/vdb"


def test_a_disk_that_is_left_out_and_chosen_for_another_is_not_called_left_alone(tmp_path: Path) -> None:
    shell = machine(node("vda", serial="A", fstype="ext4", uuid=ROOT))
    assignment, _, stakes = decide(run(shell, tmp_path, DISK_MAPPING=("A=none", "B=/dev/vda")), layout())
    line, _ = destinies(assignment, stakes)
    assert line.startswith("OVERWRITTEN: disk A") and "/dev/vda was chosen for disk B" in line


def test_there_is_a_line_for_each_disk_and_what_becomes_of_it(tmp_path: Path) -> None:
    here = run(both(), tmp_path)
    stakes = at_stake(here, other(WINDOWS))
    assignment, *_ = decide(here, other(WINDOWS))
    assert list(destinies(assignment, stakes)) == [
        "taken: disk A (was /dev/sda) -> /dev/vda (same serial number, it holds what is recorded for this disk,"
        " same size): saved: /",
        "left alone: disk B (was /dev/sdb) -> nothing (nothing on it is restored: ntfs on /dev/sdb"
        " (the ntfs on it is not described))",
    ]


SUPERBLOCK = "Filesystem state: clean\nInode count: 100\nFree inodes: {free}\nFirst inode: 11\n"
EMPTY, FILLED = SUPERBLOCK.format(free=89), SUPERBLOCK.format(free=88)
LOST_AND_FOUND = "Inode: 11   Type: directory    Mode:  0700   Flags: 0x80000\n"


@pytest.mark.parametrize(
    ("superblock", "first", "taken"),
    [
        (EMPTY, LOST_AND_FOUND, True),
        (FILLED, LOST_AND_FOUND, False),
        (EMPTY, LOST_AND_FOUND.replace("directory", "regular"), False),
        (EMPTY, "", False),
    ],
    ids=["still empty", "filled", "a file, and no lost+found", "unreadable"],
)
def test_a_disk_whose_only_file_system_was_empty_is_left_alone_when_it_is_not_any_more(
    tmp_path: Path, superblock: str, first: str, taken: bool
) -> None:
    shell = both(uuid=OLD, more={"dumpe2fs -h /dev/vdb": superblock, "debugfs -R 'stat <11>' /dev/vdb": first})
    items = [item for item in layout() if "backup" not in item.id and DATA not in item.id]
    decision = decide(run(shell, tmp_path), make([*items, Ext(f"fs:{OLD}", ("disk:B",), OLD, empty=True)]))
    assert ("disk:B" in decision.assignment.disks) == taken
    assert [disk.path for disk in decision.machine.disks if disk.spared] == ([] if taken else ["/dev/vdb"])


def test_what_nobody_can_look_into_is_said(tmp_path: Path) -> None:
    """Nobody asks for the passphrase of a volume that is going to be made again."""
    disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="B", fstype="crypto_LUKS", uuid=DATA)
    volume = Luks(f"luks:{DATA}", ("disk:B",), 2, DATA, "aes", 512, "sha256", name="safe", device="/dev/mapper/safe")
    inside = Ext(f"fs:{OLD}", (volume.id,), OLD, empty=True)
    items = [item for item in layout() if "backup" not in item.id and DATA not in item.id]
    here = run(machine(*disks), tmp_path)
    decide(here, make([*items, volume, inside]))
    assert here.report.warnings == [
        f"rear cannot look into {volume}: what came into it since it was described would be lost"
    ]


def test_a_file_system_that_was_empty_and_is_not_any_more_is_a_question_beside_what_comes_back(tmp_path: Path) -> None:
    parts = [node(f"vdb{n}", 5, type="part", fstype="ext4", uuid=uuid) for n, uuid in ((1, DATA), (2, OLD))]
    disks = node("vda", serial="A", fstype="ext4", uuid=ROOT), node("vdb", serial="B", children=parts)
    recorded = make([*other(mounted=True), Ext(f"fs:{OLD}", ("disk:B",), OLD, empty=True)])

    def decided(superblock: str, **settings: Any) -> Decision:
        more = {"dumpe2fs -h /dev/vdb2": superblock, "debugfs -R 'stat <11>' /dev/vdb2": LOST_AND_FOUND}
        shell = machine(*disks, more=more)
        return decide(run(shell, tmp_path, **settings), recorded)

    assert len(decided(EMPTY).assignment.disks) == 2
    assert len(decided(FILLED, GIVE_UP=(OLD,)).assignment.disks) == 2
    with pytest.raises(Refused, match="but no longer is"):
        decided(FILLED)
    kept = decided(FILLED, KEEP_IN_PLACE=True)
    assert [match.recorded.id for match in kept.assignment.matches if match.keeps] == ["disk:B"]
    assert f"fs:{OLD}" in staying(recorded, [kept.stakes["disk:B"]])


def test_what_cannot_be_made_beside_another_of_its_name_is_refused_and_all_else_is_told() -> None:
    device = Device("/dev/vda", "vda", "", "disk", 10 * GIB)
    old = Disk("disk:A", (), 10 * GIB, "/dev/sda")
    assignment = Assignment((Match(old, device.path, sure=True),), {})

    def planned(*items: Item, **found: frozenset[str]) -> Plan:
        disks = (PresentDisk(device.path, device.size), PresentDisk("/dev/vdb", GIB, **cast(Any, found)))
        return plan(make([old, *items]), assignment, Machine({device.path: device}, (), frozenset(), disks), CORE_KINDS)

    volume = PhysicalVolume("pv:PV000001", (old.id,), "PV000001", 9 * GIB)
    group = VolumeGroup("vg:sys", (volume.id,), "sys", "VG1", 4 << 20)
    for found in ({"marks": frozenset({"pv000001"})}, {"names": frozenset({"vg:sys"})}):
        with pytest.raises(Refused, match="/dev/vdb, which the recovery leaves alone, also has ") as refused:
            planned(volume, group, **found)
        assert "DISK_MAPPING" in refused.value.hint
    made = planned(Ext(f"fs:{ROOT}", (old.id,), ROOT, version=4), marks=frozenset({mark(ROOT)}))
    assert [note for note in made.notes if "/dev/vdb, which the recovery leaves alone" in note]
