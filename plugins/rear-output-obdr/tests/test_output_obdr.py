# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=OBDR on a stand-in for the drive: the beginning of the tape is the CD that a drive with OBDR shows."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

import rear_output_obdr
from rear_core import RearError, Refused, Run, builtin
from rear_core.media.tape import EMPTY, LABEL_RECORDS, Label, go_to_data, read_label, write_label
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.settings import evaluate
from rear_core.settings.files import load
from rear_core.testing.tape import Cartridge, StandInDrive, StandInTape
from rear_core.workflow import WORKFLOWS
from rear_output_obdr.tape import AT_ONCE, BLOCK, check, write

DEVICE = Path("/dev/nst0")


def make_run(tmp_path: Path, workflow: str = "mkbackup", backup: str = "TAPE") -> Run:
    (tmp_path / "local.conf").write_text(f"BACKUP={backup}\n")
    settings = evaluate(load(tmp_path, ["local.conf"]), Plugins(builtin.modules()).call("rear_settings"), {})
    return Run(settings, Plugins([]), report=Report(terminal=io.StringIO()), phases=WORKFLOWS[workflow])


def labelled(cartridge: Cartridge) -> StandInDrive:
    drive = StandInDrive(cartridge)
    write_label(StandInTape(cartridge, drive), Label("2026-01-01T000000Z"))
    return drive


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "boot.iso"
    path.write_bytes(os.urandom(AT_ONCE + 5 * BLOCK))
    return path


def test_behind_20_records_lie_the_blocks_of_the_cd(tmp_path: Path, image: Path) -> None:
    cartridge = Cartridge()
    write(make_run(tmp_path), DEVICE, image, labelled(cartridge))
    blocks = cartridge.records[21:-3]
    assert cartridge.records[20] is None and cartridge.records[-3:] == [None, EMPTY, None]
    assert {len(block or b"") for block in cartridge.records[:20]} == {512}
    assert {len(block or b"") for block in blocks} == {BLOCK}
    assert b"".join(block or b"" for block in blocks) == image.read_bytes()

    tape = StandInTape(cartridge, StandInDrive(cartridge))
    label = read_label(tape)
    assert label and label.boot
    go_to_data(tape, DEVICE)
    assert tape.at == len(cartridge.records) - 2


def test_what_is_no_full_block_is_filled_up(tmp_path: Path, image: Path) -> None:
    image.write_bytes(b"x" * (BLOCK + 1))
    cartridge = Cartridge()
    write(make_run(tmp_path), DEVICE, image, labelled(cartridge))
    assert cartridge.records[21:] == [b"x" * BLOCK, b"x" + bytes(BLOCK - 1), None, EMPTY, None]


class Dirty(StandInTape):
    """A tape of which nothing behind the label can be read."""

    def read(self, size: int = 64 << 10) -> bytes:
        if self.at > LABEL_RECORDS:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


def test_what_cannot_be_read_behind_the_label_may_be_a_backup(tmp_path: Path) -> None:
    cartridge = Cartridge()
    drive = labelled(cartridge)
    cartridge.records[21:] = [b"backup", None]
    drive.tape = Dirty
    with pytest.raises(Refused, match="may hold a backup, as part of it cannot be read"):
        check(make_run(tmp_path, "mkrescue"), DEVICE, drive)
    # BACKUP=TAPE looks at what it writes over itself.
    check(make_run(tmp_path), DEVICE, drive)


class Worn(StandInTape):
    """A tape that does not give back what was written."""

    def read(self, size: int = 64 << 10) -> bytes:
        found = super().read(size)
        return found if self.at < 30 else found[:-1] + bytes([found[-1] ^ 1])


def test_a_tape_that_spoils_the_image_ends_the_run(tmp_path: Path, image: Path) -> None:
    drive = labelled(Cartridge())
    drive.tape = Worn
    with pytest.raises(RearError, match="differs from what was written"):
        write(make_run(tmp_path), DEVICE, image, drive)
    with pytest.raises(RearError, match="too small"):
        write(make_run(tmp_path), DEVICE, image, labelled(Cartridge(room=100_000)))


def test_a_boot_image_alone_does_not_take_the_place_of_a_backup(tmp_path: Path, image: Path) -> None:
    cartridge = Cartridge()
    drive = labelled(cartridge)
    with pytest.raises(Refused, match="no label"):
        check(make_run(tmp_path), DEVICE, StandInDrive(Cartridge()))
    check(make_run(tmp_path, "mkrescue"), DEVICE, drive)
    write(make_run(tmp_path), DEVICE, image, drive)
    check(make_run(tmp_path, "mkrescue"), DEVICE, drive)
    tape = StandInTape(cartridge, drive)
    go_to_data(tape, DEVICE)
    tape.write(b"backup")
    tape.mark()
    check(make_run(tmp_path), DEVICE, drive)
    for run in (make_run(tmp_path, "mkrescue"), make_run(tmp_path, backup="NFS")):
        with pytest.raises(Refused, match="holds a backup, which a boot image would overwrite"):
            check(run, DEVICE, drive)


@pytest.mark.parametrize(
    ("workflow", "phases"),
    [("mkrescue", {"prep", "output"}), ("mkbackup", {"prep", "backup"}), ("mkbackuponly", set())],
)
def test_the_boot_image_is_written_before_the_backup(tmp_path: Path, workflow: str, phases: set[str]) -> None:
    run = make_run(tmp_path, workflow)
    hooks = {
        "prep": rear_output_obdr.rear_prep, "backup": rear_output_obdr.rear_backup,
        "output": rear_output_obdr.rear_output,
    }  # fmt: skip
    steps = {phase: list(hook(run)) for phase, hook in hooks.items() if phase in WORKFLOWS[workflow]}
    assert {phase for phase, found in steps.items() if found} == phases
    assert all(step.number < 50 for step in steps.get("backup", ()))
