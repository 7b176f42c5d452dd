# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rescue image says of itself: its boot menu, its kernel, and the machine it was made for."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rear_core import RearError, Refused
from rear_core.media.iso import file_extents, volume_size
from rear_core.places.delivery import Extent
from rear_core.shell import Shell

MENU = "/boot/grub/grub.cfg"
CONFIGURATION = "etc/rear/"
# The first bytes of a compressed file, and what reads it.
READERS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "--decompress", "--quiet", "--stdout"),
    b"\xfd7zX": ("xz", "--decompress", "--stdout"),
    b"\x1f\x8b": ("gzip", "--decompress", "--stdout"),
}
HEADER = 110
BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """An entry of the boot menu: its place from above, its title, and the paths of kernel and initramfs."""

    place: int
    title: str
    kernel: str
    initramfs: str


@dataclass(frozen=True)
class Image:
    """A rescue image: `shell` is the entry for a shell, `kernel` and `configuration` (its /etc/rear) lie in a folder of
    this machine."""

    path: Path
    shell: Entry
    kernel: Path
    configuration: Path


def newest(folder: Path) -> Path:
    """The image in a folder that was made last."""
    images = sorted(folder.glob("*.iso"), key=lambda path: path.stat().st_mtime)
    if not images:
        raise Refused(f"there is no rescue image in {folder}", "run `rear mkbackup`, or name one: rear drill FILE")
    return images[-1]


def read(sh: Shell, path: Path, folder: Path) -> Image:
    """Look into an image; `Refused` unless it is one of rear's and complete."""
    if not path.is_file():
        raise Refused(f"there is no file {path}", "name a rescue image, or leave it out for the newest one")
    try:
        if path.stat().st_size < volume_size(path):
            raise RearError(f"{path} is not complete")
        extents = file_extents(sh, path)
        entry = shell_entry(_bytes(path, extents, MENU).decode(errors="replace"))
    except RearError as error:
        raise Refused(f"{path} is not a rescue image: {error.message}", "run `rear mkrescue` to create one") from error
    kernel, initramfs = folder / "kernel", folder / "initramfs"
    _write(kernel, _bytes(path, extents, entry.kernel))
    _write(initramfs, _bytes(path, extents, entry.initramfs))
    configuration = folder / "image"
    unpack(sh, initramfs, configuration)
    initramfs.unlink()
    return Image(path, entry, kernel, configuration / CONFIGURATION)


def shell_entry(menu: str) -> Entry:
    """The entry of a boot menu that leads to a shell: recovery is started there, and its end is seen."""
    entries = re.findall(r'^menuentry "([^"]*)".*?\{$(.*?)^\}', menu, re.DOTALL | re.MULTILINE)
    for place, (title, body) in enumerate(entries):
        kernel = re.search(r"^\s*linux\S* (\S+)", body, re.MULTILINE)
        initramfs = re.search(r"^\s*initrd\S* (\S+)", body, re.MULTILINE)
        if kernel and initramfs and "rear.auto=shell" in body:
            return Entry(place, title, kernel[1], initramfs[1])
    raise RearError("its boot menu has no entry with rear.auto=shell")


def unpack(sh: Shell, initramfs: Path, folder: Path) -> None:
    """Take the configuration out of an initramfs, for its owner alone."""
    with initramfs.open("rb", buffering=0) as file:
        magic = file.read(4)
        file.seek(0)
        reader = next((argv for start, argv in READERS.items() if magic.startswith(start)), None)
        if reader is None:
            raise RearError(f"rear does not know the compression of {initramfs}")
        archive = Unpacker(folder)
        sh.pipe(reader, stdin=file, take=archive.take)
    if not (folder / CONFIGURATION / "recovery/layout.json").is_file():
        raise Refused("the rescue image does not describe a machine", "create another one with `rear mkrescue`")


class Unpacker:
    """Unpacks the small files of /etc/rear from a stream of newc archives, one after the other.

    Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = bytearray()
        self._skip = 0

    def take(self, block: memoryview) -> None:
        """The next bytes of the stream."""
        if self._skip >= len(block):
            self._skip -= len(block)
            return
        self._data += block[self._skip :]
        self._skip = 0
        while len(self._data) >= HEADER and self._member():
            pass

    def _member(self) -> bool:
        """Take a member off the front; False when not all that is needed of it is there."""
        if self._data[:6] != b"070701":
            raise RearError("the initramfs is damaged: it is not a newc archive")
        mode, size, name_size = (int(self._data[at : at + 8], 16) for at in (14, 54, 94))
        start = _padded(HEADER + name_size)
        if len(self._data) < start:
            return False
        name = os.fsdecode(bytes(self._data[HEADER : HEADER + name_size - 1]))
        wanted = name.startswith(CONFIGURATION) and stat.S_ISREG(mode) and ".." not in Path(name).parts
        end = start + _padded(size)
        if wanted:
            if len(self._data) < end:
                return False
            path = self._folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What comes later takes the place of what came before, as it does for the kernel.
            path.unlink(missing_ok=True)
            _write(path, bytes(self._data[start : start + size]))
        self._skip = max(0, end - len(self._data))
        del self._data[:end]
        return True


def _padded(size: int) -> int:
    return size + -size % 4


def _bytes(path: Path, extents: Mapping[str, list[Extent]], name: str) -> bytes:
    if name not in extents:
        raise RearError(f"{name} is missing on it")
    with path.open("rb") as file:
        return b"".join(os.pread(file.fileno(), extent.size, extent.start) for extent in extents[name])


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
