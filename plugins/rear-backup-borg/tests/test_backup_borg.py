# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=BORG with the real borg: in folders, and on a real sshd, also one that only lets it append."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

import rear_backup_borg
from lab.borg import NEEDS_BORG, PASSPHRASE, SLOW, Lab, settings_problem
from lab.engine import small, terminal, wait_until
from rear_backup_borg import client, excludes, failures, repository, saving, segments
from rear_core import Absent, ConfigurationError, Contents, ProgramFailed, RearError, Refused, patterns
from rear_core.archive.progress import Progress
from rear_core.builtin import build
from rear_core.contents import merge
from rear_core.report import Report
from rear_core.rescue import check
from rear_core.rescue.programs import LIBRARIES
from rear_core.rescue.tree import Tree

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(180), NEEDS_BORG]

# What the kernel keeps of `setfacl --modify user:12346:rw`: a version, and kind, rights and id of each entry.
ACL = "system.posix_acl_access"
WHO = ((0x01, 7, NOBODY := 0xFFFFFFFF), (0x02, 6, 12346), (0x04, 5, NOBODY), (0x10, 7, NOBODY), (0x20, 1, NOBODY))
ENTRIES = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in WHO)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> Lab:
    return Lab(tmp_path, empty=True)


@pytest.mark.parametrize("address", ["", "web/1", "ssh://me@host:22/./place", "me@host:place", "host:place", "a b"])
def test_addresses_of_borg_are_taken_as_they_are(address: str) -> None:
    assert settings_problem("BORG_REPOSITORY", address) == ""


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/srv/borg", "BACKUP_URL=file:///FOLDER"),
        ("../borg", "below BACKUP_URL"),
        ("ssh://me:secret@host/place", "password in its address"),
        ("me@host:place::archive", "rear names archives itself"),
        ("https://host/place", "must be ssh://"),
    ],
)
def test_other_addresses_are_refused_without_their_password(address: str, said: str) -> None:
    assert said in settings_problem("BORG_REPOSITORY", address)
    assert "secret" not in settings_problem("BORG_REPOSITORY", address)


def test_lists_are_checked_before_anything_runs() -> None:
    assert settings_problem("BORG_KEEP", "daily", "7", "weekly", "4") == ""
    for wrong in (["7"], ["daily"], ["daily", "0"], ["daily", "x"], ["sometimes", "7"]):
        assert "daily 7 weekly 4" in settings_problem("BORG_KEEP", *wrong)
    assert settings_problem("BORG_COMPRESSION", "auto,zstd,10") == ""
    assert "zstd,LEVEL" in settings_problem("BORG_COMPRESSION", "best")


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
    given += ["*/data/tree/0/x*", "?*/tree/1/ab", "tree", "*" + "/0/b"]
    options = [f"--exclude={one}" for pattern in given for one in excludes.translated(pattern)]
    lab.borg("create", *options, f"{lab.folder}::x", str(tree))
    listed = lab.borg("list", "--format", "/{path}{NUL}", f"{lab.folder}::x").split("\0")
    here = {str(path) for path in tree.rglob("*")}
    assert {path for path in listed if path.startswith(f"{tree}/")} == {
        path for path in here if not patterns.leaving_out(path, given)
    }


def test_what_is_saved_comes_back(lab: Lab) -> None:
    odd = lab.data / "odd"
    odd.mkdir(mode=0o2750)
    for name in (b"\xff no text", b"line\nbreak", b"star*[x]", b"back\\slash", b"{now}"):
        Path(os.fsdecode(bytes(odd) + b"/" + name)).write_bytes(name)
    (odd / "owned").write_text("x")
    os.chown(odd / "owned", 12345, 54321)
    (odd / "owned").chmod(0o4771)
    os.link(odd / "owned", odd / "hard link")
    (odd / "link").symlink_to("nowhere")
    os.mkfifo(odd / "fifo", 0o640)
    os.mknod(odd / "null", 0o20666, os.makedev(1, 3))
    os.setxattr(odd / "owned", "trusted.note", b"by root")
    with (odd / "sparse").open("wb") as file:
        file.truncate(50_000_000)
        file.write(b"begin")
    os.setxattr(odd / "owned", ACL, ENTRIES)
    run = lab.save()
    assert "Saved " in terminal(run) and f" as {os.uname().nodename}-20" in terminal(run) and run.report.warnings == []
    (lab.data / "one/file").write_text("second")
    run = lab.restore()
    assert run.recovery.missing == run.report.warnings == []
    assert "The archive is complete: " in terminal(run) and " files were read" in terminal(run)
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
    # Holes come back in pieces of 8 MiB.
    assert (came / "sparse").stat().st_blocks * 512 < 20_000_000
    assert os.getxattr(came / "owned", ACL) == ENTRIES
    assert not list(lab.folder.glob("lock*"))


def test_the_machine_tells_what_to_do_without_a_repository(lab: Lab) -> None:
    shutil.rmtree(lab.folder)
    with pytest.raises(Refused, match="there is no Borg repository in ") as caught:
        rear_backup_borg.check_repository(lab.run())
    shown = f"BORG_PASSCOMMAND='cat {lab.top}/passphrase' borg init --encryption repokey-blake2 {lab.folder}"
    assert shown in caught.value.hint
    subprocess.run(["sh", "-c", shown], env={**os.environ, "BORG_BASE_DIR": f"{lab.top}"}, check=True, timeout=60)
    rear_backup_borg.check_repository(lab.run())
    (lab.top / "place").rename(lab.top / "gone")
    with pytest.raises(Refused, match="there is no such folder"):
        rear_backup_borg.check_repository(lab.run())
    lab.configure("")
    with pytest.raises(ConfigurationError, match="knows no Borg repository"):
        rear_backup_borg.check_repository(lab.run())


def test_a_place_that_is_mounted_has_to_be_mounted_for_that(empty: Lab) -> None:
    for url, command in (("nfs://host/export", "mount host:/export /mnt; "), ("usb:///dev/sdb1", "/mnt/rear/borg; ")):
        empty.configure(f"BACKUP_URL={url}\n")
        made = repository.Repository(empty.run(), "/build/borg", url, {}, Path("/build/borg"))
        assert command in repository.how_to_create(made)


def test_the_passphrase_opens_and_is_kept_private(lab: Lab) -> None:
    run = lab.run()
    rear_backup_borg.check_repository(run)
    assert "borg 1." in terminal(run) and "encryption repokey-blake2" in terminal(run)
    path = lab.top / "passphrase"
    for text, mode, error, said in (
        ("another word of it", 0o600, Refused, "does not open"),
        (PASSPHRASE, 0o644, ConfigurationError, "can be read by others"),
        ("", 0o600, ConfigurationError, "is empty"),
        ("a\x07b", 0o600, ConfigurationError, "no keyboard types"),
    ):
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(error, match=said):
            rear_backup_borg.check_repository(lab.run())
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot read BORG_PASSPHRASE_FILE"):
        rear_backup_borg.check_repository(lab.run())
    with pytest.raises(Refused, match=r"does not open|is encrypted"):
        rear_backup_borg.check_repository(lab.run(config="BORG_PASSPHRASE_FILE=\n"))


@pytest.mark.long
def test_a_recovery_asks_for_the_passphrase(lab: Lab) -> None:
    lab.save()
    (lab.top / "passphrase").unlink()
    refused = lab.rear("-n", "recover", "--demo", f"{lab.demo}")
    assert refused.returncode == 3 and "set BORG_PASSPHRASE_FILE to a file on a disk" in refused.stderr
    for words, status in ((["", "wrong", PASSPHRASE], 0), (["wrong"] * 3, 3)):
        shutil.rmtree(lab.demo, ignore_errors=True)
        argv = lab.argv("recover", "--demo", f"{lab.demo}")
        with pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60) as console:
            for word in words:
                console.expect("Passphrase of the Borg repository: ")
                console.sendline(word)
            console.expect(pexpect.EOF)
            console.close()
            assert console.exitstatus == status
    assert not lab.demo.exists()
    assert PASSPHRASE not in (lab.top / "log").read_text(errors="replace")


def test_an_unencrypted_repository_is_used_only_where_nobody_set_a_passphrase(empty: Lab) -> None:
    empty.borg("init", "--encryption=none", str(empty.folder))
    bare = "BORG_PASSPHRASE_FILE=\n"
    empty.save(bare)
    # borg knows it now, and would take it with a passphrase, too.
    with pytest.raises(Refused, match=r"is not encrypted, although .* somebody may have replaced it"):
        rear_backup_borg.check_repository(empty.run())
    with pytest.raises(Refused, match="somebody may have replaced it"):
        empty.check()
    assert empty.restore(bare).recovery.missing == []


@pytest.mark.long
def test_the_key_of_a_repository_has_to_be_on_the_media(empty: Lab) -> None:
    empty.borg("init", "--encryption=keyfile-blake2", str(empty.folder))
    with pytest.raises(ConfigurationError, match="which the rescue media would not carry") as caught:
        rear_backup_borg.check_repository(empty.run())
    (key,) = (empty.top / ".config/borg/keys").iterdir()
    assert f"RESCUE_ALLOW_SECRETS+=( {key} )" in caught.value.hint
    rear_backup_borg.check_repository(empty.run(config=f"RESCUE_ALLOW_SECRETS=( {key} )\n"))
    rear_backup_borg.check_repository(empty.run(config=f"BORG_KEYS_DIR={key.parent}\n"))
    key.rename(empty.top / "kept")
    with pytest.raises(Refused, match=r"the key of .* is not here") as missing:
        rear_backup_borg.check_repository(empty.run())
    assert "borg key import" in missing.value.hint


@pytest.mark.long
def test_single_files_come_back(lab: Lab) -> None:
    (lab.data / "one/*").write_text("its name is no pattern")
    lab.save()
    wanted = (f"{lab.data}/one/*", f"{lab.data}/gone")
    run = lab.run("backup-restore", paths=wanted)
    rear_backup_borg.check_backup(run)
    with run.undo:
        rear_backup_borg.restore_some(run)
    assert run.recovery.missing == [f"1 files were not restored, the first is {lab.data}/gone"]
    assert [path.name for path in lab.restored.rglob("*")] == ["one", "*"]
    run = lab.run("backup-restore", paths=("/",))
    rear_backup_borg.check_backup(run)
    with run.undo:
        rear_backup_borg.restore_some(run)
    assert (lab.restored / "one/file").read_text() == "first"


def test_files_that_cannot_be_read_are_a_warning(lab: Lab) -> None:
    lab.stand_in(
        """if [ "$1" = create ]; then
"$borg" "$@" || exit
echo '{"type": "log_message", "levelname": "WARNING", "message": "/data/bad: read: [Errno 5] Input/output error"}' >&2
echo '{"type": "log_message", "levelname": "WARNING", "message": "/data/log: file changed while we backed it up"}' >&2
exit 1
fi"""
    )
    assert lab.save().report.warnings == [
        "1 files are not saved as they are, because borg could not read them: /data/bad: read: [Errno 5] Input/output"
        " error; the log has all",
        "1 files changed while borg saved them: /data/log; the log has all",
    ]
    assert len(lab.archives()) == 1


@pytest.mark.long
def test_a_path_that_borg_skips_is_an_error(lab: Lab) -> None:
    run = lab.run()
    rear_backup_borg.record(run)
    files = json.loads((lab.etc / "recovery/files.json").read_text())
    files["file_systems"].append({**files["file_systems"][0], "path": f"{lab.top}/gone"})
    (lab.etc / "recovery/files.json").write_text(json.dumps(files))
    with pytest.raises(RearError, match=r"has nothing of .*/gone"):
        rear_backup_borg.save_files(run)


def test_missing_data_is_found_before_anything_is_written(lab: Lab) -> None:
    lab.save()
    segment = lab.largest()
    segment.rename(lab.top / "away")
    number = segment.name
    assert f"1 of 2 files of its data: {number} is missing" in segments.problem(lab.folder)
    with pytest.raises(Refused, match=f"damaged: 1 of .*: {number} is missing"):
        lab.check()
    # borg itself would not notice.
    with pytest.raises(RearError, match="damaged"):
        lab.save()
    shutil.copy(lab.top / "away", segment)
    assert len(lab.archives()) == 1
    os.truncate(segment, segment.stat().st_size // 2)
    with pytest.raises(Refused, match=f"{number} is cut off at "):
        lab.check()


@pytest.mark.long
@pytest.mark.parametrize("name", ["small", "small\n", "small\udcff#["])
def test_a_damaged_file_costs_that_file_alone(lab: Lab, name: str) -> None:
    (lab.data / "large").unlink()
    for number in range(30):
        (lab.data / f"{name}{number}").write_bytes(os.urandom(20_000))
    lab.save()
    run = lab.check()
    lab.damage(0.3, 0.6)
    with pytest.raises(Refused, match=r"(?s)damaged: /.*checksum mismatch"):
        lab.check("BACKUP_CHECK=all\n")
    with pytest.raises(Refused, match="damaged"):
        rear_backup_borg.check_backup(lab.run("checkbackup"))
    with run.undo:
        rear_backup_borg.restore_files(run)
    (lack,) = run.recovery.missing
    assert " files were not restored as they were, the first is /" in lack and "checksum mismatch" in lack
    failed = int(lack.split()[0])
    was, came = (
        {path.name: path.read_bytes() for path in top.glob("[ls]*") if path.is_file()}
        for top in (lab.data, lab.restored)
    )
    same = [name for name, content in came.items() if content == was[name]]
    assert 1 <= failed <= 2 and len(same) == len(was) - failed


@pytest.mark.long
def test_a_repository_that_is_gone_is_named(lab: Lab) -> None:
    lab.save()
    run = lab.check()
    lab.folder.rename(lab.top / "away")
    with pytest.raises(RearError, match="there is no Borg repository"):
        rear_backup_borg.restore_files(run)
    with pytest.raises(Refused, match="there is no Borg repository"):
        lab.check()


@pytest.mark.parametrize(
    ("id", "status", "kind", "message"),
    [
        ("PassphraseWrong", 2, failures.WrongPassphrase, "does not open"),
        ("LockTimeout", 2, failures.Locked, "is locked"),
        ("Repository.DoesNotExist", 2, Absent, "there is no Borg repository"),
        ("ConnectionClosed", 2, Refused, "does not answer: ssh: no route"),
        ("Cache.EncryptionMethodMismatch", 2, Refused, "is not encrypted, although"),
        ("Archive.DoesNotExist", 2, RearError, "borg failed: it said so"),
        ("", 124, Refused, "does not answer"),
    ],
)
def test_errors_are_told_by_their_names(empty: Lab, id: str, status: int, kind: type[RearError], message: str) -> None:
    said = [
        {"type": "log_message", "levelname": "WARNING", "message": "Remote: ssh: no route"},
        {"type": "log_message", "levelname": "ERROR", "message": "it said so", "msgid": id},
    ]
    made = replace(repository.Repository(empty.run(), "/x", "x", {}), folder=empty.folder)
    error = made.failed(ProgramFailed(["borg"], status, "\n".join(map(json.dumps, said)) if id else ""))
    assert type(error) is kind and message in error.message


def test_only_borg_1_is_known(empty: Lab) -> None:
    run = empty.run()
    assert client.version(run) >= (1, 2)
    for said in ("borg 1.1.16", "borg 2.0.0b14", "something else"):
        empty.stand_in(f"echo '{said}'; exit")
        with pytest.raises(RearError, match="does not know"):
            client.version(run)


def test_borg_runs_in_the_rescue_system(empty: Lab) -> None:
    keys = empty.top / "keys"
    keys.mkdir()
    for name in ("ours", "other"):
        (keys / name).write_text("a key")
    run = empty.run("mkrescue", f"BORG_KEYS_DIR={keys}\nRESCUE_ALLOW_SECRETS=( {keys}/ours )\n")
    contents = rear_backup_borg.rear_rescue_contents(run)
    assert {"borg", "/usr/bin/python3"} <= {*contents.programs}
    assert {f"{empty.top}/passphrase", f"{keys}/*"} <= {*contents.secrets}
    run.contents = merge([contents, Contents(programs=["sh", "ldconfig"], libraries=LIBRARIES)])
    run.rootfs_dir.mkdir()
    tree = Tree(run.rootfs_dir)
    tree.directory("/tmp", 0o1777)
    tree.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    for place in ("/bin", "/lib", "/lib64", "/usr/bin"):
        tree.add_place(place)
    for step in (build.take_programs, build.take_python, build.take_files):
        step(run)
    check.write_loader_cache(run.sh, tree)
    rear_backup_borg.check_rescue(run)
    # borg's own pages of help show how to set a passphrase.
    build.check_secrets(run)
    assert [path.name for path in tree.inside(keys).iterdir()] == ["ours"]
    key = {"BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": "/tmp"}
    for words in (
        ["init", "-e", "repokey-blake2", "/tmp/x"],
        ["create", "/tmp/x::x", "/etc"],
        ["extract", "/tmp/x::x"],
    ):
        said = run.sh.run("chroot", run.rootfs_dir, "borg", *words, env=key, ok=range(3))
        assert said.status == 0, said.output
    shutil.rmtree(run.rootfs_dir / "usr/lib/python3/dist-packages/msgpack")
    with pytest.raises(RearError, match=r"borg does not run inside the rescue system: .*msgpack"):
        rear_backup_borg.check_rescue(run)


@pytest.mark.parametrize(
    ("config", "programs", "files"),
    [
        ("BACKUP_URL=file:///srv\n", {"borg"}, set()),
        ("BACKUP_URL=nfs://host/export\n", {"borg", "mount.nfs"}, set()),
        ("BORG_REPOSITORY=host:x\n", {"borg", "ssh"}, {"/root/.ssh/known_hosts"}),
    ],
)
def test_media_carry_what_the_address_needs(empty: Lab, config: str, programs: set[str], files: set[str]) -> None:
    empty.configure(config)
    contents = rear_backup_borg.rear_rescue_contents(empty.run())
    assert programs <= {*contents.programs} and files <= {*contents.files}


@pytest.mark.long
def test_a_date_chooses_an_older_archive(lab: Lab) -> None:
    lab.save()
    (lab.data / "one/file").write_text("second")
    lab.save()
    old = lab.archives()[0]
    run = lab.restore()
    assert f"--backup DATE chooses another: {old.name}" in terminal(run)
    assert (lab.restored / "one/file").read_text() == "second"
    lab.demo = lab.top / "older"
    lab.restore(backup=old.name)
    assert (lab.restored / "one/file").read_text() == "first"
    with pytest.raises(Refused, match="is from 2020 or before"):
        lab.check(backup="2020")


@pytest.mark.long
def test_only_old_archives_of_this_machine_go(lab: Lab) -> None:
    host = os.uname().nodename
    for title in ("other-2026-11-01T000000Z", f"{host}-by-hand", f"{host}-1-2026-11-01T000000Z"):
        lab.foreign(title)
    kept = set(lab.titles())
    for number in range(3):
        (lab.data / "one/file").write_text(f"{number}")
        lab.save("BACKUP_KEEP=2\n")
    left = set(lab.titles())
    assert kept < left and len(left) == 5
    lab.borg("create", f"{lab.folder}::{host}-2026-11-01T000000Z.checkpoint", str(lab.etc))
    lab.save("BORG_KEEP=( daily 1 )\n")
    assert kept < set(lab.titles()) and len(lab.titles()) == 4
    shown = lab.run("backup-list")
    rear_backup_borg.list_backups(shown)
    (mine,) = shown.kept
    assert mine.state == f"has {lab.data}"
    # borg prunes by names alone: where those of another machine would go, nothing does.
    lab.foreign(f"{host}-2026-11-01T000000Z")
    (lab.etc / "recovery/system.json").write_text(json.dumps({"identity": "5678", "system": {"hostname": host}}))
    before = set(lab.titles())
    run = lab.save("BORG_KEEP=( daily 1 )\n")
    assert "old archives stay: others" in run.report.warnings[0]
    assert before < set(lab.titles())


@pytest.mark.long
def test_an_archive_is_removed_when_somebody_agrees(lab: Lab) -> None:
    lab.save()
    (mine,) = lab.archives()
    refused = lab.rear("backup", "forget", "2020-01-01T000000Z")
    assert refused.returncode == 3 and "there is no archive 2020-01-01T000000Z of this machine" in refused.stderr
    refused = lab.rear("-n", "backup", "forget", mine.name)
    assert refused.returncode == 3 and "only if somebody agrees" in refused.stderr
    for answer, left in (("no", 1), ("yes", 0)):
        argv = lab.argv("backup", "forget", mine.name)
        with pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60) as console:
            console.expect("There is no other archive of this machine")
            console.expect("Remove the archive")
            console.sendline(answer)
            console.expect(pexpect.EOF)
        assert len(lab.archives()) == left


@pytest.mark.long
def test_archives_of_other_machines_are_not_restored(lab: Lab) -> None:
    rear_backup_borg.record(lab.run())
    lab.foreign("other-2026-11-01T000000Z", lab.data)
    with pytest.raises(Refused, match=r"has no archive of .* that rear made, but of other"):
        lab.check()
    host = os.uname().nodename
    lab.foreign(f"{host}-2026-11-01T000000Z", lab.data)
    (lab.etc / "recovery/system.json").write_text(json.dumps({"identity": "5678", "system": {"hostname": host}}))
    with pytest.raises(Refused, match="of another machine: identity 1234, not 5678"):
        lab.check(demo=False)
    assert "identity 1234" in lab.check().report.warnings[0]


@pytest.mark.long
def test_an_archive_must_have_all_that_is_wanted(lab: Lab) -> None:
    run = lab.run("mkrescue")
    rear_backup_borg.record(run)
    rear_backup_borg.look_for_archive(run)
    assert "no backup of" in run.report.warnings[-1]
    lab.save()
    shutil.copytree(lab.data / "one", lab.top / "more")
    lab.more += f"BACKUP_PROG_INCLUDE+=( {lab.top}/more )\n"
    rear_backup_borg.record(lab.run())
    with pytest.raises(Refused, match=r"no backup of .*/more"):
        lab.check()


@pytest.mark.long
def test_files_must_fit(lab: Lab) -> None:
    lab.save()
    with small(lab.demo, "1M"), pytest.raises(Refused, match="free, but the backup needs"):
        lab.check()
    run = lab.check()
    with small(lab.demo, "1M"), pytest.raises(RearError, match="no space left on device"):
        rear_backup_borg.restore_files(run)


@pytest.mark.long
def test_a_lock_of_another_machine_is_waited_for_and_never_broken(lab: Lab) -> None:
    lab.save()
    lock = lab.folder / "lock.exclusive"
    (lock / "other@123456789012.4711-0").parent.mkdir()
    (lock / "other@123456789012.4711-0").touch()
    # Only who changes something needs it.
    assert lab.restore().recovery.missing == []
    with pytest.raises(RearError, match="is locked") as caught:
        lab.save()
    assert f"borg break-lock file://{lab.top}/place/borg" in caught.value.hint
    assert lock.is_dir()


@pytest.mark.long
def test_a_save_whose_old_archives_stay_is_one(lab: Lab) -> None:
    error = '{"type": "log_message", "levelname": "ERROR", "message": "no"}'
    lab.stand_in(f"if [ \"$1\" = prune ]; then echo '{error}' >&2; exit 2; fi")
    run = lab.save()
    assert "old archives were not removed and take up room: borg failed: no" in run.report.warnings[0]
    assert len(lab.archives()) == 1


@pytest.mark.long
def test_by_ssh_to_a_server_that_only_lets_it_append(lab: Lab) -> None:
    with lab.sshd("--append-only") as config:
        lab.configure(config)
        rear_backup_borg.check_repository(lab.run())
        lab.save()
        run = lab.save("BACKUP_KEEP=1\n")
        # It lets borg remove archives from the list, and keeps their data.
        assert run.report.warnings == [] and len(lab.archives()) == 1
        assert lab.restore().recovery.missing == []
        with pytest.raises(RearError, match=r"there is no Borg repository|path not allowed|does not answer"):
            lab.check(f"BORG_REPOSITORY=ssh://root@127.0.0.1:{lab.port}/{lab.top}/other\n")
    with pytest.raises(Refused, match=r"does not answer: "):
        lab.check()


@pytest.mark.long
def test_damage_on_a_server_costs_that_file_alone(lab: Lab) -> None:
    for number in range(30):
        (lab.data / f"small{number}").write_bytes(os.urandom(20_000))
    with lab.sshd() as config:
        lab.configure(config)
        lab.save()
        run = lab.check()
        lab.damage(0.3)
        with pytest.raises(Refused, match="damaged: /"):
            lab.check()
        with run.undo:
            rear_backup_borg.restore_files(run)
        (lack,) = run.recovery.missing
        assert lack.startswith("1 files were not restored as they were")


@pytest.mark.long
def test_a_server_that_dies_in_a_restore_is_named(lab: Lab) -> None:
    (lab.data / "large").write_bytes(os.urandom(100_000_000))
    with lab.sshd() as config:
        lab.configure(config)
        lab.save()
        run = lab.check()
        with pytest.raises(RearError, match=r"does not answer|no file came"), lab.dying_server():
            rear_backup_borg.restore_files(run)


@pytest.mark.long
def test_a_server_that_is_silent_ends_a_restore(lab: Lab) -> None:
    (lab.data / "large").write_bytes(os.urandom(50_000_000))
    # A file system of its own: what comes is told by how full it is.
    with lab.sshd() as config, small(lab.demo, "200M"):
        lab.configure(config)
        lab.save()
        run = lab.check("BACKUP_STALL_MINUTES=1\n")
        with pytest.raises(RearError, match=r"no file came for 1 minutes"), lab.dying_server(signal.SIGSTOP):
            rear_backup_borg.restore_files(run)
    assert lab.borgs("extract") == []


@pytest.mark.long
@pytest.mark.parametrize("work", ["save", "restore"])
def test_an_interruption_leaves_nothing_behind(lab: Lab, work: str) -> None:
    with lab.sshd() as config:
        lab.configure(config)
        lab.save()
        before = lab.archives()
        (lab.data / "large").write_bytes(os.urandom(100_000_000))
        if work == "restore":
            lab.save()
            before = lab.archives()
        lab.configure(config + (SLOW if work == "save" else ""))
        words = ["mkbackuponly"] if work == "save" else ["-n", "recover", "--demo", f"{lab.demo}"]
        name = {"save": "create", "restore": "extract --log-json --list --numeric"}[work]
        with subprocess.Popen(lab.argv(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: lab.borgs(name))
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 130
        assert lab.borgs(name) == []
        assert lab.archives() == before
        lab.configure(config)
        shutil.rmtree(lab.demo, ignore_errors=True)
        assert lab.save().report.warnings == []
        assert lab.restore().recovery.missing == []
    assert not [title for title in lab.titles() if "checkpoint" in title]


# borg runs by the Python of its distribution.
NO_FUSE = subprocess.run(["/usr/bin/python3", "-c", "import pyfuse3"], capture_output=True).returncode != 0


@pytest.mark.skipif(NO_FUSE, reason="python3-pyfuse3 is not installed: tools/install test does that")
def test_archives_are_shown_as_folders_until_somebody_unmounts_them(lab: Lab) -> None:
    lab.save()
    with lab.shown() as (folder, _):
        (file,) = folder.glob(f"*-2*{lab.data}/one/file")
        assert file.read_text() == "first"
        with pytest.raises(OSError):
            (folder / "new").touch()


def test_locks_that_were_left_are_no_files_that_were_not_saved() -> None:
    messages = saving.Messages(Progress(Report(terminal=io.StringIO()), "Saving", 0))
    removed = "Killed stale lock host@1.2-0."
    for name, text in (("borg.locking", removed), ("borg.archiver", "/x: open: [Errno 13] Permission denied: 'x'")):
        line = {"type": "log_message", "levelname": "WARNING", "name": name, "message": text}
        assert messages.keep(json.dumps(line))
    assert messages.missed == ["/x: open: [Errno 13] Permission denied: 'x'"] and messages.changed == []
