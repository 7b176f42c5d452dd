# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage made again: described on one loop device, planned and built on another, described again, the same."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lab.loops import run
from rear_core.errors import RearError
from rear_core.shell import Shell
from rear_core.storage.capture import capture
from rear_core.storage.compare import compare
from rear_core.storage.disk import Disk, Partition
from rear_core.storage.execute import Journal, execute
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import Layout, load, make
from rear_core.storage.mapping import assign
from rear_core.storage.mount import Mount
from rear_core.storage.outcome import outcome, renamed
from rear_core.storage.plan import Plan, plan, without
from rear_core.storage.present import look
from rear_core.storage.resize import minimum
from rear_core.storage.technologies import CORE_KINDS

pytestmark = pytest.mark.root

MIB = 1 << 20


def described(*devices: str) -> Layout:
    """Just these devices and what lies on them, also when that is mounted in a file system of this machine."""
    layout = capture(Shell(), include=devices)
    layout = make(replace(i, needs=i.needs[:1]) if isinstance(i, Mount) else i for i in layout)
    others = {item.id for item in layout if isinstance(item, Disk) and item.device not in devices}
    return without(layout, others)


def planned(layout: Layout, *devices: str, used: dict[str, int] | None = None, target: str = "/mnt/local") -> Plan:
    """The plan that makes a layout again on these devices, in the order of their disks."""
    machine = look(Shell(), pytest.fail, target, include=devices)
    answers = dict(zip([item.device for item in layout if isinstance(item, Disk)], devices))
    assignment = assign(layout, machine.disks, minimum(layout, used or {}), answers)
    assert not assignment.problems
    return plan(layout, assignment, machine, CORE_KINDS, used=used or {}, target=target)


def now(made: Plan) -> Layout:
    """What is on the disks of a plan, with the recorded ids."""
    found = described(*made.mapping.values())
    ids = {path: id for id, path in made.mapping.items()}
    return renamed(found, {item.id: ids[item.device] for item in found if isinstance(item, Disk)})


def rebuilt(made: Plan) -> Layout:
    """The plan carried out; its mounts last only while the result is described."""
    mounts = [command.argv[-1] for command in made.mount if command.argv[0] == "mount"]
    execute(Shell(), [*made.teardown, *made.build])
    try:
        execute(Shell(), made.mount)
        return now(made)
    finally:
        for place in reversed(mounts):
            with suppress(AssertionError):
                run("umount", place)


def test_ext4_comes_back_the_same(loop: Callable[..., str]) -> None:
    old, new = loop("old", 256), loop("new", 256)
    run("mkfs.ext4", "-q", "-L", "data", "-m", "3", "-I", "512", "-i", "8192", "-J", "size=16",
        "-O", "^metadata_csum,^64bit", "-E", "stride=16,stripe_width=32", old)  # fmt: skip
    run("tune2fs", "-c", "20", "-i", "30d", "-e", "remount-ro", "-o", "^acl,journal_data_writeback", old)
    made = planned(described(old), new)
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])
    assert run("tune2fs", "-l", new).count("5 % ") == 0
    run("e2fsck", "-fn", new)


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_default_ext_comes_back_the_same(loop: Callable[..., str], kind: str) -> None:
    old, new = loop("old", 128), loop("new", 128)
    run(f"mkfs.{kind}", "-q", old)
    made = planned(described(old), new)
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])


def test_a_file_system_that_did_not_fill_its_disk_does_not_now(loop: Callable[..., str]) -> None:
    old, new = loop("old", 128), loop("new", 128)
    run("mkfs.ext4", "-q", old, "64m")
    made = planned(described(old), new)
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])


def test_xfs_comes_back_the_same(loop: Callable[..., str]) -> None:
    old, new = loop("old", 512), loop("new", 512)
    run("mkfs.xfs", "-q", "-L", "srv", "-i", "size=1024", "-m", "reflink=0,finobt=1", "-n", "size=8192", old)
    made = planned(described(old), new)
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])


def test_old_xfs_comes_back_the_same(loop: Callable[..., str]) -> None:
    old, new = loop("old", 512), loop("new", 512)
    run("mkfs.xfs", "-q", "-m", "crc=0", "-n", "ftype=0", old)
    made = planned(described(old), new)
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])


def test_btrfs_comes_back_with_its_subvolumes(loop: Callable[..., str], tmp_path: Path, undo: ExitStack) -> None:
    old, new = loop("old", 256), loop("new", 256)
    run("mkfs.btrfs", "-q", "-L", "tree", "-m", "dup", "--nodesize", "32768", old)
    top = tmp_path / "top"
    top.mkdir()
    run("mount", old, top)
    with ExitStack() as mounted:
        mounted.callback(run, "umount", top)
        for name in ("@", "@home", "@home/nested"):
            run("btrfs", "subvolume", "create", top / name)
        (top / "deep").mkdir()
        run("btrfs", "subvolume", "create", top / "deep/er")
        run("btrfs", "property", "set", "-ts", top / "@home/nested", "ro", "true")
        run("btrfs", "subvolume", "set-default", top / "@")
        layout = described(old)
    # Two file systems of one UUID must never be there at once.
    run("wipefs", "-q", "-a", old)
    # The recorded place is that of a running machine, seen from its target.
    made = planned(layout, new, target=str(tmp_path / "target"))
    result = rebuilt(made)
    assert outcome(made.site.layout, result) == ({}, [])
    assert not result[f"subvolume:{_uuid(layout)}/@home/nested"].read_only  # type: ignore[attr-defined]
    execute(Shell(), made.restored)
    run("mount", new, top)
    undo.callback(run, "umount", top)
    after = described(new)
    assert after[f"subvolume:{_uuid(layout)}/@home/nested"].read_only  # type: ignore[attr-defined]


def _uuid(layout: Layout) -> str:
    return next(item.id for item in layout if item.type == "btrfs")[3:]


def test_swap_and_fat_come_back_the_same(loop: Callable[..., str]) -> None:
    old, new = (loop("swap", 32), loop("fat", 64)), (loop("swap2", 32), loop("fat2", 64))
    run("mkswap", "--label", "sw", old[0])
    run("mkfs.vfat", "-F", "32", "-n", "ESP", "-i", "ABCD1234", "-s", "1", old[1])
    made = planned(described(*old), *new)
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])


GPT = """label: gpt
label-id: 1B0F5E6A-8F5E-4B51-9C0A-1A2B3C4D5E6F
first-lba: 64
start=2048, size=32MiB, type=U, name="EFI System", uuid=2B0F5E6A-8F5E-4B51-9C0A-1A2B3C4D5E6F
size=16MiB, name="say \\x22no\\x22 to \\x24HOME", attrs="RequiredPartition GUID:60,63"
"""
MBR = """label: dos
label-id: 0x8f2d0b5c
1 : start=1MiB, size=20MiB, bootable
2 : start=21MiB, size=80MiB, type=5
3 : start=101MiB, size=10MiB, type=82
5 : start=22MiB, size=10MiB
6 : start=33MiB, size=10MiB, type=8e
"""
OLD_MBR = """label: dos
label-id: 0x12345678
grain: 512
1 : start=63, size=20480, bootable
2 : start=20543, size=40960, type=f
5 : start=20606, size=10000, type=83
6 : start=30700, size=10000, type=83
"""


@pytest.mark.parametrize("table", [GPT, MBR, OLD_MBR], ids=["gpt", "mbr", "mbr of cylinders"])
def test_a_partition_table_comes_back_the_same(loop: Callable[..., str], table: str) -> None:
    old, new = loop("old", 128), loop("new", 128)
    run("sfdisk", "--quiet", old, input=table)
    layout = described(old)
    made = planned(layout, new)
    execute(Shell(), [*made.teardown, *made.build])
    assert outcome(made.site.layout, now(made)) == ({}, [])
    assert _partuuids(layout) == _partuuids(now(made))


OLD_GPT = """label: gpt
first-lba: 34
1 : start=34, size=2014, type=21686148-6449-6E6F-744E-656564454649
2 : start=2048, size=32MiB, type=U
3 : start=67584, size=98301
"""


@pytest.mark.parametrize(("table", "before", "after"), [(OLD_GPT, 512, 4096), (GPT, 4096, 512), (MBR, 512, 4096)])
def test_partitions_come_back_on_a_disk_with_other_sectors(
    loop: Callable[..., str], table: str, before: int, after: int
) -> None:
    old = loop("old", 128, "--sector-size", str(before))
    new = loop("new", 128, "--sector-size", str(after))
    run("sfdisk", "--quiet", old, input=table.replace("start=2048", f"start={MIB // before}"))
    layout = described(old)
    made = planned(layout, new)
    execute(Shell(), [*made.teardown, *made.build])
    assert _partuuids(layout) == _partuuids(now(made))
    moved = sorted(item.number for item in layout if isinstance(item, Partition) and now(made)[item.id] != item)
    assert moved == ([1, 3] if table == OLD_GPT else [])


def test_file_systems_come_back_on_a_disk_with_larger_sectors(loop: Callable[..., str]) -> None:
    old = loop("small", 64), loop("fat", 300)
    new = loop("new small", 64, "--sector-size", "4096"), loop("new fat", 300, "--sector-size", "4096")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", "size=1", old[0])
    run("mkfs.vfat", "-F", "32", "-i", "ABCD1234", old[1])
    found = {item.type: item for item in rebuilt(planned(described(*old), *new))}
    assert getattr(found["ext"], "block_size", 0) == 4096
    assert (getattr(found["vfat"], "bits", 0), getattr(found["vfat"], "sector_size", 0)) == (32, 4096)


def _partuuids(layout: Layout) -> list[str]:
    return [item.uuid for item in layout if isinstance(item, Partition)]


def test_a_reused_disk_is_made_blank_first(loop: Callable[..., str]) -> None:
    old, new = loop("old", 128), loop("new", 128)
    run("mkswap", old)
    run("mkfs.ext4", "-q", "-L", "precious", new)
    run("sfdisk", "--quiet", "--force", new, input=MBR)
    made = planned(described(old), new)
    assert [command.argv[0] for command in made.teardown] == ["wipefs", "dd"]
    assert made.teardown[0].destroys
    assert outcome(made.site.layout, rebuilt(made)) == ({}, [])
    assert run("wipefs", "--noheadings", "--output", "TYPE", new) == "swap"


def test_a_mounted_disk_is_locked(loop: Callable[..., str], tmp_path: Path, undo: ExitStack) -> None:
    old, new = loop("old", 64), loop("new", 64)
    run("mkswap", old)
    run("mkfs.ext4", "-q", new)
    run("mount", new, tmp_path)
    undo.callback(run, "umount", tmp_path)
    machine = look(Shell(), pytest.fail, "/mnt/local", include=[new])
    layout = described(old)
    assignment = assign(layout, machine.disks, minimum(layout, {}), {old: new})
    assert [problem for problem in assignment.problems if f"mounted on {tmp_path}" in problem]


def test_a_partition_on_a_smaller_disk_shrinks_to_what_its_files_need(
    loop: Callable[..., str], tmp_path: Path, undo: ExitStack
) -> None:
    """The partition stands for the one of the image behind it: this kernel scans no partitions of loop devices."""
    old, new = loop("old", 1024), loop("new", 512)
    run("sfdisk", "--quiet", old, input="label: gpt\nstart=1MiB, size=100MiB, type=U\nstart=101MiB\n")
    inner = loop("old", 0, "--offset", str(101 * MIB), "--sizelimit", str(900 * MIB))
    run("mkfs.ext4", "-q", inner)
    table, file_system = described(old), described(inner)
    layout = _joined(table, file_system, 2)
    assert minimum(layout, {})[f"disk:{old}"] > 1000 * MIB
    made = planned(layout, new, used={"/": 50 * MIB})
    assert made.notes and "shrinks" in made.notes[0]
    execute(Shell(), [made.build[0]])
    last = max((p for p in now(made) if isinstance(p, Partition)), key=lambda p: p.start)
    assert 300 * MIB < last.size < 411 * MIB and last.start == 101 * MIB
    assert [p.size for p in now(made) if isinstance(p, Partition) and p.number == 1] == [100 * MIB]


def _joined(table: Layout, file_system: Layout, number: int) -> Layout:
    """The file system as if it lay on a partition of the table, mounted on /."""
    partition = next(p for p in table if isinstance(p, Partition) and p.number == number)
    (found,) = [item for item in file_system if item.type == "ext"]
    root = Mount("mount:/", (found.id,), "/", "ext4")
    return make([*table, replace(found, needs=(partition.id,)), root])


def test_a_failed_command_is_named_and_the_journal_knows(loop: Callable[..., str], tmp_path: Path) -> None:
    old, new = loop("old", 64), loop("new", 64)
    run("mkswap", old)
    made = planned(described(old), new)
    journal = Journal(tmp_path / "journal")
    journal.note(plan=made.id, state="begun")
    broken = replace(made.build[0], argv=("mkswap", "--no-such-option", new))
    with pytest.raises(RearError, match="mkswap failed"):
        execute(Shell(), [broken], journal=journal)
    assert journal.built() == ""
    execute(Shell(), made.build, journal=journal)
    journal.note(plan=made.id, state="built")
    assert journal.built() == made.id
    with (tmp_path / "journal").open("a") as file:
        file.write('\n{"pla')
    assert Journal(tmp_path / "journal").built() == made.id
    journal.note(plan="another", state="begun")
    assert journal.built() == ""


def test_the_command_shows_the_plan_of_a_healthy_machine(loop: Callable[..., str], tmp_path: Path) -> None:
    """Everything is looked at, nothing is changed."""
    device = loop("one", 64)
    run("mkfs.ext4", "-q", "-L", "data", device)
    before = hashlib.sha256((tmp_path / "one").read_bytes()).hexdigest()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/local.conf").write_text(
        f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\nINCLUDE_DEVICES=( {device} )\n"
    )
    rear = (sys.executable, "-c", "from rear_core.cli import main; main()", "-c", tmp_path / "etc")
    run(*rear, "savelayout")
    # In a chroot the disk of the root file system need not be there, and then nothing that is mounted is described.
    layout = tmp_path / "etc/recovery/layout.json"
    mounts = [item for item in load(layout, item_types(CORE_KINDS)) if isinstance(item, Mount)]
    usage = json.loads((tmp_path / "etc/recovery/usage.json").read_text())
    assert set(usage) == {item.target for item in mounts if item.mounted} and all(usage.values())
    shown = run(*rear, "layout", "show")
    assert f"disk {device}, 64 MiB\n  file system" in shown
    script = run(*rear, "layout", "plan", "--script")
    assert f"\nmke2fs -q -F -t ext4 -U {run('blkid', '-p', '-o', 'value', '-s', 'UUID', device)} -L data" in script
    assert "# DESTROYS ext4 data on" in script and "# DESTROYS everything on" in script
    plain = run(*rear, "layout", "plan")
    assert "Create 1: " in plain and re.fullmatch("Plan [0-9a-f]{16}", plain.splitlines()[-1])
    drawn = run(*rear, "layout", "plan", "--html")
    assert drawn.startswith("<!DOCTYPE html>") and drawn.rstrip().endswith("</html>")
    assert "all of it is erased" in drawn and plain.split()[-1] in drawn
    assert run(*rear, "layout", "diff") == ""
    assert hashlib.sha256((tmp_path / "one").read_bytes()).hexdigest() == before
    run("e2label", device, "other")
    differs = subprocess.run([str(word) for word in (*rear, "layout", "diff")], capture_output=True, text=True)
    assert differs.returncode == 1 and "label changed from data to other" in differs.stdout
    run("e2label", device, "x\nid>PWN #")
    script = run(*rear, "layout", "plan", "--script")
    assert "# DESTROYS ext4 x\\nid>PWN # on" in script and "\nid>PWN" not in script
    layout.write_text(layout.read_text().replace(f'"needs": ["disk:{device}"]', '"needs": ["disk:lost"]'))
    broken = subprocess.run([str(word) for word in (*rear, "layout", "plan")], capture_output=True, text=True)
    assert broken.returncode == 2 and "which is missing" in broken.stderr


def test_nothing_is_recovered_on_a_running_machine(tmp_path: Path) -> None:
    rear = (sys.executable, "-c", "from rear_core.cli import main; main()", "-c", str(tmp_path))
    (tmp_path / "local.conf").write_text(f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\n")
    for command in ("recover", "mountonly"):
        ended = subprocess.run([*rear, command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert ended.returncode == 3 and "not the rescue system" in ended.stderr


def test_an_unchanged_disk_does_not_differ(loop: Callable[..., str]) -> None:
    device = loop("one", 64)
    run("mkfs.ext4", "-q", device)
    layout = described(device)
    assert compare(layout, described(device)) == []
