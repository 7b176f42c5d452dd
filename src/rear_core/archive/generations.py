# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations of backups: folders named by their time (UTC), there only when complete; old ones are removed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..durable import flush
from ..errors import ConfigurationError, NotBegun, RearError, Refused
from ..removal import discard, remove_tree
from . import manifest
from .dates import FORMAT, digits
from .encryption import CIPHER
from .stream import COMPRESSORS

PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
PARTIAL = ".partial"
LOCK = ".lock"
OTHER_KEY = (
    "it was signed by a key that this machine does not know; a clone of this machine needs its own BACKUP_PREFIX"
)
# Bytes of a manifest: it has the whole description of the storage.
LARGEST = 64 << 20
LARGEST_NUMBER = manifest.LARGEST
# Names of others in a manifest: whoever makes more folders than that only has them asked about.
MOST = 1000


Proof = Callable[[manifest.Sealed], bool]
"""Whether this machine has certainly made a backup: a recovery takes it unasked."""


Look = Callable[["Generation", int], bool]
"""Whether the archive of a backup is good, as far as a look at parts of it can tell; so many are looked at."""


def unseen(_: Generation, __: int) -> bool:
    """The look at archives where nobody reads them."""
    return True


def anybody(_: manifest.Sealed) -> bool:
    """The proof where no machine has a key."""
    return True


@dataclass(frozen=True)
class Generation:
    """A backup in a folder: its number among those of the machine, 0 for one without or with a manifest that is
    damaged, and the machine by its identity. `flaw` says why every recovery would refuse it, and for a `foreign` one
    the reason is a manifest that was not made for this folder. One that is not `ours` is a link, which somebody has put
    there; a `proven` one was certainly made by this machine, and another one that is `signed` by another. `there` has
    the names of those that were there when it was made, and its own."""

    name: str
    number: int = 0
    machine: str = ""
    flaw: str = ""
    foreign: bool = False
    ours: bool = True
    proven: bool = True
    signed: bool = False
    there: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether a recovery would take it, as far as can be told without reading its archive."""
        return not self.flaw


@dataclass(frozen=True)
class Identity:
    """What makes a file the same one, as long as somebody has it open."""

    device: int
    number: int
    size: int

    @classmethod
    def of(cls, file: Path | int) -> Identity | None:
        """That of an open file, or of the one that has a name now, None for none."""
        try:
            status = os.fstat(file) if isinstance(file, int) else file.lstat()
        except FileNotFoundError:
            return None
        return cls(status.st_dev, status.st_ino, status.st_size)


def names(home: Path) -> list[str]:
    """The generations in a folder, in the order in which they were made; what has a name of its own is none of ours."""
    return [generation.name for generation in found(home)]


def found(home: Path, proof: Proof = anybody) -> list[Generation]:
    """Likewise, with what their manifests say.

    Clocks are set back: numbers decide. What has none, or one that anybody may have written, is older than each proven
    backup that was made when it was there; where none is, it may be newer than all of them.
    """
    try:
        paths = sorted(path for path in home.iterdir() if _is_time(path.name) and path.is_dir())
    except FileNotFoundError:
        return []
    generations = [_generation(path, proof) for path in paths]
    proven = [generation for generation in generations if generation.proven and generation.number]
    return sorted(generations, key=lambda generation: (_place(generation, proven), generation.name))


def _place(generation: Generation, proven: Sequence[Generation]) -> tuple[int, int]:
    """By what a backup is sorted: just before a number, or at it."""
    if generation in proven:
        return generation.number, 1
    own = (generation.number or LARGEST_NUMBER, 1)
    return min([own, *((other.number, 0) for other in proven if _is_older(generation, other))])


def _is_older(generation: Generation, other: Generation) -> bool:
    """Whether a backup was there when the other was made, by its name where the other does not tell."""
    if other.there:
        return generation.name in other.there
    return not generation.number and generation.name < other.name


def _is_time(name: str) -> bool:
    if not PATTERN.fullmatch(name):
        return False
    try:
        datetime.strptime(name, FORMAT)
    except ValueError:
        return False
    return True


def _generation(path: Path, proof: Proof) -> Generation:
    ours = not path.is_symlink()
    try:
        sealed = manifest.loads(read_small(path / manifest.NAME))
    except (OSError, ValueError, RearError):
        return Generation(path.name, flaw="its manifest is damaged or missing", ours=ours)
    made = sealed.manifest
    foreign = _foreign(path.name, made)
    flaw = foreign or _incomplete(path / made.archive, made.size)
    proven = not flaw and ours and proof(sealed)
    return Generation(
        path.name, made.number, made.machine, flaw, bool(foreign), ours, proven, bool(sealed.signature),
        frozenset(made.there),
    )  # fmt: skip


def _foreign(name: str, made: manifest.Manifest) -> str:
    """What shows that a manifest was not made for a folder of this name by a rear that this one understands."""
    if made.created != name:
        return f"it was created as {made.created:.40}: someone renamed or copied it"
    if made.compression not in COMPRESSORS:
        return f"rear does not know its compression {made.compression[:40]!r}"
    if made.encryption and made.encryption.cipher != CIPHER:
        return f"rear does not know its cipher {made.encryption.cipher[:40]!r}"
    return "it is split into volumes, as on other media" if made.volumes else ""


def _incomplete(archive: Path, size: int) -> str:
    try:
        status = archive.lstat()
    except OSError as error:
        return f"its archive cannot be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "its archive is not a file"
    return "" if status.st_size == size else f"its archive has {status.st_size} bytes, not {size}"


def read_small(path: Path) -> str:
    """The text of a small file; `OSError` for what is none and could be read for ever."""
    with os.fdopen(open_file(path), encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise OSError(errno.EFBIG, "it is not a small file", os.fspath(path))
        return file.read(LARGEST)


def open_file(path: Path) -> int:
    """A descriptor of a file, for reading; `OSError` for a link, and for what could be waited for or read for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", os.fspath(path))
    return descriptor


@contextmanager
def locked(home: Path) -> Iterator[bool]:
    """A block in which nobody else saves to a folder, also from another machine; False where its file system has no
    locks. The lock dies with its holder (fcntl(2), record locks: NFS has them). `Refused` when somebody has it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / LOCK
    _remove_other(path)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                os.close(descriptor)
                raise Refused(
                    f"another run of rear saves to {home}", "wait until it ends, or give each machine a BACKUP_PREFIX"
                ) from None
            there = False
            break
        # Whoever had it removes the file: what is locked here must be what others will find.
        if there := _is(path, descriptor):
            break
        os.close(descriptor)
    try:
        yield there
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _remove_other(path: Path) -> None:
    """Remove what is in the place of a file and could not be one: a link, a FIFO, a socket, an empty folder."""
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            path.rmdir()
        elif not stat.S_ISREG(mode):
            path.unlink()


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def new(home: Path, now: datetime | None = None) -> Iterator[tuple[Path, str]]:
    """A folder for a new generation, and the name that it gets in the end; after an error nothing of it is left."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in unfinished(home):
        discard(stale)
    moment = now or datetime.now(timezone.utc)
    while os.path.lexists(home / (name := moment.strftime(FORMAT))):
        moment += timedelta(seconds=1)
    partial = home / (name + PARTIAL)
    partial.mkdir(mode=0o700)
    try:
        yield partial, name
        flush(partial)
        partial.rename(home / name)
        flush(home)
    except BaseException:
        discard(partial)
        raise


def write(path: Path, text: str) -> None:
    """Write a small file of a generation, and wait until it is on its disk or server."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def withdraw(generation: Path) -> None:
    """Remove a generation that turned out to be none."""
    discard(generation.rename(generation.with_name(generation.name + PARTIAL)))


def unfinished(home: Path) -> list[Path]:
    """What is left of generations that were not finished, or could not be removed as a whole."""
    return sorted(path for path in home.glob(f"*{PARTIAL}") if PATTERN.fullmatch(path.name[: -len(PARTIAL)]))


def prune(home: Path, keep: int, made: str, proof: Proof = anybody, look: Look = unseen) -> tuple[list[str], list[str]]:
    """Remove whole generations until `keep` are left, oldest first and never the one just made.

    Damaged ones count as none, and stay, as do links and what another key has signed; those without proof count against
    each other alone. Before one goes those that stay in its place are looked at: one whose archive is damaged counts as
    none. Returns the names of those that are gone, and of each other one why it was not removed.
    """
    gone, problems, there = [], [], []
    for generation in found(home, proof):
        if not (generation.whole and generation.ours):
            continue
        if generation.proven or not generation.signed:
            there.append(generation)
        elif generation.name != made:
            # Clones without a UUID of their own have one identity: each would remove what the other one saves.
            problems.append(f"{home / generation.name}: {OTHER_KEY}")
    order = sorted(there, key=lambda generation: generation.name == made)
    surplus = _surplus(order, keep, lambda _: True)
    if surplus:
        many = max(1, len(order) - len(surplus) - 1)
        surplus = _surplus(order, keep, lambda generation: generation.name == made or look(generation, many))
    for name in surplus:
        try:
            # Out of sight first: half a generation must never be taken for one.
            remove_tree((home / name).rename(home / (name + PARTIAL)))
            gone.append(name)
        except OSError as error:
            problems.append(f"{error.filename or home / name}: {error.strerror}")
    return gone, problems


def _surplus(there: Sequence[Generation], keep: int, counts: Callable[[Generation], bool]) -> list[str]:
    """The backups that are too many, the last one is none; what anybody may have written pushes out none with proof."""
    newer = {True: 0, False: 0}
    surplus = []
    for generation in reversed(there):
        if newer[generation.proven] >= keep:
            surplus.append(generation.name)
        elif counts(generation):
            newer[False] += 1
            newer[True] += generation.proven
    return surplus[::-1]


def choose(there: Sequence[str], date: str, where: str) -> str:
    """The newest backup of that date or before it; of all with "". A date may leave off what is not needed:
    2026-11-22, or 2026-11-22T1830."""
    if date in there:
        return date
    try:
        given = digits(date) if date else ""
    except ValueError as error:
        raise ConfigurationError(
            f"{date!r} is not a valid date",
            "write it as 2026, 2026-11, 2026-11-05, 2026-11-05T18, 2026-11-05T1830 or 2026-11-05T183059 (UTC)",
        ) from error
    if not there:
        raise Refused(f"there is no backup in {where}", "check BACKUP_URL and BACKUP_PREFIX, or run `rear mkbackup`")
    until = given.ljust(14, "9")
    # Whatever its clock said, one that has this date comes before all that are older.
    of_that_date = [name for name in there if given and re.sub(r"\D", "", name).startswith(given)]
    fitting = of_that_date or [name for name in there if re.sub(r"\D", "", name) <= until]
    if not fitting:
        raise NotBegun(f"no backup in {where} is from {date} or before", f"choose one of {', '.join(there)}")
    return fitting[-1]
