# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the drivers of the media, in the rescue system: `rear-drivers [PLACE]`.

The place is what `rear.drivers=` on the kernel's command line says: http://SERVER/PATH, or TYPE=iso9660:/PATH and
UUID=1234-ABCD:/PATH for a file in each file system that blkid(8) finds by that. The squashfs is taken into memory, so
that its medium may be removed, and counts only with the checksum that the initramfs has. It is laid over the modules
and firmware of the initramfs. Exit status: 0 all drivers are there, 1 they are not.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from ..errors import ExitCode, ProgramFailed, RearError
from ..shell import Shell

PARAMETER = "rear.drivers="
CHECKSUM = Path("/etc/rear/drivers.sha256")
IMAGE = Path("/run/rear/drivers.squashfs")
LAID = Path("/run/rear/drivers")
CHUNK = 1 << 20
# Seconds: until a stick is there or a server is reached; of silence in between.
PATIENCE, SILENCE = 60, 20
ADVICE = "insert the rescue media or connect the network, then run: rear-drivers"


def place(command_line: str) -> str:
    """Where the kernel's command line says that the drivers are.

    >>> place("quiet rear.drivers=TYPE=iso9660:/boot/drivers.squashfs")
    'TYPE=iso9660:/boot/drivers.squashfs'
    """
    found = [word[len(PARAMETER) :] for word in command_line.split() if word.startswith(PARAMETER)]
    return found[-1] if found else ""


def take(sh: Shell, where: str, sha256: str, target: Path, patience: float = PATIENCE) -> None:
    """Take the squashfs from its place into `target`; raise `RearError` when it is not there in `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        met = []
        for source in _sources(sh, where):
            try:
                with source as file:
                    if _copy(file, target) == sha256:
                        return
                met.append("what is there belongs to another rescue system")
            except (OSError, HTTPException, ProgramFailed) as error:
                met.append(str(error))
        target.unlink(missing_ok=True)
        if time.monotonic() > end:
            why = "; ".join(dict.fromkeys(met)) or "no such medium"
            raise RearError(f"drivers for other hardware were not found at {where}: {why}", ADVICE)
        time.sleep(2)


def _sources(sh: Shell, where: str) -> list[AbstractContextManager[IO[bytes]]]:
    """The files that are meant, none opened yet."""
    if urlsplit(where).scheme == "http":
        return [_web(where)]
    tag, _, path = where.partition(":")
    # 2: none is there yet.
    devices = sh.query("blkid", "-c", "/dev/null", "-o", "device", "-t", tag, ok=(0, 2)).split()
    return [_medium(sh, device, path) for device in devices]


@contextmanager
def _web(url: str) -> Iterator[IO[bytes]]:
    with closing(build_opener(ProxyHandler({})).open(url, timeout=SILENCE)) as answer:
        yield answer


@contextmanager
def _medium(sh: Shell, device: str, path: str) -> Iterator[IO[bytes]]:
    """A file of a medium, which is mounted until then."""
    mounted = IMAGE.with_name("media")
    mounted.mkdir(exist_ok=True)
    sh.run("mount", "--options", "ro", device, mounted)
    try:
        with (mounted / path.lstrip("/")).open("rb") as file:
            yield file
    finally:
        sh.run("umount", mounted)


def _copy(source: IO[bytes], target: Path) -> str:
    """Copy a file and return its SHA-256."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def lay(sh: Shell, image: Path) -> None:
    """Have the kernel and modprobe find the modules and firmware of a squashfs, and give each device its driver."""
    sh.run("modprobe", "--all", "loop", "squashfs")
    LAID.mkdir(exist_ok=True)
    sh.run("mount", "--types", "squashfs", "--options", "ro,loop", image, LAID)
    for folder in (f"lib/modules/{platform.release()}", "lib/firmware"):
        if (LAID / folder).is_dir():
            Path("/", folder).mkdir(parents=True, exist_ok=True)
            sh.run("mount", "--bind", LAID / folder, Path("/", folder))
    # It knows the modules that were there, and looks again by itself after some seconds only.
    sh.run("udevadm", "control", "--reload")
    sh.run("udevadm", "trigger", "--type=devices", "--action=add", "--subsystem-nomatch=tty")
    sh.run("udevadm", "settle", "--timeout=60", timeout=90, ok=(0, 1))


def main(arguments: Sequence[str]) -> int:
    """Take the drivers, unless they are there; where nothing says that there are any, do nothing."""
    where = arguments[0] if arguments else place(Path("/proc/cmdline").read_text())
    if not where or not CHECKSUM.exists() or LAID.is_mount():
        return int(ExitCode.DONE)
    sh = Shell()
    try:
        take(sh, where, CHECKSUM.read_text().strip(), IMAGE)
        lay(sh, IMAGE)
    except RearError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message)
        return int(error.exit_code)
    print(f"all drivers are there, from {where}")
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
