# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=RESTIC with the real restic: in folders, on a REST server (rclone serves it), by sftp and by rclone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pexpect
import pytest

import rear_backup_restic
from lab import engine, servers
from lab.engine import small, terminal, wait_until
from rear_backup_restic import excludes, repository, restoring, snapshot
from rear_core import Absent, ConfigurationError, ProgramFailed, RearError, Refused, patterns
from rear_core.archive import external
from rear_core.archive.external import FileSystem, Found
from rear_core.archive.ticking import ticking
from rear_core.mounts import mount_points
from rear_drill.qemu import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed: tools/install test does that"),
]
needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")

PASSWORD = "a word of restic 1"
CONFIG = """\
BACKUP=RESTIC
RESTIC_PASSWORD_FILE={top}/password
"""


class Lab(engine.Lab):
    """The repository is in a folder unless something else is set."""

    plugin = rear_backup_restic
    config = CONFIG
    program = "restic"

    def __init__(self, top: Path, empty: Path) -> None:
        super().__init__(top)
        (top / "password").write_text(f"{PASSWORD}\n")
        (top / "password").chmod(0o600)
        self.folder = top / "place/restic"
        shutil.copytree(empty, self.folder)

    def restic(self, *words: str, repo: str = "") -> str:
        """What restic itself says."""
        environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "HOME": str(self.top)}
        argv = ["restic", "--repo", repo or str(self.folder), "--no-cache", *words]
        return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout

    def snapshots(self) -> list[snapshot.Snapshot]:
        return snapshot.read(self.restic("snapshots", "--json"))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new repository: to make one takes restic a second, as a guess of its password shall."""
    folder = tmp_path_factory.mktemp("empty") / "restic"
    environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
    subprocess.run(["restic", "--repo", folder, "--no-cache", "--quiet", "init"], env=environment, check=True)
    return folder


@pytest.fixture
def lab(tmp_path: Path, empty: Path) -> Lab:
    return Lab(tmp_path, empty)


settings_problem = partial(engine.settings_problem, rear_backup_restic)


@pytest.mark.parametrize(
    "address", ["", "web/1", "sftp:me@host:/place", "rest:https://host:8000/", "rclone:a:b", "s3:s3.a/b"]
)
def test_addresses_of_restic_are_taken_as_they_are(address: str) -> None:
    assert settings_problem("RESTIC_REPOSITORY", address) == ""


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/srv/restic", "BACKUP_URL=file:///FOLDER"),
        ("../restic", "below BACKUP_URL"),
        ("rest:https://me:secret@host/", "RESTIC_REST_PASSWORD"),
        ("rest:https://token@host/", "RESTIC_REST_PASSWORD"),
        ("sftp://me:secret@host//place", "password in its address"),
    ],
)
def test_other_addresses_are_refused_without_their_password(lab: Lab, address: str, said: str) -> None:
    lab.configure(f"RESTIC_REPOSITORY={address}\n")
    refused = lab.rear("mkbackuponly")
    assert refused.returncode == 2 and said in refused.stderr, refused.stderr
    assert "secret" not in refused.stderr and "token" not in refused.stderr


def test_lists_are_checked_before_anything_runs() -> None:
    assert settings_problem("RESTIC_KEEP", "daily", "7", "weekly", "4") == ""
    for wrong in (["7"], ["daily"], ["daily", "0"], ["daily", "x"], ["sometimes", "7"]):
        assert "daily 7 weekly 4" in settings_problem("RESTIC_KEEP", *wrong)
    assert settings_problem("RESTIC_ENVIRONMENT", "AWS_ACCESS_KEY_ID=x=y") == ""
    assert "NAME=value" in settings_problem("RESTIC_ENVIRONMENT", "AWS_ACCESS_KEY_ID")
    assert "RESTIC_PASSWORD_FILE" in settings_problem("RESTIC_ENVIRONMENT", "RESTIC_PASSWORD=x")


def test_patterns_leave_out_what_they_do_in_other_backups(lab: Lab) -> None:
    names = ["a/b", "a/x/b", "b/a", "a", "ab", "é/b", "*", "[", "a b", "$HOME", "#a", "a\nb", "-", "]", "x/-", "\\"]
    wanted = [
        "a*b", "a?b", "*b", "*/b", "a", "[!a]", "[^a]*b", r"\*", r"\[", r"[[:alpha:]]/b", "[a-b]", "x[!x]-", "$HOME",
        "#a", "a\nb", r"[]]", "[-]", r"\\", "?/?",
    ]  # fmt: skip
    tree = lab.data / "tree"
    for number in range(len(wanted)):
        for name in names:
            (tree / f"{number}" / name).parent.mkdir(parents=True, exist_ok=True)
            if not (tree / f"{number}" / name).is_dir():
                (tree / f"{number}" / f"{name}.d").mkdir(exist_ok=True)
                (tree / f"{number}" / name).write_text("")
    given = [f"{tree}/{number}/{pattern}" for number, pattern in enumerate(wanted)]
    options = [f"--exclude={one}" for pattern in given for one in excludes.translated(pattern)]
    lab.restic("backup", "--quiet", *options, str(tree))
    listed = (json.loads(line) for line in lab.restic("ls", "--json", "latest").splitlines())
    saved = {entry["path"] for entry in listed if entry.get("path", "").startswith(f"{tree}/")}
    here = {str(path) for path in tree.rglob("*")}
    assert saved == {path for path in here if not patterns.leaving_out(path, given)}


def test_too_many_wildcards_are_named() -> None:
    with pytest.raises(ConfigurationError, match="too many wildcards"):
        excludes.translated("/" + "a*" * 12 + "b")


def test_what_is_saved_comes_back(lab: Lab) -> None:
    odd = lab.data / "odd"
    odd.mkdir(mode=0o2750)
    for name in (b"\xff no text", b"line\nbreak", b"star*[x]", b"back\\slash"):
        Path(os.fsdecode(bytes(odd) + b"/" + name)).write_bytes(name)
    (odd / "owned").write_text("x")
    os.chown(odd / "owned", 12345, 54321)
    (odd / "owned").chmod(0o4751)
    os.link(odd / "owned", odd / "hard link")
    (odd / "link").symlink_to("nowhere")
    os.mkfifo(odd / "fifo", 0o640)
    os.mknod(odd / "null", 0o20666, os.makedev(1, 3))
    os.setxattr(odd / "owned", "trusted.note", b"by root")
    run = lab.save()
    assert "Saved " in terminal(run) and "as snapshot" in terminal(run) and run.report.warnings == []
    (lab.data / "one/file").write_text("second")
    run = lab.restore()
    assert run.recovery.missing == run.report.warnings == []
    assert (lab.restored / "one/file").read_text() == "first"
    assert (lab.restored / "large").read_bytes() == (lab.data / "large").read_bytes()
    assert not (lab.restored / "left out").exists()
    came = lab.restored / "odd"
    assert sorted(os.listdir(bytes(came))) == sorted(os.listdir(bytes(odd)))
    for path in odd.iterdir():
        was, now = path.lstat(), (came / path.name).lstat()
        facts = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_rdev", "st_mtime_ns")
        assert [getattr(now, fact) for fact in facts] == [getattr(was, fact) for fact in facts], path
    assert os.getxattr(came / "owned", "trusted.note") == b"by root"


@pytest.mark.long
def test_a_date_chooses_an_older_snapshot(lab: Lab) -> None:
    lab.save()
    (lab.data / "one/file").write_text("second")
    time.sleep(1.1)
    lab.save()
    old = lab.snapshots()[0]
    run = lab.restore()
    assert f"--backup DATE chooses another: {old.name}" in terminal(run)
    assert (lab.restored / "one/file").read_text() == "second"
    lab.demo = lab.top / "older"
    lab.restore(backup=old.name)
    assert (lab.restored / "one/file").read_text() == "first"
    with pytest.raises(Refused, match="is from 2020 or before"):
        lab.check(backup="2020")


def test_the_machine_tells_what_to_do_without_a_repository(lab: Lab) -> None:
    shutil.rmtree(lab.folder)
    with pytest.raises(Refused, match="there is no restic repository in ") as caught:
        rear_backup_restic.check_repository(lab.run())
    assert f"restic --repo {lab.folder} --password-file {lab.top}/password init" in caught.value.hint
    (lab.top / "place").rename(lab.top / "gone")
    with pytest.raises(Refused, match="there is no such folder"):
        rear_backup_restic.check_repository(lab.run())
    lab.configure("")
    with pytest.raises(ConfigurationError, match="knows no restic repository"):
        rear_backup_restic.check_repository(lab.run())


def test_a_place_that_is_mounted_has_to_be_mounted_for_that(lab: Lab) -> None:
    for url, command in (("nfs://host/export", "mount host:/export /mnt; restic --repo /mnt/restic "),
                         ("usb:///dev/sdb1", "mount /dev/sdb1 /mnt; restic --repo /mnt/rear/restic ")):  # fmt: skip
        lab.configure(f"BACKUP_URL={url}\n")
        made = repository.Repository(lab.run(), "/build/restic", url, {}, Path("/build/restic"))
        assert command in repository.how_to_create(made)


def test_the_password_opens_and_is_kept_private(lab: Lab) -> None:
    run = lab.run()
    rear_backup_restic.check_repository(run)
    assert "restic 0." in terminal(run)
    path = lab.top / "password"
    for text, mode, error, said in (
        ("another word of it", 0o600, Refused, "does not open"),
        (PASSWORD, 0o644, ConfigurationError, "can be read by others"),
        ("", 0o600, ConfigurationError, "is empty"),
        ("a\x07b", 0o600, ConfigurationError, "no keyboard types"),
    ):
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(error, match=said):
            rear_backup_restic.check_repository(lab.run())
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot read RESTIC_PASSWORD_FILE"):
        rear_backup_restic.check_repository(lab.run())
    with pytest.raises(ConfigurationError, match="RESTIC_PASSWORD_FILE is not set"):
        rear_backup_restic.check_repository(lab.run(config="RESTIC_PASSWORD_FILE=\n"))


def test_a_recovery_asks_for_the_password(lab: Lab) -> None:
    lab.save()
    (lab.top / "password").unlink()
    refused = lab.rear("-n", "recover", "--demo", f"{lab.demo}")
    assert refused.returncode == 3 and "set RESTIC_PASSWORD_FILE to a file on a disk" in refused.stderr
    for words, status in ((["", "wrong", PASSWORD], 0), (["wrong"] * 3, 3)):
        shutil.rmtree(lab.demo, ignore_errors=True)
        argv = lab.argv("recover", "--demo", f"{lab.demo}")
        with pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60) as console:
            for word in words:
                console.expect("Password of the restic repository: ")
                console.sendline(word)
            console.expect(pexpect.EOF)
            console.close()
            assert console.exitstatus == status
    assert not lab.demo.exists()


@pytest.mark.long
def test_only_old_snapshots_of_this_machine_go(lab: Lab) -> None:
    lab.restic("backup", "--quiet", "--host", "other", "--tag", "rear,rear-machine-1234", str(lab.data))
    lab.restic("backup", "--quiet", str(lab.data))
    kept = {each.id for each in lab.snapshots()}
    for number in range(3):
        (lab.data / "one/file").write_text(f"{number}")
        lab.save("BACKUP_KEEP=2\n")
    left = lab.snapshots()
    assert kept < {each.id for each in left} and len(left) == 4
    assert len(rear_backup_restic.snapshots(lab.run())) == 2
    lab.save("RESTIC_KEEP=( daily 1 )\n")
    (mine,) = rear_backup_restic.snapshots(lab.run())
    assert kept < {each.id for each in lab.snapshots()}
    shown = lab.run("backup-list")
    rear_backup_restic.list_backups(shown)
    assert [(each.name, each.state) for each in shown.kept] == [(mine.name, f"has {lab.data}")]


@pytest.mark.long
def test_a_snapshot_is_removed_when_somebody_agrees(lab: Lab) -> None:
    lab.save()
    (mine,) = rear_backup_restic.snapshots(lab.run())
    refused = lab.rear("backup", "forget", "2020-01-01T000000Z")
    assert refused.returncode == 3 and "there is no snapshot 2020-01-01T000000Z of this machine" in refused.stderr
    refused = lab.rear("-n", "backup", "forget", mine.name)
    assert refused.returncode == 3 and "only if somebody agrees" in refused.stderr
    for answer, left in (("no", 1), ("yes", 0)):
        argv = lab.argv("backup", "forget", mine.name)
        with pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60) as console:
            console.expect("There is no other snapshot of this machine")
            console.expect("Remove the snapshot")
            console.sendline(answer)
            console.expect(pexpect.EOF)
        assert len(lab.snapshots()) == left


def test_single_files_come_back(lab: Lab) -> None:
    (lab.data / "one/*").write_text("its name is no pattern")
    lab.save()
    wanted = (f"{lab.data}/one/*", f"{lab.data}/gone")
    run = lab.run("backup-restore", paths=wanted)
    rear_backup_restic.check_backup(run)
    with run.undo:
        rear_backup_restic.restore_some(run)
    assert run.recovery.missing == [f"1 files were not restored, the first is {lab.data}/gone"]
    assert [path.name for path in lab.restored.rglob("*")] == ["one", "*"]


@pytest.mark.long
def test_snapshots_of_other_machines_are_not_restored(lab: Lab) -> None:
    rear_backup_restic.record(lab.run())
    lab.restic("backup", "--quiet", "--host", "other", "--tag", "rear", str(lab.data))
    with pytest.raises(Refused, match=r"has no snapshot of .* that rear made, but of other"):
        lab.check()
    host = os.uname().nodename
    lab.restic("backup", "--quiet", "--host", host, "--tag", "rear,rear-machine-1234", str(lab.data))
    (lab.etc / "recovery/system.json").write_text(json.dumps({"identity": "5678", "system": {"hostname": host}}))
    with pytest.raises(Refused, match="of another machine: identity 1234, not 5678"):
        lab.check(demo=False)
    assert "identity 1234" in lab.check().report.warnings[0]


@pytest.mark.long
def test_a_snapshot_must_have_all_that_is_wanted(lab: Lab) -> None:
    run = lab.run("mkrescue")
    rear_backup_restic.record(run)
    rear_backup_restic.look_for_snapshot(run)
    assert "no backup of" in run.report.warnings[-1]
    lab.save()
    shutil.copytree(lab.data / "one", lab.top / "more")
    lab.more += f"BACKUP_PROG_INCLUDE+=( {lab.top}/more )\n"
    rear_backup_restic.record(lab.run())
    with pytest.raises(Refused, match=r"no backup of .*/more"):
        lab.check()


def test_files_that_cannot_be_read_are_a_warning(lab: Lab) -> None:
    lab.stand_in(
        """[ "$1" = backup ] || exec "$restic" "$@"
"$restic" "$@" || exit
echo '{"message_type":"error","error":{"Op":"read","Err":5},"during":"archival","item":"/data/bad"}' >&2
exit 3"""
    )
    run = lab.save()
    assert run.report.warnings == [
        "1 files are not saved, because restic could not read them: /data/bad: Input/output error; the log has all"
    ]
    assert len(lab.snapshots()) == 1


def test_a_path_that_restic_skips_is_an_error(lab: Lab) -> None:
    run = lab.run()
    rear_backup_restic.record(run)
    files = json.loads((lab.etc / "recovery/files.json").read_text())
    files["file_systems"].append({**files["file_systems"][0], "path": f"{lab.top}/gone"})
    (lab.etc / "recovery/files.json").write_text(json.dumps(files))
    with pytest.raises(RearError, match=r"has nothing of .*/gone|restic failed"):
        rear_backup_restic.save_files(run)


def largest(lab: Lab) -> Path:
    """The pack with the data."""
    return max((lab.folder / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)


def test_a_missing_pack_is_found_before_anything_is_written(lab: Lab) -> None:
    lab.save()
    largest(lab).unlink()
    with pytest.raises(Refused, match=r"damaged: .*pack .*does not exist"):
        lab.check()
    with pytest.raises(RearError, match="damaged"):
        lab.save()
    assert len(lab.snapshots()) == 2


@pytest.mark.long
def test_damage_inside_a_pack_is_found_by_reading_it(lab: Lab) -> None:
    lab.save()
    for number in range(20):
        (lab.data / f"small{number}").write_bytes(os.urandom(20_000))
    lab.save()
    pack = largest(lab)
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(pack.stat().st_size // 2)
        file.write(b"damaged")
    lab.check()
    with pytest.raises(Refused, match="damaged"):
        lab.check("BACKUP_CHECK=all\n")
    with pytest.raises(Refused, match="damaged"):
        rear_backup_restic.check_backup(lab.run("checkbackup"))
    run = lab.restore()
    (lack,) = run.recovery.missing
    assert "1 files were not restored as they were, the first is /" in lack and "verification failed" in lack


@pytest.mark.long
def test_files_must_fit(lab: Lab) -> None:
    lab.save()
    with small(lab.demo, "1M"), pytest.raises(Refused, match="free, but the backup needs"):
        lab.check()
    run = lab.check()
    with small(lab.demo, "1M"), pytest.raises(RearError, match="no space left on device"):
        rear_backup_restic.restore_files(run)


def test_a_repository_that_is_gone_is_named(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    lab.folder.rename(lab.top / "away")
    with pytest.raises(RearError, match=r"there is no restic repository|does not answer"):
        rear_backup_restic.restore_files(run)
    with pytest.raises(Refused, match="there is no restic repository"):
        lab.check()


def test_a_restore_that_gets_nothing_any_more_ends(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("restoreonly")
    run.backup = Found("x", (FileSystem(str(lab.data)),))
    started = time.monotonic()
    # A file system of its own: what comes is told by how full it is, and other tests fill theirs.
    with (
        small(lab.demo, "10M"),
        pytest.raises(RearError, match=r"no file came for 0\.02 minutes"),
        external.restoring(run, 1) as (client, _),
        ticking(client, 0.02) as slow,
    ):
        slow("sleep", "60")
    assert time.monotonic() - started < 20


def restics(word: str) -> list[str]:
    """The processes of restic with a word on their command line."""
    found = subprocess.run(["pgrep", "--full", f"^/usr/bin/restic.*{word}"], capture_output=True, text=True)
    return found.stdout.split()


@pytest.mark.long
@pytest.mark.parametrize("work", ["save", "restore"])
def test_an_interruption_leaves_nothing_behind(lab: Lab, work: str) -> None:
    lab.save()
    before = lab.snapshots()
    (lab.data / "large").write_bytes(os.urandom(3_000_000))
    lab.configure(f"BACKUP_URL=file://{lab.top}/place\nRESTIC_OPTIONS=( --limit-upload=100 --limit-download=200 )\n")
    words = ["mkbackuponly"] if work == "save" else ["-n", "recover", "--demo", f"{lab.demo}"]
    name = {"save": f"backup.*{lab.top}", "restore": f"restore.*{lab.top}"}[work]
    with subprocess.Popen(lab.argv(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if restics(name):
                break
            time.sleep(0.05)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    assert restics(name) == []
    assert lab.snapshots() == before
    lab.configure(f"BACKUP_URL=file://{lab.top}/place\n")
    shutil.rmtree(lab.demo, ignore_errors=True)
    run = lab.save()
    assert run.report.warnings == [] and not list((lab.folder / "locks").iterdir())
    assert lab.restore().recovery.missing == []


@contextmanager
def rest_server(lab: Lab, *more: str) -> Iterator[str]:
    """The address of a REST server, which rclone is; `more` options of it."""
    port = free_port()
    argv = ["rclone", "serve", "restic", "--addr", f"127.0.0.1:{port}", *more, str(lab.top / "place")]
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(
                lambda: (
                    subprocess.run(["bash", "-c", f": </dev/tcp/127.0.0.1/{port}"], capture_output=True).stderr == b""
                )
            )
            yield f"127.0.0.1:{port}/restic/"
        finally:
            process.kill()


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.long
@needs_rclone
def test_on_a_rest_server_with_a_password(lab: Lab) -> None:
    with rest_server(lab, "--user", "me", "--pass", "secret#1") as address:
        login = "RESTIC_ENVIRONMENT=( RESTIC_REST_USERNAME=me RESTIC_REST_PASSWORD='secret#1' )\n"
        lab.configure(f"RESTIC_REPOSITORY=rest:http://{address}\n")
        with pytest.raises(Refused, match="does not answer"):
            rear_backup_restic.check_repository(lab.run())
        rear_backup_restic.check_repository(lab.run(config=login))
        run = lab.save(login)
        assert "secret" not in terminal(run)
        # The media have the names alone.
        assert "secret" not in (lab.etc / "recovery/restic.json").read_text()
        with pytest.raises(Refused, match="RESTIC_REST_USERNAME, RESTIC_REST_PASSWORD of RESTIC_ENVIRONMENT are not"):
            lab.check()
        assert lab.restore(login).recovery.missing == []
    with pytest.raises(Refused, match="does not answer"):
        lab.check(login)


@pytest.mark.long
@needs_rclone
def test_a_restore_does_not_wait_for_a_lock_of_others(lab: Lab) -> None:
    with rest_server(lab) as address:
        lab.configure(f"RESTIC_REPOSITORY=rest:http://{address}\n")
        lab.save()
        environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
        argv = ["restic", "--repo", str(lab.folder), "--no-cache", "check", "--read-data", "--limit-download=100"]
        with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL) as other:
            wait_until(lambda: any((lab.folder / "locks").iterdir()))
            run = lab.restore()
            other.kill()
    assert "restoring without a lock" in run.report.warnings[0] and run.recovery.missing == []
    # That of a process that is gone is no obstacle to the next save.
    lab.configure(f"BACKUP_URL=file://{lab.top}/place\n")
    assert lab.save().report.warnings == []


def test_by_sftp(lab: Lab) -> None:
    work = lab.top / "sshd"
    work.mkdir()
    with servers.sshd(work) as server:
        options = " ".join(f"-o {option}" for option in server.options.split(","))
        command = f"sftp.command=ssh -p {server.port} {options} root@127.0.0.1 -s sftp"
        lab.configure(f"RESTIC_REPOSITORY=sftp:root@127.0.0.1:{lab.folder}\nRESTIC_OPTIONS=( --option '{command}' )\n")
        rear_backup_restic.check_repository(lab.run())
        lab.save()
        assert lab.restore().recovery.missing == []
    with pytest.raises(RearError):
        lab.check()


@pytest.mark.long
@needs_rclone
def test_by_rclone(lab: Lab) -> None:
    lab.configure(f"RESTIC_REPOSITORY=rclone:lab:{lab.folder}\nRESTIC_ENVIRONMENT=( RCLONE_CONFIG_LAB_TYPE=local )\n")
    rear_backup_restic.check_repository(lab.run())
    lab.save()
    assert lab.restore().recovery.missing == []


@pytest.mark.parametrize(
    ("config", "programs", "files"),
    [
        ("BACKUP_URL=file:///srv\n", {"restic"}, set()),
        ("BACKUP_URL=nfs://host/export\n", {"restic", "mount.nfs"}, set()),
        ("RESTIC_REPOSITORY=sftp:host:/x\n", {"restic", "ssh"}, {"/root/.ssh/known_hosts"}),
        ("RESTIC_REPOSITORY=rclone:a:b\n", {"restic", "rclone"}, {"/etc/ssl/certs/ca-certificates.crt"}),
        ("RESTIC_REPOSITORY=rest:https://host/\n", {"restic"}, {"/etc/ssl/certs/ca-certificates.crt"}),
    ],
)
def test_media_carry_what_the_address_needs(lab: Lab, config: str, programs: set[str], files: set[str]) -> None:
    lab.configure(config)
    contents = rear_backup_restic.rear_rescue_contents(lab.run())
    assert programs <= {*contents.programs} and files <= {*contents.files}
    assert {f"{lab.top}/password", "/root/.config/rclone/rclone.conf"} <= {*contents.secrets}


def test_a_newer_restic_gets_the_options_that_it_has(lab: Lab) -> None:
    run = lab.run()
    made = repository.Repository(run, "/x", "x", {})
    lab.stand_in("exec echo 'restic 0.14.0 compiled with go1.19'")
    assert repository.version(run) == (0, 14, 0) and not made.waiting() and not restoring.knows_holes(run)
    lab.stand_in("exec echo 'restic 0.18.0 compiled with go1.24'")
    assert made.waiting() == ["--retry-lock", "10m"] and restoring.knows_holes(run)


@pytest.mark.parametrize(
    ("status", "said", "kind", "message"),
    [
        (12, "Fatal: wrong password or no key found", repository.WrongPassword, "does not open"),
        (11, "unable to create lock in backend: repository is already locked by PID 1", repository.Locked, "locked"),
        (10, "Fatal: repository does not exist: unable to open config file", Absent, "there is no restic repository"),
        (1, "Fatal: unable to open config file: dial tcp: refused\nIs there a repository at", Refused, "not answer"),
        (1, "Fatal: the disk is on fire", RearError, "restic failed: the disk is on fire"),
    ],
)
def test_errors_are_told_by_status_and_words(
    lab: Lab, status: int, said: str, kind: type[RearError], message: str
) -> None:
    made = replace(repository.Repository(lab.run(), "/x", "x", {}), folder=lab.folder)
    error = repository.failure(made, ProgramFailed(["restic"], status, said))
    assert type(error) is kind and message in error.message


def test_snapshots_are_shown_as_folders_until_somebody_unmounts_them(lab: Lab) -> None:
    lab.save()
    with lab.shown() as (folder, _):
        (file,) = folder.glob(f"snapshots/2*{lab.data}/one/file")
        assert file.read_text() == "first"
        with pytest.raises(OSError):
            (folder / "new").touch()


def test_an_interrupted_view_leaves_nothing_mounted(lab: Lab) -> None:
    lab.save()
    with lab.shown(130) as (folder, running):
        assert folder.is_mount()
        running.terminate()
        running.wait(60)
        assert not any(point.target.startswith(f"{lab.top}") for point in mount_points())
