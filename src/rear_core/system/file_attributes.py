# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of files that no backup carries: immutable, append-only and the like, and the numbers of projects.

They are those of chattr(1), and the extent sizes that XFS gives to what is in a folder. The calls and the structure are
in ioctl_xfs_fsgetxattr(2), ioctl_iflags(2) and linux/fs.h; ext4, XFS, btrfs and F2FS know them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .. import durable, own_files
from ..errors import ConfigurationError, RearError
from ..mounts import mount_points

VERSION = 1
# So deep below a mount point they are looked for, as for what btrfs does not copy on write: all files of a machine
# would take as long as to save them.
DEPTH = 4
# As most architectures number calls; those of POWER and MIPS do not know these numbers, and then nothing has any.
GET, SET = 0x801C581F, 0x401C5820
# Flags, size of extents, number of extents, project, size of extents for copy on write.
STRUCTURE = struct.Struct("=5I8x")
LETTERS = {"i": 0x008, "a": 0x010, "S": 0x020, "A": 0x040, "d": 0x080, "P": 0x200, "x": 0x8000}
# Those that XFS alone has: new files in the realtime section, no symbolic links, no defragmentation, streams.
LETTERS.update({"r": 0x100, "n": 0x400, "f": 0x2000, "e": 0x4000})
# The flags that say whether these sizes count: of files, of folders for what is made in them, for copies.
OWN, EXTENTS, COPIED = 0x800, 0x1000, 0x10000
# The older call, which fewer flags have: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS.
GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602
FLAGS = {"s": 0x1, "u": 0x2, "j": 0x4000, "t": 0x8000, "D": 0x10000, "T": 0x20000, "F": 0x40000000}
# What files get when they are made in a folder, and cannot be given later: places and sizes of data, names in any case.
BEFOREHAND = {"r", "F"}
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = OPEN | os.O_DIRECTORY
# Whoever has none of this has nothing to lose.
UNKNOWN = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Attributes:
    """Those of a file or folder, as letters of lsattr(1) and our own, and the number of its project.

    What is in a folder with the letter P has its project, and its folders the letter, unless they are named themselves.
    `extent` and `copied_extent` are bytes: how large the extents of files are that are made in this folder. That of a
    file with data cannot be changed any more.
    """

    path: str
    letters: str = ""
    project: int = 0
    extent: int = 0
    copied_extent: int = 0


def read(descriptor: int, path: str = "") -> Attributes | None:
    """Those of an open file; None where its file system does not know them."""
    try:
        flags, size, _, project, copied = STRUCTURE.unpack(fcntl.ioctl(descriptor, GET, bytes(STRUCTURE.size)))
    except OSError as error:
        if error.errno in UNKNOWN:
            return None
        raise
    more = _flags(descriptor)
    letters = [letter for letter, bit in LETTERS.items() if flags & bit]
    letters += [letter for letter, bit in FLAGS.items() if more & bit]
    is_folder = _is_folder(descriptor)
    extent = size if flags & (EXTENTS if is_folder else OWN) else 0
    copied_extent = copied if flags & COPIED and is_folder else 0
    return Attributes(path, "".join(letters), project, extent, copied_extent)


def write(descriptor: int, wanted: Attributes) -> None:
    """Give them to an open file, and see whether it has them; raises `OSError`.

    Nothing is done where it has them already: FAT tells what it is, and takes no attribute.
    """
    if read(descriptor, wanted.path) == wanted:
        return
    before = bytes(STRUCTURE.size)
    flags, size, count, _, copied = STRUCTURE.unpack(fcntl.ioctl(descriptor, GET, before))
    flags = flags & ~sum(LETTERS.values()) | sum(LETTERS.get(letter, 0) for letter in wanted.letters)
    if _is_folder(descriptor):
        size, copied = wanted.extent, wanted.copied_extent
        flags = flags & ~(EXTENTS | COPIED) | (EXTENTS if size else 0) | (COPIED if copied else 0)
    now, every = _flags(descriptor), sum(FLAGS.values())
    more = now & ~every | sum(FLAGS.get(letter, 0) for letter in wanted.letters)
    if more != now:
        fcntl.ioctl(descriptor, SET_FLAGS, struct.pack("=L", more))
    fcntl.ioctl(descriptor, SET, STRUCTURE.pack(flags, size, count, wanted.project, copied))
    found = read(descriptor, wanted.path)
    if found and not wanted.extent and not _is_folder(descriptor):
        # What its folder gives it is no loss.
        found = replace(found, extent=0)
    if found != wanted:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _flags(descriptor: int) -> int:
    """Those that the older call knows, 0 where a file system has none."""
    try:
        (flags,) = struct.unpack("=L", fcntl.ioctl(descriptor, GET_FLAGS, bytes(4)))
    except OSError as error:
        if error.errno in UNKNOWN:
            return 0
        raise
    return int(flags)


def find(top: str) -> Iterator[Attributes]:
    """Those of a file system that is mounted at `top`, as deep as `DEPTH`; what cannot be read has none."""
    # To open a folder where a server or program has mounted something could take for ever.
    mounted = {point.target for point in mount_points()}
    descriptor = os.open(top, FOLDER)
    try:
        yield from _find(descriptor, top, DEPTH, os.fstat(descriptor).st_dev, Attributes(""), mounted)
    finally:
        os.close(descriptor)


def _find(
    descriptor: int, path: str, depth: int, device: int, above: Attributes, mounted: Collection[str]
) -> Iterator[Attributes]:
    """Those of an open file or folder and what is below; `above` are those of the folder that it is in."""
    status = os.fstat(descriptor)
    found = read(descriptor, path) if status.st_dev == device else None
    if found is None:
        return
    is_folder = stat.S_ISDIR(status.st_mode)
    if found not in (Attributes(path), _inherited(found, above, is_folder)):
        yield found
    if not is_folder or not depth:
        return
    for name in _names(descriptor):
        place = os.path.join(path, name)
        if place in mounted:
            continue
        with _opened(name, descriptor) as file:
            if file is not None:
                yield from _find(file, place, depth - 1, device, found, mounted)


def _inherited(found: Attributes, above: Attributes, is_folder: bool) -> Attributes:
    """What a file or folder has from the one it is in, and gets again when it is restored there.

    On FAT everything has the letter F since Linux 7.2, elsewhere only folders.
    """
    project = above.project if "P" in above.letters else 0
    letters = "P" if is_folder and "P" in above.letters else ""
    letters += "F" if "F" in above.letters and "F" in found.letters else ""
    return Attributes(found.path, letters, project, 0 if is_folder else above.extent)


def _names(descriptor: int) -> list[str]:
    """The files and folders in an open folder: to open a device may do something."""
    with os.scandir(descriptor) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
        )


@contextmanager
def _opened(name: str, folder: int) -> Iterator[int | None]:
    """A file, None where it is gone or cannot be opened."""
    try:
        descriptor = os.open(name, OPEN, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def restore(target: Path, recorded: Iterable[Attributes]) -> Iterator[str]:
    """Give what was restored below a folder its attributes, projects first; returns what it could not do and why."""
    attributes = list(recorded)
    for wanted in sorted(attributes, key=lambda wanted: wanted.path):
        if wanted.project:
            yield from _put(target, wanted, _changeable(wanted.letters), through="P" in wanted.letters)
    for wanted in attributes:
        yield from _put(target, wanted, wanted.letters)


def prepare(target: Path, recorded: Iterable[Attributes]) -> None:
    """Make the folders whose attributes files get as they are restored; what cannot be done is said in the end."""
    for wanted in sorted(recorded, key=lambda wanted: wanted.path):
        letters = "".join(letter for letter in wanted.letters if letter in BEFOREHAND)
        if letters or wanted.extent:
            with suppress(OSError), _descended(target, wanted.path, make=True) as descriptor:
                write(descriptor, replace(wanted, letters=letters, project=0))


def free(target: Path, recorded: Iterable[Attributes]) -> list[str]:
    """Let what was put back be written over; returns what could not be freed and why."""
    fixed = [wanted for wanted in recorded if _changeable(wanted.letters) != wanted.letters]
    return [problem for wanted in fixed for problem in _put(target, wanted, _changeable(wanted.letters))]


def _changeable(letters: str) -> str:
    return letters.replace("i", "").replace("a", "")


def _put(target: Path, wanted: Attributes, letters: str, *, through: bool = False) -> Iterator[str]:
    try:
        with _descended(target, wanted.path) as descriptor:
            write(descriptor, replace(wanted, letters=letters))
            if through:
                _spread(descriptor, wanted.project, os.fstat(descriptor).st_dev)
    except FileNotFoundError:
        # The backup does not have it.
        return
    except OSError as error:
        lost = wanted.letters or ("project" if wanted.project else "size of extents")
        yield f"{wanted.path} has lost its attributes ({lost}): {error.strerror}"


@contextmanager
def _descended(target: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """A descriptor of what a path means below a folder, whatever links are there now; perhaps of new folders."""
    descriptor = os.open(target, FOLDER)
    try:
        for name in filter(None, path.split("/")):
            above = descriptor
            with suppress(FileExistsError):
                if make:
                    os.mkdir(name, 0o755, dir_fd=above)
            descriptor = os.open(name, OPEN, dir_fd=above)
            os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


def _spread(top: int, project: int, device: int) -> None:
    """Give all that is in an open folder its project, down to the bottom of its file system.

    Users nest folders deeper than Python has calls, a process descriptors, and a path letters. So this goes down and
    up again with one descriptor.
    """
    above: list[tuple[os.stat_result, list[str]]] = []
    folder = os.dup(top)
    try:
        left = _mark(folder, project, device)
        while left or above:
            if left:
                inner = _entered(folder, left.pop())
                if inner is None:
                    continue
                above.append((os.fstat(folder), left))
                folder = _replace(folder, inner)
                left = _mark(folder, project, device)
            else:
                outer, left = above.pop()
                folder = _replace(folder, os.open("..", FOLDER, dir_fd=folder))
                if not os.path.samestat(os.fstat(folder), outer):
                    raise OSError(errno.ESTALE, "someone moved its contents")
    finally:
        os.close(folder)


def _mark(folder: int, project: int, device: int) -> list[str]:
    """Give what is right in an open folder its project, and return the folders among it."""
    folders = []
    for name in _names(folder):
        with _opened(name, folder) as file:
            status = os.fstat(file) if file is not None else None
            if file is None or status is None or status.st_dev != device:
                continue
            is_folder = stat.S_ISDIR(status.st_mode)
            write(file, Attributes("", "P" if is_folder else "", project))
            if is_folder:
                folders.append(name)
    return folders


def _entered(folder: int, name: str) -> int | None:
    """A descriptor of a folder in another one, None where it is gone."""
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    except OSError:
        return None


def _replace(folder: int, other: int) -> int:
    os.close(folder)
    return other


def save(path: Path, attributes: Iterable[Attributes]) -> None:
    """Write them to a file."""
    found = [asdict(attribute) for attribute in attributes]
    durable.write(path, json.dumps({"version": VERSION, "attributes": found}, indent=2) + "\n")


def load(path: Path) -> list[Attributes]:
    """Those that were written to a file, none where there is none; `ConfigurationError` when it cannot be read."""
    try:
        document = json.loads(own_files.read_text(path))
        if document["version"] != VERSION:
            raise RearError(f"its version is {document['version']}, but this rear reads {VERSION}")
        found = [Attributes(**entry) for entry in document["attributes"]]
        for each in found:
            numbers = (each.project, each.extent, each.copied_extent)
            if not isinstance(each.path, str) or not set(each.letters) <= {*LETTERS, *FLAGS} or min(numbers) < 0:
                raise RearError("it has unknown attributes")
        return found
    except FileNotFoundError:
        return []
    except own_files.NoFile:
        raise
    except (OSError, ValueError, KeyError, TypeError, RearError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", "use the rescue media of this machine") from error
