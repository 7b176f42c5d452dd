# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stops answering ends a run by its name; what is slow, and a question to the user, do not."""

from __future__ import annotations

import io
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core import questions
from rear_core.archive.volumes import Volume, Writer
from rear_core.archive.watch import Watch, children, is_ours
from rear_core.errors import Interrupted, RearError, Refused
from rear_core.report import Report
from rear_core.shell import Shell

LIMIT = 0.3
HANGS = r"no progress for .* minutes: /the/place hangs"


def watch(seconds: float = LIMIT, error: type[RearError] = RearError) -> Watch:
    return Watch(seconds / 60, Report(terminal=io.StringIO()), "/the/place", error=error)


class Fifo:
    """A place that takes what its pipe holds, and then nothing."""

    name = "2026-11-22T120000Z"
    number = block_size = chunk_size = 0

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.descriptor = os.open(path, os.O_RDWR)

    def write(self, block: memoryview) -> int:
        return os.write(self.descriptor, block)

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        os.read(self.descriptor, 1)

    def add(self, name: str, text: str) -> None:
        raise AssertionError("no small files here")


def test_a_place_that_takes_nothing_more_is_named(tmp_path: Path) -> None:
    watching = watch()
    place = Fifo(tmp_path / "place")
    writer = Writer(place, watching.writing, watching.at_place)
    began = time.monotonic()
    with pytest.raises(RearError, match=HANGS), watching.watching(), watching.programs():
        Shell().pipe(["cat", "/dev/zero"], take=writer, started=watching.follow)
    os.close(place.descriptor)
    assert time.monotonic() - began < 3


def test_a_place_that_does_not_end_what_was_written_is_named(tmp_path: Path) -> None:
    watching = watch()
    place = Fifo(tmp_path / "place")
    with pytest.raises(RearError, match=HANGS), watching.watching():
        Writer(place, watching.writing, watching.at_place).end()
    os.close(place.descriptor)


def test_a_place_that_is_not_read_to_its_end_is_named() -> None:
    reading, writing = os.pipe()
    with pytest.raises(Refused, match=HANGS), watch(error=Refused).watching():
        os.read(reading, 1)
    os.close(reading)
    os.close(writing)


def test_a_thread_that_waits_for_the_place_is_not_waited_for() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    with pytest.raises(RearError, match=HANGS), watch().watching():
        thread.join()
    ended.set()
    thread.join()


@pytest.mark.slow
def test_what_hangs_again_while_it_is_undone_is_ended_again() -> None:
    never = threading.Lock()
    never.acquire()
    with pytest.raises(RearError, match=HANGS), watch().watching():
        try:
            never.acquire()
        finally:
            never.acquire()


def test_a_program_that_hangs_is_ended() -> None:
    watching = watch()
    with pytest.raises(RearError, match="tar hangs at"), watching.watching(), watching.programs():
        Shell().pipe(["sleep", "60"], take=lambda _: None, started=watching.follow)


def slow_writes(watching: Watch) -> None:
    for _ in range(10):
        with watching.writing():
            time.sleep(LIMIT / 4)


def slow_program(watching: Watch) -> None:
    Shell().run("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done")


def slow_pipe(watching: Watch) -> None:
    with watching.programs():
        Shell().pipe(["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done"], started=watching.follow)


def question(watching: Watch) -> None:
    reading, writing = os.pipe()
    answering = threading.Timer(3 * LIMIT, os.write, [writing, b"\n"])
    answering.start()
    with questions.waiting():
        os.read(reading, 1)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("work", [slow_writes, slow_program, slow_pipe, question])
def test_what_is_slow_does_not_hang(work: Callable[[Watch], None]) -> None:
    watching = watch()
    with watching.watching():
        work(watching)


def test_zero_waits_for_ever() -> None:
    with watch(0).watching():
        time.sleep(0.1)


def test_other_errors_stay_as_they_are() -> None:
    for error in (ValueError("other"), Interrupted("stopped by SIGTERM")):
        with pytest.raises(type(error), match=str(error)), watch().watching():
            raise error


def test_only_programs_of_ours_are_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as program:
        assert is_ours(program.pid) and program.pid in children(os.getpid())
        program.kill()
    assert not is_ours(program.pid) and not is_ours(1)
