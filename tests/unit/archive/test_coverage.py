# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is mounted is saved, made again or left out for a reason; anything else is an error."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core.archive import coverage, sizes
from rear_core.archive.coverage import EXCLUDED, RECREATED, SAVED, Selection, Wishes
from rear_core.errors import RearError
from rear_core.storage.fate import Exclusions
from rear_core.storage.filesystem import FileSystem
from rear_core.storage.inventory import NOT_DISKS
from rear_core.storage.layout import Item, Layout, LeftOut, make
from rear_core.storage.mount import OVERLAY, Mount
from rear_core.storage.mount import capture as mount_capture
from rear_core.storage.survey import Mounted, Survey
from rear_core.storage.technologies.btrfs import Subvolume
from rear_core.storage.technologies.lvm import VolumeGroup
from rear_core.storage.technologies.swap import Swap, SwapFile
from rear_core.testing.fake_shell import FakeShell

ROOT = Mount("mount:/", ("fs:root",), "/", "ext4")
HOME = Mount("mount:/home", ("fs:home", "mount:/"), "/home", "xfs")
ITEMS: tuple[Item, ...] = (FileSystem("fs:root", ()), FileSystem("fs:home", ("vg:data",)),
                           VolumeGroup("vg:data", (), "data", "u", 4 << 20), ROOT, HOME)  # fmt: skip
MOUNTS = (
    Mounted("/", "/dev/sda1", "ext4", "rw", "/", "8:1"),
    Mounted("/proc", "proc", "proc", "rw", "/", "0:20"),
    Mounted("/home", "/dev/mapper/data-home", "xfs", "rw", "/", "253:0"),
)
TARGET = Path("/srv/backup")


def select(
    items: Sequence[Item] = ITEMS,
    mounts: Sequence[Mounted] = MOUNTS,
    wishes: Wishes = Wishes(TARGET),  # noqa: B008
    left_out: Sequence[LeftOut] = (),
) -> Selection:
    return coverage.select(Layout(tuple(items), tuple(left_out)), mounts, wishes, lambda _: 1000, lambda _: 10)


def verdicts(selection: Selection) -> dict[str, tuple[str, str]]:
    return {entry.name: (entry.verdict, entry.reason) for entry in selection.covered}


def test_what_the_layout_describes_is_saved() -> None:
    selection = select()
    assert selection.starts == (".", "./home")
    assert verdicts(selection) == {
        "/": (SAVED, ""), "/home": (SAVED, ""), "/proc": (EXCLUDED, "in memory or created by the kernel"),
    }  # fmt: skip
    # Two file systems, less what lies in the folder of the backups.
    assert selection.bytes == 1990


def test_a_mount_that_nobody_explains_is_an_error_that_names_all() -> None:
    mounts = (*MOUNTS, Mounted("/a", "tank/a", "zfs", "", "/", "0:50"), Mounted("/b", "tank/b", "zfs", "", "/", "0:51"))
    with pytest.raises(RearError, match=r"/a \(tank/a\).*; /b \(tank/b\)") as caught:
        select(mounts=mounts, left_out=[LeftOut("/a", "tank/a is not described")])
    assert "EXCLUDE_MOUNTPOINTS" in caught.value.hint
    wishes = Wishes(TARGET, include=["/a"], exclusions=Exclusions(mounts=["/b"]))
    selection = select(mounts=mounts, wishes=wishes)
    assert selection.starts == (".", "./a", "./home")
    assert verdicts(selection)["/b"] == (EXCLUDED, "EXCLUDE_MOUNTPOINTS names it")


def test_a_machine_whose_root_is_not_described_is_an_error() -> None:
    with pytest.raises(RearError, match="root file system"):
        select(items=(FileSystem("fs:home", ()), Mount("mount:/home", ("fs:home",), "/home", "xfs")),
               left_out=[LeftOut("/", "an overlay: the file systems below it are described")])  # fmt: skip


def test_a_device_that_is_not_described_is_explained_by_its_disk() -> None:
    stick = Mounted("/media/stick", "/dev/sdb1", "vfat", "", "/", "8:17")
    left_out = [LeftOut("/media/stick", "/dev/sdb1 is not described"), LeftOut("/dev/sdb", "a removable disk")]
    selection = select(mounts=(*MOUNTS, stick), left_out=left_out)
    assert verdicts(selection)["/media/stick"] == (EXCLUDED, "a removable disk")


def test_a_reason_is_that_of_the_device_itself_and_not_of_one_whose_name_begins_alike() -> None:
    array = Mounted("/data", "/dev/md126", "ext4", "", "/", "9:126")
    left_out = [LeftOut("/data", "/dev/md126 is not described"), LeftOut("/dev/md12", "a container of firmware RAID")]
    with pytest.raises(RearError, match="/data"):
        select(mounts=(*MOUNTS, array), left_out=left_out)
    part = Mounted("/data", "/dev/md12p6", "ext4", "", "/", "259:6")
    left_out = [LeftOut("/data", "/dev/md12p6 is not described"), LeftOut("/dev/md12", "a container of firmware RAID")]
    selection = select(mounts=(*MOUNTS, part), left_out=left_out)
    assert verdicts(selection)["/data"] == (EXCLUDED, "a container of firmware RAID")


@pytest.mark.parametrize(
    ("file", "excluded", "saved"),
    [
        ("/home/disk.img", (), True),
        ("/home/disk.img", ("/home/*",), False),
        ("/home/disk.img", ("/home",), False),
        ("/proc/disk.img", (), False),
        ("/data/disk.img", (), False),
        ("/home/disk.img (deleted)", (), False),
    ],
)
def test_the_file_behind_a_loop_device_is_only_said_to_be_saved_where_it_is(
    monkeypatch: pytest.MonkeyPatch, file: str, excluded: Sequence[str], saved: bool
) -> None:
    monkeypatch.setattr(coverage, "backing_file", {"7:0": file}.__getitem__)
    mounts = (
        *MOUNTS, Mounted("/data", "/dev/sdb", "ext4", "", "/", "8:16"),
        Mounted("/loop", "/dev/loop0", "ext4", "", "/", "7:0"),
    )  # fmt: skip
    wishes = Wishes(TARGET, exclude=excluded, exclusions=Exclusions(mounts=["/data"]))
    left_out = [LeftOut("/loop", "/dev/loop0 is not described"), LeftOut("/dev/loop0", NOT_DISKS["loop"])]
    verdict, reason = verdicts(select(mounts=mounts, wishes=wishes, left_out=left_out))["/loop"]
    assert verdict == EXCLUDED
    assert (reason == NOT_DISKS["loop"]) == saved and (coverage.BEHIND_IS_LOST in reason) != saved
    written_to = (*mounts[:-1], replace(mounts[-1], options="rw,relatime"))
    _, reason = verdicts(select(mounts=written_to, wishes=wishes, left_out=left_out))["/loop"]
    assert (coverage.MAY_BE_TORN in reason) == saved


@pytest.mark.parametrize(
    ("fstype", "source", "explained"),
    [
        ("nfsd", "nfsd", True), ("xenfs", "xenfs", True), ("s390_hypfs", "s390_hypfs", True), ("vboxsf", "work", True),
        ("gfs2", "/dev/mapper/cluster-data", False), ("ocfs2", "/dev/sdc1", False), ("fuseblk", "/dev/sdc1", False),
        ("nfs4", "server:/export", True), ("zfs", "tank/data", False),
    ],
)  # fmt: skip
def test_what_the_kernel_or_a_server_makes_is_explained_and_what_lies_on_a_disk_is_not(
    fstype: str, source: str, explained: bool
) -> None:
    mount = Mounted("/data", source, fstype, "rw", "/", "0:77")
    survey = Survey(FakeShell({}), {}, [*MOUNTS, mount], [], pytest.fail)
    assert not [*mount_capture(survey)]
    if explained:
        assert verdicts(select(mounts=(*MOUNTS, mount), left_out=survey.left_out))["/data"][0] == EXCLUDED
        return
    with pytest.raises(RearError, match="/data"):
        select(mounts=(*MOUNTS, mount), left_out=survey.left_out)


PART = Mounted("/srv", "/dev/sdb1", "ext4", "rw", "/sub", "8:17")
WHOLE = Mounted("/data", "/dev/sdb1", "ext4", "rw", "/", "8:17")
DEEPER = Mounted("/opt", "/dev/sdb1", "ext4", "rw", "/sub/opt", "8:17")
TWICE = Mounted("/copy", "/dev/sdb1", "ext4", "rw", "/", "8:17")
BY_BIND = [LeftOut(m.target, f"a bind mount of {m.root} on /dev/sdb1") for m in (PART, DEEPER)]
SAME_AS = LeftOut("/copy", "the same is mounted on /data")
DATA = (FileSystem("fs:data", ()), Mount("mount:/data", ("fs:data", "mount:/"), "/data", "ext4"))


def test_a_bind_mount_of_what_is_mounted_nowhere_else_is_no_reason() -> None:
    with pytest.raises(
        RearError, match=r"/opt .*no other part of it is mounted.*/srv .*no other part of it is mounted"
    ):
        select(mounts=(*MOUNTS, PART, DEEPER), left_out=BY_BIND)
    found = verdicts(select(items=(*ITEMS, *DATA), mounts=(*MOUNTS, PART, DEEPER, WHOLE), left_out=BY_BIND))
    assert found["/srv"] == (EXCLUDED, BY_BIND[0].reason) and found["/data"] == (SAVED, "")


@pytest.mark.parametrize(
    "wishes", [Wishes(TARGET, exclude=["/data/*"]), Wishes(TARGET, exclusions=Exclusions(mounts=["/data"]))]
)
def test_what_is_seen_twice_is_only_said_to_be_saved_where_it_is(wishes: Wishes) -> None:
    mounts, left_out = (*MOUNTS, WHOLE, TWICE, PART), [*BY_BIND, SAME_AS]
    found = verdicts(select(items=(*ITEMS, *DATA), mounts=mounts, left_out=left_out, wishes=wishes))
    assert found["/copy"] == (EXCLUDED, f"{SAME_AS.reason}, which is not saved either")
    assert found["/srv"] == (EXCLUDED, f"{BY_BIND[0].reason}, which is not saved either")
    found = verdicts(select(items=(*ITEMS, *DATA), mounts=mounts, left_out=left_out))
    assert found["/copy"] == (EXCLUDED, SAME_AS.reason)


@pytest.mark.parametrize(("upper", "saved"), [("/home/upper", True), ("/proc/upper", False)])
def test_what_an_overlay_is_made_of_is_only_said_to_be_saved_where_it_is(upper: str, saved: bool) -> None:
    overlay = Mounted("/srv", "overlay", "overlay", f"rw,lowerdir=/a,upperdir={upper},workdir=/w", "/", "0:60")
    verdict, reason = verdicts(select(mounts=(*MOUNTS, overlay), left_out=[LeftOut("/srv", OVERLAY)]))["/srv"]
    assert verdict == EXCLUDED and (reason == OVERLAY) == saved and (upper in reason) != saved


def test_a_mount_that_another_one_hides_is_an_error_that_names_both() -> None:
    with pytest.raises(RearError, match=r"/home .*a mount on /srv hides it"):
        coverage.select(
            Layout(ITEMS), MOUNTS, Wishes(TARGET), lambda _: 1, lambda _: 1, {"/": "", "/home": "/srv"}.__getitem__
        )
    wishes = Wishes(TARGET, exclusions=Exclusions(mounts=["/home"]))
    assert coverage.select(Layout(ITEMS), MOUNTS, wishes, lambda _: 1, lambda _: 1, lambda _: "").starts == (".",)


def test_what_somebody_would_miss_is_no_reason() -> None:
    vault = Mounted("/vault", "/dev/mapper/vault", "ext4", "", "/", "253:7")
    left_out = [LeftOut("/vault", "/dev/mapper/vault is not described"),
                LeftOut("/dev/mapper/vault", "encrypted without a LUKS header on its device", lost=True)]  # fmt: skip
    with pytest.raises(RearError, match="/vault"):
        select(mounts=(*MOUNTS, vault), left_out=left_out)


def test_a_file_system_that_an_automounter_waits_for_is_not_saved_and_not_in_memory() -> None:
    item = Mount("mount:/data", ("fs:home", "mount:/"), "/data", "xfs", mounted=False)
    waiting = Mounted("/data", "systemd-1", "autofs", "rw,direct", "/", "0:40")
    selection = select(items=(*ITEMS, item), mounts=(*MOUNTS, waiting))
    assert verdicts(selection)["/data"] == (EXCLUDED, coverage.NOT_MOUNTED)
    # systemd makes one for an EFI system partition that fstab does not name.
    assert verdicts(select(mounts=(*MOUNTS, waiting)))["/data"] == (EXCLUDED, coverage.ASLEEP)


def test_network_file_systems_are_explained_and_never_asked_for_their_size() -> None:
    asked: list[str] = []

    def used(path: str) -> int:
        asked.append(path)
        return 1

    share = Mounted("/mnt/share", "nas:/x", "nfs4", "", "/", "0:60")
    layout = Layout(ITEMS, (LeftOut("/mnt/share", "a network file system (nfs4 from nas:/x)"),))
    selection = coverage.select(layout, (*MOUNTS, share), Wishes(TARGET), used, lambda _: 0)
    assert verdicts(selection)["/mnt/share"][0] == EXCLUDED
    assert sorted(asked) == ["/", "/home"]


def test_the_backup_never_goes_into_itself() -> None:
    assert "/srv/backup/*" in {part.pattern for part in select().parts}
    holder = Mount("mount:/srv/backup", ("fs:b", "mount:/"), "/srv/backup", "ext4")
    mounts = (*MOUNTS, Mounted("/srv/backup", "/dev/sdc1", "ext4", "", "/", "8:33"))
    selection = select(items=(*ITEMS, FileSystem("fs:b", ()), holder), mounts=mounts)
    assert verdicts(selection)["/srv/backup"] == (EXCLUDED, "it holds the backup")
    assert "./srv/backup" not in selection.starts


def test_a_disk_that_this_run_has_mounted_for_the_backup_is_explained() -> None:
    """The backup goes into a folder on it; a disk that somebody else has mounted there still needs a reason."""
    stick = Mounted("/tmp/rear.1/mount.5", "/dev/sdx3", "ext4", "rw", "/", "8:99")
    wishes = Wishes(Path("/tmp/rear.1/mount.5/rear"), private={Path("/tmp/rear.1"): "the work area of this run"})
    selection = select(mounts=(*MOUNTS, stick), wishes=wishes)
    assert verdicts(selection)[stick.target] == (EXCLUDED, "the work area of this run")
    assert selection.starts == (".", "./home")
    with pytest.raises(RearError, match="the layout does not describe it"):
        select(mounts=(*MOUNTS, stick), wishes=Wishes(Path("/tmp/rear.1/mount.5/rear")))


def test_only_some_volume_groups() -> None:
    selection = select(wishes=Wishes(TARGET, exclusions=Exclusions(only_groups=["system"])))
    assert verdicts(selection)["/home"] == (EXCLUDED, "ONLY_INCLUDE_VG does not name data")
    assert selection.starts == (".",)
    assert select(wishes=Wishes(TARGET, exclusions=Exclusions(only_groups=["data"]))).starts == (".", "./home")


def test_swap_is_recreated_and_its_files_are_left_out() -> None:
    items = (*ITEMS, Swap("swap:x", ()), SwapFile("swap file:/swap[1]", ("mount:/",), "/swap[1]", 500))
    selection = select(items=items)
    assert verdicts(selection)["swap:x"][0] == verdicts(selection)["/swap[1]"][0] == RECREATED
    assert coverage.Part(r"/swap\[1]", "a swap file: it is recreated", 500) in selection.parts
    assert selection.bytes == 1490


def test_what_fstab_names_and_nobody_mounted_is_told() -> None:
    old = Mount("mount:/old", ("fs:old", "mount:/"), "/old", "ext4", mounted=False)
    assert verdicts(select(items=(*ITEMS, FileSystem("fs:old", ()), old)))["/old"] == (EXCLUDED, coverage.NOT_MOUNTED)


@pytest.mark.parametrize(
    ("pattern", "starts"),
    [
        ("/home/*", (".", "./home")),
        ("/home/[!.]*", (".", "./home")),
        ("/home", (".",)),
        ("/ho*", (".",)),
        ("/home/cache/*", (".", "./home")),
    ],
)
def test_a_file_system_of_which_a_pattern_leaves_out_everything_is_not_saved(
    pattern: str, starts: tuple[str, ...]
) -> None:
    """Its folder is, where only what is in it is left out: it has an owner and a mode."""
    selection = select(wishes=Wishes(TARGET, exclude=[pattern]))
    assert selection.starts == starts
    emptied = (EXCLUDED, "BACKUP_PROG_EXCLUDE names all that is in it")
    assert verdicts(selection)["/home"] == ((SAVED, "") if "cache" in pattern else emptied)


def test_a_bind_mount_is_not_saved_a_second_time() -> None:
    bind = Mounted("/jail/lib", "/dev/sda1", "ext4", "rw", "/lib", "8:1")
    selection = select(mounts=(*MOUNTS, bind), left_out=[LeftOut("/jail/lib", "a bind mount of /lib on /dev/sda1")])
    assert "/jail/lib/*" in {part.pattern for part in selection.parts}
    assert {entry.name: entry.bytes for entry in selection.covered}["/jail/lib"] == 0


NAS = Mounted("/srv/nas", "nas:/x", "nfs4", "", "/", "0:60")
DISK = Mounted("/big", "/dev/sdd1", "xfs", "", "/", "8:49")


def patterns_of(selection: Selection) -> set[str]:
    return {part.pattern for part in selection.parts}


@pytest.mark.parametrize("above", [NAS, Mounted("/srv/nas", "auto.misc", "autofs", "indirect", "/", "0:61")])
def test_what_is_wished_for_below_a_served_mount_is_not_left_out_with_it(above: Mounted) -> None:
    left_out = [LeftOut("/srv/nas", "a network file system")]
    wishes = Wishes(TARGET, include=["/srv/nas/a"])
    selection = select(mounts=(*MOUNTS, above), wishes=wishes, left_out=left_out)
    assert "./srv/nas/a" in selection.starts
    assert patterns_of(selection) == {"/srv/backup/*"}
    assert "/srv/nas" in patterns_of(select(mounts=(*MOUNTS, above), left_out=left_out))


def test_a_file_system_below_the_folder_of_the_backups_is_an_error_that_names_it() -> None:
    item = Mount("mount:/srv/backup/data", ("fs:d", "mount:/"), "/srv/backup/data", "ext4")
    mounts = (*MOUNTS, Mounted("/srv/backup/data", "/dev/sdc1", "ext4", "", "/", "8:33"))
    with pytest.raises(
        RearError, match=r"/srv/backup/data cannot be saved: .* /srv/backup/\*, .*: backups are kept there"
    ):
        select(items=(*ITEMS, FileSystem("fs:d", ()), item), mounts=mounts)


def test_only_bind_mounts_that_tar_would_enter_are_left_out() -> None:
    bind = Mounted("/export", "/dev/sdd1", "xfs", "", "/projects", "8:49")
    wishes = Wishes(TARGET, include=["/big/important", "/export"], exclusions=Exclusions(mounts=["/big"]))
    selection = select(mounts=(*MOUNTS, DISK, bind), wishes=wishes)
    assert selection.starts == (".", "./big/important", "./export", "./home")
    assert patterns_of(selection) == {"/srv/backup/*"}


@pytest.mark.parametrize(("root", "patterns"), [("/projects/lib", {"/big/important/lib/*"}), ("/other", set[str]())])
def test_a_bind_mount_in_a_folder_that_is_wished_for_is_left_out_where_it_is_saved_elsewhere(
    root: str, patterns: set[str]
) -> None:
    export = Mounted("/export", "/dev/sdd1", "xfs", "", "/projects", "8:49")
    bind = Mounted("/big/important/lib", "/dev/sdd1", "xfs", "", root, "8:49")
    exclusions = Exclusions(mounts=["/big", "/big/important/lib"])
    wishes = Wishes(TARGET, include=["/big/important", "/export"], exclusions=exclusions)
    selection = select(mounts=(*MOUNTS, DISK, export, bind), wishes=wishes)
    assert patterns_of(selection) == {"/srv/backup/*", *patterns}


def test_a_subvolume_in_what_is_left_out_is_no_start() -> None:
    items = (
        FileSystem("fs:b", ()), Subvolume("subvolume:b/@", ("fs:b",), "@"),
        Subvolume("subvolume:b/@/srv/backup/old", ("subvolume:b/@",), "@/srv/backup/old"),
        Mount("mount:/", ("subvolume:b/@",), "/", "btrfs"),
    )  # fmt: skip
    assert select(items=items, mounts=[Mounted("/", "/dev/sda2", "btrfs", "", "/@", "0:30")]).starts == (".",)


def test_where_the_backups_of_this_machine_really_are_is_left_out() -> None:
    """A link may lead there from the folder of all, or a disk of its own be mounted in it."""
    assert "/home/rear/*" in patterns_of(select(wishes=Wishes(TARGET, home=Path("/home/rear"))))
    item = Mount("mount:/srv/backup/web1", ("fs:b", "mount:/"), "/srv/backup/web1", "ext4")
    mounts = (*MOUNTS, Mounted("/srv/backup/web1", "/dev/sdc1", "ext4", "", "/", "8:33"))
    wishes = Wishes(TARGET, home=Path("/srv/backup/web1"))
    selection = select(items=(*ITEMS, FileSystem("fs:b", ()), item), mounts=mounts, wishes=wishes)
    assert verdicts(selection)["/srv/backup/web1"] == (EXCLUDED, "it holds the backup")


def test_subvolumes_that_nobody_mounted_are_saved_where_they_lie() -> None:
    items = (
        FileSystem("fs:b", ()), Subvolume("subvolume:b/@", ("fs:b",), "@"),
        Subvolume("subvolume:b/@/var/lib/machines", ("subvolume:b/@",), "@/var/lib/machines"),
        Subvolume("subvolume:b/@home", ("fs:b",), "@home"),
        Mount("mount:/", ("subvolume:b/@",), "/", "btrfs"),
        Mount("mount:/home", ("subvolume:b/@home", "mount:/"), "/home", "btrfs"),
    )  # fmt: skip
    mounts = (
        Mounted("/", "/dev/sda2", "btrfs", "", "/@", "0:30"),
        Mounted("/home", "/dev/sda2", "btrfs", "", "/@home", "0:31"),
    )
    selection = select(items=items, mounts=mounts)
    assert selection.starts == (".", "./home", "./var/lib/machines")
    # One file system: its bytes count once.
    assert sum(entry.bytes for entry in selection.covered) == 1000


def test_the_later_of_two_mounts_on_one_place_counts() -> None:
    over = Mounted("/home", "tmpfs", "tmpfs", "", "/", "0:70")
    assert verdicts(select(mounts=(*MOUNTS, over)))["/home"][0] == EXCLUDED


def test_the_report_is_json_with_every_file_system() -> None:
    document = json.loads(select(wishes=Wishes(TARGET, exclude=["/tmp/*", "/tmp/*.iso", "/back\\\\slash"])).dumps())
    assert document["version"] == 1
    assert {entry["name"] for entry in document["covered"]} == {"/", "/home", "/proc"}
    by_pattern = {part["pattern"]: part["bytes"] for part in document["left_out"]}
    assert by_pattern == {"/srv/backup/*": 10, "/tmp/*": 10, "/tmp/*.iso": 10, "/back\\\\slash": None}


def test_bytes_below_a_folder_are_those_of_its_file_system(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "loop").symlink_to(tmp_path)
    assert 100_000 <= sizes.bytes_below(os.fspath(tmp_path)) < 140_000
    assert sizes.bytes_below("/no/such/folder") == 0


def test_bytes_of_a_pattern_are_those_of_all_it_matches_once(tmp_path: Path) -> None:
    for name in ("logs/a.log", "logs/deep/b.log", "logs/keep", "other/c.log", "logs/x.log/inside.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(os.urandom(100_000))
    # A star also matches a slash; the folder x.log has itself and its file.
    assert 300_000 <= sizes.bytes_below(f"{tmp_path}/logs/*.log") < 340_000
    assert 100_000 <= sizes.bytes_below(f"{tmp_path}/[!l]*") < 120_000
    assert sizes.bytes_below(f"{tmp_path}/none/*.log") == 0


def test_folders_of_a_user_may_be_deeper_than_calls_can_be(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1200):
        deep = deep / "a"
        deep.mkdir()
    try:
        (deep / "x.log").write_bytes(os.urandom(100_000))
        assert 100_000 <= sizes.bytes_below(f"{tmp_path}/*/x.log") < 120_000
    finally:
        subprocess.run(["rm", "--recursive", tmp_path / "a"], check=True)


def test_the_layout_of_these_tests_is_one() -> None:
    assert len(make(ITEMS)) == 5
