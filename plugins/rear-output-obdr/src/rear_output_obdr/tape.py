# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of a tape that boots: the label, which fills 20 records, a file mark, and the image of a CD.

In the mode of a CD such a drive looks for an El Torito image behind 20 records; the blocks of a CD are records of 2048
bytes (HP Ultrium drives, technical reference manual, volume 3, "CD-ROM emulation").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rear_core import RearError, Refused, Run
from rear_core.archive.progress import Progress
from rear_core.media.tape import (
    BLOCK_SIZE,
    COMPRESSION,
    Drive,
    Label,
    Tape,
    go_to_data,
    is_empty,
    now,
    opened,
    read_label,
    write_end,
    write_label,
)

BLOCK = 2048
# With fixed blocks the driver makes records of one large write; more than this may be too much for a host adapter.
AT_ONCE = 128 * BLOCK


def check(run: Run, device: Path, drive: Drive = opened) -> None:
    """Raise `Refused` unless there is a tape of rear in the drive; one with a backup only if a newer one follows."""
    follows = "backup" in run.phases and "TAPE" in run.settings["BACKUP"]
    with drive(device, write=True) as tape:
        go_to_data(tape, device)
        # What may be written over BACKUP=TAPE looks at itself.
        held = "" if follows else _held(tape)
        if held:
            raise Refused(
                f"the tape in {device} {held}, which a boot image would overwrite",
                "insert another tape, or run `rear mkbackup` with BACKUP=TAPE; if you do not need the contents of"
                " this one: rear format {device}",
            )


def _held(tape: Tape) -> str:
    try:
        return "" if is_empty(tape) else "holds a backup"
    except OSError as error:
        return f"may hold a backup, as part of it cannot be read ({error.strerror})"


def write(run: Run, device: Path, image: Path, drive: Drive = opened) -> None:
    """Write label and image, and compare what is on the tape then with the image."""
    try:
        with drive(device, write=True) as tape, uncompressed(run, tape):
            write_label(tape, Label(now(), boot=True))
            copy(run, tape, image)
            tape.rewind()
            compare(run, tape, image)
    except OSError as error:
        raise RearError(f"cannot write to the tape in {device}: {error.strerror}", "use another tape") from error
    run.report.say(f"The tape in {device} boots on drives with OBDR ({image.stat().st_size >> 20} MiB)")


def copy(run: Run, tape: Tape, image: Path) -> None:
    """Write the image in blocks of a CD, and a file mark."""
    progress = Progress(run.report, "Writing", image.stat().st_size, events=run.options.json_progress)
    tape.do(BLOCK_SIZE, BLOCK)
    done = 0
    for blocks in pieces(image):
        if tape.write(blocks) != len(blocks):
            raise RearError("the tape is too small for the boot image", "use a larger one")
        done += len(blocks)
        progress.at(done)
    tape.mark()
    tape.do(BLOCK_SIZE, 0)
    write_end(tape)
    progress.end()


def compare(run: Run, tape: Tape, image: Path) -> None:
    """Raise `RearError` unless the tape, which is at its beginning, holds the image."""
    label = read_label(tape)
    tape.do(BLOCK_SIZE, BLOCK)
    same = label is not None and label.boot
    progress = Progress(run.report, "Reading back", image.stat().st_size, events=run.options.json_progress)
    done = 0
    for blocks in pieces(image):
        same = same and tape.read(len(blocks)) == blocks
        done += len(blocks)
        progress.at(done)
    same = same and not tape.read(BLOCK)
    tape.do(BLOCK_SIZE, 0)
    progress.end()
    if not same:
        raise RearError(
            "the boot image on the tape differs from what was written", "clean the drive, or use another tape"
        )


def pieces(image: Path) -> Iterator[bytes]:
    """The image in pieces of whole blocks; that of a CD has no other."""
    with image.open("rb") as file:
        while piece := file.read(AT_ONCE):
            yield piece.ljust(-(-len(piece) // BLOCK) * BLOCK, b"\0")


@contextmanager
def uncompressed(run: Run, tape: Tape) -> Iterator[None]:
    """Switch the compression of the drive off, which a boot image must not have; some drives have none."""
    try:
        tape.do(COMPRESSION, 0)
    except OSError as error:
        run.report.log(f"The drive has no compression to switch off: {error.strerror}")
        yield
        return
    try:
        yield
    finally:
        tape.do(COMPRESSION, 1)
