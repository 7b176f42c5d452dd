# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is believed when it was read back where it lies, and when this machine has signed it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.archives import SECRET, MakeRun, chosen, flip, save
from lab.loops import mounted
from rear_core import archive, questions
from rear_core.archive import (
    backup,
    encryption,
    generations,
    manifest,
    read_back,
    repository,
    sample,
    signature,
    volumes,
)
from rear_core.archive.read_back import ReadBack
from rear_core.archive.volumes import Volume
from rear_core.builtin.system import write_description
from rear_core.errors import RearError, Refused
from rear_core.report import Report
from rear_core.run import Run
from rear_core.storage import layout

pytestmark = pytest.mark.root

MIB = 1 << 20


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is told."""
    lines: list[str] = []
    monkeypatch.setattr(Report, "say", lambda _, line: lines.append(line))
    return lines


# Read back.


@pytest.mark.parametrize("damaged", [1, -1])
def test_damage_at_the_place_is_found_before_the_older_backup_goes(
    tmp_path: Path, make_run: MakeRun, tree: Path, monkeypatch: pytest.MonkeyPatch, damaged: int
) -> None:
    run = make_run("BACKUP_KEEP=1\n")
    good = save(run, tmp_path / "backups", tree)
    end = repository.FolderTarget.end_volume

    def spoil(target: repository.FolderTarget, volume: Volume, *, last: bool) -> None:
        target.file.flush()
        path = target.partial / "backup.tar.zst"
        if damaged > 0:
            flip(path)
        else:
            os.truncate(path, volume.size + damaged)
        end(target, volume, last=last)

    monkeypatch.setattr(repository.FolderTarget, "end_volume", spoil)
    with pytest.raises(RearError, match="differs from what rear wrote"):
        save(run, tmp_path / "backups", tree)
    assert [path.name for path in good.parent.iterdir()] == [good.name]
    monkeypatch.undo()
    archive.check(run, tmp_path / "backups")


def test_it_is_the_disk_that_is_read_and_not_what_the_kernel_remembers_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk damages what it takes, and the memory of the machine does not know."""
    monkeypatch.setattr(read_back, "BEHIND", 2 * MIB)
    monkeypatch.setattr(read_back, "STRIDE", MIB)
    monkeypatch.setattr(read_back, "WAITING", MIB)
    image, mark, data = tmp_path / "disk", b"what the disk will not keep", bytearray(os.urandom(8 * MIB))
    data[6 * MIB : 6 * MIB + len(mark)] = mark
    image.touch()
    os.truncate(image, 64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    made = volumes.Checksum(volumes.CHUNK)
    made.update(memoryview(data))
    with (
        mounted(tmp_path / "place", "-o", "loop", os.fspath(image)) as folder,
        (folder / "file").open("wb", buffering=0) as file,
        ReadBack(folder / "file").running() as back,
    ):
        file.write(data)
        os.fsync(file.fileno())
        place = image.read_bytes().index(mark)
        with image.open("r+b") as disk:
            disk.seek(place)
            disk.write(b"not")
        assert back.end(len(data)) != made.volume()


def test_without_reading_back_only_the_size_counts_and_that_is_said(
    tmp_path: Path, make_run: MakeRun, tree: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    end = repository.FolderTarget.end_volume

    def spoil(target: repository.FolderTarget, volume: Volume, *, last: bool) -> None:
        target.file.flush()
        flip(target.partial / "backup.tar.zst")
        end(target, volume, last=last)

    monkeypatch.setattr(repository.FolderTarget, "end_volume", spoil)
    run = make_run("BACKUP_READ_BACK=no\n")
    save(run, tmp_path / "backups", tree)
    assert [line for line in said if "only the size" in line]
    with pytest.raises(Refused, match="damaged"):
        archive.check(run, tmp_path / "backups")


# A sample.


@pytest.fixture
def large(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose backup is large enough for a sample of it, of 4 chunks of 1 MiB."""
    (tree / "large").write_bytes(os.urandom(20 * MIB))
    monkeypatch.setattr(volumes, "CHUNK", MIB)
    monkeypatch.setattr(sample, "SIZE", 4 * MIB)
    monkeypatch.setattr(sample, "FEWEST", 4)
    return tree


def spoil(path: Path, chunk: int) -> None:
    with path.open("r+b") as file:
        file.seek(chunk * MIB + 10)
        file.write(b"damage")


def test_a_large_backup_is_proven_by_a_sample_and_compared_while_it_is_restored(
    tmp_path: Path, make_run: MakeRun, large: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    run = make_run()
    generation = save(run, tmp_path / "backups", large)
    archive.check(run, tmp_path / "backups")
    assert "of the right size (4 of 23 parts were read)" in said[-1]
    archive.restore(run, tmp_path / "backups")
    assert (Path(f"{run.target}{large}") / "large").read_bytes() == (large / "large").read_bytes()

    spoil(generation / "backup.tar.zst", 7)
    monkeypatch.setattr(sample, "drawn", lambda count, size: [0, 3, 5, count - 1])
    archive.check(run, tmp_path / "backups")
    with pytest.raises(RearError, match="is damaged"):
        archive.restore(run, tmp_path / "backups")
    monkeypatch.setattr(sample, "drawn", lambda count, size: [0, 3, 7, count - 1])
    with pytest.raises(Refused, match="is damaged"):
        archive.check(run, tmp_path / "backups")


def test_all_of_it_is_read_where_that_is_wanted(tmp_path: Path, make_run: MakeRun, large: Path) -> None:
    generation = save(make_run(), tmp_path / "backups", large)
    spoil(generation / "backup.tar.zst", 7)
    with pytest.raises(Refused, match="is damaged"):
        archive.check(make_run("BACKUP_CHECK=all\n"), tmp_path / "backups")


def test_a_new_backup_that_nobody_could_read_does_not_stay(
    tmp_path: Path, make_run: MakeRun, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = save(make_run(), tmp_path / "backups", tree)
    monkeypatch.setattr(generations, "LARGEST", 100)
    with pytest.raises(RearError, match=r"the new backup .* is damaged: its manifest"):
        save(make_run(), tmp_path / "backups", tree)
    assert [path.name for path in good.parent.iterdir()] == [good.name]


def test_fewer_large_chunks_than_a_sample_has_are_all_read(
    tmp_path: Path, make_run: MakeRun, large: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(volumes, "CHUNK", 8 * MIB)
    run = make_run()
    save(run, tmp_path / "backups", large)
    archive.check(run, tmp_path / "backups")
    assert "complete and unchanged" in said[-1]


def test_a_sample_has_both_ends_and_is_never_the_same() -> None:
    drawn = [sample.drawn(10_000, 64) for _ in range(20)]
    assert all(numbers == sorted(set(numbers)) and len(numbers) <= 64 for numbers in drawn)
    assert all((numbers[0], numbers[-1]) == (0, 9_999) for numbers in drawn)
    assert len({*map(tuple, drawn)}) == 20
    assert sample.drawn(64, 64) == [*range(64)]
    assert sample.damaged(64) == pytest.approx(0.0457, abs=0.0001)


@pytest.mark.parametrize("chunk", [0, 11, 22])
def test_an_old_backup_that_is_damaged_inside_is_none_that_a_good_one_goes_for(
    tmp_path: Path, make_run: MakeRun, large: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Both ends of a large one are read in any case, and all of one that is no larger than a sample."""
    if chunk == 11:
        monkeypatch.setattr(sample, "SIZE", 30 * MIB)
    run = make_run("BACKUP_KEEP=2\n")
    good = save(run, tmp_path / "backups", large)
    bad = save(run, tmp_path / "backups", large)
    spoil(bad / "backup.tar.zst", chunk)
    newest = save(run, tmp_path / "backups", large)
    assert sorted(path.name for path in good.parent.iterdir()) == sorted([good.name, bad.name, newest.name])
    assert [each for each in run.report.warnings if f"{bad} is not a valid backup" in each and "damaged" in each]
    # Two good ones are kept, whatever else takes room.
    last = save(run, tmp_path / "backups", large)
    assert sorted(path.name for path in good.parent.iterdir()) == sorted([newest.name, last.name])


def test_before_one_goes_only_parts_of_those_that_stay_are_read(
    tmp_path: Path, make_run: MakeRun, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = repository.read
    parts: list[tuple[Path, int, int]] = []

    def noted(path: Path, begin: int = 0, size: int = sys.maxsize) -> Iterator[memoryview]:
        parts.append((path, begin, size))
        return read(path, begin, size)

    monkeypatch.setattr(repository, "read", noted)
    run = make_run("BACKUP_KEEP=3\n")
    old = [save(run, tmp_path / "backups", large) for _ in range(3)]
    assert not parts
    save(run, tmp_path / "backups", large)
    assert sorted({path.parent for path, *_ in parts}) == old[1:]
    assert len(parts) == 8 and all(begin % MIB == 0 and size <= MIB for _, begin, size in parts)


def test_many_backups_are_looked_at_in_about_the_time_of_two() -> None:
    assert [sample.parts_of_many(16 * MIB, many) for many in (1, 2, 4, 16, 1000)] == [32, 32, 16, 4, 4]


# Signatures.


@pytest.fixture
def signing(make_run: MakeRun) -> Run:
    """A run on a machine with a key, which its description knows."""
    run = make_run()
    signature.make_key(run)
    write_description(run, {})
    return run


def forged(generation: Path, run: Run | None = None) -> None:
    """Another archive, with a manifest that fits; signed by the key of a run."""
    sealed = manifest.loads((generation / manifest.NAME).read_text())
    sign: Callable[[bytes], str] = (lambda text: signature.sign(run, text)) if run else (lambda _: sealed.signature)
    changed = replace(sealed.manifest, hostname="evil")
    (generation / manifest.NAME).write_text(manifest.dumps(changed, sign=sign))


def test_a_backup_that_the_machine_has_signed_is_authentic(
    tmp_path: Path, signing: Run, tree: Path, said: list[str]
) -> None:
    save(signing, tmp_path / "backups", tree)
    archive.check(signing, tmp_path / "backups")
    assert "complete and authentic" in said[-1]


def test_one_that_others_have_changed_is_refused(tmp_path: Path, signing: Run, tree: Path) -> None:
    forged(save(signing, tmp_path / "backups", tree))
    with pytest.raises(Refused, match="signature is not of this machine"):
        archive.check(signing, tmp_path / "backups")


def test_one_of_another_key_is_refused(tmp_path: Path, signing: Run, tree: Path) -> None:
    generation = save(signing, tmp_path / "backups", tree)
    signature.key_path(signing).unlink()
    signature.make_key(signing)
    forged(generation, signing)
    with pytest.raises(Refused, match="signature is not of this machine"):
        archive.check(signing, tmp_path / "backups")
    # A machine that was recovered has a new key, and knows the one before.
    write_description(signing, {})
    archive.check(signing, tmp_path / "backups")


@pytest.mark.parametrize("answer", [True, False])
def test_one_without_a_signature_is_a_question(
    tmp_path: Path, make_run: MakeRun, tree: Path, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    run = make_run()
    save(run, tmp_path / "backups", tree)
    # Nobody knows a key, so that nobody can tell.
    archive.check(run, tmp_path / "backups")
    signature.make_key(run)
    write_description(run, {})
    with pytest.raises(Refused, match="it has no signature"):
        archive.check(run, tmp_path / "backups")
    monkeypatch.setattr(questions, "is_interactive", lambda _: True)
    monkeypatch.setattr(questions, "confirm", lambda *_, **__: answer)
    if answer:
        archive.check(run, tmp_path / "backups")
    else:
        with pytest.raises(Refused, match="it has no signature"):
            archive.check(run, tmp_path / "backups")


@pytest.mark.parametrize("known", [True, False])
def test_whoever_has_the_passphrase_is_not_yet_this_machine(
    tmp_path: Path, make_run: MakeRun, tree: Path, known: bool
) -> None:
    """A fleet may share it; where no key of the machine is known it is all the proof there is."""
    run = make_run(f"BACKUP_KEY='{SECRET}'\n")
    if known:
        signature.make_key(run)
        write_description(run, {})
    generation = save(run, tmp_path / "backups", tree)
    archive.check(run, tmp_path / "backups")
    sealed = manifest.loads((generation / manifest.NAME).read_text())
    assert sealed.manifest.encryption
    keys = encryption.unlock(SECRET, sealed.manifest.encryption)
    (generation / manifest.NAME).write_text(manifest.dumps(sealed.manifest, keys))
    if known:
        with pytest.raises(Refused, match="it has no signature"):
            archive.check(run, tmp_path / "backups")
    else:
        archive.check(run, tmp_path / "backups")


def test_an_encrypted_one_by_a_key_that_is_known_is_believed(
    tmp_path: Path, signing: Run, make_run: MakeRun, tree: Path
) -> None:
    run = make_run(f"BACKUP_KEY='{SECRET}'\n")
    save(run, tmp_path / "backups", tree)
    signature.key_path(signing).unlink()
    signature.make_key(signing)
    write_description(signing, {})
    archive.check(run, tmp_path / "backups")


def test_an_old_one_under_a_newer_name_is_refused(tmp_path: Path, signing: Run, tree: Path) -> None:
    generation = save(signing, tmp_path / "backups", tree)
    shutil.copytree(generation, generation.with_name("2099-01-01T000000Z"))
    with pytest.raises(Refused, match="someone renamed it"):
        archive.check(replace_backup(signing, "2099"), tmp_path / "backups")


def test_a_copy_under_a_newer_name_pushes_out_none_and_is_not_chosen(tmp_path: Path, signing: Run, tree: Path) -> None:
    good = save(signing, tmp_path / "backups", tree)
    shutil.copytree(good, good.with_name("2099-01-01T000000Z"))
    newest = save(signing, tmp_path / "backups", tree)
    assert good.exists()
    assert "is not a valid backup" in signing.report.warnings[0]
    shutil.rmtree(newest)
    archive.check(signing, tmp_path / "backups")
    assert signing.backup
    assert signing.backup.name == good.name
    assert "2099-01-01T000000Z cannot be restored" in signing.report.warnings[-1]


def test_unsigned_ones_push_out_none_that_is_signed(tmp_path: Path, signing: Run, tree: Path) -> None:
    good = save(signing, tmp_path / "backups", tree)
    other = good.with_name("2020-01-01T000000Z")
    shutil.copytree(good, other)
    made = manifest.loads((other / manifest.NAME).read_text()).manifest
    forged = replace(made, created=other.name, number=manifest.LARGEST, machine="")
    (other / manifest.NAME).write_text(manifest.dumps(forged))
    newest = save(signing, tmp_path / "backups", tree)
    assert good.exists()
    assert newest.exists()


def test_what_a_clone_of_the_same_identity_has_signed_is_told_and_never_removed(
    tmp_path: Path, make_run: MakeRun, signing: Run, tree: Path
) -> None:
    """Of copies of a board without a UUID of its own only the keys differ."""
    first = save(signing, tmp_path / "backups", tree)
    signature.key_path(signing).unlink()
    (signing.recovery_dir / "system.json").unlink()
    clone = make_run("BACKUP_KEEP=1\n")
    signature.make_key(clone)
    own = [save(clone, tmp_path / "backups", tree) for _ in range(3)]
    assert sorted(path.name for path in first.parent.iterdir()) == sorted([first.name, own[-1].name])
    assert all(f"{first}: {generations.OTHER_KEY}" in warning for warning in clone.report.warnings)
    assert len(clone.report.warnings) == 3


def test_damaged_ones_with_a_date_to_come_are_in_the_way_until_the_next_backup(
    tmp_path: Path, signing: Run, tree: Path, said: list[str]
) -> None:
    first = save(signing, tmp_path / "backups", tree)
    for month in ("01", "02", "03"):
        (first.parent / f"2099-{month}-01T000000Z").mkdir()
        (first.parent / f"2099-{month}-01T000000Z" / manifest.NAME).write_text("x")
    with pytest.raises(Refused, match="the manifest is damaged"):
        archive.check(signing, tmp_path / "backups")
    newest = save(signing, tmp_path / "backups", tree)
    archive.check(signing, tmp_path / "backups")
    assert [line for line in said if line.startswith(f"Backup: {newest.name} ")]
    # One that was made later and is damaged is not passed over in silence.
    last = save(signing, tmp_path / "backups", tree)
    (last / manifest.NAME).write_text("x")
    with pytest.raises(Refused, match="the manifest is damaged"):
        archive.check(signing, tmp_path / "backups")


def replace_backup(run: Run, date: str) -> Run:
    run.options = replace(run.options, backup=date)
    return run


def test_the_key_is_for_root_alone_and_in_no_backup(tmp_path: Path, signing: Run) -> None:
    path = signature.key_path(signing)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    signature.make_key(signing)
    assert path.read_bytes() == before
    described = json.loads((signing.recovery_dir / "system.json").read_text())
    assert "PRIVATE" not in json.dumps(described)
    assert re.match("-----BEGIN PUBLIC KEY-----", described["signers"][0])


def test_a_damaged_key_is_named(tmp_path: Path, signing: Run, tree: Path) -> None:
    signature.key_path(signing).write_text("no key")
    with pytest.raises(RearError, match="cannot be signed"):
        backup.store(signing, tmp_path / "backups", chosen(tree))
    assert generations.names(tmp_path / "backups/web1") == []


def test_the_report_on_what_is_saved_is_signed_as_well(tmp_path: Path, signing: Run, tree: Path) -> None:
    generation = save(signing, tmp_path / "backups", tree)
    made = manifest.loads((generation / manifest.NAME).read_text()).manifest
    assert made.coverage == hashlib.sha256((generation / backup.COVERAGE).read_bytes()).hexdigest()


def test_what_is_put_in_its_place_while_it_is_written_is_no_backup(
    tmp_path: Path, make_run: MakeRun, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("BACKUP_KEEP=1\n")
    good = save(run, tmp_path / "backups", tree)
    add = repository.FolderTarget.add

    def exchange(target: repository.FolderTarget, name: str, text: str) -> None:
        path = target.partial / "backup.tar.zst"
        size = path.stat().st_size
        path.unlink()
        path.write_bytes(bytes(size))
        add(target, name, text)

    monkeypatch.setattr(repository.FolderTarget, "add", exchange)
    with pytest.raises(RearError, match="was removed or replaced while rear wrote it"):
        save(run, tmp_path / "backups", tree)
    monkeypatch.setattr(
        repository.FolderTarget, "add", lambda target, *_: (target.partial / "backup.tar.zst").unlink(True)
    )
    with pytest.raises(RearError, match="was removed or replaced while rear wrote it"):
        save(run, tmp_path / "backups", tree)
    assert [path.name for path in good.parent.iterdir()] == [good.name]


@pytest.mark.parametrize("size", [0, 10**6])
def test_an_archive_of_another_size_counts_as_no_backup(
    tmp_path: Path, make_run: MakeRun, tree: Path, size: int
) -> None:
    run = make_run("BACKUP_KEEP=1\n")
    good = save(run, tmp_path / "backups", tree)
    damaged = good.with_name("2020-01-01T000000Z")
    shutil.copytree(good, damaged)
    os.truncate(damaged / "backup.tar.zst", size)
    assert [old.name for old in generations.found(good.parent) if old.whole] == [good.name]
    newest = save(run, tmp_path / "backups", tree)
    assert sorted(path.name for path in good.parent.iterdir()) == sorted([damaged.name, newest.name])


def test_the_private_key_is_left_out_of_what_is_saved(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(f"BACKUP_PROG_INCLUDE=( {tmp_path}/var )\nBACKUP_PROG_EXCLUDE=()\nEXCLUDE_MOUNTPOINTS=( '/*' )\n")
    signature.make_key(run)
    (run.var_dir / "other").write_text("saved")
    run.layout = layout.make([])
    archive.save(run, tmp_path / "backups")
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    assert [path.name for path in Path(f"{run.target}{run.var_dir}").iterdir()] == ["other"]


def test_the_private_key_is_left_out_by_all_its_paths(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(f"BACKUP_PROG_INCLUDE=( {tmp_path}/tree )\nBACKUP_PROG_EXCLUDE=()\nEXCLUDE_MOUNTPOINTS=( '/*' )\n")
    signature.make_key(run)
    (run.var_dir / "other").write_text("saved")
    run.layout = layout.make([])
    with mounted(tmp_path / "tree" / "var", "--bind", os.fspath(run.var_dir)):
        (tmp_path / "tree" / "file").write_text("saved")
        patterns = [
            part.pattern for part in backup.selected(run, repository.FolderRepository(run, tmp_path / "backups")).parts
        ]
    assert f"{tmp_path}/tree/var/{signature.key_path(run).name}" in patterns


def test_backups_behind_a_link_are_not_saved_again(tmp_path: Path, make_run: MakeRun) -> None:
    for folder in ("data/store", "backups"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "backups" / "web1").symlink_to(tmp_path / "data" / "store")
    (tmp_path / "data" / "file").write_text("saved")
    run = make_run(f"BACKUP_PROG_INCLUDE=( {tmp_path}/data )\nBACKUP_PROG_EXCLUDE=()\nEXCLUDE_MOUNTPOINTS=( '/*' )\n")
    signature.make_key(run)
    run.layout = layout.make([])
    archive.save(run, tmp_path / "backups")
    archive.check(run, tmp_path / "backups")
    archive.restore(run, tmp_path / "backups")
    found = {path.name for path in Path(f"{run.target}{tmp_path}/data").rglob("*")}
    assert found == {"file", "store"} and run.report.warnings == []


@pytest.mark.parametrize("harm", ["empty", "text", "open", "folder", "link"])
def test_a_key_that_is_none_is_named_with_what_to_do(signing: Run, harm: str) -> None:
    path = signature.key_path(signing)
    if harm == "open":
        path.chmod(0o644)
    elif harm in ("empty", "text"):
        path.write_text("x" if harm == "text" else "")
    else:
        path.unlink()
        path.mkdir() if harm == "folder" else path.symlink_to("nowhere")
    with pytest.raises(RearError, match=f"the key {path}") as raised:
        signature.make_key(signing)
        signature.public_key(signing)
    assert raised.value.hint


def test_a_key_that_is_gone_is_a_warning(signing: Run) -> None:
    signature.key_path(signing).unlink()
    signature.make_key(signing)
    assert "only new rescue media know it" in signing.report.warnings[0]


def test_a_report_that_was_changed_is_a_warning(tmp_path: Path, signing: Run, tree: Path) -> None:
    generation = save(signing, tmp_path / "backups", tree)
    (generation / backup.COVERAGE).write_text("{}")
    archive.check(signing, tmp_path / "backups")
    assert "is missing or was changed" in signing.report.warnings[0]
