# SPDX-License-Identifier: GPL-3.0-or-later
"""Real trees through a real tar: what comes back equals what was saved, and no fault harms the backup before."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lab.archives import SECRET, MakeRun, chosen, flip, save
from lab.loops import mounted
from rear_core import archive, questions
from rear_core.archive import backup, coverage, generations, manifest, repository
from rear_core.archive.manifest import Manifest
from rear_core.builtin import backup as builtin_backup
from rear_core.errors import RearError, Refused
from rear_core.run import Run
from rear_core.workflow import WORKFLOWS

pytestmark = pytest.mark.root

UNNAMED = 54321


def acl(*entries: tuple[int, int, int]) -> bytes:
    """POSIX ACL in the kernel's form: version 2, then tag, permissions and id of each entry (acl_ea.h)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACCESS = acl((1, 6, NOBODY), (2, 4, 1), (2, 6, UNNAMED), (4, 4, NOBODY), (0x10, 6, NOBODY), (0x20, 0, NOBODY))
DEFAULT = acl((1, 7, NOBODY), (2, 7, UNNAMED), (4, 5, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY))
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def make_odd_tree(path: Path) -> None:
    """Everything that a file system of Linux can hold and a backup can lose."""
    path.mkdir()
    (path / "empty").mkdir(mode=0o1777)
    odd = (b"new\nline", b"latin-\xe4\xff", b" space ", b"-dash", b"*?[x]", b"back\\slash", b"tar: file", b"n" * 255)
    for raw in odd:
        (path / os.fsdecode(raw)).write_bytes(raw)
    deep = path
    for number in range(40):
        deep = deep / f"a-rather-long-name-{number}"
    deep.mkdir(parents=True)
    (deep / "end").write_text("x")
    files = {"owned": 0o640, "setuid": 0o4755, "setgid": 0o2755, "none": 0, "linked": 0o644, "acl": 0o640}
    files["attributes"] = 0o600
    for name, mode in files.items():
        (path / name).write_text(name)
        (path / name).chmod(mode)
    os.chown(path / "owned", UNNAMED, UNNAMED + 1)
    os.link(path / "linked", path / "empty" / "hard")
    (path / "relative").symlink_to("../no/such")
    (path / "absolute").symlink_to("/etc/passwd")
    os.lchown(path / "absolute", UNNAMED, UNNAMED)
    os.setxattr(path / "acl", "system.posix_acl_access", ACCESS)
    os.setxattr(path / "attributes", "user.binary", b"\0\1\xff\n=")
    os.setxattr(path / "attributes", "user.empty", b"")
    os.setxattr(path / "attributes", "trusted.mine", b"1")
    os.setxattr(path / "attributes", "security.capability", CAPABILITY)
    os.setxattr(path / "attributes", "security.selinux", b"system_u:object_r:etc_t:s0\0")
    os.setxattr(path / "relative", "trusted.mine", b"1", follow_symlinks=False)
    (path / "default").mkdir()
    (path / "default" / "before").write_text("made before the default ACL")
    os.setxattr(path / "default", "system.posix_acl_default", DEFAULT)
    (path / "default" / "after").write_text("made after it")
    os.setxattr(path / "default", "user.note", b"folder")
    os.mkfifo(path / "fifo")
    os.mknod(path / "character", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(path / "block", stat.S_IFBLK | 0o660, os.makedev(7, 99))
    with (path / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(40 << 20)
        file.write(b"middle")
        file.truncate(100 << 20)
    for number, found in enumerate(sorted(path.rglob("*"))):
        nanoseconds = (1_000_000_000 + number) * 10**9 + 123_456_789
        os.utime(found, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
    os.utime(path / "owned", ns=(0, -86_400 * 10**9))


def facts(path: Path) -> dict[str, tuple[object, ...]]:
    """All that must be the same after a restore."""
    found: dict[str, tuple[object, ...]] = {}
    links: dict[int, str] = {}
    for entry in (path, *sorted(path.rglob("*"))):
        name, status = os.fspath(entry.relative_to(path)), entry.lstat()
        keys = os.listxattr(entry, follow_symlinks=False)
        attributes = {key: os.getxattr(entry, key, follow_symlinks=False) for key in keys}
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = (entry.read_bytes(), status.st_nlink, links.setdefault(status.st_ino, name))
        elif stat.S_ISLNK(status.st_mode):
            content = entry.readlink()
        found[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev,
            attributes,
            content,
        )
    return found


@pytest.mark.parametrize("compression", ["zstd", "gzip", "xz", "none"])
@pytest.mark.parametrize("key", ["", SECRET])
def test_what_comes_back_equals_what_was_saved(tmp_path: Path, make_run: MakeRun, compression: str, key: str) -> None:
    tree = tmp_path / "tree"
    make_odd_tree(tree)
    before = facts(tree)
    run = make_run(f"BACKUP_COMPRESSION={compression}\nBACKUP_KEY='{key}'\n")
    generation = save(run, tmp_path / "backups", tree)
    suffix = {"zstd": ".zst", "gzip": ".gz", "xz": ".xz", "none": ""}[compression] + (".enc" if key else "")
    assert {path.name for path in generation.iterdir()} == {f"backup.tar{suffix}", "coverage.json", "manifest.json"}
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    restored = Path(f"{run.target}{tree}")
    after = facts(restored)
    assert after.keys() == before.keys()
    assert {name: after[name] for name in after if after[name] != before[name]} == {}
    assert (restored / "sparse").stat().st_blocks * 512 < 1 << 20
    assert not run.report.warnings


def test_sockets_are_left_to_their_servers_and_counted(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tree / "socket"))
        run = make_run()
        generation = save(run, tmp_path / "backups", tree)
    assert json.loads((generation / manifest.NAME).read_text())["warnings"] == {"sockets": 1}
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    assert not Path(f"{run.target}{tree}/socket").exists()


def test_excluded_is_what_the_patterns_say_and_nothing_like_it(tmp_path: Path, make_run: MakeRun) -> None:
    tree = tmp_path / "tree"
    names = ("tmp/.hidden/x", "tmp/a", "tmpfile", "other/tmp/keep", "[b]/x", "b/keep", "*/x", "star/keep", "logs/1.log")
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    literal = [coverage.literal(f"{tree}/[b]"), coverage.literal(f"{tree}/*") + "/*"]
    parts = tuple(coverage.Part(pattern, "") for pattern in (f"{tree}/tmp/*", f"{tree}/logs/*.log", *literal))
    run = make_run()
    backup.store(run, tmp_path / "backups", coverage.Selection((f".{tree}",), parts, ()))
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    restored = Path(f"{run.target}{tree}")
    assert sorted(os.fspath(path.relative_to(restored)) for path in restored.rglob("*")) == [
        "*", "b", "b/keep", "logs", "other", "other/tmp", "other/tmp/keep", "star", "star/keep", "tmp", "tmpfile",
    ]  # fmt: skip


def test_other_file_systems_are_not_entered_and_their_places_are_kept(
    tmp_path: Path, make_run: MakeRun, tree: Path
) -> None:
    with mounted(tree / "inside", "-t", "tmpfs", "-o", "mode=0751", "none") as inside:
        (inside / "secret").touch()
        run = make_run()
        save(run, tmp_path / "backups", tree)
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    restored = Path(f"{run.target}{tree}/inside")
    assert restored.stat().st_mode & 0o777 == 0o751
    assert list(restored.iterdir()) == []


def test_files_are_for_their_owner_alone_and_the_key_is_nowhere(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    run = make_run(f"BACKUP_KEY='{SECRET}'\n")
    generation = save(run, tmp_path / "backups", tree)
    for path in (generation, *generation.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    assert SECRET not in "\n".join(run.log_lines)  # type: ignore[attr-defined]
    assert b"text" not in (generation / "backup.tar.zst.enc").read_bytes()


def test_generations_are_kept_as_many_as_wanted(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    run = make_run("BACKUP_KEEP=2\n")
    made = [save(run, tmp_path / "backups", tree).name for _ in range(4)]
    assert generations.names(tmp_path / "backups" / "web1") == made[2:]


def test_an_older_backup_is_chosen_by_its_date(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    old = save(make_run(), tmp_path / "backups", tree)
    (tree / "folder" / "file").write_text("new")
    save(make_run(), tmp_path / "backups", tree)
    run = make_run(backup=old.name)
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    assert Path(f"{run.target}{tree}/folder/file").read_text() == "text"


def test_a_backup_that_was_given_another_date_is_refused(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    old = save(make_run(), tmp_path / "backups", tree)
    old.rename(old.with_name("2099-01-01T000000Z"))
    with pytest.raises(Refused, match=rf"2099-01-01T000000Z was created as {old.name}: someone renamed it"):
        archive.check(make_run(), tmp_path / "backups")


@pytest.fixture
def machines(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
    """Makes runs that save the machine of an identity."""

    def make(identity: str) -> Run:
        monkeypatch.setattr(repository, "computed", lambda: identity)
        run = make_run()
        run.phases = WORKFLOWS["mkbackuponly"]
        return run

    return make


def test_a_folder_with_backups_of_another_machine_gets_none(
    tmp_path: Path, tree: Path, machines: Callable[[str], Run]
) -> None:
    first = save(machines("first"), tmp_path / "backups", tree)
    for _ in range(3):
        with pytest.raises(Refused, match=r"backups of another machine.*identity first, this one is second"):
            save(machines("second"), tmp_path / "backups", tree)
    assert [path.name for path in first.parent.iterdir() if path.is_dir()] == [first.name]
    assert save(machines("first"), tmp_path / "backups", tree).exists()


@pytest.mark.parametrize("kind", ["file", "loop", "full lock"])
def test_what_is_no_place_of_backups_is_named(tmp_path: Path, make_run: MakeRun, tree: Path, kind: str) -> None:
    home = tmp_path / "backups" / "web1"
    home.parent.mkdir()
    if kind == "file":
        home.touch()
    elif kind == "loop":
        home.symlink_to(home)
    else:
        (home / generations.LOCK / "file").mkdir(parents=True)
    run = make_run()
    with pytest.raises(
        RearError, match=f"{generations.LOCK}: Directory not empty" if kind == "full lock" else f"{home}"
    ):
        save(run, tmp_path / "backups", tree)
    if kind != "full lock":
        with pytest.raises(Refused, match=f"cannot look for backups in {home}: "):
            repository.FolderRepository(run, home.parent).check_owner()


@pytest.mark.parametrize("kind", ["folder", "loop", "huge"])
def test_a_manifest_that_is_no_file_is_named_with_what_to_do(
    tmp_path: Path, make_run: MakeRun, tree: Path, kind: str
) -> None:
    path = save(make_run(), tmp_path / "backups", tree) / manifest.NAME
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(Refused, match=f"the manifest {path} cannot be read: ") as refused:
        archive.check(make_run(), tmp_path / "backups")
    assert refused.value.hint == manifest.OTHER_BACKUP


def test_the_backup_of_another_machine_is_not_restored_unasked(
    tmp_path: Path, make_run: MakeRun, tree: Path, machines: Callable[[str], Run]
) -> None:
    save(machines("first"), tmp_path / "backups", tree)
    run = make_run()
    run.recovery_dir.mkdir(exist_ok=True)
    (run.recovery_dir / "system.json").write_text('{"identity": "second", "system": {"hostname": "web1"}}')
    with pytest.raises(Refused, match=r"is of another machine: .*, identity first, not second"):
        archive.check(run, tmp_path / "backups")
    run.options = replace(run.options, demo=True)
    archive.check(run, tmp_path / "backups")
    assert "another machine" in run.report.warnings[0]
    (run.recovery_dir / "system.json").write_text('{"identity": "first", "system": {"hostname": "web1"}}')
    run.options = replace(run.options, demo=False)
    archive.check(run, tmp_path / "backups")


@pytest.mark.parametrize(
    ("known", "chosen", "warns"), [("2099", "", True), ("2020", "", False), ("2099", "2026", False)]
)
def test_a_newer_backup_that_the_media_know_of_is_missed(
    tmp_path: Path, make_run: MakeRun, tree: Path, known: str, chosen: str, warns: bool
) -> None:
    folder = save(make_run(), tmp_path / "backups", tree)
    run = make_run()
    run.options = replace(run.options, backup=chosen)
    run.recovery_dir.mkdir(exist_ok=True)
    name = f"{known}-01-01T000000Z"
    (run.recovery_dir / "system.json").write_text(json.dumps({"backups": [folder.name, name], "system": {}}))
    archive.check(run, tmp_path / "backups")
    missed = [warning for warning in run.report.warnings if f"know of a newer one, {name}" in warning]
    assert bool(missed) == warns, run.report.warnings


def test_what_is_too_deep_is_named_when_saved_and_keeps_nothing_else_from_coming_back(
    tmp_path: Path, make_run: MakeRun, tree: Path
) -> None:
    """Any user can make folders whose path is longer than any program can open."""
    here = os.open(tree, os.O_RDONLY)
    for _ in range(45):
        os.mkdir("d" * 100, dir_fd=here)
        above, here = here, os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    run = make_run()
    save(run, tmp_path / "backups", tree)
    (warning,) = [line for line in run.report.warnings if "too long" in line]
    assert re.match(r"\d files cannot be restored, as their paths are too long; move or exclude what is in /", warning)
    run = make_run()
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    assert Path(f"{run.target}{tree}/folder/file").read_text() == "text"
    (missing,) = run.recovery.missing
    assert "files were not restored, the first is ./" in missing and "File name too long" in missing
    with pytest.raises(RearError, match="were not restored"):
        builtin_backup.check_all_back(run)


@pytest.mark.parametrize("how", ["description", "key", "file that is not there"])
def test_encryption_cannot_be_taken_off(tmp_path: Path, make_run: MakeRun, tree: Path, how: str) -> None:
    save(make_run(), tmp_path / "backups", tree)
    conf = {"key": f"BACKUP_KEY='{SECRET}'\n", "file that is not there": f"BACKUP_KEY_FILE={tmp_path}/key\n"}
    run = make_run(conf.get(how, ""))
    if how == "description":
        run.recovery_dir.mkdir(exist_ok=True)
        (run.recovery_dir / "system.json").write_text('{"encrypted": true, "system": {"hostname": "web1"}}')
    with pytest.raises(Refused, match="is not encrypted, but this machine encrypts its backups"):
        archive.check(run, tmp_path / "backups")


def test_a_key_file_that_is_not_on_the_media_is_asked_for(
    tmp_path: Path, make_run: MakeRun, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(make_run(f"BACKUP_KEY='{SECRET}'\n"), tmp_path / "backups", tree)
    run = make_run(f"BACKUP_KEY_FILE={tmp_path}/not-there\n")
    with pytest.raises(Refused, match="encrypted and no key is configured"):
        archive.check(run, tmp_path / "backups")
    monkeypatch.setattr(questions, "is_interactive", lambda run: True)
    monkeypatch.setattr(questions, "ask_secret", lambda run, question: SECRET)
    archive.check(run, tmp_path / "backups")
    assert run.backup and run.backup.keys  # type: ignore[union-attr]


class Shelf:
    """A place of small media: each volume of the one backup is a file; `reads` notes the order of reading."""

    folder: Path | None = None
    name = "2026-11-22T120000Z"
    block_size = 10_000
    chunk_size = 0
    number = 0

    def __init__(self, home: Path, room: int) -> None:
        self.home = home
        self.room = room
        self.number = 0
        self.reads: list[int] = []

    def __str__(self) -> str:
        return "the shelf"

    @contextmanager
    def new(self, archive: str, size: int) -> Iterator[Shelf]:
        self.home.mkdir()
        yield self

    def write(self, block: memoryview) -> int:
        with (self.home / str(self.number)).open("ab") as file:
            fits = file.tell() + len(block) <= self.room
            return file.write(block) if fits else 0

    def end_volume(self, volume: archive.Volume, *, last: bool) -> None:
        self.number += 1

    def add(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)

    def names(self) -> list[str]:
        return [self.name]

    def manifest(self, name: str) -> str:
        return (self.home / "manifest.json").read_text()

    def volume(self, name: str, found: Manifest, number: int) -> Iterator[memoryview]:
        self.reads.append(number)
        yield memoryview((self.home / str(number)).read_bytes())


def test_a_backup_on_several_media_is_read_from_its_last_one_and_restored_from_its_first(
    tmp_path: Path, make_run: MakeRun, tree: Path
) -> None:
    run = make_run(f"BACKUP_KEY='{SECRET}'\nBACKUP_COMPRESSION=none\n")
    shelf = Shelf(tmp_path / "shelf", 1_000_000)
    backup.store(run, shelf, chosen(tree))
    made = manifest.loads(shelf.manifest("")).manifest
    assert [volume.size for volume in made.volumes[:-1]] == [1_000_000] * 3
    archive.check(run, shelf)
    archive.restore(run, shelf)
    assert shelf.reads == [3, 2, 1, 0, 0, 1, 2, 3]
    assert (Path(f"{run.target}{tree}") / "noise").read_bytes() == (tree / "noise").read_bytes()

    flip(shelf.home / "1")
    with pytest.raises(Refused, match=r"volume 2 of the archive .* in the shelf is damaged"):
        archive.check(run, shelf)
    with (shelf.home / "1").open("ab") as file:
        file.truncate(1000)
    with pytest.raises(Refused, match=r"volume 2 of the archive .* is truncated: it has 1000 of 1000000"):
        archive.check(run, shelf)


class Silent(Shelf):
    """A shelf that never answers once it is asked for `what`."""

    what = ""

    def __getattribute__(self, name: str) -> object:
        if name == object.__getattribute__(self, "what"):
            reading, writing = os.pipe()
            try:
                os.read(reading, 1)
            finally:
                os.close(reading)
                os.close(writing)
        return object.__getattribute__(self, name)


def impatient(run: Run) -> Run:
    values = {**run.settings.values_by_name, "BACKUP_STALL_MINUTES": 0.3 / 60}
    run.settings = replace(run.settings, values_by_name=values)  # type: ignore[arg-type]
    return run


@pytest.mark.parametrize("what", ["new", "write", "end_volume", "add"])
def test_a_place_that_falls_silent_ends_a_backup_by_its_name(
    tmp_path: Path, make_run: MakeRun, tree: Path, what: str
) -> None:
    run, shelf = impatient(make_run()), Silent(tmp_path / "shelf", 1 << 30)
    shelf.what = what
    with pytest.raises(RearError, match=r"no progress for .* minutes: the shelf hangs"):
        backup.store(run, shelf, chosen(tree))


def test_a_place_that_falls_silent_ends_a_check_and_a_restore_by_its_name(
    tmp_path: Path, make_run: MakeRun, tree: Path
) -> None:
    run, shelf = impatient(make_run()), Silent(tmp_path / "shelf", 1 << 30)
    backup.store(run, shelf, chosen(tree))
    archive.check(run, shelf)
    hangs = r"no progress for .* minutes: the shelf hangs"
    shelf.what = "volume"
    with pytest.raises(Refused, match=hangs):
        archive.check(run, shelf)
    with pytest.raises(RearError, match=hangs):
        archive.restore(run, shelf)
    shelf.what = "names"
    with pytest.raises(Refused, match=hangs):
        archive.check(run, shelf)


def test_progress_events_are_json_lines(
    tmp_path: Path, make_run: MakeRun, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(json_progress=True)
    save(run, tmp_path / "backups", tree)
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["work"] for event in events if event["event"] == "done"] == ["Saving", "Checking", "Restoring"]
    assert max(event["done"] for event in events if event["work"] == "Saving") >= 1 << 20


# Faults of an archive: each is told before anything is written to the target.


def linked(folder: Path, names: str, text: str, count: int = 30) -> None:
    """Files with two names each."""
    for number in range(count):
        (folder / f"{names[0]}{number}").write_text(f"{text} {number}")
        os.link(folder / f"{names[0]}{number}", folder / f"{names[1]}{number}")


def test_a_file_that_got_the_inode_of_a_saved_one_is_no_link_to_it(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tar knows files with several names by the numbers of their inodes."""
    image, restored = tmp_path / "disk", tmp_path / "restored"
    image.touch()
    os.truncate(image, 256 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    write, done = repository.FolderTarget.write, list[bool]()

    def exchange(target: repository.FolderTarget, block: memoryview) -> int:
        if not done and target.file.tell() > 1 << 20:
            done.append(True)
            for path in (folder / "1").iterdir():
                path.unlink()
            linked(folder / "3", "rs", "of root")
        return write(target, block)

    monkeypatch.setattr(repository.FolderTarget, "write", exchange)
    with mounted(tmp_path / "data", "-o", "loop", os.fspath(image)) as folder:
        for name in "123":
            (folder / name).mkdir()
        linked(folder / "1", "uv", "of a user")
        (folder / "2/large").write_bytes(os.urandom(64 << 20))
        run = make_run("BACKUP_COMPRESSION=none\n")
        selection = replace(chosen(folder), starts=tuple(f".{folder}/{name}" for name in "123"))
        backup.store(run, tmp_path / "backups", selection)
        assert done and any("the archive has other contents for" in line for line in run.report.warnings)
    restored.mkdir()
    subprocess.run(["tar", "-xf", *(tmp_path / "backups").glob("*/*/backup.tar"), "-C", restored], check=True)
    found = {path.name: path.read_text() for path in restored.rglob("[rs]*")}
    assert found == {f"{name}{number}": f"of root {number}" for name in "rs" for number in range(30)}
