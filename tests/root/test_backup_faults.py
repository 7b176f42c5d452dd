# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a backup are told before anything is written, and none harms the backup before."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lab.archives import SECRET, MakeRun, chosen, flip, save
from lab.loops import mounted
from rear_core import archive
from rear_core.archive import backup, generations, manifest, stream
from rear_core.archive.repository import FolderRepository
from rear_core.archive.volumes import Target
from rear_core.errors import RearError, Refused
from rear_core.run import Run
from rear_core.shell import Shell

pytestmark = pytest.mark.root


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def exchange_manifest(path: Path) -> None:
    """What one without the key can do: another archive, its right checksum, the checksum of the manifest made anew."""
    generation = path.parent
    sealed = manifest.loads((generation / manifest.NAME).read_text())
    path.write_bytes(b"Salted__" + os.urandom(1000))
    size, sha256 = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    changed = replace(sealed.manifest, size=size, sha256=sha256)
    (generation / manifest.NAME).write_text(manifest.dumps(changed))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flip, "is damaged: its checksum is wrong"),
        (cut, "is truncated"),
        (lambda path: path.unlink(), "has no archive"),
        (lambda path: path.with_name(manifest.NAME).unlink(), "has no manifest"),
        (lambda path: os.truncate(path.with_name(manifest.NAME), 200), "manifest is damaged"),
        (lambda path: flip(path.with_name(manifest.NAME)), "manifest"),
        (exchange_manifest, "someone without the key of the backup changed"),
    ],
    ids=["flipped byte", "truncated", "no archive", "no manifest", "truncated manifest", "flipped manifest", "forged"],
)
def test_a_fault_is_told_before_anything_is_written(
    tmp_path: Path, make_run: MakeRun, tree: Path, harm: Callable[[Path], object], said: str
) -> None:
    run = make_run(f"BACKUP_KEY='{SECRET}'\n")
    save(run, tmp_path / "backups", tree)
    generation = save(run, tmp_path / "backups", tree)
    harm(generation / "backup.tar.zst.enc")
    with pytest.raises(Refused, match=said):
        archive.check(run, tmp_path / "backups")
    assert run.backup is None
    assert not run.target.exists()
    # The one before is still good, and can be chosen by name.
    other = generations.names(generation.parent)[0]
    run = make_run(f"BACKUP_KEY='{SECRET}'\n", backup=other)
    archive.check(run, tmp_path / "backups")


def test_a_wrong_key_is_told_from_damage(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    save(make_run(f"BACKUP_KEY='{SECRET}'\n"), tmp_path / "backups", tree)
    with pytest.raises(Refused, match="wrong key"):
        archive.check(make_run("BACKUP_KEY='another passphrase'\n"), tmp_path / "backups")


def test_an_encrypted_backup_without_a_key_is_refused_when_nobody_can_be_asked(
    tmp_path: Path, make_run: MakeRun, tree: Path
) -> None:
    save(make_run(f"BACKUP_KEY='{SECRET}'\n"), tmp_path / "backups", tree)
    with pytest.raises(Refused, match="no key is configured"):
        archive.check(make_run(), tmp_path / "backups")


def test_an_open_backup_is_refused_where_a_key_is_configured(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    save(make_run(), tmp_path / "backups", tree)
    with pytest.raises(Refused, match="not encrypted, but"):
        archive.check(make_run(f"BACKUP_KEY='{SECRET}'\n"), tmp_path / "backups")


def test_files_that_come_back_without_attributes_are_named(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    os.setxattr(tree / "noise", "trusted.rear", b"value")
    save(make_run(), tmp_path / "backups", tree)
    run = make_run(target=tmp_path / "memory" / "new")
    archive.check(run, tmp_path / "backups")
    with mounted(tmp_path / "memory", "-t", "ramfs", "none"):
        archive.restore(run, tmp_path / "backups")
    assert len(run.recovery.missing) == 1
    assert re.search("1 files were restored without an attribute, .*/noise: .*trusted.rear", run.recovery.missing[0])


def test_damage_between_check_and_restore_is_a_failure(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    run = make_run()
    generation = save(run, tmp_path / "backups", tree)
    archive.check(run, tmp_path / "backups")
    flip(generation / "backup.tar.zst")
    with pytest.raises(RearError):
        archive.restore(run, tmp_path / "backups")


def test_a_target_without_room_is_refused(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    save(make_run(), tmp_path / "backups", tree)
    run = make_run(target=tmp_path / "small" / "new", demo=True)
    said = pytest.raises(Refused, match="but the backup needs")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=1m", "none"), said:
        archive.check(run, tmp_path / "backups")


def test_members_cannot_escape_the_target(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("../outside/up", f"{outside}/absolute", "link/through"):
            if name == "link/through":
                link = tarfile.TarInfo("link")
                link.type, link.linkname = tarfile.SYMTYPE, os.fspath(outside)
                tar.addfile(link)
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(RearError):
        stream.unpack(Shell(), [memoryview(evil.getvalue())], "none", None, target)
    assert list(outside.iterdir()) == []


# Faults while a backup is made: each is named, leaves nothing behind, and the one before is as it was.


def snapshot(directory: Path) -> dict[str, bytes]:
    return {os.fspath(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_full_target_is_named_and_leaves_the_backup_before(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=5m", "none") as small:
        run = make_run()
        save(run, small, tree)
        before = snapshot(small)
        with pytest.raises(RearError, match="No space left on device") as caught:
            save(run, small, tree)
        assert "make room" in caught.value.hint
        assert snapshot(small) == before
        assert len(list((small / "web1").iterdir())) == 1
        archive.check(run, small)


@pytest.mark.parametrize("program", ["tar", "gzip", "openssl"])
def test_a_killed_stage_is_named_and_leaves_the_backup_before(
    tmp_path: Path, make_run: MakeRun, tree: Path, program: str
) -> None:
    run = make_run(f"BACKUP_COMPRESSION=gzip\nBACKUP_KEY='{SECRET}'\n")
    save(run, tmp_path / "backups", tree)
    before = snapshot(tmp_path / "backups")
    with (tree / "noise").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1 << 20))
    killer = threading.Thread(target=kill_child, args=(program,))
    killer.start()
    with pytest.raises(RearError, match=f"{program} failed.*SIGKILL"):
        save(run, tmp_path / "backups", tree)
    killer.join()
    assert snapshot(tmp_path / "backups") == before
    assert len(list((tmp_path / "backups" / "web1").iterdir())) == 1
    archive.check(run, tmp_path / "backups")


def kill_child(program: str) -> None:
    """Kill the child of this process that runs a program, as soon as it is there."""
    ours = str(os.getpid())
    for _ in range(2000):
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if name == program and rest.split()[1] == ours:
                time.sleep(0.1)
                os.kill(int(path.parent.name), signal.SIGKILL)
                return
        time.sleep(0.005)


def test_a_file_that_changes_is_a_warning_that_is_counted(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    growing = tree / "growing"
    growing.write_bytes(os.urandom(30 << 20))
    stop = threading.Event()

    def grow() -> None:
        with growing.open("ab") as file:
            while not stop.is_set():
                file.write(b"x")
                file.flush()
                time.sleep(0.001)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        run = make_run()
        generation = save(run, tmp_path / "backups", tree)
    finally:
        stop.set()
        writer.join()
    assert json.loads((generation / manifest.NAME).read_text())["warnings"] == {"changed": 1}
    assert run.report.warnings == ["1 files changed while they were saved; the log names them"]
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")


class Cutting(FolderRepository):
    """A folder of backups; as soon as something is written there a user cuts his file."""

    def __init__(self, run: Run, directory: Path, cut: Callable[[], None]) -> None:
        super().__init__(run, directory)
        self.cut = cut

    @contextmanager
    def new(self, archive: str, size: int) -> Iterator[Target]:
        with super().new(archive, size) as target:
            write = target.write

            def writing(block: memoryview) -> int:
                self.cut()
                return write(block)

            target.write = writing  # type: ignore[method-assign]
            yield target


def test_a_file_that_made_the_archive_unreadable_is_missed_and_all_else_is_saved(
    tmp_path: Path, make_run: MakeRun, tree: Path
) -> None:
    sparse = tree / "0 disk.img"
    with sparse.open("wb") as file:
        for number in range(300):
            file.seek(number << 17)
            file.write(os.urandom(1 << 16))
    run = make_run("BACKUP_COMPRESSION=none\nBACKUP_KEEP=1\n")
    first = save(run, tmp_path / "backups", tree)
    starts = (f".{sparse}", f".{tree}")
    place = Cutting(run, tmp_path / "backups", lambda: os.truncate(sparse, (100 << 17) + 30_001))
    backup.store(run, place, replace(chosen(tree), starts=starts))
    assert not first.exists()
    warnings = run.report.warnings
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    if "cannot be read back" in warnings[0]:
        assert "1 files are not saved" in warnings[1] and "0 disk.img" in warnings[1]
        made = json.loads((place.home / place.names()[-1] / manifest.NAME).read_text())
        assert made["warnings"] == {"missed": 1}


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path, make_run: MakeRun) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "1024", "-O", "^extent,^64bit", image], check=True)
    with mounted(tmp_path / "tree", "-o", "loop", os.fspath(image)) as tree:
        (tree / "broken").write_bytes(os.urandom(40_000))
    shown = subprocess.run(["debugfs", "-R", "stat broken", image], check=True, capture_output=True, text=True).stdout
    indirect = re.search(r"\(IND\):(\d+)", shown)
    assert indirect
    with image.open("r+b") as file:
        # From the thirteenth block on all are beyond the end of the disk.
        file.seek(int(indirect[1]) * 1024)
        file.write(b"\xf0" * 1024)
    run, said = make_run(), pytest.raises(RearError, match=r"cannot read .*broken: Input/output error")
    with mounted(tmp_path / "tree", "-o", "loop,errors=continue", os.fspath(image)) as tree, said:
        save(run, tmp_path / "backups", tree)
    assert list((tmp_path / "backups" / "web1").iterdir()) == []


def test_what_is_gone_before_it_begins_is_a_failure(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    with pytest.raises(RearError, match=r"tar failed: .*none: Cannot stat"):
        save(make_run(), tmp_path / "backups", tree / "none")
    assert list((tmp_path / "backups" / "web1").iterdir()) == []
