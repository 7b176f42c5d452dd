# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sees and what the log keeps: one terminal line per step, everything else in the log."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from .errors import OF_THE_MACHINE, Problems, RearError, Refused

# Lines after which a warning has been forgotten.
MUCH = 4
MASK = "********"
# Of a terminal that does not know its width.
COLUMNS = 80
# Bold red and yellow (ECMA-48, 8.3.117).
COLORS = {"ERROR:": "1;31", "WARNING:": "1;33"}
# A password among options of a mount, as of mount.cifs(8).
OPTION = re.compile(r"(?:(?<=[,\s'\"])|^)(pass(?:word)?2?=)[^,\s'\"]+")


def visible(text: str) -> str:
    r"""One line that shows what it is: a name or label that holds an escape sequence has no effect on a terminal.

    >>> visible("disk\x1b[2K\rThe backup is complete\n"), visible(os.fsdecode(b"caf\xe9"))
    ('disk\\x1b[2K\\rThe backup is complete\\n', 'caf\\xe9')
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_seen(letter) else _escaped(letter) for letter in text)


def _is_seen(letter: str) -> bool:
    """Whether a letter shows what it is, as a tab and blanks of any width do.

    All others that Python does not print move the cursor, end a line, hide or turn round the letters beside them, or
    are no letters at all: the categories C and Z of Unicode.
    """
    return letter.isprintable() or letter == "\t" or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    # A byte that is no UTF-8, as `os.fsdecode` has it.
    byte = ord(letter) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else letter.encode("unicode_escape").decode()


def without_passwords(text: str) -> str:
    """The text with passwords among options of a mount masked.

    >>> without_passwords("mount --options ro,username=anna,password=geheim //nas/x /mnt")
    'mount --options ro,username=anna,password=******** //nas/x /mnt'
    """
    return OPTION.sub(rf"\1{MASK}", text)


class Report:
    """Terminal and log file of one run.

    Secrets given to `mask` never reach either. A full disk or a closed terminal ends no run: `untold` is then the
    reason why not everything could be said. Without a log file (`rear dump`, for one) details are dropped,
    or printed when `debug` is on. When `quiet`, only warnings and what made the run fail are printed.
    """

    def __init__(
        self, *, verbose: bool = False, debug: bool = False, quiet: bool = False, terminal: TextIO | None = None
    ) -> None:
        self.verbose = verbose or debug
        self.debug = debug
        self.quiet = quiet
        self.warnings: list[str] = []
        self._said_since = 0  # lines since the first warning
        self.log_path: Path | None = None
        self._terminal = terminal
        self._log: TextIO | None = None
        self.untold = ""
        self._secrets: set[str] = set()
        self._passing = False
        self._aside = False

    @contextmanager
    def aside(self) -> Iterator[list[str]]:
        """A block that prints nothing but details for -d, with the list of its warnings: they are told nowhere else."""
        before = self.warnings, self._aside
        self.warnings, self._aside = [], True
        try:
            yield self.warnings
        finally:
            self.warnings, self._aside = before

    def open_log(self, path: Path) -> None:
        """Start a new log, readable by its owner alone; a link in its place is refused, not followed.

        The previous log is kept as `<path>.old`.
        """
        try:
            if path.is_symlink() or (path.exists() and not _is_own_file(path)):
                raise Refused(
                    f"the log {path} cannot be created: a link, a device or another user's file is in its place",
                    "set LOGFILE to another place",
                )
            if path.exists() and not _is_log(path):
                raise Refused(
                    f"the log {path} cannot be created: what is in its place was not written by rear",
                    "set LOGFILE to another place, or move the file away",
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.replace(path.with_name(path.name + ".old"))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            self.cannot_log(error, path)
            return
        self._log = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")
        self.log_path = path

    def cannot_log(self, error: OSError, path: Path) -> None:
        """Note that a run has no log where a disk fails or is full; `Refused` when it could have one elsewhere."""
        if error.errno not in OF_THE_MACHINE:
            raise Refused(f"cannot write the log {path}: {error.strerror}", "set LOGFILE to another place") from error
        self._note(error)
        self.warn(f"this run has no log: cannot write {path}: {error.strerror}")

    def close(self) -> None:
        """Finish the log."""
        if self._log:
            try:
                self._log.close()
            except OSError as error:
                self._note(error)
            self._log = None

    def mask(self, secret: str) -> None:
        """Replace a secret wherever it would be shown; short words would blacken everything and are not taken."""
        if len(secret) >= 4:
            self._secrets.add(secret)

    def masked(self, text: str) -> str:
        """The text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return without_passwords(text)

    def shown(self, line: str) -> str:
        """What terminal and log get of a line."""
        return visible(self.masked(line))

    def log(self, line: str) -> None:
        """A detail, for the log only (on the terminal too with -d)."""
        line = self.shown(line)
        self._keep(line)
        if self.debug:
            self._print("  " + line)

    def say(self, line: str) -> None:
        """A line for the user."""
        line = self.shown(line)
        self._keep(line)
        if not self.quiet and not self._aside:
            self._said_since += bool(self.warnings)
            self._print(line)

    def detail(self, line: str) -> None:
        """A line for the user who asked for more (-v), and for the log."""
        if self.verbose:
            self.say(line)
        else:
            self.log(line)

    @property
    def on_terminal(self) -> bool:
        """Whether the user looks at a terminal, where a line can be written over."""
        return (self._terminal or sys.stderr).isatty()

    @property
    def columns(self) -> int:
        """The width of the terminal; that of most where there is none, or it does not say, as a serial console."""
        try:
            return os.get_terminal_size((self._terminal or sys.stderr).fileno()).columns or COLUMNS
        except (OSError, ValueError):
            return COLUMNS

    def passing(self, line: str) -> None:
        """A line for the terminal that the next one takes the place of; the log does not get it.

        What does not fit is cut off: it would go on in a line that nothing takes the place of.
        """
        if self.quiet or self._aside:
            return
        self._passing = True
        self._write(self._terminal or sys.stderr, "\r\033[K" + self.shown(line)[: self.columns - 1])

    def result(self, line: str) -> None:
        """A line of what the command was run for, for the standard output."""
        self._write(sys.stdout, visible(line) + "\n")

    def warn(self, line: str) -> None:
        """Something the user should know that does not end the run; repeated at its end."""
        line = self.shown(line)
        self.warnings.append(line)
        self._keep("WARNING: " + line)
        if not self._aside:
            self._print("WARNING: " + line)

    @contextmanager
    def step(self, title: str, source: str) -> Iterator[None]:
        """A section of the log and one line on the terminal, with the time it took."""
        self.log(f"--- {title} [{source}]")
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        # A step that took no time is not worth a line on a 9600 baud console.
        line = f"{title} ({seconds:.1f} s)"
        if self.verbose or seconds >= 0.5:
            self.say(line)
        else:
            self.log(line)

    def end(self, error: RearError | None = None) -> None:
        """The last words of a run: its warnings once more when there was much between, and what made it fail."""
        if self.warnings and self._said_since > MUCH:
            self._print(f"{len(self.warnings)} warnings:")
            for line in self.warnings:
                self._print("  " + line)
        if self.untold:
            self._print(f"WARNING: some output is lost or logged: {self.untold}")
        if error:
            for line in explanation(error, self.log_path):
                self._print(self.shown(line))

    def _print(self, line: str) -> None:
        # The standard stream is looked up late, so that redirection by the caller counts.
        stream = self._terminal or sys.stderr
        start = "\r\033[K" if self._passing else ""
        self._passing = False
        self._write(stream, f"{start}{colored(line, stream)}\n")

    def _keep(self, line: str) -> None:
        if self._log:
            self._write(self._log, f"{time.strftime('%H:%M:%S')} {line}\n")

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        self.untold = self.untold or (error.strerror or str(error))


def colored(line: str, stream: TextIO) -> str:
    """A line with its first word in color where that is one of `COLORS`, and the terminal has them.

    https://no-color.org; terminals of the VT series have none.
    """
    word = line.partition(" ")[0]
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb").startswith(("dumb", "vt"))
    if word not in COLORS or plain or not stream.isatty():
        return line
    return f"\033[{COLORS[word]}m{word}\033[m{line[len(word) :]}"


def explain(error: RearError) -> str:
    """What went wrong and what to do, for the terminal."""
    return "\n".join(colored(visible(line), sys.stderr) for line in explanation(error))


def explanation(error: RearError, log_path: Path | None = None) -> list[str]:
    """The lines that end a failed run: what went wrong, what to do, where to read more."""
    lines = []
    for problem in error.problems if isinstance(error, Problems) else (error,):
        lines.append(f"ERROR: {problem.message}")
        if problem.hint:
            lines.append(f"  What to do: {problem.hint}")
    if log_path:
        lines.append(f"  Details: {log_path}")
    return lines


def _is_log(path: Path) -> bool:
    """Whether a file begins as a log does, or is empty."""
    with path.open("rb") as file:
        return re.match(rb"\d\d:\d\d:\d\d |$", file.read(16)) is not None


def _is_own_file(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
