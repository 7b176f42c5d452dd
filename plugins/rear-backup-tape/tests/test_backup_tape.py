# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=TAPE on a stand-in for the drive: volumes, wrong tapes, damage; real archives of real files."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import rear_backup_tape
from rear_backup_tape import volume
from rear_backup_tape.place import GIVEN_UP, Tapes
from rear_backup_tape.volume import Unreadable
from rear_core import RearError, Refused, Run, archive, builtin
from rear_core.archive import backup, coverage, repository, signature
from rear_core.errors import Interrupted
from rear_core.media.tape import Label, write_label
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import evaluate
from rear_core.settings.files import load
from rear_core.shell import Shell
from rear_core.testing.tape import Cartridge, StandInDrive, StandInTape

SIZE = 300_000
MakeTapes = Callable[..., Tapes]


class Terminal(io.StringIO):
    """A terminal at which somebody has typed these lines already."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def nothing_given_up() -> Iterator[None]:
    """What one test agrees to is no answer in another."""
    yield
    GIVEN_UP.clear()


@pytest.fixture
def make_tapes(tmp_path: Path) -> MakeTapes:
    """Makes the tapes of a run, which are in this drive."""

    def make(drive: StandInDrive, conf: str = "", **options: object) -> Tapes:
        declared = [*Plugins(builtin.modules()).call("rear_settings"), *rear_backup_tape.rear_settings()]
        text = f"BACKUP_PREFIX=web1\nBACKUP_COMPRESSION=none\nTAPE_BLOCK_SIZE=10000\nVAR_DIR={tmp_path}/var\n{conf}"
        (tmp_path / "local.conf").write_text(text)
        settings = evaluate(load(tmp_path, ["local.conf"]), declared, {})
        target = tmp_path / f"restored{len(list(tmp_path.iterdir()))}"
        chosen = Options(config_dir=tmp_path, target=target, **options)  # type: ignore[arg-type]
        run = Run(settings, Plugins([]), chosen, Report(terminal=io.StringIO()), Shell())
        run.build_dir = tmp_path / "work"
        run.build_dir.mkdir(exist_ok=True)
        return Tapes(run, drive)

    return make


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a file that nobody can compress."""
    path = tmp_path / "tree"
    path.mkdir()
    (path / "noise").write_bytes(os.urandom(SIZE))
    return path


def labelled(room: int = 1 << 40, *, boot: bool = False) -> Cartridge:
    """An empty tape of rear."""
    cartridge = Cartridge(room)
    tape = StandInTape(cartridge, StandInDrive(cartridge))
    write_label(tape, Label("2026-01-01T000000Z", boot=boot))
    if boot:
        tape.write(b"image")
        tape.mark()
    return cartridge


def save(tapes: Tapes, tree: Path) -> None:
    parts = (coverage.Covered("/", "", "", coverage.SAVED, bytes=SIZE),)
    backup.store(tapes.run, tapes, coverage.Selection((f".{tree}",), (), parts))


def restored(tapes: Tapes, tree: Path) -> bytes:
    """Check the backup and restore it; what came of the file."""
    archive.check(tapes.run, tapes)
    archive.restore(tapes.run, tapes)
    return Path(f"{tapes.run.target}{tree}/noise").read_bytes()


def at_terminal(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{answer}\n" for answer in answers)))


def said(tapes: Tapes) -> str:
    terminal = tapes.run.report._terminal
    assert isinstance(terminal, io.StringIO)
    return terminal.getvalue()


@pytest.mark.parametrize("boot", [False, True])
def test_a_backup_on_one_tape_comes_back(make_tapes: MakeTapes, tree: Path, boot: bool) -> None:
    drive = StandInDrive(labelled(boot=boot))
    save(make_tapes(drive), tree)
    assert restored(make_tapes(drive), tree) == (tree / "noise").read_bytes()
    # The next one takes its place.
    (tree / "noise").write_text("new")
    save(make_tapes(drive), tree)
    assert restored(make_tapes(drive), tree) == b"new"
    assert drive.cartridge and (drive.cartridge.records[21] == b"image") == boot


def test_records_have_the_size_that_is_set(make_tapes: MakeTapes, tree: Path) -> None:
    drive = StandInDrive(labelled())
    save(make_tapes(drive), tree)
    assert drive.cartridge
    _, header, *rest = "".join("|" if record is None else "x" if len(record) == 10_000 else "." for record in
                               drive.cartridge.records).split("|")  # fmt: skip
    assert header == "."
    assert len(rest[0]) > SIZE // 10_000 and set(rest[0]) <= {"x", "."} and "." not in rest[0][:-1]
    assert len(rest) == 4 and rest[-1] == ""


def test_two_tapes_are_changed_and_come_back(
    make_tapes: MakeTapes, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = labelled(room=200_000), labelled(boot=True)
    at_terminal(monkeypatch, "")
    writing = make_tapes(StandInDrive(first, [second]))
    save(writing, tree)
    assert "is full" in said(writing) and "2 volumes" in said(writing)

    # The last one is still in the drive; then volume 1, which stays for the restore, and volume 2 again.
    at_terminal(monkeypatch, "", "")
    assert restored(make_tapes(StandInDrive(second, [first, second])), tree) == (tree / "noise").read_bytes()
    # Begun with the first one, the last is asked for; so is a tape of another backup, or an empty drive.
    at_terminal(monkeypatch, *[""] * 5)
    magazine = [labelled(), second, first, Cartridge(), second]
    reading = make_tapes(StandInDrive(first, magazine))
    assert restored(reading, tree) == (tree / "noise").read_bytes()
    assert "no backup" in said(reading) and "no label" in said(reading)


def test_what_cannot_be_asked_ends_the_run(make_tapes: MakeTapes, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = labelled(room=200_000), labelled()
    with pytest.raises(
        RearError, match=r"is full; a tape for volume 2 .*is needed, but this run is unattended"
    ) as caught:
        save(make_tapes(StandInDrive(first)), tree)
    assert not isinstance(caught.value, Refused)
    with pytest.raises(Refused, match=r"the last volume .* is needed"):
        archive.check((tapes := make_tapes(StandInDrive(first))).run, tapes)
    at_terminal(monkeypatch, "", "")
    with pytest.raises(RearError, match="this run is unattended"):
        save(make_tapes(StandInDrive(first), unattended=True), tree)
    save(make_tapes(StandInDrive(first, [second])), tree)
    with pytest.raises(Refused, match=r"volume 1 .*is needed, but this run is unattended"):
        archive.check((tapes := make_tapes(StandInDrive(second), unattended=True)).run, tapes)
    at_terminal(monkeypatch, "q")
    with pytest.raises(Interrupted, match=r"stopped before volume 1 .* was inserted into"):
        archive.check((tapes := make_tapes(StandInDrive(second))).run, tapes)


def test_wrong_tapes_are_not_written_to(make_tapes: MakeTapes, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = StandInDrive(labelled())
    save(make_tapes(other, "BACKUP_PREFIX=web2"), tree)
    assert other.cartridge
    foreign, blank, again = other.cartridge, Cartridge(records=[b"payroll", None]), labelled(room=200_000)
    before = [*foreign.records], [*blank.records]
    with pytest.raises(Refused, match=r"holds volume 1 of the backup .* of web2, which is another machine"):
        save(make_tapes(StandInDrive(foreign)), tree)
    with pytest.raises(Refused, match="no label"):
        save(make_tapes(StandInDrive(blank)), tree)
    with pytest.raises(Refused, match="belongs to web2, not to web1"):
        archive.check((tapes := make_tapes(StandInDrive(foreign))).run, tapes)
    protected = labelled()
    protected.protected = True
    with pytest.raises(Refused, match="write-protected"):
        save(make_tapes(StandInDrive(protected)), tree)

    at_terminal(monkeypatch, *[""] * 4)
    last = labelled()
    drive = StandInDrive(again, [foreign, blank, again, last])
    save(tapes := make_tapes(drive), tree)
    assert "another machine" in said(tapes) and "no label" in said(tapes) and "which this run wrote" in said(tapes)
    assert drive.cartridge is last
    assert before == ([*foreign.records], [*blank.records])

    # Somebody who has no empty tape at hand may give one up.
    at_terminal(monkeypatch, "erase", "erase")
    drive = StandInDrive(again, [again, blank])
    save(tapes := make_tapes(drive), tree)
    assert "which this run wrote" in said(tapes)
    at_terminal(monkeypatch, "", "")
    assert restored(make_tapes(StandInDrive(blank, [again, blank])), tree) == (tree / "noise").read_bytes()


@pytest.fixture
def known_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives this machine another identity; its name stays."""
    return lambda identity: monkeypatch.setattr(repository, "computed", lambda: identity)


def used(make_tapes: MakeTapes, tree: Path) -> tuple[StandInDrive, Cartridge]:
    """A drive with a tape that has a backup of this machine."""
    drive = StandInDrive(labelled())
    save(make_tapes(drive), tree)
    assert drive.cartridge
    return drive, drive.cartridge


def without_identity(cartridge: Cartridge) -> None:
    """Make the header that of a tape from before machines had an identity."""
    header = json.loads(cartridge.records[21] or b"")
    del header["identity"]
    cartridge.records[21] = json.dumps({**header, "format": "rear tape volume 1"}).encode()


def test_the_tape_of_another_machine_of_that_name_is_not_written_to(
    make_tapes: MakeTapes, tree: Path, known_as: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_as("first")
    drive, cartridge = used(make_tapes, tree)
    before = [*cartridge.records]
    known_as("second")
    with pytest.raises(Refused, match=r"of web1, which is another machine \(identity first, this one is second\)"):
        save(make_tapes(drive), tree)
    assert cartridge.records == before
    # As a further volume it is not taken either.
    at_terminal(monkeypatch, "", "")
    last = labelled()
    save(tapes := make_tapes(StandInDrive(labelled(room=200_000), [cartridge, last])), tree)
    assert "another machine" in said(tapes)
    assert cartridge.records == before
    known_as("first")
    save(make_tapes(drive), tree)


def test_the_tape_of_a_clone_of_the_same_identity_is_not_written_to(
    make_tapes: MakeTapes, tree: Path, known_as: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of a board without a UUID of its own: only their keys differ."""
    known_as("same")
    monkeypatch.setattr(signature, "sign", lambda *_: "")
    monkeypatch.setattr(signature, "public_key", lambda _: "first")
    drive, cartridge = used(make_tapes, tree)
    before = [*cartridge.records]
    monkeypatch.setattr(signature, "public_key", lambda _: "second")
    with pytest.raises(Refused, match=r"of web1, and it was signed by a key that this machine does not know"):
        save(make_tapes(drive), tree)
    at_terminal(monkeypatch, "", "")
    save(tapes := make_tapes(StandInDrive(labelled(room=200_000), [cartridge, labelled()])), tree)
    assert "signed by a key that" in said(tapes)
    assert cartridge.records == before
    # A machine that was recovered knows the key that it had.
    monkeypatch.setattr(signature, "signers", lambda _: ["first"])
    save(make_tapes(drive), tree)
    assert cartridge.records != before


def test_a_tape_from_before_is_read_and_asked_about_once_before_it_is_written_over(
    make_tapes: MakeTapes, tree: Path, known_as: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_as("first")
    drive, cartridge = used(make_tapes, tree)
    without_identity(cartridge)
    assert restored(make_tapes(drive), tree) == (tree / "noise").read_bytes()
    with pytest.raises(Refused, match="may be of this machine or of another"):
        save(make_tapes(drive), tree)
    at_terminal(monkeypatch, "no")
    with pytest.raises(Refused, match="may be of this machine or of another"):
        save(make_tapes(drive), tree)
    at_terminal(monkeypatch, "yes")
    with (found := make_tapes(drive)).drive(found.device) as tape:
        found.check_writable(tape)
    save(make_tapes(drive), tree)
    save(make_tapes(drive), tree)


@pytest.mark.parametrize("record", [b"[" * 60_000, b'{"format": "rear tape volume 2", "machine": 1, "backup": "x", '
                                    b'"volume": 1, "block_size": 512}'])  # fmt: skip
def test_what_others_have_written_is_no_header(make_tapes: MakeTapes, record: bytes) -> None:
    cartridge = labelled()
    cartridge.records[21:] = [record, None]
    tapes = make_tapes(drive := StandInDrive(cartridge))
    with drive(tapes.device) as tape, pytest.raises(Unreadable, match="not the header of a backup"):
        tapes.header(tape)


class Dirty(StandInTape):
    """A tape in a drive whose head reads the label and nothing of what follows it."""

    def read(self, size: int = 64 << 10) -> bytes:
        if 20 < self.at < len(self.cartridge.records):
            self.at += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


def test_a_tape_whose_header_cannot_be_read_is_not_blank(
    make_tapes: MakeTapes, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = StandInDrive(labelled())
    save(make_tapes(drive, "BACKUP_PREFIX=web2"), tree)
    assert drive.cartridge
    before = [*drive.cartridge.records]
    drive.tape = Dirty
    with pytest.raises(Refused, match=r"may hold a backup: the header .* cannot be read") as caught:
        save(make_tapes(drive), tree)
    assert "clean the drive" in caught.value.hint and "rear format" in caught.value.hint
    with pytest.raises(Refused, match=r"may hold a backup: the header .* cannot be read"):
        archive.check((tapes := make_tapes(drive)).run, tapes)
    at_terminal(monkeypatch, "no")
    with pytest.raises(Refused, match="may hold a backup"):
        save(make_tapes(drive), tree)
    assert drive.cartridge.records == before

    at_terminal(monkeypatch, "yes")
    found = make_tapes(drive)
    with found.drive(found.device) as tape:
        found.check_writable(tape)
    # It was asked before the work began, and is not asked once more.
    save(make_tapes(drive, "TAPE_VERIFY=no"), tree)
    assert drive.cartridge.records != before


class Reporting(StandInTape):
    """A drive that tells of the end of what was written as st does: without an error, once."""

    def read(self, size: int = 64 << 10) -> bytes:
        return b"" if self.at_end() else super().read(size)


@pytest.mark.parametrize("tape", [StandInTape, Reporting])
def test_a_blank_tape_is_written_to_unasked(make_tapes: MakeTapes, tree: Path, tape: type[StandInTape]) -> None:
    drive = StandInDrive(labelled())
    drive.tape = tape
    save(make_tapes(drive), tree)
    assert restored(make_tapes(drive), tree) == (tree / "noise").read_bytes()


def test_what_is_no_small_file_is_not_read_to_its_end(
    make_tapes: MakeTapes, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = StandInDrive(labelled())
    save(make_tapes(drive), tree)
    monkeypatch.setattr(volume, "LARGEST", 100)
    with pytest.raises(Refused, match="no manifest"):
        archive.check((tapes := make_tapes(drive)).run, tapes)


class Worn(StandInTape):
    """A tape that spoils what is written to it."""

    def write(self, record: bytes | memoryview) -> int:
        damaged = bytearray(record)
        if len(record) == 10_000:
            damaged[5000] ^= 1
        return super().write(bytes(damaged))


def test_a_tape_that_is_not_what_was_written_ends_the_backup(make_tapes: MakeTapes, tree: Path) -> None:
    worn = StandInDrive(labelled())
    worn.tape = Worn
    with pytest.raises(RearError, match=r"volume 1 of the backup .* is damaged"):
        save(make_tapes(worn), tree)
    save(make_tapes(worn, "TAPE_VERIFY=no"), tree)
    with pytest.raises(Refused, match="damaged"):
        archive.check((tapes := make_tapes(worn)).run, tapes)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda records: records[:30], "no manifest"),
        (lambda records: records[:-2], "no manifest"),
        (lambda records: [r for n, r in enumerate(records) if n != 30], "truncated"),
        (
            lambda records: [r if n != 30 or not r else bytes([r[0] ^ 1]) + r[1:] for n, r in enumerate(records)],
            "damaged",
        ),
        (lambda records: records[:21], "no backup"),
        (lambda records: [*records[:21], b"{}", *records[22:]], "not the header of a backup"),
        (lambda records: [*records[:21], b'{"format": "rear tape volume 9"}', None], "another version"),
    ],
)
def test_a_damaged_tape_is_refused_before_anything_is_restored(
    make_tapes: MakeTapes, tree: Path,
    harm: Callable[[list[bytes | None]], Sequence[bytes | None]], message: str,
) -> None:  # fmt: skip
    drive = StandInDrive(labelled())
    save(make_tapes(drive), tree)
    assert drive.cartridge
    drive.cartridge.records = list(harm(drive.cartridge.records))
    with pytest.raises(Refused, match=message):
        archive.check((tapes := make_tapes(drive)).run, tapes)


def test_without_a_tape_it_is_said(make_tapes: MakeTapes, tree: Path) -> None:
    with pytest.raises(Refused, match="there is no tape in /dev/nst0"):
        save(make_tapes(StandInDrive()), tree)


def test_settings_are_checked() -> None:
    declared = {setting.name: setting for setting in rear_backup_tape.rear_settings()}
    assert declared["TAPE_DEVICE"].default == "/dev/nst0"
    check = declared["TAPE_BLOCK_SIZE"].check
    assert check and not check(65536) and check(100) and check(1 << 30)
