# SPDX-License-Identifier: GPL-3.0-or-later
"""A pipe whose contents go to two readers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from rear_core.errors import ProgramFailed
from rear_core.shell import Shell

MANY = "head -c 5000000 /dev/urandom"


@contextmanager
def collected() -> Iterator[tuple[int, bytearray]]:
    """A pipe, and what came out of it at the end of the block."""
    reading, writing = os.pipe()
    found = bytearray()

    def collect() -> None:
        with open(reading, "rb") as file:
            found.extend(file.read())

    thread = Thread(target=collect)
    thread.start()
    try:
        yield writing, found
    finally:
        os.close(writing)
        thread.join(10)


@pytest.mark.parametrize("more", [[], [["cat"]], [["cat"], ["cat"]]], ids=["one stage", "two", "three"])
def test_what_the_first_stage_writes_goes_to_the_copy_as_well(more: list[list[str]]) -> None:
    taken = bytearray()
    with collected() as (copy, found):
        Shell().pipe(["sh", "-c", MANY], *more, take=taken.extend, copy=copy)
    assert len(taken) == 5_000_000
    assert found == taken


def test_a_stage_that_ends_early_ends_the_first_one_as_well() -> None:
    with collected() as (copy, _), pytest.raises(ProgramFailed) as failed:
        Shell().pipe(["cat", "/dev/zero"], ["sh", "-c", "head -c 10 >/dev/null; exit 9"], copy=copy)
    assert (failed.value.argv[0], failed.value.status) == ("sh", 9)


def test_a_stage_that_is_satisfied_early_is_blamed_for_nothing() -> None:
    with collected() as (copy, _):
        first, second = Shell().pipe(
            ["cat", "/dev/zero"], ["head", "-c", "10"], copy=copy, ok={"cat": (-signal.SIGPIPE,)}
        )
    assert (first.status, second.status) == (-signal.SIGPIPE, 0)
