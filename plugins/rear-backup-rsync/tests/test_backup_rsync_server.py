# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=RSYNC with a real sshd, as root there and as another user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import rear_backup_rsync
from lab.engine import small, terminal, wait_until
from lab.rsync import NEEDS_RSYNC, SLOW, USER, Lab, facts
from lab.servers import Sshd
from rear_core import ConfigurationError, RearError, Refused

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(180),
    NEEDS_RSYNC,
    pytest.mark.skipif(shutil.which("sshd") is None, reason="sshd is not installed: tools/install test does that"),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


def owned_files(lab: Lab) -> None:
    """Files that only root can restore."""
    (lab.data / "owned").write_text("x")
    os.chown(lab.data / "owned", 12345, 54321)
    (lab.data / "owned").chmod(0o4711)
    os.mknod(lab.data / "null", 0o20666, os.makedev(1, 3))
    (lab.data / "closed").mkdir(mode=0o500)
    (lab.data / "closed/file").write_text("x")
    (lab.data / "closed/link").symlink_to("nowhere")
    os.setxattr(lab.data / "owned", "trusted.note", b"by root")


@pytest.mark.parametrize("root", [False, pytest.param(True, marks=pytest.mark.long)])
def test_what_is_saved_comes_back(lab: Lab, root: bool) -> None:
    owned_files(lab)
    shutil.move(lab.data / "left out", lab.top / "away")
    with lab.sshd(root=root):
        run = lab.run()
        rear_backup_rsync.check_place(run)
        assert ("owners and the like in extended attributes" in terminal(run)) is not root
        assert os.listdir(lab.home.parent) == []
        lab.save("RSYNC_OPTIONS=( --compress --bwlimit=100000 )\n")
        was = facts(lab.data)
        (lab.data / "one/file").write_text("second")
        assert lab.save().report.warnings == []
        old, new = lab.generations()
        assert new.fake_super is not root
        assert (lab.tree() / "owned").stat().st_uid == (12345 if root else USER)
        assert (lab.tree() / "one/same").stat().st_nlink == 2
        run = lab.restore(backup=old.name)
        assert run.recovery.missing == run.report.warnings == []
        assert facts(lab.restored) == was
        # The user there can remove what belongs to others here, and folders that nobody may write to.
        assert lab.save("BACKUP_KEEP=1\n").report.warnings == []
        assert lab.names()[:1] == [".lock"] and len(lab.names()) == 2


@pytest.mark.long
def test_the_backups_on_a_server_are_listed_checked_and_fetched(lab: Lab) -> None:
    with lab.sshd():
        lab.save()
        (made,) = lab.generations()
        shown = lab.run("backup-list")
        rear_backup_rsync.list_backups(shown)
        assert [(each.name, each.state) for each in shown.kept] == [(made.name, "complete")]
        assert "all of their data can be read" in terminal(lab.check("BACKUP_CHECK=all\n"))
        run = lab.run("backup-restore", paths=(f"{lab.data}/one",))
        rear_backup_rsync.check_backup(run)
        with run.undo:
            rear_backup_rsync.restore_some(run)
        assert sorted(os.listdir(lab.restored)) == ["one"]
        (lab.tree() / "large").chmod(0)
        with pytest.raises(Refused, match=r"damaged: .*large.*Permission denied"):
            lab.check("BACKUP_CHECK=all\n")
        (lab.tree() / "large").chmod(0o600)
        inside = lab.tree() / "mounted"
        inside.mkdir()
        subprocess.run(["mount", "--bind", lab.top / "sshd", inside], check=True)
        try:
            run = lab.save("BACKUP_KEEP=1\n")
            assert "an old backup was not removed" in run.report.warnings[-1]
            assert (lab.top / "sshd/host").exists()
        finally:
            subprocess.run(["umount", *lab.home.glob(f"*/tree{lab.data}/mounted")], check=True)
        run = lab.save("BACKUP_KEEP=1\n")
        assert run.report.warnings == [] and len(lab.names()) == 2
        (made,) = lab.generations()
        lab.change(made.name, files=7)
        with pytest.raises(Refused, match=r"damaged: it has 3 files"):
            lab.check()
        (lab.home / made.name).rename(lab.home.parent / "away")
        (lab.home / made.name).symlink_to(lab.home.parent / "away")
        with pytest.raises(Refused, match=r"has no backup of"):
            lab.check()


def test_what_is_wrong_with_a_server_is_told(lab: Lab) -> None:
    with lab.sshd() as server:
        good = lab.more
        place = lab.home.parent
        for config, said, hint in (
            (f"RSYNC_REPOSITORY=ssh://root@127.0.0.1:{server.port}{place}/none\n", "there is no folder", "mkdir"),
            ("RSYNC_REMOTE_PATH=/none/rsync\n", "/none/rsync", "RSYNC_REMOTE_PATH"),
            ("RSYNC_RSH='ssh -o BatchMode=yes -o UserKnownHostsFile=/dev/null'\n", "does not know the key", "by hand"),
            (f"RSYNC_RSH='ssh -o BatchMode=yes -o UserKnownHostsFile={lab.top}/sshd/known'\n", "no key", "RSYNC_RSH"),
            ("RSYNC_FAKE_SUPER=no\n", "keeps no owners of files", "RSYNC_FAKE_SUPER=yes"),
        ):
            with pytest.raises(Refused, match=said) as caught:
                rear_backup_rsync.check_place(lab.run(config=config))
            assert hint in caught.value.hint and "\n" not in caught.value.message
        with pytest.raises(ConfigurationError, match=r"BACKUP_PREFIX is 'a b'"):
            rear_backup_rsync.check_place(lab.run(config="BACKUP_PREFIX='a b'\n"))
        os.chown(place, 0, 0)
        place.chmod(0o755)
        with pytest.raises(Refused, match=r"rsync failed|cannot be written"):
            rear_backup_rsync.check_place(lab.run())
        with pytest.raises(RearError, match=r"cannot be written: mkdir"):
            lab.save()
        with pytest.raises(Refused, match=r"has no backup of"):
            lab.check()
    lab.configure(good)
    with pytest.raises(Refused, match=r"connection to .* failed: .*refused"):
        rear_backup_rsync.check_place(lab.run())
    with pytest.raises(RearError, match=r"connection to .* failed: .*refused"):
        lab.check()


@contextmanager
def dropped(server: Sshd, lab: Lab, when: Path) -> Iterator[None]:
    """A block in which the connections end as soon as something is there."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            if any(when.rglob(".large.*")):
                server.drop()
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_connection_that_is_lost_costs_what_was_under_way(lab: Lab) -> None:
    (lab.data / "a file").write_bytes(os.urandom(100_000))
    with lab.sshd() as server:
        lab.save()
        shutil.copytree(lab.data, lab.data / "again")
        (lab.data / "again/large").write_bytes(os.urandom(3_000_000))
        with pytest.raises(RearError, match=r"connection to .* failed") as caught, dropped(server, lab, lab.home):
            lab.save(SLOW)
        assert "earlier backups are unchanged" in caught.value.hint
        assert len(lab.generations()) == 1
        (partial,) = (name for name in lab.names() if name.endswith(".partial"))
        run = lab.save()
        assert f"{partial} in " in terminal(run) and "takes from it what is whole" in terminal(run)
        second = lab.generations()[-1]
        assert f"{second.name}" in lab.names() and partial not in lab.names()
        assert (lab.tree(second.name) / "again/a file").read_bytes() == (lab.data / "a file").read_bytes()
        run = lab.check()
        with pytest.raises(RearError, match=r"connection to .* failed"), dropped(server, lab, lab.demo):
            run.settings = lab.run(config=SLOW).settings
            run.backup = lab.check(SLOW).backup
            rear_backup_rsync.restore_files(run)
        shutil.rmtree(lab.demo)
        assert lab.restore().recovery.missing == []


def test_a_lock_dies_with_its_holder(lab: Lab) -> None:
    (lab.data / "large").write_bytes(os.urandom(20_000_000))
    with lab.sshd():
        lab.configure(lab.more + SLOW)
        argv = lab.argv("mkbackuponly")
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            wait_until(lambda: any(lab.home.rglob(".large.*")))
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        lab.more = lab.more.replace(SLOW, "")
        run = lab.save()
        assert run.report.warnings == [] and len(lab.generations()) == 1
        assert lab.names() == [".lock", lab.generations()[0].name]


@pytest.mark.long
def test_only_one_saves_at_a_time(lab: Lab) -> None:
    with lab.sshd():
        lab.save()
        with subprocess.Popen(["flock", lab.home / ".lock", "sleep", "60"]) as holder:
            time.sleep(0.5)
            with pytest.raises(Refused, match=r"another run of rear saves to"):
                lab.save()
            subprocess.run(["pkill", "-P", str(holder.pid)], check=True)
        assert len(lab.generations()) == 1


@pytest.mark.long
@pytest.mark.parametrize("work", ["save", "restore"])
def test_an_interruption_leaves_nothing_behind(lab: Lab, work: str) -> None:
    with lab.sshd():
        lab.save()
        good = lab.more
        (lab.data / "large").write_bytes(os.urandom(20_000_000))
        if work == "restore":
            lab.save()
        before = lab.generations()
        lab.configure(good + SLOW)
        words = ["mkbackuponly"] if work == "save" else ["-n", "recover", "--demo", f"{lab.demo}"]
        with subprocess.Popen(lab.argv(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: any((lab.home if work == "save" else lab.demo).rglob(".large.*")))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 130
        assert lab.generations() == before
        lab.configure(good)
        shutil.rmtree(lab.demo, ignore_errors=True)
        assert lab.save().report.warnings == []
        assert lab.restore().recovery.missing == []
        assert not [name for name in lab.names() if name.endswith(".partial")]


@pytest.mark.long
def test_a_server_that_is_silent_ends_a_restore(lab: Lab) -> None:
    (lab.data / "large").write_bytes(os.urandom(20_000_000))
    # A file system of its own: what comes is told by how full it is.
    with lab.sshd(), small(lab.demo, "200M"):
        lab.save()
        run = lab.check(f"{SLOW}BACKUP_STALL_MINUTES=1\n")
        stopped = threading.Thread(target=silence, args=[lab])
        stopped.start()
        try:
            with pytest.raises(RearError, match=r"no file came for 1 minutes|connection to .* failed"):
                rear_backup_rsync.restore_files(run)
        finally:
            stopped.join()
            subprocess.run(["pkill", "-KILL", "--full", f"rsync --server.*{lab.home.parent}"])


def silence(lab: Lab) -> None:
    """Have what serves on the server do nothing any more, as soon as files come."""
    wait_until(lambda: any(lab.demo.rglob(".large.*")))
    subprocess.run(["pkill", "-STOP", "--full", f"rsync --server.*{lab.home.parent}"], check=True)
