# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of tapes, on a stand-in for the drive; the stand-in itself behaves as the driver's documentation says."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import Refused
from rear_core.media.tape import (
    BLOCK_SIZE,
    DEVICE,
    LABEL_RECORD,
    LABEL_RECORDS,
    MTIOCGET,
    MTIOCTOP,
    Label,
    go_to_data,
    has_data,
    is_empty,
    opened,
    read_label,
    write_end,
    write_label,
)
from rear_core.testing.tape import Cartridge, StandInDrive, StandInTape

DRIVE = Path("/dev/nst0")
LABEL = Label("2026-11-22T120000Z")


def tape(cartridge: Cartridge) -> StandInTape:
    return StandInTape(cartridge, StandInDrive(cartridge))


def test_the_operation_has_the_number_that_the_header_of_the_kernel_gives() -> None:
    # printf("%#lx", MTIOCTOP) in C, on x86-64
    assert (MTIOCTOP, MTIOCGET) == (0x40086D01, 0x80306D02)


def test_a_label_fills_20_records_and_comes_back() -> None:
    cartridge = Cartridge(records=[b"old", None, b"older", None])
    write_label(tape(cartridge), Label("2026-11-22T120000Z", boot=True))
    assert [len(record or b"") for record in cartridge.records] == [LABEL_RECORD] * LABEL_RECORDS + [0]
    assert (cartridge.records[0] or b"").startswith(b"REAR-000\n")
    reader = tape(cartridge)
    assert read_label(reader) == Label("2026-11-22T120000Z", boot=True)
    assert reader.at == LABEL_RECORDS + 1


@pytest.mark.parametrize(
    "begin", [b"", b"\0", b"REAR-000", b"REAR-000\n{", b"REAR-000\n{}", b"REAR-000\n[]", b"x" * 70_000]
)
def test_other_tapes_have_no_label(begin: bytes) -> None:
    records: list[bytes | None] = [begin.ljust(LABEL_RECORD, b"\0"), None]
    assert read_label(tape(Cartridge(records=records))) is None
    with pytest.raises(Refused, match="no label") as caught:
        go_to_data(tape(Cartridge(records=records)), DRIVE)
    assert "rear format /dev/nst0" in caught.value.hint


def test_a_label_that_nothing_follows_is_left_over_from_something_else() -> None:
    cartridge = Cartridge()
    write_label(tape(cartridge), LABEL)
    for records in ([], [None], cartridge.records[:1], [(cartridge.records[0] or b"") * 2, None]):
        assert read_label(tape(Cartridge(records=list(records)))) is None


@pytest.mark.parametrize("boot", [False, True])
def test_data_lies_behind_the_label_and_the_boot_image(boot: bool) -> None:
    cartridge = Cartridge()
    writer = tape(cartridge)
    write_label(writer, Label("now", boot=boot))
    if boot:
        writer.write(b"image")
        writer.mark()
        write_end(writer)
    reader = tape(cartridge)
    go_to_data(reader, DRIVE)
    assert is_empty(reader)
    go_to_data(writer, DRIVE)
    writer.write(b"data")
    writer.mark()
    go_to_data(reader, DRIVE)
    assert reader.read() == b"data"
    go_to_data(reader, DRIVE)
    assert has_data(reader)
    go_to_data(reader, DRIVE)
    assert not is_empty(reader)


def test_what_a_drive_makes_up_behind_the_end_is_never_read() -> None:
    """As an emulated one does: where nothing was ever written it gives what is in its memory."""
    cartridge = Cartridge()
    write_label(tape(cartridge), Label("now"))
    cartridge.records += [b"\xd6G", None]
    reader = tape(cartridge)
    go_to_data(reader, DRIVE)
    assert is_empty(reader)


def test_what_cannot_be_read_is_not_the_end() -> None:
    class Dirty(StandInTape):
        def forward(self, marks: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    records: list[bytes | None] = [b"data", None]
    with pytest.raises(OSError, match="Input/output error"):
        has_data(Dirty(Cartridge(records=records), StandInDrive()))
    assert not has_data(tape(Cartridge(records=[b"a header without an end"])))


def test_a_boot_image_without_an_end_is_named() -> None:
    cartridge = Cartridge()
    write_label(tape(cartridge), Label("now", boot=True))
    cartridge.records.append(b"image")
    with pytest.raises(Refused, match="boot image without an end"):
        go_to_data(tape(cartridge), DRIVE)


def test_near_the_end_only_every_other_record_is_refused() -> None:
    cartridge = Cartridge(room=100)
    writer = tape(cartridge)
    assert [writer.write(b"x" * 60) for _ in range(4)] == [60, 0, 60, 0]
    writer.finish(b"end")
    writer.finish(b"of all")
    assert cartridge.records[2:] == [b"end", b"of all"]
    with pytest.raises(OSError, match="full"):
        writer.finish(b"x" * (2 << 20))


def test_fixed_blocks_are_written_and_read_many_at_once() -> None:
    cartridge = Cartridge()
    writer = tape(cartridge)
    writer.do(BLOCK_SIZE, 4)
    assert writer.write(b"abcdefghijkl") == 12
    writer.mark()
    assert cartridge.records == [b"abcd", b"efgh", b"ijkl", None]
    writer.rewind()
    assert [writer.read(8) for _ in range(3)] == [b"abcdefgh", b"ijkl", b""]
    with pytest.raises(OSError, match="not a multiple"):
        writer.write(b"abc")


@given(st.lists(st.integers(min_value=0, max_value=9), max_size=12))
def test_records_come_back_as_they_were_written(sizes: list[int]) -> None:
    writer = tape(Cartridge())
    # 0 stands for a file mark.
    for size in sizes:
        if size:
            writer.write(b"x" * size)
        else:
            writer.mark()
    writer.mark()
    writer.rewind()
    found: list[int] = []
    for _ in range(sizes.count(0) + 1):
        found += [len(record) for record in writer.records(9)] + [0]
    assert found == [*sizes, 0]


def test_what_is_no_drive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path, said in ((tmp_path / "none", "No such file"), (tmp_path / "file", "not a tape drive")):
        with pytest.raises(Refused, match=said), opened(path):
            pass
    assert DEVICE.check and DEVICE.check("nst0") and not DEVICE.check("/dev/nst1")
