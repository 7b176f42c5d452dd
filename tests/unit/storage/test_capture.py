# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture with tools that are missing or fail, and disks that settings name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core.errors import ProgramFailed, ProgramMissing
from rear_core.shell import Outcome
from rear_core.storage.capture import capture
from rear_core.storage.inventory import COLUMNS
from rear_core.storage.layout import Layout
from rear_core.testing.fake_shell import Answer, FakeShell, _read

MACHINES = Path(__file__).parents[2] / "machines"
LSBLK = f"lsblk --json --bytes --output {COLUMNS}"
MISSING = Outcome((), 127, "", "", 0)


def answers(machine: str) -> dict[str, Answer]:
    """The recording of a machine, to be changed."""
    return dict(_read(path) for path in (MACHINES / machine / "commands").glob("*.txt"))


@pytest.mark.parametrize("program", ["lsblk", "findmnt", "sfdisk", "lvm", "swapon"])
def test_a_program_without_which_nothing_is_known_is_an_error_that_names_it(program: str) -> None:
    recording = answers("debian-lvm-thin")
    broken = {command: MISSING if command.startswith(program) else answer for command, answer in recording.items()}
    with pytest.raises(ProgramMissing, match=program) as caught:
        capture(FakeShell(broken))
    assert program in caught.value.hint


@pytest.mark.parametrize("program", ["mdadm", "cryptsetup"])
def test_a_broken_tool_never_looks_like_an_absent_technology(program: str) -> None:
    recording = answers("debian-raid-luks")
    failed = Outcome((), 1, "", "cannot open the device", 0)
    broken = {command: failed if command.startswith(program) else answer for command, answer in recording.items()}
    with pytest.raises(ProgramFailed, match="cannot open the device"):
        capture(FakeShell(broken))


@pytest.mark.parametrize(("program", "lost"), [("dumpe2fs", "its options are lost"), ("xfs_info", "geometry is lost")])
def test_details_of_a_file_system_that_cannot_be_read_are_warned_of(program: str, lost: str) -> None:
    recording = answers("debian-lvm-thin")
    broken = {command: MISSING if command.startswith(program) else answer for command, answer in recording.items()}
    warnings: list[str] = []
    layout = capture(FakeShell(broken), warn=warnings.append)
    assert warnings and all(lost in line and "not found" in line for line in warnings)
    whole = capture(FakeShell(recording))
    assert [item.id for item in layout] == [item.id for item in whole]


def test_an_excluded_disk_takes_what_lies_on_it_along(described: Callable[..., Layout]) -> None:
    layout = described("debian-raid-luks", exclude=["/dev/vdd"])
    reasons = {entry.name: entry.reason for entry in layout.left_out}
    assert reasons["/dev/vdd"] == "EXCLUDE_DEVICES names it"
    assert "disk:lab3" not in layout
    assert "mount:/srv/boot" not in layout and "mount:/srv/home" not in layout
    assert "/srv/home" in reasons


def test_rescue_media_on_any_bus_are_left_out() -> None:
    recording = answers("debian-raid-luks")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    stick = {"name": "sdx", "kname": "sdx", "maj:min": "8:96", "type": "disk", "size": 1 << 33, "tran": "sata"}
    parts = [("sdx1", None, None), ("sdx2", "vfat", "REAR-EFI"), ("sdx3", "ext4", "REAR-000")]
    stick["children"] = [
        {"name": name, "kname": name, "maj:min": f"8:9{number}", "type": "part", "size": 1 << 30,
         "fstype": fstype, "label": label}
        for number, (name, fstype, label) in enumerate(parts, 7)
    ]  # fmt: skip
    tree["blockdevices"].append(stick)
    recording[LSBLK] = json.dumps(tree)
    layout = capture(FakeShell(recording))
    reasons = {entry.name: entry.reason for entry in layout.left_out}
    assert reasons["/dev/sdx"] == "it is rescue media (labelled REAR-000)"
    assert not [item for item in layout if "sdx" in str(item)]


def test_partitions_that_the_kernel_alone_sees_are_none() -> None:
    """It takes a checksum of one byte for a table of Acorn's: every 256th LUKS header has it."""
    recording = answers("debian-raid-luks")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    arrays = [
        node
        for disk in tree["blockdevices"]
        for part in disk.get("children", ())
        for node in part.get("children", ())
        if node["name"] == "md126"
    ]
    for node in arrays:
        phantom = {"name": "md126p1", "kname": "md126p1", "maj:min": "259:9", "type": "part", "size": 1 << 30}
        node["children"] = [*node.get("children", ()), {**phantom, "fstype": node["fstype"], "uuid": node["uuid"]}]
    said = "sfdisk: /dev/md126: does not contain a recognized partition table"
    changed = {**recording, LSBLK: json.dumps(tree), "sfdisk --json /dev/md126": Outcome((), 1, "", said, 0)}
    warnings: list[str] = []
    layout = capture(FakeShell(changed), warn=warnings.append)
    assert list(layout) == list(capture(FakeShell(recording)))
    assert [line for line in warnings if "/dev/md126p1: seen by the kernel alone" in line]


def test_a_disk_that_nobody_may_read_is_left_out_unless_it_is_in_use() -> None:
    """As in a container, which sees the disks of its host."""
    recording = answers("debian-raid-luks")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)
    part = {"name": "sdx1", "kname": "sdx1", "maj:min": "8:97", "type": "part", "size": 1 << 30, "fstype": "ext4"}
    disk = {"name": "sdx", "kname": "sdx", "maj:min": "8:96", "type": "disk", "size": 1 << 33, "tran": "sata"}
    tree["blockdevices"].append({**disk, "children": [part]})
    recording[LSBLK] = json.dumps(tree)
    denied = Outcome((), 1, "", "sfdisk: cannot open /dev/sdx: Operation not permitted", 0)
    recording["sfdisk --json /dev/sdx"] = denied
    recording["blkid --probe --output export /dev/sdx"] = Outcome((), 2, "", "", 0)
    warnings: list[str] = []
    layout = capture(FakeShell(recording), warn=warnings.append)
    reasons = {entry.name: entry.reason for entry in layout.left_out}
    assert "Operation not permitted" in reasons["/dev/sdx"]
    assert [line for line in warnings if "/dev/sdx is not described" in line]
    assert "disk:lab3" in layout
    for command in recording:
        if command.startswith("sfdisk"):
            recording[command] = denied
    with pytest.raises(ProgramFailed, match="Operation not permitted"):
        capture(FakeShell(recording))


def test_an_included_disk_is_described_against_the_rules() -> None:
    recording = answers("composed-degraded-array")
    probe = "dumpe2fs -h /dev/sdb"
    recording[probe] = "Filesystem UUID:          77777777-1111-4222-8333-444444444444\nBlock count: 1\n"
    layout = capture(FakeShell(recording), include=["/dev/sd[b]"])
    assert "disk:0x6001405abc000000" in layout
    assert "mount:/mnt/lun" in layout


def test_a_clone_does_not_shadow_its_original() -> None:
    recording = answers("debian-lvm-thin")
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    one, two = "6d31960b-0eed-42bc-9824-3c32cefaa56e", "8b96e8b1-3774-4ced-91b2-0540f88a587f"
    clone = {
        command: answer
        if isinstance(answer, str)
        else Outcome(answer.argv, answer.status, answer.stdout.replace(two, one), answer.stderr, 0)
        for command, answer in recording.items()
    }
    warnings: list[str] = []
    layout = capture(FakeShell(clone), warn=warnings.append)
    assert f"fs:{one}" in layout
    assert len([item for item in layout if item.id.startswith(f"fs:{one} on ")]) == 1
    assert any("clone" in line for line in warnings)


@pytest.fixture
def described() -> Callable[..., Layout]:
    """The layout of a recorded machine."""
    return lambda machine, **options: capture(FakeShell(answers(machine)), **options)


def test_a_file_system_is_found_by_any_name_that_the_kernel_shows_for_its_device() -> None:
    recording = answers("composed-laptop-luks-btrfs")
    (mounts,) = [command for command in recording if "FSROOT" in command]
    shown = recording[mounts]
    assert isinstance(shown, Outcome)
    renamed = shown.stdout.replace("/dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42", "/dev/dm-0")
    assert renamed != shown.stdout
    assert capture(FakeShell({**recording, mounts: renamed})) == capture(FakeShell(recording))


def changed(recording: dict[str, Answer], name: str, change: Callable[[dict[str, object]], object]) -> None:
    """Change the row of lsblk for a device; one for which there is nothing then is gone."""
    lsblk = recording[LSBLK]
    assert isinstance(lsblk, Outcome)
    tree = json.loads(lsblk.stdout)

    def visit(rows: list[dict[str, object]]) -> None:
        for row in [*rows]:
            children = row.get("children", [])
            assert isinstance(children, list)
            visit(children)
            if row["name"] == name and not change(row):
                rows.remove(row)

    visit(tree["blockdevices"])
    recording[LSBLK] = json.dumps(tree)


def test_what_is_in_a_volume_that_is_not_active_is_lost() -> None:
    recording = answers("debian-lvm-thin")
    changed(recording, "data-grown", lambda row: False)
    (entry,) = [entry for entry in capture(FakeShell(recording)).left_out if entry.name == "inside lv:data/grown"]
    assert entry.lost and entry.on == ("lv:data/grown",)
    assert "activate it" in entry.reason


def test_data_that_nobody_knows_are_lost_and_a_thin_pool_is_none() -> None:
    recording = answers("debian-lvm-thin")
    for volume in ("thin2", "pool"):
        recording[f"cmp --silent --bytes=1048576 /dev/mapper/data-{volume} /dev/zero"] = Outcome((), 1, "", "", 0)
    unknown = [entry.name for entry in capture(FakeShell(recording)).left_out if entry.name.startswith("data on ")]
    assert unknown == ["data on /dev/mapper/data-thin2"]


def test_the_disk_of_a_virtual_machine_in_a_volume_is_lost() -> None:
    recording = answers("debian-lvm-thin")

    def virtual(row: dict[str, object]) -> bool:
        row.update(fstype=None, uuid=None, label=None)
        return True

    changed(recording, "data-grown", virtual)
    recording["blkid --probe --output export /dev/mapper/data-grown"] = "DEVNAME=/dev/mapper/data-grown\nPTTYPE=gpt\n"
    (entry,) = [entry for entry in capture(FakeShell(recording)).left_out if "data-grown" in entry.name]
    assert entry.name == "gpt partition table on /dev/mapper/data-grown"
    assert entry.lost and entry.on == ("lv:data/grown",)
