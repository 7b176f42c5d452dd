# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive in volumes of any size is the same archive, each block in one volume; damage is found in its volume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.archive.volumes import Checksum, Volume, Writer, checked
from rear_core.errors import RearError

DATA = bytes(range(256)) * 10_000


class Media:
    """Volumes of the given sizes, the last of which has room for all the rest; blocks are not split with `whole`."""

    name = "2026-11-22T120000Z"
    number = 0

    def __init__(self, sizes: Iterable[int], block_size: int = 0, *, whole: bool = False) -> None:
        self.block_size = block_size
        self.chunk_size = 0
        self.sizes = list(sizes)
        self.whole = whole
        self.volumes = [bytearray()]
        self.blocks: list[int] = []
        self.ended: list[Volume] = []

    def write(self, block: memoryview) -> int:
        room = self.sizes[0] - len(self.volumes[-1]) if self.sizes else len(block)
        count = min(room, len(block))
        if self.whole and count < len(block):
            count = 0
        self.volumes[-1] += block[:count]
        self.blocks.append(len(block))
        return count

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        self.ended.append(volume)
        if not last:
            self.sizes = self.sizes[1:]
            self.volumes.append(bytearray())

    def add(self, name: str, text: str) -> None:
        raise AssertionError("no small files here")


def written(media: Media, blocks: Iterable[bytes]) -> Writer:
    writer = Writer(media)
    for block in blocks:
        writer(memoryview(block))
    writer.end()
    return writer


def sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


@given(
    st.lists(st.binary(max_size=50)), st.lists(st.integers(min_value=1, max_value=60)),
    st.integers(min_value=0, max_value=9),
)  # fmt: skip
def test_volumes_of_any_size_together_are_the_archive(blocks: list[bytes], sizes: list[int], block_size: int) -> None:
    media = Media(sizes, block_size)
    writer = written(media, blocks)
    whole = b"".join(blocks)
    assert b"".join(media.volumes) == whole
    assert (writer.size, writer.sha256) == (len(whole), sha256(whole))
    expected = [Volume(len(volume), sha256(volume)) for volume in media.volumes]
    assert writer.volumes == media.ended == expected
    if block_size:
        assert all(size <= block_size for size in media.blocks)


@given(st.lists(st.binary(max_size=50)), st.integers(min_value=1, max_value=9))
def test_blocks_are_of_one_size_and_only_the_last_is_shorter(blocks: list[bytes], size: int) -> None:
    media = Media([], size)
    writer = written(media, blocks)
    *full, last = media.blocks or [size]
    assert set(full) <= {size} and 0 < last <= size
    assert sum(media.blocks) == writer.size


def test_a_block_that_does_not_fit_is_the_first_of_the_next_volume() -> None:
    media = Media([25, 15], 10, whole=True)
    written(media, [DATA[:48]])
    assert [bytes(volume) for volume in media.volumes] == [DATA[:20], DATA[20:30], DATA[30:48]]


def test_a_medium_that_takes_nothing_ends_the_backup() -> None:
    with pytest.raises(RearError, match="full before anything was written"):
        written(Media([10, 0]), [DATA])


def read(data: bytes) -> bytes:
    blocks = (memoryview(data)[at : at + 1000] for at in range(0, len(data), 1000))
    volume = Volume(len(DATA), sha256(DATA))
    return b"".join(bytes(block) for block in checked(blocks, "volume 2 of it", volume))


def test_a_volume_is_read_to_its_end() -> None:
    assert read(DATA) == DATA


@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1])
def test_a_truncated_volume_says_how_much_is_there(size: int) -> None:
    with pytest.raises(RearError, match=f"volume 2 of it is truncated: it has {size} of {len(DATA)}"):
        read(DATA[:size])


@pytest.mark.parametrize("place", [0, 1_500_000, len(DATA) - 1])
def test_a_flipped_byte_is_damage(place: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= 1
    with pytest.raises(RearError, match="volume 2 of it is damaged"):
        read(bytes(damaged))


def test_what_was_appended_is_damage() -> None:
    with pytest.raises(RearError, match="damaged"):
        read(DATA + b"x")


# Chunks.


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def of(data: bytes, chunk_size: int) -> Volume:
    found = Checksum(chunk_size)
    found.update(memoryview(data))
    return found.volume()


@given(st.lists(st.binary(max_size=50)), st.integers(min_value=1, max_value=60))
def test_each_chunk_has_its_checksum_whatever_the_blocks(blocks: list[bytes], size: int) -> None:
    found, whole = Checksum(size), b"".join(blocks)
    for block in blocks:
        found.update(memoryview(block))
    volume = found.volume()
    assert volume == found.volume() == of(whole, size)
    assert volume.count == len(cut(whole, size))
    for number, chunk in enumerate(cut(whole, size)):
        assert volume.chunk(number) == Volume(len(chunk), sha256(chunk))
    assert b"".join(map(bytes, checked(map(memoryview, blocks), "it", volume))) == whole


@given(st.binary(min_size=1, max_size=99), st.integers(min_value=1, max_value=40), st.data())
def test_nothing_is_read_behind_a_damaged_chunk(data: bytes, size: int, drawn: st.DataObject) -> None:
    place = drawn.draw(st.integers(min_value=0, max_value=len(data) - 1))
    damaged = bytearray(data)
    damaged[place] ^= 1
    given_on = []
    with pytest.raises(RearError, match="it is damaged"):
        for block in checked(map(memoryview, cut(bytes(damaged), 3)), "it", of(data, size)):
            given_on.append(bytes(block))
    end = (place // size + 1) * size
    found = len(b"".join(given_on))
    assert found < end if end <= len(data) else found == len(data)
