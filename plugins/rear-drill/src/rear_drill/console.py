# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine prints and is told on its serial console, and a root shell there."""

from __future__ import annotations

import base64
import itertools
import re
import shlex
import socket
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pexpect import EOF, TIMEOUT, fdpexpect

from .monitor import MachineFailed
from .transcript import Transcript, plain


@dataclass(frozen=True)
class Answer:
    """How a command on the console ended, and what it printed."""

    status: int
    output: str


class Console:
    """A machine whose console is a socket; whoever starts the machine calls `_connect`."""

    def expect(self, pattern: str, timeout: float = 300) -> re.Match[str]:
        """Wait until the console prints what the regular expression matches."""
        match = self.seen(pattern, timeout)
        if match is None:
            raise MachineFailed(f"{timeout:g} seconds passed before {pattern!r} appeared", self._last_words())
        return match

    def seen(self, pattern: str, timeout: float) -> re.Match[str] | None:
        """What the console prints within `timeout` seconds that matches, None when nothing does."""
        try:
            self._console.expect(pattern, timeout=timeout)
        except TIMEOUT:
            return None
        except (EOF, ConnectionResetError):
            raise MachineFailed(f"the machine ended before {pattern!r} appeared", self._last_words()) from None
        match = self._console.match
        assert isinstance(match, re.Match)
        return match

    def send(self, text: str) -> None:
        """Type text on the console."""
        try:
            self._console.send(text)
        except OSError:
            raise MachineFailed(f"the machine ended before it was told {text!r}", self._last_words()) from None

    def shell(self, prompt: str = r"# ", timeout: float = 300) -> None:
        """Wait for the prompt of a root shell on the console and make it fit for `sh`."""
        self.expect(prompt, timeout)
        number = next(self._numbers)
        # No line editing, no echo, no prompt, no kernel messages: only what commands print comes back.
        self.send(
            "set +o emacs +o vi 2>/dev/null; stty -echo; dmesg -n 1; unset PROMPT_COMMAND; PS1= PS2=;"
            f" echo RE''ADY-{number}\n"
        )
        self.expect(rf"READY-{number}\r*\n", 60)

    def sh(self, command: str, timeout: float = 120) -> Answer:
        """Run a command (several lines are fine) in the shell on the console."""
        number = next(self._numbers)
        # The quotes keep an echo of the line, should there be one, from looking like the marker.
        self.send(f"echo BE''GIN-{number}; {{ {command}\n}} </dev/null; echo EN''D-{number}:$?:\n")
        try:
            self.expect(rf"BEGIN-{number}\r*\n", 60)
            match = self.expect(rf"END-{number}:(\d+):\r*\n", timeout)
        except MachineFailed as error:
            raise MachineFailed(f"in {command!r}: {error.message}", error.words) from None
        return Answer(int(match[1]), plain(self._console.before).rstrip("\n"))

    def check(self, command: str, timeout: float = 120) -> str:
        """What a command prints; it must succeed."""
        answer = self.sh(command, timeout)
        if answer.status:
            raise MachineFailed(f"{command!r} ended with {answer.status}", answer.output)
        return answer.output

    def put(self, path: str, data: bytes) -> None:
        """Write a small file there; a console is slow, so this is for scripts and settings."""
        text = base64.encodebytes(data).decode()
        self.check(f"base64 --decode >{shlex.quote(path)} <<'END-OF-FILE'\n{text}END-OF-FILE")

    def ended(self, timeout: float) -> None:
        """Wait until nobody is at the other end any more."""
        try:
            self._console.expect(EOF, timeout=timeout)
        except ConnectionResetError:
            pass
        except TIMEOUT:
            raise MachineFailed(f"still running after {timeout:g} seconds", self._last_words()) from None

    def _connect(self, console: socket.socket, transcript: Path | None, undo: ExitStack) -> None:
        """Listen; what is printed goes to the transcript until `undo` is closed."""
        self._numbers = itertools.count(1)
        self._console: Any = fdpexpect.fdspawn(
            console, encoding="utf-8", codec_errors="replace", use_poll=True, maxread=65536
        )
        self._console.delaybeforesend = None
        if transcript:
            self._console.logfile_read = undo.enter_context(closing(Transcript(transcript)))

    def _last_words(self) -> str:
        said = plain(self._console.before or "")[-4000:]
        return f"the console's last words:\n{said}"
