# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation is there when it is complete, the previous one until then; a date chooses among them."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from rear_core.archive import encryption, generations, manifest
from rear_core.archive.volumes import Volume
from rear_core.errors import ConfigurationError, Refused

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)


def make(home: Path, *names: str, number: int = 0, machine: str = "", there: tuple[str, ...] = ()) -> None:
    for name in names:
        (home / name).mkdir(parents=True)
        made = manifest.Manifest(
            name, "web1", "backup.tar", 0, "", "none", 0, 0, machine=machine, number=number, there=there
        )
        (home / name / manifest.NAME).write_text(manifest.dumps(made))
        (home / name / made.archive).touch()


def test_it_appears_in_the_end_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "web1"
    with generations.new(home, NOON) as (partial, name):
        assert generations.names(home) == []
        generations.write(partial / "x", "text")
    assert generations.names(home) == [name] == ["2026-11-22T120000Z"]
    assert (home / name / "x").read_text() == "text"
    assert (home / name / "x").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in (home, home / name)} == {0o700}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_nothing_of_it_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    make(tmp_path, "2026-11-21T120000Z")
    with pytest.raises(error), generations.new(tmp_path, NOON) as (partial, _):
        generations.write(partial / "x", "text")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-21T120000Z"]


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-21T120000Z.partial", "notes.partial", "2026-11-20T120000Z")
    with generations.new(tmp_path, NOON):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2026-11-20T120000Z", "2026-11-22T120000Z", "notes.partial",
    ]  # fmt: skip


def test_the_newest_is_the_one_made_last_though_the_clock_was_wrong(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-01T120000Z", "2026-11-02T120000Z")
    make(tmp_path, "2099-01-01T000000Z", number=1)
    make(tmp_path, "2026-11-20T120000Z", number=2)
    assert generations.names(tmp_path) == [
        "2026-11-01T120000Z", "2026-11-02T120000Z", "2099-01-01T000000Z", "2026-11-20T120000Z",
    ]  # fmt: skip
    with generations.new(tmp_path, NOON.replace(day=20)) as (_, name):
        assert name == "2026-11-20T120001Z"
    assert generations.choose(["2099-01-01T000000Z", "2026-11-20T120000Z"], "", "there") == "2026-11-20T120000Z"


def test_a_damaged_one_keeps_its_place_among_the_others(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-20T120000Z", number=4)
    make(tmp_path, "2026-11-21T120000Z", number=5)
    make(tmp_path, "2026-11-22T120000Z", number=6)
    (tmp_path / "2026-11-21T120000Z" / manifest.NAME).write_text("{")
    assert generations.names(tmp_path) == ["2026-11-20T120000Z", "2026-11-21T120000Z", "2026-11-22T120000Z"]


def damage(path: Path) -> None:
    (path / manifest.NAME).write_text("{")


DAYS = ("2026-11-20T120000Z", "2026-11-21T120000Z", "2026-11-22T120000Z")
FUTURE = ("2099-01-01T000000Z", "2099-02-01T000000Z")


def test_a_damaged_one_is_older_than_what_was_made_when_it_was_there(tmp_path: Path) -> None:
    """Whatever its date says, and however many there are."""
    make(tmp_path, DAYS[0], number=1, there=DAYS[:1])
    make(tmp_path, *FUTURE)
    for name in FUTURE:
        damage(tmp_path / name)
    assert generations.names(tmp_path)[-1] == FUTURE[1]
    make(tmp_path, DAYS[1], number=2, there=(DAYS[0], *FUTURE, DAYS[1]))
    assert generations.names(tmp_path) == [DAYS[0], *FUTURE, DAYS[1]]


@pytest.mark.parametrize("name", ["2026-11-23T120000Z", "2026-11-19T120000Z", "2026-11-20T180000Z"])
def test_nobody_hides_the_newest_by_damage_to_its_manifest(tmp_path: Path, name: str) -> None:
    """Also not where a clock was set back, so that its date is an older one: it would be restored without a word."""
    make(tmp_path, DAYS[0], number=4, there=DAYS[:1])
    make(tmp_path, DAYS[1], number=5, there=DAYS[:2])
    make(tmp_path, name, number=6, there=(*DAYS[:2], name))
    damage(tmp_path / name)
    assert generations.names(tmp_path) == [*DAYS[:2], name]


@pytest.mark.parametrize("number", [3, manifest.LARGEST])
def test_what_others_have_written_is_older_than_what_was_made_later_whatever_number_it_has(
    tmp_path: Path, number: int
) -> None:
    make(tmp_path, DAYS[0], number=1, there=DAYS[:1])
    make(tmp_path, FUTURE[0], number=number)
    forge(tmp_path / FUTURE[0], hostname="others")
    assert [old.name for old in generations.found(tmp_path, ours)] == [DAYS[0], FUTURE[0]]
    make(tmp_path, DAYS[1], number=min(number + 1, manifest.LARGEST), there=(DAYS[0], FUTURE[0], DAYS[1]))
    assert [old.name for old in generations.found(tmp_path, ours)] == [DAYS[0], FUTURE[0], DAYS[1]]


def test_what_others_have_written_makes_none_older(tmp_path: Path) -> None:
    make(tmp_path, DAYS[0], number=1, there=DAYS[:1])
    make(tmp_path, DAYS[1], number=2, there=DAYS[:2])
    damage(tmp_path / DAYS[1])
    make(tmp_path, DAYS[2], number=1, there=DAYS)
    forge(tmp_path / DAYS[2], hostname="others")
    assert [old.name for old in generations.found(tmp_path, ours)] == [DAYS[0], DAYS[2], DAYS[1]]


@pytest.mark.parametrize("name", ["2026-99-99T999999Z", "2026-02-30T000000Z", "2026-01-01T246060Z"])
def test_what_is_no_time_is_no_backup(tmp_path: Path, name: str) -> None:
    make(tmp_path, "2026-11-20T120000Z")
    (tmp_path / name).mkdir()
    assert generations.names(tmp_path) == ["2026-11-20T120000Z"]


def test_the_last_second_of_time_is_in_nobodys_way(tmp_path: Path) -> None:
    make(tmp_path, "9999-12-31T235959Z", number=1)
    with generations.new(tmp_path, NOON) as (_, name):
        assert name == "2026-11-22T120000Z"


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "endless", "huge"])
def test_what_is_no_manifest_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "2026-11-20T120000Z")
    path = tmp_path / "2026-11-20T120000Z" / manifest.NAME
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        path.symlink_to("/dev/zero" if kind == "endless" else "/etc/passwd")
    (generation,) = generations.found(tmp_path)
    assert not generation.whole
    with pytest.raises(OSError):
        generations.read_small(path)


def test_while_one_saves_another_is_refused_and_its_work_stays(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from rear_core.archive import generations\n"
        "with generations.locked(Path(sys.argv[1])), generations.new(Path(sys.argv[1])):\n"
        "    print('there', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"there\n"
        with pytest.raises(Refused, match="another run of rear saves to"), generations.locked(tmp_path):
            pass
        assert len(generations.unfinished(tmp_path)) == 1
        other.kill()
    # It dies with its holder, and leaves nothing for others.
    with generations.locked(tmp_path) as alone:
        assert alone
    assert not (tmp_path / generations.LOCK).exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "loop", "socket"])
def test_what_is_no_file_in_the_place_of_the_lock_makes_room_for_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "web1" / generations.LOCK
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fspath(path))
    else:
        path.symlink_to(path if kind == "loop" else tmp_path / "elsewhere")
    with generations.locked(path.parent) as alone:
        assert alone and path.is_file() and not path.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_known_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", none)
    with generations.locked(tmp_path) as alone:
        assert not alone


def test_the_oldest_are_pruned_but_never_the_one_just_made(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-19T120000Z", "2026-11-20T120000Z", "2026-11-21T120000Z", "2019-01-01T000000Z")
    (tmp_path / "2026-11-01T000000Z").mkdir()
    for day in (23, 24, 25):
        make(tmp_path, f"2026-11-{day}T120000Z")
        (tmp_path / f"2026-11-{day}T120000Z" / manifest.NAME).write_text("damaged")
    make(tmp_path.parent / "elsewhere", "2026-11-18T120000Z")
    (tmp_path / "2026-11-18T120000Z").symlink_to(tmp_path.parent / "elsewhere/2026-11-18T120000Z")
    assert generations.prune(tmp_path, 2, "2019-01-01T000000Z") == (["2026-11-19T120000Z", "2026-11-20T120000Z"], [])
    assert generations.names(tmp_path) == [
        "2019-01-01T000000Z", "2026-11-01T000000Z", "2026-11-18T120000Z", "2026-11-21T120000Z",
        *(f"2026-11-{day}T120000Z" for day in (23, 24, 25)),
    ]  # fmt: skip
    assert (tmp_path.parent / "elsewhere/2026-11-18T120000Z" / manifest.NAME).exists()


def forge(path: Path, **changes: object) -> None:
    """Have others write a manifest, with a checksum that is right."""
    made = manifest.loads((path / manifest.NAME).read_text()).manifest
    (path / manifest.NAME).write_text(manifest.dumps(replace(made, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"created": "2026-11-20T120000Z"}, "created as 2026-11-20T120000Z: someone renamed"),
        ({"compression": "rot13"}, "rear does not know its compression 'rot13'"),
        ({"encryption": encryption.Encryption("00", "", "rot13")}, "rear does not know its cipher 'rot13'"),
        ({"volumes": (Volume(0, ""),)}, "split into volumes"),
        ({"size": 1, "sha256": ""}, "its archive has 0 bytes, not 1"),
        ({"archive": "other"}, "its archive cannot be read"),
    ],
)
def test_what_every_recovery_refuses_pushes_no_good_one_out(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    make(tmp_path, "2026-11-20T120000Z", number=1)
    make(tmp_path, "2026-11-21T120000Z", number=2)
    forge(tmp_path / "2026-11-21T120000Z", number=99, **changes)
    make(tmp_path, "2026-11-22T120000Z", number=100)
    assert generations.prune(tmp_path, 2, "2026-11-22T120000Z") == ([], [])
    flawed = generations.found(tmp_path)[1]
    assert not flawed.whole
    assert reason in flawed.flaw


def test_an_archive_that_is_no_file_counts_as_none(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-20T120000Z")
    (tmp_path / "2026-11-20T120000Z/backup.tar").unlink()
    os.mkfifo(tmp_path / "2026-11-20T120000Z/backup.tar")
    assert [old.flaw for old in generations.found(tmp_path)] == ["its archive is not a file"]


def ours(sealed: manifest.Sealed) -> bool:
    return sealed.manifest.hostname == "web1"


@pytest.mark.parametrize(
    ("ours_of", "keep", "gone"),
    [
        # Others, or a rear from before it had a key, push out none of ours, whatever their number.
        ("1000", 2, [2, 3]), ("1100", 2, [1, 3]), ("1101", 3, [1]), ("1111", 2, [1, 2, 3]), ("1110", 2, [1, 2]),
        # Among each other, and beside ours, they are kept as many as wanted.
        ("0000", 2, [1, 2, 3]), ("0000", 3, [1, 2]), ("0001", 1, [1, 2, 3, 4]), ("0000", 9, []),
    ],
)  # fmt: skip
def test_what_this_machine_has_not_signed_pushes_none_out_that_it_has(
    tmp_path: Path, ours_of: str, keep: int, gone: list[int]
) -> None:
    names = [f"2026-11-{day:02}T120000Z" for day in range(1, 5)]
    for number, (name, own) in enumerate(zip(names, ours_of), start=1):
        make(tmp_path, name, number=number)
        forge(tmp_path / name, hostname="web1" if own == "1" else "others")
    make(tmp_path, "2026-11-22T120000Z", number=5)
    found, problems = generations.prune(tmp_path, keep, "2026-11-22T120000Z", ours)
    assert ([names.index(name) + 1 for name in found], problems) == (gone, [])


def test_a_new_one_that_cannot_be_signed_leaves_one_that_is(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-20T120000Z", "2026-11-21T120000Z", "2026-11-22T120000Z")
    forge(tmp_path / "2026-11-22T120000Z", hostname="others")
    assert generations.prune(tmp_path, 1, "2026-11-22T120000Z", ours) == (["2026-11-20T120000Z"], [])


@pytest.mark.parametrize(
    ("date", "chosen"),
    [
        ("", "2026-11-22T183000Z"),
        ("2026-11-22", "2026-11-22T183000Z"),
        ("2026-11-22T12", "2026-11-22T060000Z"),
        ("2026-11-22 18:30", "2026-11-22T183000Z"),
        ("2026-11-22T182959Z", "2026-11-22T060000Z"),
        ("2026-11-21", "2026-11-20T120000Z"),
        ("2027", "2026-11-22T183000Z"),
    ],
)
def test_the_newest_of_a_date_or_before_is_chosen(tmp_path: Path, date: str, chosen: str) -> None:
    make(tmp_path, "2026-11-20T120000Z", "2026-11-22T060000Z", "2026-11-22T183000Z")
    assert generations.choose(generations.names(tmp_path), date, "there") == chosen


def test_what_a_clock_that_was_wrong_has_named_can_be_chosen() -> None:
    there = ["2029-05-16T222103Z", "2026-11-28T222105Z"]
    assert generations.choose(there, "", "here") == "2026-11-28T222105Z"
    assert generations.choose(there, "2029-05-16T222103Z", "here") == "2029-05-16T222103Z"
    assert generations.choose(there, "2029-05", "here") == "2029-05-16T222103Z"
    assert generations.choose(there, "2027", "here") == "2026-11-28T222105Z"


def test_a_date_before_all_names_those_there_are(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-20T120000Z")
    with pytest.raises(Refused, match="from 2026-11-19 or before") as caught:
        generations.choose(generations.names(tmp_path), "2026-11-19", "there")
    assert "2026-11-20T120000Z" in caught.value.hint


@pytest.mark.parametrize(
    "date",
    [
        "yesterday", "2026-11-5", "2026-1-2", "2026-11-5T1830", "2026-1-12T123", "2026-11-05T18:3", "2026-11-04T2",
        "11", "2026-13-01", "2026-02-29", "05-11-2026", "2026-11-05T02:00:00+0100", "2026-11-05T02000011", "20261",
        "\uff12\uff10\uff12\uff16-11-05", "2026-11-05T25", "-2026-11-05", "2026--11-05", " ",
    ],
)  # fmt: skip
def test_what_is_no_date_is_a_configuration_error_that_names_what_is_one(date: str) -> None:
    there = ["2026-11-01T020000Z", "2026-11-04T020000Z", "2026-11-05T020000Z", "2026-11-28T020000Z"]
    with pytest.raises(ConfigurationError, match="is not a valid date") as caught:
        generations.choose(there, date, "there")
    assert "2026-11-05T1830 " in caught.value.hint


def test_without_a_backup_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no backup"):
        generations.choose(generations.names(tmp_path / "none"), "", "there")
