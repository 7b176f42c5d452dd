# SPDX-License-Identifier: GPL-3.0-or-later
"""Multipath disks keep their names on new LUNs, whatever the rescue system calls these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rear_core.builtin import finalize
from rear_core.builtin.multipath import update_wwids
from rear_core.finalize import multipath
from rear_core.finalize.devices import Device, as_recovered, changed_wwids, read_devices, storage_of
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Partition, PartitionTable
from rear_core.storage.layout import Item, make
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.multipath import MultipathDisk
from rear_core.testing.fake_shell import FakeShell

OLD_A, OLD_B, NEW_A, NEW_B = (f"3600140500000000{digit}" for digit in "abcd")

BINDINGS = f"""# Multipath bindings, Version : 1.0
mpatha {OLD_A}
mpathb {OLD_B}
"""
WWIDS = f"# Multipath wwids, Version : 1.0\n/{OLD_A}/\n/{OLD_B}/\n"
CONF = f"""
defaults {{
    user_friendly_names yes
}}
blacklist_exceptions {{
    wwid "{OLD_A}"
}}
multipaths {{
    multipath {{
        wwid {OLD_A}
        alias data
    }}
#   multipath {{
#       wwid {OLD_B}
#       alias more
#   }}
}}
"""


def put(target: Path, name: str, text: str) -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_names_of_wwids_are_those_of_the_configuration(tmp_path: Path) -> None:
    put(tmp_path, "etc/multipath/bindings", BINDINGS)
    assert multipath.names(tmp_path, {"mpatha", "mpathb"}) == {OLD_A: "mpatha", OLD_B: "mpathb"}
    put(tmp_path, "etc/multipath.conf", CONF)
    assert multipath.names(tmp_path, {"data", "mpathb"}) == {OLD_A: "data", OLD_B: "mpathb"}
    # Left behind by other settings.
    assert multipath.names(tmp_path, {OLD_A}) == {}


def test_new_wwids_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    changed = {OLD_A: NEW_A, OLD_B: NEW_B}
    texts = {"etc/multipath.conf": CONF, "etc/multipath/bindings": BINDINGS, "etc/multipath/wwids": WWIDS}
    for name, text in texts.items():
        put(tmp_path, name, text)
    put(tmp_path, "etc/multipath/conf.d/other.conf", f"blacklist {{\n wwid {OLD_A}0\n}}\n")
    assert multipath.rewrite_wwids(tmp_path, changed) == [f"/{name}" for name in texts]
    for name, text in texts.items():
        assert (tmp_path / name).read_text() == text.replace(OLD_A, NEW_A).replace(OLD_B, NEW_B)
    assert multipath.rewrite_wwids(tmp_path, changed) == []


def test_two_that_changed_places_are_not_mixed_up(tmp_path: Path) -> None:
    path = put(tmp_path, "etc/multipath/bindings", BINDINGS)
    multipath.rewrite_wwids(tmp_path, {OLD_A: OLD_B, OLD_B: OLD_A})
    assert path.read_text() == BINDINGS.replace(OLD_A, "x").replace(OLD_B, OLD_A).replace("x", OLD_B)


def test_a_disk_that_was_known_by_another_name_has_only_the_one_that_it_took(tmp_path: Path) -> None:
    path = put(tmp_path, "etc/multipath/bindings", f"mpathc {NEW_A}\n{BINDINGS}")
    multipath.rewrite_wwids(tmp_path, {OLD_A: NEW_A})
    assert path.read_text() == BINDINGS.replace(OLD_A, NEW_A)


def test_the_wwid_of_a_map_and_its_partitions_is_read(tmp_path: Path) -> None:
    rows = [{"name": f"/dev/mapper/{name}", "kname": f"/dev/dm-{n}"} for n, name in enumerate(("mpatha", "m-1", "vg"))]
    for number, uuid in enumerate((f"mpath-{NEW_A}\n", f"part1-mpath-{NEW_A}\n", "LVM-x\n")):
        put(tmp_path, f"class/block/dm-{number}/dm/uuid", uuid)
    sh = FakeShell(
        {
            "lsblk --json --list --paths --output NAME,KNAME": json.dumps({"blockdevices": rows}),
            "blkid --cache-file /dev/null --output export": "",
        }
    )
    assert [device.wwid for device in read_devices(sh, tmp_path / "dev", tmp_path)] == [NEW_A, NEW_A, ""]


@pytest.mark.parametrize("scheme", ["{}1", "{}p1", "{}-part1"])
def test_a_disk_and_its_partitions_are_called_as_in_the_recovered_system(scheme: str) -> None:
    disk = Device("/dev/mapper/mpathb", frozenset({"/dev/mapper/mpathb", "/dev/dm-0"}), wwid=NEW_A)
    part = scheme.format("mpathb")
    names = frozenset({f"/dev/mapper/{part}", f"/dev/disk/by-id/dm-name-{part}", "/dev/mapper/mpathbb1"})
    partition = Device(f"/dev/mapper/{part}", names, wwid=NEW_A)
    found = as_recovered([partition, disk, Device("/dev/sda")], {NEW_A: "data", OLD_B: "gone"})
    new = scheme.format("data")
    assert [device.written for device in found] == [
        {f"/dev/mapper/{new}", f"/dev/disk/by-id/dm-name-{new}", "/dev/mapper/mpathbb1"},
        {"/dev/mapper/data", "/dev/dm-0"},
        frozenset(),
    ]


def lun(letter: str, wwid: str) -> list[Item]:
    disk, table = f"disk:{letter}", f"table:{letter}"
    path = f"/dev/mapper/mpath{letter}"
    return [
        MultipathDisk(disk, (), 1 << 30, path, wwn="0x" + wwid[1:], name=f"mpath{letter}"),
        PartitionTable(table, (disk,), "gpt"),
        Partition(f"partition:{letter}", (table,), 1, 1 << 20, 1 << 20, "83", device=f"{path}-part1"),
    ]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two LUNs on new ones, which the rescue system calls the other way round."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(target=tmp_path))
    run.layout = make([*lun("a", OLD_A), *lun("b", OLD_B)])
    disks = {"disk:a": "/dev/mapper/mpathb", "disk:b": "/dev/mapper/mpatha"}
    run.rebuilt = Rebuilt(Site(run.layout, disks), disks)
    here = [
        Device(f"/dev/mapper/mpath{letter}{part}", frozenset({f"/dev/mapper/mpath{letter}{part}"}), wwid=wwid)
        for letter, wwid in (("a", NEW_B), ("b", NEW_A))
        for part in ("", "-part1")
    ]
    monkeypatch.setattr("rear_core.finalize.devices.read_devices", lambda _sh: here)
    return run


def test_names_stay_where_the_wwids_are_followed(run: Run) -> None:
    put(run.target, "etc/multipath/bindings", BINDINGS)
    fstab = put(run.target, "etc/fstab", "/dev/mapper/mpatha-part1 /a xfs\n/dev/mapper/mpathb-part1 /b xfs\n")
    before = fstab.read_text()
    update_wwids(run)
    finalize.update_device_names(run)
    assert fstab.read_text() == before
    assert run.recovery.done == ["/etc/multipath/bindings: the WWIDs of the new disks"]
    assert run.recovery.rewritten == ["/etc/multipath/bindings"]
    assert run.recovery.differences == [
        f"multipath disk {OLD_A}: WWID {NEW_A} instead", f"multipath disk {OLD_B}: WWID {NEW_B} instead",
    ]  # fmt: skip
    assert changed_wwids(run) == {}


def test_what_a_name_stood_for_is_not_guessed(run: Run) -> None:
    assert changed_wwids(run) == {}
    assert storage_of(run).now("", "/dev/mapper/mpatha-part1") == "/dev/mapper/mpathb-part1"


def test_a_link_by_the_wwid_leads_to_the_successor(run: Run) -> None:
    put(run.target, "etc/multipath/bindings", BINDINGS)
    update_wwids(run)
    link = f"/dev/disk/by-id/dm-uuid-part1-mpath-{OLD_A}"
    assert storage_of(run).now("", link) == "/dev/mapper/mpatha-part1"
