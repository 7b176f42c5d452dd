# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=RSYNC with the real rsync, in folders; servers are in test_backup_rsync_server.py."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pexpect
import pytest

import rear_backup_rsync
from lab.engine import small, terminal
from lab.rsync import NEEDS_RSYNC, Lab, facts
from rear_backup_rsync import attributes, client, listing, manifest, opening
from rear_core import ConfigurationError, RearError, Refused
from rear_core.archive.dates import FORMAT

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(120), NEEDS_RSYNC]

HOLDER = """
import time
from pathlib import Path
from rear_core.archive.generations import locked
with locked(Path("{home}")):
    print("locked", flush=True)
    time.sleep(60)
"""
# What the kernel keeps of `setcap cap_net_raw+ep`.
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


def odd_files(lab: Lab) -> Path:
    """Files with everything that a file can have."""
    odd = lab.data / "odd"
    odd.mkdir(mode=0o2750)
    for name in (b"\xff no text", b"line\nbreak", b"star*[x]", b"back\\slash", b"\\#012", b"#c", b"; d", b" e ", b"-f"):
        Path(os.fsdecode(bytes(odd) + b"/" + name)).write_bytes(name)
    (odd / "owned").write_text("x")
    os.chown(odd / "owned", 12345, 54321)
    (odd / "owned").chmod(0o4771)
    os.link(odd / "owned", odd / "hard link")
    (odd / "link").symlink_to("nowhere")
    os.lchown(odd / "link", 12345, 54321)
    os.mkfifo(odd / "fifo", 0o640)
    os.mknod(odd / "null", 0o20666, os.makedev(1, 3))
    (odd / "program").write_text("x")
    os.setxattr(odd / "program", "security.capability", CAPABILITY)
    os.setxattr(odd / "owned", "trusted.note", b"by root")
    os.setxattr(odd / "owned", "user.note", b"by anybody")
    os.setxattr(odd / "program", attributes.ACL, attributes.ENTRIES)
    with (odd / "sparse").open("wb") as file:
        file.truncate(50_000_000)
        file.write(b"begin")
    return odd


def test_what_is_saved_comes_back(lab: Lab) -> None:
    odd_files(lab)
    shutil.move(lab.data / "left out", lab.top / "away")
    run = lab.save()
    assert run.report.warnings == [] and "Saved 16 files, " in terminal(run)
    was = facts(lab.data)
    (lab.data / "one/file").write_text("second")
    (made,) = lab.generations()
    assert not made.fake_super and (lab.tree() / "odd/owned").stat().st_uid == 12345
    assert lab.home.stat().st_mode & 0o777 == (lab.home / made.name).stat().st_mode & 0o777 == 0o700
    run = lab.restore()
    assert run.recovery.missing == run.report.warnings == []
    assert "The backup is complete: 16 files" in terminal(run) and "their data was not read" in terminal(run)
    assert facts(lab.restored) == was
    assert (lab.restored / "odd/sparse").stat().st_blocks * 512 < 1_000_000


def test_find_and_rsync_list_the_same(lab: Lab) -> None:
    odd = odd_files(lab)
    (odd / "wrong -> link").symlink_to("a -> b")
    (odd / "sticky").mkdir(mode=0o1000)
    (odd / "old").touch()
    os.utime(odd / "old", (-1, -1))
    lab.save()
    (made,) = lab.generations()
    run = lab.run("restoreonly")
    with opening.opened(run) as store:
        one = listing.read(run, store, made.name, [f"{odd}"], fake=False)
    other = listing.Listing(frozenset([listing.inside(f"{odd}")]))
    argv = ["rsync", *client.LISTING, f"{lab.home}/{made.name}/tree/"]
    run.sh.pipe(argv, take=other.take, env={"TZ": "UTC0"})
    assert one.digest == other.digest == made.digest and one.kinds == other.kinds
    assert one.found == other.found == {b".", os.fsencode(odd)[1:]}


def test_what_did_not_change_is_kept_once(lab: Lab) -> None:
    lab.save()
    (lab.data / "one/file").write_text("second")
    (lab.data / "large").chmod(0o600)
    run = lab.save()
    assert "(6 B new)" in terminal(run)
    first, second = lab.generations()
    assert (first.number, second.number) == (1, 2)
    links = {path: lab.tree(second.name).joinpath(path).stat().st_nlink for path in ("one/same", "one/file", "large")}
    assert links == {"one/same": 2, "one/file": 1, "large": 1}
    assert lab.tree(first.name).joinpath("one/file").read_text() == "first"
    assert lab.tree(first.name).joinpath("large").stat().st_mode & 0o777 == 0o644


def test_a_file_that_changes_within_its_second_is_saved_again(lab: Lab) -> None:
    file = lab.data / "one/file"
    for second, word in ((1_000_000_000.1, "first"), (1_000_000_000.9, "other")):
        file.write_text(word)
        os.utime(file, (second, second))
        lab.save()
    assert (lab.tree() / "one/file").read_text() == "other"


def test_contents_are_compared_where_that_is_wanted(lab: Lab) -> None:
    lab.save()
    (first,) = lab.generations()
    rotten = lab.tree() / "one/file"
    times = (rotten.stat().st_atime_ns, rotten.stat().st_mtime_ns)
    rotten.write_text("FIRST")
    os.utime(rotten, ns=times)
    lab.save()
    assert (lab.tree() / "one/file").read_text() == "FIRST"
    lab.save("RSYNC_OPTIONS=( --checksum )\nBACKUP_KEEP=9\n")
    assert (lab.tree() / "one/file").read_text() == "first"
    assert (lab.tree(first.name) / "one/file").read_text() == "FIRST"


def test_places_that_do_not_keep_what_belongs_to_files_are_refused(lab: Lab, tmp_path: Path) -> None:
    run = lab.run()
    rear_backup_rsync.check_place(run)
    assert f"saves to file://{lab.top}/place/rsync/web1" in terminal(run) and not lab.home.exists()
    for break_it, what in (
        (lambda path: os.chown(path, 0, 0), "owners"),
        (lambda path: path.chmod(0o755), "rights"),
        (lambda path: os.utime(path, (1, 1)), attributes.TIMES),
        (lambda path: path.with_name("link").unlink(), "a file (No such file or directory)"),
        (lambda path: shutil.copy2(path, path.with_name("link")), "hard links"),
        (lambda path: os.removexattr(path, attributes.NOTE), "extended attributes"),
        (lambda path: os.removexattr(path, attributes.ACL), "ACLs"),
    ):
        folder = Path(tmp_path / f"probe-{what}")
        folder.mkdir()
        attributes.make(folder)
        assert attributes.lost(folder) == ""
        if what == "hard links":
            (folder / "link").unlink()
        break_it(folder / "file")
        assert attributes.lost(folder) == what
    assert "--modify-window=0" in attributes.advice(attributes.TIMES, "")
    (lab.top / "place").rename(lab.top / "gone")
    with pytest.raises(Refused, match=r"there is no such folder"):
        rear_backup_rsync.check_place(lab.run())
    lab.configure("")
    with pytest.raises(ConfigurationError, match=r"knows no place"):
        rear_backup_rsync.check_place(lab.run())


def test_a_folder_does_not_keep_owners_in_attributes(lab: Lab) -> None:
    fake = "RSYNC_FAKE_SUPER=yes\n"
    for refused in (lambda: rear_backup_rsync.check_place(lab.run(config=fake)), lambda: lab.save(fake)):
        with pytest.raises(Refused, match=r"which file.* cannot do without a server"):
            refused()
    # Somebody plugs the disk of a server in.
    lab.save()
    (made,) = lab.generations()
    lab.change(made.name, fake_super=True)
    with pytest.raises(Refused, match=r"cannot do without a server") as caught:
        lab.check()
    assert "reach it by ssh" in caught.value.hint


def test_backups_may_lie_in_an_odd_folder_and_behind_a_link(lab: Lab) -> None:
    odd = lab.data / "pl a[c]e*?"
    odd.mkdir()
    lab.home = odd / "own/web*1"
    lab.configure(f"BACKUP_URL=file://{lab.data}/pl%20a[c]e*%3F\nRSYNC_REPOSITORY=own\nBACKUP_PREFIX='web*1'\n")
    elsewhere = lab.data / "elsewhere"
    elsewhere.mkdir()
    (odd / "own").mkdir()
    lab.home.symlink_to(elsewhere)
    lab.save()
    lab.save()
    assert len(lab.generations()) == 2
    names = os.listdir(lab.tree())
    assert sorted(names) == ["elsewhere", "large", "one", "pl a[c]e*?"]
    assert os.listdir(lab.tree() / "elsewhere") == os.listdir(lab.tree() / "pl a[c]e*?") == []
    assert lab.restore().recovery.missing == []
    assert (lab.restored / "one/file").read_text() == "first"


def test_a_file_system_without_attributes_is_refused(lab: Lab) -> None:
    subprocess.run(["mount", "-t", "ramfs", "rsync", lab.top / "place"], check=True)
    try:
        with pytest.raises(Refused, match=r"keeps no ACLs and no extended attributes of files$") as caught:
            rear_backup_rsync.check_place(lab.run())
        assert "RSYNC_ATTRIBUTES=()" in caught.value.hint
        os.chown(lab.data / "one/file", 12345, 54321)
        os.setxattr(lab.data / "one/file", "user.note", b"lost")
        bare = "RSYNC_ATTRIBUTES=()\n"
        rear_backup_rsync.check_place(lab.run(config=bare))
        assert "the backup has no acls and no xattrs of files" in lab.save(bare).report.warnings[0]
        # The backup knows that, whatever is set now.
        assert "this backup has no acls and no xattrs" in lab.restore().report.warnings[0]
        assert (lab.restored / "one/file").stat().st_uid == 12345
        assert "user.note" not in os.listxattr(lab.restored / "one/file")
    finally:
        subprocess.run(["umount", lab.top / "place"], check=True)


def test_a_place_that_is_read_only_is_refused_and_restored_from(lab: Lab) -> None:
    lab.save()
    place = lab.top / "place"
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        with pytest.raises(Refused, match=r"cannot be written: Read-only file system"):
            rear_backup_rsync.check_place(lab.run())
        with pytest.raises(RearError, match=r"cannot be written: .*Read-only"):
            lab.save()
        assert lab.restore().recovery.missing == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_files_that_cannot_be_read_are_a_warning(lab: Lab) -> None:
    lab.stand_in(
        """case " $* " in *" --stats "*) "$rsync" "$@" || exit
echo 'rsync: [sender] send_files failed to open "/data/bad": Input/output error (5)' >&2
echo 'file has vanished: "/data/gone"' >&2
exit 23;; esac"""
    )
    assert lab.save().report.warnings == [
        '1 files are not saved as they are, because rsync could not read them: send_files failed to open "/data/bad":'
        " Input/output error (5); the log has all",
        '1 files vanished before they were saved: "/data/gone"; the log has all',
    ]
    (made,) = lab.generations()
    assert made.missed == 2


def test_what_the_place_did_not_take_is_an_error(lab: Lab) -> None:
    lab.save()
    lab.stand_in(
        """case " $* " in *" --stats "*) "$rsync" "$@" || exit
echo 'rsync: [receiver] rsync_xal_set: lsetxattr("/x","user.x") failed: No such device (19)' >&2
exit 23;; esac"""
    )
    with pytest.raises(RearError, match=r"did not take all files as they are: rsync_xal_set.*No such device"):
        lab.save()
    assert lab.names() == [made.name for made in lab.generations()] and len(lab.names()) == 1


def test_what_is_new_is_read_back(lab: Lab) -> None:
    lab.save()
    (lab.data / "one/file").write_text("second")
    lab.stand_in(
        """case " $* " in *" --dry-run "*) for tree in "$HOME_OF"/*.partial/tree; do
printf damage >"$tree$DATA/one/file"; done;; esac"""
    )
    program = lab.top / "bin/rsync"
    text = program.read_text().replace("$HOME_OF", str(lab.home)).replace("$DATA", str(lab.data))
    program.write_text(text)
    with pytest.raises(RearError, match=r"1 files in .* differ from what rear sent, the first is .*/one/file"):
        lab.save()
    assert len(lab.names()) == 1
    assert "Compared only the names of the backup" in terminal(lab.save("BACKUP_READ_BACK=no\n"))


def test_a_path_that_rsync_skips_is_an_error(lab: Lab) -> None:
    rear_backup_rsync.record(lab.run())
    files = json.loads((lab.etc / "recovery/files.json").read_text())
    files["file_systems"].append({**files["file_systems"][0], "path": f"{lab.top}/gone"})
    (lab.etc / "recovery/files.json").write_text(json.dumps(files))
    with pytest.raises(RearError, match=r"has nothing of .*/gone"):
        rear_backup_rsync.save_files(lab.run())
    assert lab.generations() == []


def test_a_full_place_keeps_what_is_good_and_nothing_else(lab: Lab) -> None:
    with small(lab.top / "place", "5M"):
        lab.save()
        (lab.home / "2026-01-01T000000Z.partial/tree").mkdir(parents=True)
        (lab.data / "large").write_bytes(os.urandom(3_000_000))
        with pytest.raises(RearError, match=r"is full: .*No space left") as caught:
            lab.save()
        assert "make room there" in caught.value.hint
        assert lab.names() == [made.name for made in lab.generations()]
        assert lab.restore().recovery.missing == []
        with (lab.top / "place/filler").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        for full in (lab.save, lambda: rear_backup_rsync.check_place(lab.run())):
            with pytest.raises(RearError, match=r"cannot be written: .*No space left on device"):
                full()


def test_what_an_interruption_left_is_used_and_never_counts(lab: Lab) -> None:
    lab.stand_in('case " $* " in *" --stats "*) "$rsync" "$@"; exit 20;; esac')
    with pytest.raises(RearError, match=r"rsync failed"):
        lab.save()
    (name,) = lab.names()
    assert name.endswith(".partial")
    with pytest.raises(Refused, match=r"has no backup of"):
        lab.check()
    shown = lab.run("backup-list")
    rear_backup_rsync.list_backups(shown)
    assert shown.kept == [] and f"{name} in file:" in shown.report.warnings[0]
    (lab.top / "bin/rsync").unlink()
    (lab.data / "one/file").write_text("other")
    run = lab.save()
    assert "was never finished: this backup takes from it what is whole" in terminal(run)
    assert "(5 B new)" in terminal(run)
    assert lab.names() == [made.name for made in lab.generations()]


@pytest.mark.parametrize("damage", ["cut", "gone", "renamed", "replaced", "link"])
def test_damage_is_found_before_anything_is_written(lab: Lab, damage: str) -> None:
    lab.save()
    (lab.data / "one/file").write_text("second")
    lab.save()
    old, new = lab.generations()
    file = lab.tree(new.name) / "one/file"
    if damage == "cut":
        os.truncate(file, 2)
    elif damage == "gone":
        file.unlink()
    elif damage == "renamed":
        file.rename(file.with_name("other"))
    elif damage == "replaced":
        file.write_text("SECOND")
        os.utime(file, (1, 1))
    else:
        file.unlink()
        file.symlink_to("/etc/shadow")
    said = {"cut": "it has 3 files with", "gone": "it has 2 files with", "link": "it has 2 files with"}
    what = said.get(damage, "files were renamed, replaced or changed")
    with pytest.raises(Refused, match=rf"{new.name} in .* is damaged: {what}") as caught:
        lab.check()
    assert "--backup DATE" in caught.value.hint
    assert lab.restore(backup=old.name).recovery.missing == []
    assert (lab.restored / "one/file").read_text() == "first"


def test_contents_are_read_where_that_is_wanted(lab: Lab) -> None:
    lab.save()
    assert "all of their data can be read" in terminal(lab.check("BACKUP_CHECK=all\n"))
    run = lab.run("checkbackup")
    rear_backup_rsync.check_backup(run)
    assert "all of their data can be read" in terminal(run)
    find = lab.top / "bin/find"
    find.write_text(
        "#!/bin/sh\ncase \"$*\" in *-exec*) echo 'cat: /x: Input/output error' >&2; exit 1;; esac\n"
        f'exec {shutil.which("find")} "$@"\n'
    )
    find.chmod(0o755)
    with pytest.raises(Refused, match=r"damaged: cat: /x: Input/output error"):
        rear_backup_rsync.check_backup(lab.run("checkbackup"))


@pytest.mark.parametrize("what", ["manifest", "no manifest", "link", "tree", "renamed"])
def test_what_is_no_backup_is_named_and_left_alone(lab: Lab, what: str) -> None:
    lab.save()
    lab.save()
    old, new = lab.generations()
    folder = lab.home / new.name
    if what == "manifest":
        (folder / "manifest.json").write_text("[" * 100_000)
    elif what == "no manifest":
        (folder / "manifest.json").unlink()
    elif what == "link":
        folder.rename(lab.top / "elsewhere")
        folder.symlink_to(lab.top / "elsewhere")
    elif what == "tree":
        (folder / "tree").rename(lab.top / "elsewhere")
        (folder / "tree").symlink_to(lab.top / "elsewhere")
    else:
        name = (old.moment - timedelta(days=1)).strftime(FORMAT)
        folder = folder.rename(lab.home / name)
    run = lab.restore()
    assert f"{folder.name} in " in run.report.warnings[0] and "cannot be restored" in run.report.warnings[0]
    with pytest.raises(Refused, match=rf"{folder.name} in .* cannot be restored"):
        lab.check(backup=folder.name)
    run = lab.save("BACKUP_KEEP=1\n")
    assert "is not a valid backup, but takes up room" in run.report.warnings[0]
    assert folder.name in lab.names() and not (lab.home / old.name).exists() and len(lab.generations()) == 1


def test_backups_of_another_machine_are_neither_restored_nor_removed(lab: Lab) -> None:
    lab.save()
    (made,) = lab.generations()
    host = os.uname().nodename
    lab.change(made.name, machine="1234")
    (lab.etc / "recovery/system.json").write_text(json.dumps({"identity": "5678", "system": {"hostname": host}}))
    with pytest.raises(Refused, match=r"are of another machine: identity 1234, not 5678"):
        lab.check(demo=False)
    assert "identity 1234" in lab.check().report.warnings[0]
    for refused in (lab.save, lambda: rear_backup_rsync.check_place(lab.run())):
        with pytest.raises(Refused, match=r"has backups of another machine, as .*identity 1234") as caught:
            refused()
        assert "set BACKUP_PREFIX" in caught.value.hint
    shown = lab.run("backup-list")
    rear_backup_rsync.list_backups(shown)
    assert shown.kept[0].state == "of another machine, identity 1234"
    lab.change(made.name, host="other", machine="")
    # Where no identity is known the host name tells machines apart.
    with pytest.raises(Refused, match=r"has backups of another machine, as .*host name other"):
        lab.save()
    with pytest.raises(Refused, match=r"has no backup of .* that rear made, but of other"):
        lab.check()


def test_a_clock_that_was_set_back_is_told(lab: Lab) -> None:
    lab.save()
    (made,) = lab.generations()
    later = (datetime.now(timezone.utc) + timedelta(days=400)).strftime(FORMAT)
    (lab.home / made.name).rename(lab.home / later)
    lab.change(later, created=later)
    (lab.data / "one/file").write_text("second")
    run = lab.save()
    assert f"but its last backup is of {later}: set the clock" in run.report.warnings[0]
    lab.restore()
    assert (lab.restored / "one/file").read_text() == "second"
    lab.save("BACKUP_KEEP=1\n")
    assert not (lab.home / later).exists() and len(lab.generations()) == 1


def test_a_policy_removes_old_backups(lab: Lab) -> None:
    lab.save()
    (made,) = lab.generations()
    for days in (3, 2, 1):
        name = (made.moment - timedelta(days=days)).strftime(FORMAT)
        shutil.copytree(lab.home / made.name, lab.home / name)
        text = manifest.dumps(replace(made, name=name, number=10 - days))
        (lab.home / name / "manifest.json").write_text(text)
    lab.change(made.name, number=10)
    lab.save("RSYNC_KEEP=( daily 3 )\n")
    names = [each.name[:10] for each in lab.generations()]
    assert len(names) == 3 and len(set(names)) == 3
    lab.save("BACKUP_KEEP=1\n")
    assert len(lab.generations()) == len(lab.names()) == 1


def test_removing_never_leaves_the_backup(lab: Lab) -> None:
    lab.save()
    (made,) = lab.generations()
    precious = lab.top / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    (lab.tree() / "out").symlink_to(precious)
    inside = lab.tree() / "mounted"
    inside.mkdir()
    subprocess.run(["mount", "--bind", precious, inside], check=True)
    lab.save()
    try:
        run = lab.save("BACKUP_KEEP=1\n")
        assert "an old backup was not removed" in run.report.warnings[0] and "mounted" in run.report.warnings[0]
    finally:
        subprocess.run(["umount", lab.home / f"{made.name}.partial/tree{lab.data}/mounted"], check=True)
    assert (precious / "file").read_text() == "precious"
    assert lab.save("BACKUP_KEEP=1\n").report.warnings == []
    assert (precious / "file").read_text() == "precious" and len(lab.names()) == 1


def test_single_files_come_back(lab: Lab) -> None:
    odd = odd_files(lab)
    (lab.data / "one/*").write_text("its name is no pattern")
    lab.save()
    names = [f"{odd}/#c", f"{odd}/; d", f"{odd}/ e ", f"{odd}/line\nbreak", os.fsdecode(bytes(odd) + b"/\xff no text")]
    run = lab.run("backup-restore", paths=(f"{lab.data}/one/*", f"{lab.data}/gone", *names))
    rear_backup_rsync.check_backup(run)
    with run.undo:
        rear_backup_rsync.restore_some(run)
    assert run.recovery.missing == [f"1 files were not restored, the first is {lab.data}/gone"]
    came = [path for path in lab.restored.rglob("*") if path.is_file()]
    assert sorted(f"{lab.data}/{path.relative_to(lab.restored)}" for path in came) == sorted(
        [f"{lab.data}/one/*", *names]
    )
    run = lab.run("backup-restore", paths=("/",))
    rear_backup_rsync.check_backup(run)
    with run.undo:
        rear_backup_rsync.restore_some(run)
    assert (lab.restored / "one/file").read_text() == "first"


def test_backups_are_listed_and_removed_when_somebody_agrees(lab: Lab) -> None:
    lab.save()
    (made,) = lab.generations()
    listed = json.loads(lab.rear("backup", "list", "--json").stdout)
    assert made.name in json.dumps(listed) and '"complete"' in json.dumps(listed)
    refused = lab.rear("backup", "forget", "2020-01-01T000000Z")
    assert refused.returncode == 3 and "there is no backup 2020-01-01T000000Z of this machine" in refused.stderr
    refused = lab.rear("-n", "backup", "forget", made.name)
    assert refused.returncode == 3 and "only if somebody agrees" in refused.stderr
    for answer, left in (("no", 1), ("yes", 0)):
        argv = lab.argv("backup", "forget", made.name)
        with pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60) as console:
            console.expect("There is no other backup of this machine")
            console.expect("Remove the backup")
            console.sendline(answer)
            console.expect(pexpect.EOF)
        assert len(lab.names()) == left


def test_a_date_chooses_an_older_backup(lab: Lab) -> None:
    lab.save()
    (lab.data / "one/file").write_text("second")
    lab.save()
    old = lab.generations()[0]
    assert f"--backup DATE chooses another: {old.name}" in terminal(lab.restore())
    assert (lab.restored / "one/file").read_text() == "second"
    lab.demo = lab.top / "older"
    lab.restore(backup=old.name)
    assert (lab.restored / "one/file").read_text() == "first"
    with pytest.raises(Refused, match=r"is from 2020 or before"):
        lab.check(backup="2020")


def test_only_one_saves_at_a_time(lab: Lab) -> None:
    lab.save()
    argv = [sys.executable, "-c", HOLDER.format(home=lab.home)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "locked\n"
        with pytest.raises(Refused, match=r"another run of rear saves to"):
            lab.save()
        assert lab.restore().recovery.missing == []
        holder.kill()
    assert lab.save().report.warnings == []


def test_a_backup_must_have_all_that_is_wanted(lab: Lab) -> None:
    run = lab.run("mkrescue")
    rear_backup_rsync.record(run)
    rear_backup_rsync.look_for_backup(run)
    assert "no backup of" in run.report.warnings[-1]
    lab.save()
    shutil.copytree(lab.data / "one", lab.top / "more")
    lab.more += f"BACKUP_PROG_INCLUDE+=( {lab.top}/more )\n"
    rear_backup_rsync.record(lab.run())
    with pytest.raises(Refused, match=r"no backup of .*/more"):
        lab.check()


def test_files_must_fit(lab: Lab) -> None:
    lab.save()
    with small(lab.demo, "1M"), pytest.raises(Refused, match=r"free, but the backup needs"):
        lab.check()
    run = lab.check()
    with small(lab.demo, "1M"), pytest.raises(RearError, match=r"no space left on device"):
        rear_backup_rsync.restore_files(run)


def test_files_that_did_not_come_are_a_lack(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    (lab.tree() / "one/file").unlink()
    lab.stand_in(
        '"$rsync" "$@"; echo \'rsync: [sender] read errors mapping "/x": Input/output error (5)\' >&2; exit 23'
    )
    with run.undo:
        rear_backup_rsync.restore_files(run)
    assert run.recovery.missing == [
        '1 files were not restored as they were, the first is read errors mapping "/x": Input/output error (5); the log'
        " has all"
    ]
    with pytest.raises(RearError, match=r"no backup was checked"):
        rear_backup_rsync.restore_files(lab.run("restoreonly"))


def test_a_backup_that_is_gone_is_named(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    shutil.rmtree(lab.home)
    with pytest.raises(RearError, match=r"nothing was restored|failed"):
        rear_backup_rsync.restore_files(run)
    with pytest.raises(Refused, match=r"has no backup of"):
        lab.check()


@pytest.mark.parametrize(
    ("config", "programs", "files"),
    [
        ("BACKUP_URL=file:///srv\n", {"rsync", "find"}, set()),
        ("BACKUP_URL=nfs://host/export\n", {"rsync", "mount.nfs"}, set()),
        ("RSYNC_REPOSITORY=host:x\n", {"rsync", "ssh"}, {"/root/.ssh/known_hosts"}),
    ],
)
def test_media_carry_what_the_address_needs(lab: Lab, config: str, programs: set[str], files: set[str]) -> None:
    lab.configure(config)
    contents = rear_backup_rsync.rear_rescue_contents(lab.run())
    assert programs <= {*contents.programs} and files <= {*contents.files}
    assert not contents.secrets


def test_backups_are_shown_as_folders_until_somebody_unmounts_them(lab: Lab) -> None:
    lab.save()
    with lab.shown() as (folder, _):
        (file,) = folder.glob(f"2*/tree{lab.data}/one/file")
        assert file.read_text() == "first"
        with pytest.raises(OSError):
            file.write_text("other")
