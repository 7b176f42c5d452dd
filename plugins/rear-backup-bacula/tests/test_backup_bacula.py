# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=BACULA with a real director, storage and file daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

import rear_backup_bacula
from lab import bacula, engine
from lab.bacula import Lab
from lab.engine import terminal, wait_until
from rear_backup_bacula import jobs, login
from rear_core import ConfigurationError, RearError, Refused
from rear_core.testing.watch import differences, picture

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(180), bacula.NEEDS_BACULA]

SLOWLY = "setbandwidth limit=200kb/s client=web1-fd"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute has a few seconds."""
    monkeypatch.setattr(jobs, "MINUTE", 8.0)
    monkeypatch.setattr(jobs, "SILENCE", 4.0)
    monkeypatch.setattr(jobs, "TOLD", 1.0)


def odd(folder: Path) -> None:
    """Files that are not like others."""
    for name in (b"new\nline", b'qu"o\\te', b"tab\tulator", b"\xff\xfe", b"  blank ", "Größe".encode(), b"@|;quit"):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(name)
    os.link(folder / "one/file", folder / "one/other name")
    (folder / "link").symlink_to("one/file")
    (folder / "setuid").write_text("x")
    (folder / "setuid").chmod(0o4755)
    os.chown(folder / "setuid", 1234, 5678)
    os.setxattr(folder / "setuid", "user.colour", b"blue")
    with (folder / "sparse").open("wb") as file:
        file.truncate(5_000_000)
        file.write(b"begins")
    (folder / "empty").mkdir(mode=0o700)
    os.mkfifo(folder / "fifo")


def test_what_was_saved_comes_back_as_it_was(lab: Lab) -> None:
    odd(lab.data)
    run = lab.save()
    assert "Saved as job 1 (save web1, full)" in terminal(run) and run.report.warnings == []
    was = picture(lab.data, [lab.data / "left out"])
    (lab.data / "later").write_text("later")
    assert "(save web1, incremental): 2 files" in terminal(lab.save())
    run = lab.restore()
    assert "builds on 1)" in terminal(run) and "The restore needs the volumes vol-0001, vol-0002" in terminal(run)
    assert run.recovery.missing == []
    came = picture(lab.restored)
    assert came.pop("later") and differences(was, came) == []
    assert (lab.restored / "sparse").stat().st_blocks < 1000
    assert not list((lab.top / "work").rglob("*.bvfs")) and not (lab.top / "work/bacula-sample").exists()


@pytest.mark.long
def test_a_point_in_time_is_chosen(lab: Lab) -> None:
    lab.save()
    time.sleep(1.1)
    (lab.data / "one/file").write_text("second")
    (lab.data / "large").unlink()
    lab.save()
    run = lab.run("backup-list")
    rear_backup_bacula.list_backups(run)
    first, second = run.kept
    assert (first.state, second.state) == ("full, job 1 (save web1)", "incremental, job 2 (save web1)")
    assert first.size > 3_000_000 and first.files == 4
    for options, word in (({}, "second"), ({"backup": first.name}, "first"), ({"backup": second.name}, "second")):
        shutil.rmtree(lab.demo, ignore_errors=True)
        lab.restore(**options)
        assert (lab.restored / "one/file").read_text() == word
        assert (lab.restored / "large").exists() == (word == "first")
    with pytest.raises(Refused, match="no backup of 2001-01-01 23:59:59 or before"):
        lab.check("BACULA_TIME=2001-01-01\n")


def test_single_files_and_folders_come_back(lab: Lab) -> None:
    odd(lab.data)
    lab.save()
    names = ["one", os.fsdecode(b"\xff\xfe"), "new\nline", 'qu"o\\te', "link", "setuid"]
    run = lab.check(paths=tuple(f"{lab.data}/{name}" for name in [*names, "never"]))
    rear_backup_bacula.restore_some(run)
    assert run.recovery.missing == [f"1 files were not restored, the first is {lab.data}/never"]
    came, was = picture(lab.restored), picture(lab.data)
    wanted = {name for name in was if name in names or name.startswith("one/")}
    assert came == {name: was[name] for name in wanted}


@pytest.mark.long
def test_another_name_of_a_file_brings_the_first_one(lab: Lab) -> None:
    os.link(lab.data / "one/file", lab.data / "one/other")
    lab.save()
    for name in ("file", "other"):
        shutil.rmtree(lab.demo, ignore_errors=True)
        run = lab.check(paths=(f"{lab.data}/one/{name}",))
        rear_backup_bacula.restore_some(run)
        assert run.recovery.missing == []
        assert (lab.restored / "one" / name).read_text() == "first"


@pytest.mark.long
def test_the_passwords_are_asked_for_and_not_kept(lab: Lab) -> None:
    lab.save()
    record = (lab.etc / "recovery/bacula.json").read_text()
    assert "word of" not in record and json.loads(record)["version"] == 1
    lab.server.stop("fd")
    lab.server.console.rename(lab.top / "kept")
    lab.server.daemon.unlink()
    refused = lab.rear("-n", "recover", "--demo", f"{lab.demo}")
    assert refused.returncode == 3 and "the rescue media have no password of bconsole" in refused.stderr
    argv = lab.argv("recover", "--demo", f"{lab.demo}")
    with pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60) as console:
        for word in ("wrong word", bacula.CONSOLE):
            console.expect("Password of bconsole for the Bacula director lab-dir: ")
            console.sendline(word)
        for word in ("wrong word", bacula.CLIENT):
            console.expect("Password of bacula-fd for the Bacula director lab-dir: ")
            console.sendline(word)
        console.expect(pexpect.EOF)
        console.close()
        assert console.exitstatus == 0, console.before
    assert (lab.restored / "one/file").read_text() == "first"
    log = (lab.top / "log").read_text(errors="replace")
    assert bacula.CONSOLE not in log and bacula.CLIENT not in log
    assert not list(lab.top.glob("rear.*"))


def test_a_wrong_password_is_told(lab: Lab) -> None:
    lab.save()
    lab.server.console.write_text(lab.server.console.read_text().replace("word of", "another of"))
    with pytest.raises(Refused, match=r"does not accept the password of .*/bconsole.conf"):
        rear_backup_bacula.check_client(lab.run())
    lab.server.console.write_text("Director { Name = x; Passwrd = y }\n")
    with pytest.raises(Refused, match=r"bconsole does not start: .*ERROR TERMINATION"):
        rear_backup_bacula.check_client(lab.run())


@pytest.mark.long
def test_a_client_that_is_not_reached_is_told(lab: Lab) -> None:
    lab.save()
    lab.server.stop("fd")
    for place in (rear_backup_bacula.check_client, rear_backup_bacula.check_backup, rear_backup_bacula.save_files):
        with pytest.raises(Refused, match="does not reach the file daemon of web1-fd"):
            place(lab.run())
    lab.server.write(client="another")
    lab.server.start("fd")
    with pytest.raises(Refused, match="does not reach the file daemon of web1-fd"):
        rear_backup_bacula.check_client(lab.run())


@pytest.mark.long
def test_names_that_the_director_does_not_know_are_told(lab: Lab) -> None:
    rear_backup_bacula.record(lab.run())
    for config, message in (
        ("BACULA_CLIENT=web2-fd\n", "has no client web2-fd"),
        ("BACULA_RESTORE_JOB=other\n", "has no restore job other"),
        ("BACULA_JOBS=( nix )\n", f"the server has no backup of {lab.data}"),
        ("BACULA_CLIENT=gone-fd\n", "does not reach the file daemon of gone-fd"),
    ):
        with pytest.raises(Refused, match=message):
            lab.check(config)
    with pytest.raises(RearError, match="does not start the job"):
        rear_backup_bacula.save_files(lab.run(config="BACULA_JOBS=( nix )\n"))


def test_jobs_of_the_client_are_found(lab: Lab) -> None:
    run = lab.run(config="BACULA_JOBS=()\n")
    rear_backup_bacula.check_client(run)
    assert "by save web1, other, restores by restore" in terminal(run)


@pytest.mark.long
def test_a_director_that_is_gone_is_told(lab: Lab) -> None:
    lab.save()
    lab.server.stop("dir")
    began = time.monotonic()
    for place in (rear_backup_bacula.check_client, rear_backup_bacula.check_backup):
        with pytest.raises(Refused, match=r"the Bacula director lab-dir at 127\.0\.0\.1:\d+ does not answer"):
            place(lab.run())
    assert time.monotonic() - began < 60


def test_a_job_that_saves_too_little_is_told(lab: Lab) -> None:
    with pytest.raises(RearError, match=f"do not save {lab.data}"):
        lab.save("BACULA_JOBS=( other )\n")


@pytest.mark.long
def test_files_that_cannot_be_saved_are_named(lab: Lab) -> None:
    lab.server.write(files=f'    File = "{lab.data}"\n    File = "{lab.data}/never there"')
    lab.server.bconsole("reload")
    run = lab.save()
    (warning,) = run.report.warnings
    assert "ended with warnings" in warning and f"{lab.data}/never there" in warning


@pytest.mark.long
def test_a_job_that_fails_is_no_backup(lab: Lab) -> None:
    lab.save()
    with lab.server.dying(), pytest.raises(RearError, match=r"job 2 \(save web1\) (failed|ended with errors)"):
        (lab.data / "larger").write_bytes(os.urandom(3_000_000))
        lab.save()
    assert "Backup: job 1 of" in terminal(lab.restore())


@pytest.mark.long
def test_a_job_that_waits_for_a_volume_is_told_and_ended(lab: Lab, hasty: None) -> None:
    lab.save()
    with lab.server.full(), pytest.raises(RearError, match="is waiting for an appendable Volume: Cannot find any"):
        lab.save("BACKUP_STALL_MINUTES=1\n")
    wait_until(lambda: lab.jobs()[-1].status == "A")


@pytest.mark.long
def test_a_slow_job_does_not_hang(lab: Lab, hasty: None) -> None:
    (lab.data / "large").write_bytes(os.urandom(2_500_000))
    lab.server.bconsole(SLOWLY)
    began = time.monotonic()
    assert "Saved as job 1" in terminal(lab.save("BACKUP_STALL_MINUTES=1\n"))
    assert time.monotonic() - began > jobs.MINUTE


@pytest.mark.long
def test_a_volume_that_is_gone_is_named_before_anything_is_written(lab: Lab, hasty: None) -> None:
    lab.save()
    (lab.top / "bacula/volumes/vol-0001").unlink()
    run = lab.run("restoreonly", "BACKUP_STALL_MINUTES=1\n")
    with pytest.raises(Refused, match='is waiting for a mount request: Please mount read Volume "vol-0001"'):
        rear_backup_bacula.check_backup(run)
    assert any("Please mount read Volume" in line and "see to it" in line for line in run.report.warnings)
    assert not lab.demo.exists()
    lab.server.bconsole("update volume=vol-0001 volstatus=Recycle")
    with pytest.raises(Refused, match="the volume vol-0001 has the status Recycle"):
        lab.check()


@pytest.mark.long
def test_a_backup_whose_names_are_gone_is_told(lab: Lab) -> None:
    lab.save()
    lab.server.bconsole("purge files jobid=1", "purge jobs client=web1-fd")
    with pytest.raises(Refused, match="no backup"):
        lab.check()


@pytest.mark.long
def test_a_full_target_is_told(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    with engine.small(lab.demo, "1M"), pytest.raises(RearError, match="no space left on device"):
        rear_backup_bacula.restore_files(run)


@pytest.mark.long
def test_files_that_do_not_come_back_are_named(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    blocked = lab.restored / "one/file"
    (blocked / "in the way").mkdir(parents=True)
    (lab.restored / "larger").mkdir()
    rear_backup_bacula.restore_files(run)
    (missing,) = run.recovery.missing
    assert "job 3 " in missing and f"{blocked}" in missing
    assert (lab.restored / "large").stat().st_size == 3_000_000


@pytest.mark.long
def test_a_restore_that_somebody_cancels_is_told(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    lab.server.bconsole(SLOWLY)
    canceled: list[str] = []

    def cancel() -> None:
        canceled.append(lab.server.bconsole("cancel jobid=3"))

    timer = threading.Timer(5, cancel)
    timer.start()
    with pytest.raises(RearError, match=r"the restore, job 3, was canceled"):
        rear_backup_bacula.restore_files(run)
    timer.join()


@pytest.mark.long
@pytest.mark.parametrize("work", ["save", "restore"])
def test_an_interruption_cancels_the_job(lab: Lab, work: str) -> None:
    lab.save()
    (lab.data / "large").write_bytes(os.urandom(6_000_000))
    lab.server.bconsole(*([SLOWLY] if work == "save" else []))
    if work == "restore":
        lab.save()
        lab.server.bconsole(SLOWLY)
    words = ["mkbackuponly"] if work == "save" else ["-n", "recover", "--demo", f"{lab.demo}"]
    count = len(lab.jobs())
    with subprocess.Popen(lab.argv(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        # With the restore of a sample before.
        wait_until(lambda: len(lab.jobs()) > count + (work == "restore") and lab.jobs()[-1].status == "R")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    wait_until(lambda: lab.jobs()[-1].status == "A")
    lab.server.bconsole("setbandwidth limit=0 client=web1-fd")
    shutil.rmtree(lab.demo, ignore_errors=True)
    assert lab.save().report.warnings == []
    assert lab.restore().recovery.missing == []


@pytest.mark.long
def test_a_director_that_goes_in_a_restore_is_told(lab: Lab, hasty: None) -> None:
    lab.save()
    run = lab.check()
    lab.server.bconsole(SLOWLY)
    timer = threading.Timer(4, lambda: lab.server.stop("dir"))
    timer.start()
    with pytest.raises(
        RearError, match=r"the Bacula director was lost while job 3 ran|director no longer knows|failed"
    ):
        rear_backup_bacula.restore_files(run)
    timer.join()


@pytest.mark.long
def test_rear_starts_a_file_daemon_and_ends_it(lab: Lab) -> None:
    lab.save()
    lab.server.stop("fd")
    run = lab.run("restoreonly")
    with run.undo:
        rear_backup_bacula.log_in(run)
        rear_backup_bacula.check_backup(run)
        rear_backup_bacula.restore_files(run)
    assert (lab.restored / "one/file").read_text() == "first"
    assert not subprocess.run(["pgrep", "--full", f"bacula-fd .*{lab.top}"], capture_output=True, text=True).stdout
    lab.server.daemon.write_text(lab.server.daemon.read_text().replace("FDport", "FDprt"))
    run = lab.run("restoreonly")
    with run.undo, pytest.raises(RearError, match=r"bacula-fd does not start: .*"):
        rear_backup_bacula.log_in(run)


def test_media_carry_everything_but_the_secrets(lab: Lab) -> None:
    lab.server.daemon.write_text(
        lab.server.daemon.read_text().replace(
            "FileDaemon {", "FileDaemon {\n  TLS Key = /etc/fd.key\n  TLS CA Certificate File = /etc/ca.crt"
        )
    )
    run = lab.run()
    contents = rear_backup_bacula.rear_rescue_contents(run)
    assert contents.programs == ["bconsole", "bacula-fd", "setpriv"]
    assert {"/etc/fd.key", "/etc/ca.crt", f"{lab.server.daemon}"} <= {*contents.files}
    assert {"/etc/fd.key", f"{lab.server.daemon}", f"{lab.server.console}"} <= {*contents.secrets}
    assert "/etc/ca.crt" not in contents.secrets
    with pytest.raises(Refused, match=r"needs the key /etc/fd.key, which the rescue media would not carry"):
        rear_backup_bacula.check_client(run)


def test_several_directors_need_a_choice(lab: Lab) -> None:
    text = lab.server.console.read_text()
    lab.server.console.write_text(text + text.replace("lab-dir", "other-dir").replace(bacula.CONSOLE, "x"))
    with pytest.raises(ConfigurationError, match="has several directors: lab-dir, other-dir"):
        login.console(lab.run())
    run = lab.run(config="BACULA_DIRECTOR=lab-dir\n")
    rear_backup_bacula.check_client(run)


def test_without_a_backup_the_machine_is_told(lab: Lab) -> None:
    run = lab.run("mkrescue")
    rear_backup_bacula.record(run)
    rear_backup_bacula.look_for_backups(run)
    assert run.report.warnings == [
        f"the server has no backup of {lab.data} yet: without it, this machine cannot be recovered"
    ]
    refused = lab.rear("backup", "forget", "2026-01-01T000000Z")
    assert refused.returncode and "removes no backup" in refused.stderr
