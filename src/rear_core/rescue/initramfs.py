# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes initramfs segments: newc archives, compressed, reproducible, cached by what they are made from.

The archive is written here and not by GNU cpio: files then go straight from where they lie into the compressor, with
names, owners, times and inode numbers of our choosing, and modules need no copy on disk.
The format and the concatenation of segments: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from .. import durable, own_files
from ..errors import RearError
from ..shell import Shell
from ..trees import below

# Levels by measurement on 2 cores (170 MB of modules): zstd -3 41 MB in 1.2 s, -7 37 MB in 3.0 s, -12 35 MB in 7.6 s.
# The kernel's xz reader knows no other check than CRC32 (Documentation/staging/xz.rst).
COMPRESSORS: Mapping[str, tuple[str, ...]] = {
    "zstd": ("zstd", "--quiet", "--threads=0", "-3", "--stdout"),
    "xz": ("xz", "--check=crc32", "--threads=0", "-3", "--stdout"),
    "gzip": ("gzip", "--no-name", "-6", "--stdout"),
}
# The kinds of segments in the cache.
SEGMENTS = ("modules", "programs", "drivers")
KEPT_SEGMENTS = 3


@dataclass(frozen=True)
class Member:
    """One file of an archive: `source` is read when it is written, else `content` (a link's target) is taken."""

    name: str
    mode: int
    mtime: int = 0
    source: str = ""
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


# The kernel opens /dev/console for init before init can mount anything on /dev.
DEVICES = (
    Member("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
    Member("dev/null", stat.S_IFCHR | 0o666, device=(1, 3)),
)


def choose_compression(config: Mapping[str, str], wanted: str, available: Callable[[str], bool]) -> str:
    """The best compression that the kernel can read and this machine can write; `wanted` is checked and obeyed."""
    readable = [name for name in COMPRESSORS if config.get(f"CONFIG_RD_{name.upper()}") == "y"]
    if wanted:
        if config and wanted not in readable:
            raise RearError(
                f"the kernel cannot unpack an initramfs compressed with {wanted}",
                f"set INITRAMFS_COMPRESSION to one of: {', '.join(readable)}",
            )
        return wanted
    # Every distribution's kernel reads gzip, also one that hides its configuration.
    return next((name for name in readable if available(name)), "gzip")


def source_date() -> int:
    """No file in the archive is newer than this: SOURCE_DATE_EPOCH, or now."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


def members_of(tree: Path) -> Iterator[Member]:
    """All of a tree on disk, parents first, in a fixed order."""
    top = os.fspath(tree).rstrip("/") + "/"
    for entry in below(top):
        found = entry.stat(follow_symlinks=False)
        name, mtime = entry.path[len(top) :], int(found.st_mtime)
        if entry.is_symlink():
            # When a link or directory was made says nothing, and would make every archive another one.
            yield Member(name, stat.S_IFLNK | 0o777, content=os.fsencode(os.readlink(entry.path)))
        elif entry.is_dir():
            yield Member(name, found.st_mode)
        elif stat.S_ISREG(found.st_mode):
            yield Member(name, found.st_mode, mtime, source=entry.path)
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            device = (os.major(found.st_rdev), os.minor(found.st_rdev))
            yield Member(name, found.st_mode, mtime, device=device)


def with_parents(members: Iterable[Member]) -> list[Member]:
    """Members sorted by name, with the directories above them; the kernel makes none by itself."""
    named = {member.name: member for member in members}
    for name in list(named):
        for parent in Path(name).parents:
            if parent.name:
                named.setdefault(os.fspath(parent), Member(os.fspath(parent), stat.S_IFDIR | 0o755))
    return [named[name] for name in sorted(named)]


def write_archive(file: BinaryIO, members: Iterable[Member], newest: int) -> int:
    """Write a newc archive, everything owned by root, nothing newer than `newest`; return its size."""
    size = 0
    for number, member in enumerate(members, start=1):
        content = Path(member.source).read_bytes() if member.source else member.content
        head = _header(number, member, len(content), newest)
        file.write(head)
        file.write(content)
        file.write(bytes(-len(content) % 4))
        size += len(head) + len(content)
    file.write(_header(0, Member("TRAILER!!!", 0), 0, 0))
    return size


def _header(number: int, member: Member, length: int, newest: int) -> bytes:
    name = os.fsencode(member.name) + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    fields = (number, member.mode, 0, 0, links, min(member.mtime, newest), length, 0, 0, *member.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4)


def pack(sh: Shell, members: Iterable[Member], target: Path, compression: str, newest: int) -> int:
    """Write members as one compressed segment, complete or not at all; return the size uncompressed."""
    unfinished = target.with_name(target.name + ".part")
    reading, writing = os.pipe()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with ExitStack() as undo:
        undo.callback(unfinished.unlink, missing_ok=True)
        with ThreadPoolExecutor(max_workers=1) as pool, os.fdopen(descriptor, "wb") as sink:
            with os.fdopen(reading, "rb") as source:
                writer = pool.submit(_write_to, writing, members, newest)
                sh.run(*COMPRESSORS[compression], stdin=source, stdout=sink, timeout=3600)
            size = writer.result()
        unfinished.replace(target)
    return size


def _write_to(descriptor: int, members: Iterable[Member], newest: int) -> int:
    with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
        return write_archive(file, members, newest)


def cached_files(cache: Path) -> list[Path]:
    """What the cache holds by now; whatever else lies in its folder is none of rear's.

    Programs that keep a cache of their own there mark it (Cache Directory Tagging Specification).
    """
    return [
        *(path for kind in SEGMENTS for path in cache.glob(f"{kind}-*")),
        *(p.parent for p in cache.glob("*/CACHEDIR.TAG")),
    ]


def cached_segment(cache: Path, kind: str, key: str, make: Callable[[Path], object], suffix: str = ".cpio") -> Path:
    """The segment of that key from the cache, made when it is not there or not whole.

    Segments are readable by root alone. The oldest are removed, so that old kernels do not fill the disk.
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    segment, checksum = cache / f"{kind}-{key}{suffix}", cache / f"{kind}-{key}.sha256"
    for path in (segment, checksum):
        if os.path.lexists(path) and not path.is_file():
            own_files.check(path, path.lstat())
    if segment.is_file() and checksum.is_file() and checksum.read_bytes() == _checksum(segment).encode():
        os.utime(segment)
    else:
        for rest in cache.glob(f"{kind}-*.part"):  # of a run that was killed
            rest.unlink()
        make(segment)
        durable.write(checksum, _checksum(segment))
    others = [path for path in cache.glob(f"{kind}-*{suffix}") if path != segment]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in others[KEPT_SEGMENTS - 1 :]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)
    return segment


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def key_of(inputs: Iterable[Path], *options: str) -> str:
    """A key that changes when a file is added, removed or changed, or an option differs."""
    digest = hashlib.sha256("\0".join(options).encode())
    for path in inputs:
        found = path.stat()
        digest.update(f"\0{path}\0{found.st_size}\0{found.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


class _Digest(io.RawIOBase):
    """A file that keeps nothing but the checksum of what is written to it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return len(data)


def key_of_archive(members: Iterable[Member], newest: int, *options: str) -> tuple[str, int]:
    """A key that changes when any byte of the archive would, and the size of the archive; nothing is written."""
    digest = _Digest()
    size = write_archive(cast(BinaryIO, digest), members, newest)
    digest.write("\0".join(options).encode())
    return digest.sha256.hexdigest()[:32], size


def concatenate(segments: Sequence[Path], target: Path) -> None:
    """Join segments into one initramfs."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as joined:
        for segment in segments:
            with segment.open("rb") as file:
                shutil.copyfileobj(file, joined, 1 << 20)
