# SPDX-License-Identifier: GPL-3.0-or-later
"""The only module that starts programs: argument lists, a clean environment, time limits, every status checked."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Any, Union

from .errors import ProgramFailed, ProgramMissing, RearError
from .interruption import held
from .pipes import BLOCK, doubled, widen
from .processes import exchange, stop, wait

Argument = Union[str, "os.PathLike[str]"]

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT_LINES = 25
# A program that needs less is not worth a line of the log.
WORTH_A_LINE_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """What a finished program left behind; `seconds` is wall time."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        """Both streams, for a message."""
        return "\n".join(part for part in (self.stdout.strip(), self.stderr.strip()) if part)


@dataclass(frozen=True)
class Running:
    """A program that `Shell.background` has started."""

    argv: tuple[str, ...]
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def wait(self, timeout: float) -> int:
        """Its exit status; raise `ProgramFailed` when it does not end by itself in so many seconds."""
        try:
            return wait(self.process, timeout)
        except subprocess.TimeoutExpired as error:
            raise ProgramFailed(self.argv, 124, "", f"not finished after {timeout:g} seconds") from error


@dataclass
class Shell:
    """Starts programs and notes each in the log, so that the command can be pasted into a terminal.

    `run` changes the system; `query` and `json` only look; `pipe` keeps the status of every stage; `background` is for
    what runs meanwhile. All raise `ProgramMissing` when a program is not installed and `ProgramFailed` when it ends
    with a status that is not in `ok`, is killed, or needs more than `timeout` seconds.
    """

    log: Callable[[str], None] = lambda line: None
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *argv: Argument,
        input: str | None = None,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 600,
        ok: Sequence[int] = (0,),
    ) -> Outcome:
        """Run a program to its end; with `stdout` its output goes to that file instead of the outcome."""
        arguments = [os.fspath(argument) for argument in argv]
        self.log("+ " + shlex.join(arguments))
        started = time.monotonic()
        with _stopped_at_failure() as running:
            process = self._start(
                arguments,
                running=running,
                stdin=stdin if stdin is not None else (subprocess.PIPE if input is not None else subprocess.DEVNULL),
                stdout=stdout if stdout is not None else subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                cwd=cwd,
            )
            given = (input or "").encode(errors="surrogateescape")
            try:
                status, *printed = exchange(process, given, timeout)
            except subprocess.TimeoutExpired:
                raise ProgramFailed(arguments, 124, "", f"not finished after {timeout:g} seconds") from None
        out, err = (text.decode(errors="surrogateescape") for text in printed)
        outcome = Outcome(tuple(arguments), status, out, err, time.monotonic() - started)
        for line in outcome.output.splitlines():
            self.log("  " + line)
        self._log_time(outcome.seconds)
        if status not in ok:
            raise ProgramFailed(arguments, status, _tail(outcome.output), _reason(status))
        return outcome

    def query(
        self,
        *argv: Argument,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        ok: Sequence[int] = (0,),
    ) -> str:
        """The standard output of a program that only looks."""
        return self.run(*argv, input=input, env=env, timeout=timeout, ok=ok).stdout

    def json(self, *argv: Argument, timeout: float = 60, ok: Sequence[int] = (0,)) -> Any:
        """The standard output of a program that only looks, read as JSON."""
        text = self.query(*argv, timeout=timeout, ok=ok)
        try:
            return json.loads(text)
        except ValueError as error:
            raise ProgramFailed([os.fspath(a) for a in argv], 0, text[:500], f"printed no JSON: {error}") from error

    def pipe(
        self,
        *stages: Sequence[Argument],
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        feed: Iterable[bytes | memoryview] | None = None,
        take: Callable[[memoryview], None] | None = None,
        copy: int | None = None,
        started: Callable[[Sequence[int]], None] = lambda _: None,
        pass_fds: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
        ok: Mapping[str, Sequence[int]] | None = None,
        keep: Mapping[str, Callable[[str], bool]] | None = None,
    ) -> list[Outcome]:
        """Connect programs with pipes; the first stage that failed is raised.

        `ok` names other good statuses by program, as in `{"tar": (0, 1)}`. A stage killed by SIGPIPE is blamed
        only when every later stage succeeded, as its reader's failure is the cause. Python can stand at one
        end: `feed` gives the first stage its blocks, `take` gets those of the last one, of up to 1 MiB. What the first
        stage writes goes to the pipe `copy` as well.
        `started` is told the process ids; all stages inherit `pass_fds`. `keep` is told each line that a program
        complains of, and says whether it is kept for log and outcome: there may be millions.
        """
        assert feed is None or take is None
        commands = [[os.fspath(argument) for argument in stage] for stage in stages]
        self.log("+ " + " | ".join(shlex.join(command) for command in commands))
        began = time.monotonic()
        with ExitStack() as opened, _stopped_at_failure() as processes:
            errors = [opened.enter_context(_memory_file()) for _ in commands]
            sifting: list[Thread] = []
            try:
                source: Any = subprocess.PIPE if feed is not None else stdin or subprocess.DEVNULL
                for number, (command, err) in enumerate(zip(commands, errors)):
                    last = number == len(commands) - 1
                    piped = not last or take is not None
                    sink = subprocess.PIPE if piped else stdout or subprocess.DEVNULL
                    with _sifted(err, (keep or {}).get(command[0]), opened, sifting) as complaints:
                        process = self._start(
                            command, running=processes, stdin=source, stdout=sink, stderr=complaints, env=env,
                            cwd=cwd, pass_fds=pass_fds,
                        )  # fmt: skip
                    for end in (process.stdin, process.stdout):
                        if end is not None:
                            opened.callback(_close, end)
                            widen(end)
                    if number:
                        source.close()
                    source = process.stdout
                    if copy is not None and process.stdout and not number:
                        source = opened.enter_context(doubled(process.stdout, copy))
                        process.stdout.close()
                started([process.pid for process in processes])
                if feed is not None:
                    _feed(processes[0].stdin, feed)
                if take is not None:
                    _take(source, take)
                deadline = None if timeout is None else began + timeout
                for process in processes:
                    wait(process, None if deadline is None else max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise ProgramFailed(commands[0], 124, "", f"not finished after {timeout:g} seconds") from error
            for thread in sifting:
                thread.join()
            outcomes = [
                Outcome(tuple(command), process.returncode, "", _text(err), time.monotonic() - began)
                for command, process, err in zip(commands, processes, errors)
            ]
        self._judge(outcomes, ok or {})
        return outcomes

    def _judge(self, outcomes: Sequence[Outcome], ok: Mapping[str, Sequence[int]]) -> None:
        """Log what the stages of a pipe complained of; raise `ProgramFailed` for the one that failed of itself."""
        for outcome in outcomes:
            for line in outcome.stderr.splitlines():
                self.log(f"  {outcome.argv[0]}: {line}")
        self._log_time(outcomes[-1].seconds)
        failed = [outcome for outcome in outcomes if outcome.status not in ok.get(Path(outcome.argv[0]).name, (0,))]
        blamed = [outcome for outcome in failed if outcome.status != -signal.SIGPIPE] or failed
        if blamed:
            raise ProgramFailed(blamed[0].argv, blamed[0].status, _tail(blamed[0].stderr), _reason(blamed[0].status))

    def _log_time(self, seconds: float) -> None:
        if seconds >= WORTH_A_LINE_SECONDS:
            self.log(f"  ({seconds:.1f} s)")

    @contextmanager
    def background(
        self,
        *argv: Argument,
        output: IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
    ) -> Iterator[Running]:
        """A program that runs beside this one inside a `with` block, and is killed at its end.

        It is killed as well when this process is. What it prints goes to the file `output`.
        """
        arguments = [os.fspath(argument) for argument in argv]
        self.log(f"+ {shlex.join(arguments)} &")
        sink = output if output is not None else subprocess.DEVNULL
        if self.which(arguments[0]) is None:
            raise ProgramMissing(arguments)
        running: list[subprocess.Popen[bytes]] = []
        try:
            process = self._start(
                ["setpriv", "--pdeathsig", "KILL", *arguments], running=running,
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, cwd=None, pass_fds=pass_fds,
            )  # fmt: skip
            yield Running(tuple(arguments), process)
        finally:
            for process in running:
                process.kill()
                process.wait()

    def attach(self, *argv: Argument, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
        """Run a program on the user's terminal and return its exit status."""
        arguments = [os.fspath(argument) for argument in argv]
        self.log("+ " + shlex.join(arguments))
        with _stopped_at_failure() as running:
            started = self._start(arguments, running=running, stdin=None, stdout=None, stderr=None, env=env, cwd=cwd)
            return started.wait()

    def which(self, program: str) -> Path | None:
        """Where a program is found, or None; a path is checked as it is."""
        found = shutil.which(program, path=SEARCH_PATH)
        return Path(found) if found else None

    def _start(
        self,
        arguments: list[str],
        *,
        running: list[subprocess.Popen[bytes]],
        stdin: Any,
        stdout: Any,
        stderr: Any,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program and add it to `running`; no signal comes between."""
        program = self.which(arguments[0])
        if program is None:
            raise ProgramMissing(arguments)
        environment = {
            "PATH": SEARCH_PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": "/root",
            "TERM": os.environ.get("TERM", "dumb"),
            **{k: os.environ[k] for k in ("SOURCE_DATE_EPOCH", "TMPDIR") if k in os.environ},
            **self.environment,
            **(env or {}),
        }
        try:
            with held():
                process = subprocess.Popen(
                    [os.fspath(program), *arguments[1:]],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    env=environment,
                    cwd=cwd,
                    pass_fds=pass_fds,
                    # Its own session: ^C reaches rear alone, which then stops the program and cleans up in order.
                    start_new_session=stdin is not None or stdout is not None,
                )
                running.append(process)
            return process
        except OSError as error:
            raise RearError(f"cannot start {arguments[0]}: {error.strerror}") from error


@contextmanager
def _stopped_at_failure() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list for programs that are started; those in it do not outlive a failure of the block."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield processes
    except BaseException:
        for process in processes:
            stop(process)
        raise


def _memory_file() -> IO[bytes]:
    """A file without a name, in memory: what programs print is little, and a work area may be slow or full."""
    return open(os.memfd_create("rear"), "w+b")


@contextmanager
def _sifted(
    kept: IO[bytes], keep: Callable[[str], bool] | None, opened: ExitStack, threads: list[Thread]
) -> Iterator[IO[bytes]]:
    """A file for what a program complains of, of which a thread keeps what is to be kept."""
    if keep is None:
        yield kept
        return
    reading, writing = os.pipe()
    thread = Thread(target=_sift, args=[reading, kept, keep], daemon=True)
    thread.start()
    threads.append(thread)
    # After a failure the program has been ended, unless nothing ends it: then it is left, with the thread.
    opened.callback(thread.join, 5)
    with open(writing, "wb", buffering=0) as file:
        yield file


def _sift(reading: int, kept: IO[bytes], keep: Callable[[str], bool]) -> None:
    with open(reading, "rb") as lines, suppress(ValueError):
        for line in lines:
            if keep(line.decode(errors="surrogateescape")):
                kept.write(line)


def _feed(pipe: IO[bytes] | None, blocks: Iterable[bytes | memoryview]) -> None:
    """Write blocks to the first stage; one that ends early has its status to say why."""
    assert pipe is not None
    try:
        for block in blocks:
            pipe.write(block)
        pipe.close()
    except BrokenPipeError:
        pass


def _take(pipe: IO[bytes] | None, take: Callable[[memoryview], None]) -> None:
    """Hand over what the last stage writes, in one buffer that is used again."""
    assert pipe is not None
    buffer = memoryview(bytearray(BLOCK))
    while size := pipe.readinto(buffer):  # type: ignore[attr-defined]
        take(buffer[:size])


def _close(pipe: IO[bytes]) -> None:
    # What was still buffered for a stage that is gone is lost with it.
    with suppress(BrokenPipeError):
        pipe.close()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="surrogateescape")


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-KEPT_LINES:])


def _reason(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return ""
