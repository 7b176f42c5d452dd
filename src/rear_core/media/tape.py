# SPDX-License-Identifier: GPL-3.0-or-later
"""Tapes: records, file marks and positions as Linux's st driver has them, and the label that makes a tape rear's own.

See st(4) and Documentation/scsi/st.rst of Linux. A tape of rear begins with a label; what follows belongs to plugins,
each part up to a file mark. Whatever is written is the end of the tape: what was behind it cannot be read any more.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RearError, Refused
from ..first_setup import Ask
from ..settings.model import Setting
from .format import Format

if TYPE_CHECKING:
    from ..run import Run

# Operations of MTIOCTOP, <linux/mtio.h>.
FORWARD, MARK, REWIND, EJECT, BLOCK_SIZE, COMPRESSION = 1, 5, 6, 7, 20, 32
# struct mtop: an operation and its count. _IOW('m', 1, struct mtop), which PowerPC, MIPS and SPARC encode otherwise.
OPERATION = struct.Struct("hi")
WRITES = 0x80000000 if platform.machine().startswith(("ppc", "mips", "sparc")) else 0x40000000
# struct mtget, of which the fourth number has the flags; at the end of what was written there is GMT_EOD.
STATUS = struct.Struct("5l2i")
READS = 0xC0000000 - WRITES
MTIOCGET = READS | STATUS.size << 16 | ord("m") << 8 | 2
END_OF_DATA = 0x08000000
MTIOCTOP = WRITES | OPERATION.size << 16 | ord("m") << 8 | 1

MAJOR = 9
NO_REWIND = 0x80

# OBDR drives look for the boot image behind 20 records of 512 bytes; all tapes begin so.
MAGIC = b"REAR-000\n"
LABEL_RECORD = 512
LABEL_RECORDS = 20
# No record of a label, or of what describes a volume, is larger; a larger read may be more than a host adapter can do.
SMALL = 64 << 10
# The record of a tape on which nothing follows.
EMPTY = b"rear tape: nothing follows"


def _device(value: str) -> str:
    return "" if value.startswith("/dev/") else "must be a device such as /dev/nst0 or /dev/tape/by-id/..."


DEVICE = Setting(
    "TAPE_DEVICE", str, default="/dev/nst0", check=_device,
    help="Tape drive, by the name of its device that does not rewind, such as /dev/nst0. With several drives, use a"
    " name below /dev/tape/by-id: it stays the same.",
)  # fmt: skip


ASK = Ask(
    "TAPE_DEVICE", "Tape drive, by the name that does not rewind; with several, one below /dev/tape/by-id", "/dev/nst0"
)


@dataclass(frozen=True)
class Label:
    """The beginning of a tape: when it was written, and whether a boot image follows."""

    written: str
    boot: bool = False


class Tape:
    """A tape in its drive, at some position. Records may have any size, and are read as they were written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def do(self, operation: int, count: int = 1) -> None:
        """An operation of the drive; raises `OSError`."""
        fcntl.ioctl(self._descriptor, MTIOCTOP, OPERATION.pack(operation, count))

    def rewind(self) -> None:
        """Go to the beginning."""
        self.do(REWIND)

    def forward(self, marks: int) -> None:
        """Go behind that many file marks; raises `OSError` where there are fewer."""
        if marks:
            self.do(FORWARD, marks)

    def at_end(self) -> bool:
        """Whether the drive has met the end of what was written, which is no damage; asked when a call has failed."""
        try:
            found = fcntl.ioctl(self._descriptor, MTIOCGET, bytes(STATUS.size))
        except OSError:
            return False
        return bool(STATUS.unpack(found)[3] & END_OF_DATA)

    def mark(self) -> None:
        """Write a file mark; everything before it is on the tape then, not only in the memory of the drive."""
        self.do(MARK)

    def read(self, size: int = SMALL) -> bytes:
        """The next record, of up to `size` bytes; empty at a file mark, behind which the tape is then."""
        return os.read(self._descriptor, size)

    def records(self, size: int) -> Iterator[memoryview]:
        """The records up to the next file mark; each is gone when the next is asked for."""
        buffer = memoryview(bytearray(size))
        while count := os.readv(self._descriptor, [buffer]):
            yield buffer[:count]

    def write(self, record: bytes | memoryview) -> int:
        """Write a record; 0 when the end of the medium is near. A little more can then be written by `finish`."""
        try:
            return os.write(self._descriptor, record)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return 0
            raise

    def finish(self, record: bytes | memoryview) -> None:
        """Write a record, also where the end of the medium is near: the driver then refuses every other time."""
        if not self.write(record) and not self.write(record):
            raise OSError(errno.ENOSPC, "the tape is full to its very end")


Drive = Callable[..., "AbstractContextManager[Tape]"]
"""`opened`, or a stand-in for it in a test."""

# Stand-ins by the device they are asked for; see `rear_core.testing.tape.in_drive`.
STAND_INS: dict[Path, Drive] = {}


@contextmanager
def opened(device: Path, *, write: bool = False) -> Iterator[Tape]:
    """The tape in a drive, rewound, for records of any size; raises `Refused` when there is none."""
    if device in STAND_INS:
        with STAND_INS[device](device, write=write) as tape:
            yield tape
        return
    try:
        descriptor = os.open(device, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(*_why_not(device, error)) from error
    try:
        _check_device(device, descriptor)
        tape = Tape(descriptor)
        try:
            tape.rewind()
            tape.do(BLOCK_SIZE, 0)
        except OSError as error:
            raise Refused(
                f"the drive {device} does not rewind, or does not accept records of variable size: {error.strerror}",
                "check the drive and `dmesg`; rear cannot use drives that have only fixed blocks",
            ) from error
        yield tape
    finally:
        os.close(descriptor)


def _why_not(device: Path, error: OSError) -> tuple[str, str]:
    if error.errno == errno.ENOMEDIUM:
        return f"there is no tape in {device}", "put one in"
    if error.errno == errno.EROFS:
        return f"the tape in {device} is write-protected", "move its tab, or put in another"
    if error.errno == errno.EBUSY:
        return f"{device} is in use", "`fuser -v` shows what uses it"
    return f"cannot open {device}: {error.strerror}", "check TAPE_DEVICE, the cables, and that `modprobe st` works"


def _check_device(device: Path, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISCHR(found.st_mode):
        raise Refused(f"{device} is not a tape drive", "set TAPE_DEVICE to one, such as /dev/nst0")
    if os.major(found.st_rdev) == MAJOR and not os.minor(found.st_rdev) & NO_REWIND:
        raise Refused(f"{device} rewinds by itself", f"set TAPE_DEVICE to its other name, such as /dev/n{device.name}")


def read_label(tape: Tape) -> Label | None:
    """The label of a tape that is at its beginning, behind which the tape is then; None when it has none."""
    try:
        record = tape.read()
        if not record.startswith(MAGIC) or len(record) != LABEL_RECORD:
            return None
        found = json.loads(record[len(MAGIC) :].rstrip(b"\0"))
        label = Label(str(found["written"]), found["boot"] is True)
        tape.forward(1)
    except (OSError, ValueError, KeyError, TypeError):
        # What nobody has written cannot be read, nor what was written in a way of its own.
        return None
    return label


def write_label(tape: Tape, label: Label) -> None:
    """Start a tape from its beginning; everything that was on it is lost."""
    tape.rewind()
    text = MAGIC + json.dumps({"written": label.written, "boot": label.boot}).encode()
    record = text.ljust(LABEL_RECORD, b"\0")
    for _ in range(LABEL_RECORDS):
        tape.finish(record)
        record = bytes(LABEL_RECORD)
    tape.mark()
    if not label.boot:
        write_end(tape)


def write_end(tape: Tape) -> None:
    """Say that nothing follows: behind what was written last, some drives make something up."""
    tape.finish(EMPTY)
    tape.mark()


def go_to_data(tape: Tape, device: Path) -> Label:
    """Go behind the label, and the boot image if there is one; `Refused` when the tape is not labelled."""
    tape.rewind()
    label = read_label(tape)
    if label is None:
        raise Refused(
            f"the tape in {device} has no label of rear", f"if you no longer need its contents: rear format {device}"
        )
    if label.boot:
        _pass_boot_image(tape, device)
    return label


def _pass_boot_image(tape: Tape, device: Path) -> None:
    try:
        tape.forward(1)
    except OSError as error:
        raise Refused(
            f"the tape in {device} has a boot image without an end: {error.strerror}",
            f"clean the drive; if you no longer need the tape's contents: rear format {device}",
        ) from error


def is_empty(tape: Tape) -> bool:
    """Whether nothing follows here; `OSError` where that cannot be read."""
    try:
        return tape.read() in (b"", EMPTY)
    except OSError:
        if tape.at_end():
            return True
        raise


def has_data(tape: Tape) -> bool:
    """Whether anything follows, up to a file mark, behind which the tape is then; `OSError` where it cannot be read."""
    try:
        tape.forward(1)
    except OSError:
        if tape.at_end():
            return False
        raise
    return True


def now() -> str:
    """The time for a label."""
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")


def _suits(run: Run, device: Path) -> bool:
    found = device.stat()
    return stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == MAJOR


def _examine(run: Run, device: Path) -> Sequence[str]:
    with opened(device, write=True) as tape:
        label = read_label(tape)
        if label is None:
            return [f"{device}: a tape without a label of rear, blank or with other data"]
        try:
            boot = ", with a boot image" if label.boot and has_data(tape) else ""
            data = ", empty" if is_empty(tape) else ", with a backup"
        except OSError:
            boot, data = "", ", with unreadable data, possibly a backup"
        return [f"{device}: a tape of rear, labelled {label.written}{boot}{data}"]


def _write(run: Run, device: Path) -> None:
    try:
        with opened(device, write=True) as tape:
            write_label(tape, Label(now()))
            tape.rewind()
            if read_label(tape) is None:
                raise RearError(f"the label on the tape in {device} cannot be read back", "use another tape")
    except OSError as error:
        raise RearError(f"cannot write to the tape in {device}: {error.strerror}", "use another tape") from error


FORMAT = Format("tape", _suits, _examine, lambda run, device: "an empty tape of rear, labelled REAR-000", _write)
