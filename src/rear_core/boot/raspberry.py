# SPDX-License-Identifier: GPL-3.0-or-later
"""A Raspberry Pi, whose firmware reads files of a FAT partition: config.txt says what is started, and cmdline.txt has
the words for the kernel.

By https://www.raspberrypi.com/documentation/computers/config_txt.html. All that it needs are files, so that nothing has
to be installed.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..storage.references import NamingFile, Reader, Reference, at
from .efi_partitions import mounted_fat
from .loader import BootLoader, Entry, Facts

if TYPE_CHECKING:
    from ..run import Run

NAME = "Raspberry Pi"
FOLDERS = ("/boot/firmware", "/boot")
CONFIG, CMDLINE = "config.txt", "cmdline.txt"
# What the firmware is, of which a model needs some: bootcode.bin up to Pi 3, start4.elf on Pi 4, device trees on all.
FIRMWARE = ("bootcode.bin", "start*.elf", "fixup*.dat", "bcm27*.dtb", "bcm28*.dtb")
# What is started where config.txt does not say, that of most models first, and its initramfs with auto_initramfs=1.
KERNELS = {
    "kernel8.img": "initramfs8", "kernel_2712.img": "initramfs_2712", "kernel7l.img": "initramfs7l",
    "kernel7.img": "initramfs7", "kernel.img": "initramfs",
}  # fmt: skip
# Which of them a model starts, by a word of its name in the device tree.
MODELS = {"Pi 5": "kernel_2712.img", "Pi 4": "kernel8.img"}
DEFAULTS = ("/etc/default/raspi-firmware", "/etc/default/raspi-extra-cmdline", "/etc/default/raspi-firmware-custom")
MOST_INCLUDED = 8
# A kernel tells its version where it is not compressed; it is never so long.
VERSION = re.compile(rb"Linux version ([0-9][\w.+~-]*) ")
MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Config:
    """What config.txt says for all models; of a file with parts for single models only what comes before or behind
    `[all]` counts."""

    kernel: str = ""
    initramfs: str = ""
    automatic: bool = False
    cmdline: str = CMDLINE
    prefix: str = ""


def folder(target: Path) -> str:
    """Where the partition is mounted, "" where there is none."""
    return next((name for name in FOLDERS if recovered.inside(target, f"{name}/{CONFIG}").is_file()), "")


def entries(target: Path) -> list[Entry]:
    """The kernel that is started."""
    here = folder(target)
    if not here:
        return []
    config = read_config(target, f"{here}/{CONFIG}")
    names = [config.kernel] if config.kernel else _defaults()
    kernel = next((name for name in names if recovered.inside(target, _in(here, config, name)).is_file()), names[0])
    initramfs = config.initramfs or (KERNELS.get(kernel, "") if config.automatic else "")
    cmdline = recovered.inside(target, _in(here, config, config.cmdline))
    words = _words(recovered.read(cmdline)) if cmdline.is_file() else ()
    path = _in(here, config, kernel)
    archives = tuple(_in(here, config, name) for name in initramfs.split(",") if name)
    version = version_of(recovered.inside(target, path))
    return [Entry(NAME, "", path, archives, tuple(words), version=version)]


def _defaults() -> list[str]:
    """The kernels that this model starts where config.txt names none."""
    path = Path("/sys/firmware/devicetree/base/model")
    model = path.read_text(errors="replace") if path.is_file() else ""
    first = next((kernel for word, kernel in MODELS.items() if word in model), "")
    return [*dict.fromkeys(filter(None, (first, *KERNELS)))]


def _in(here: str, config: Config, name: str) -> str:
    return f"{here}/{config.prefix}{name.lstrip('/')}"


def _words(text: str) -> list[str]:
    """The words of the first line: the firmware reads no more."""
    return next(iter(text.splitlines()), "").split()


def notes(target: Path) -> list[str]:
    """What of cmdline.txt does not count, or cannot be understood."""
    here = folder(target)
    config = read_config(target, f"{here}/{CONFIG}") if here else Config()
    name = _in(here, config, config.cmdline)
    path = recovered.inside(target, name)
    if not here or not path.is_file():
        return []
    lines = recovered.read(path).splitlines() or [""]
    if not lines[0].split():
        return [f"{name} cannot be understood: its first line is empty, and the firmware reads that one alone"]
    ignored = any(line.strip() for line in lines[1:])
    return [f"{name} has several lines: the firmware reads the first one alone"] if ignored else []


def read_config(target: Path, name: str) -> Config:
    """config.txt and what it includes."""
    found = {}
    for key, value in _settings(target, name):
        found[key] = value
    initramfs = found.get("initramfs", "").split()
    return Config(
        found.get("kernel", ""), initramfs[0] if initramfs else "", found.get("auto_initramfs", "0") == "1",
        found.get("cmdline", CMDLINE), found.get("os_prefix", ""),
    )  # fmt: skip


def _settings(target: Path, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    counts = True
    path = recovered.inside(target, name)
    for line in recovered.read(path).splitlines() if path.is_file() else ():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            counts = line.lower() == "[all]"
        elif counts and line.startswith("include ") and depth < MOST_INCLUDED:
            other = line.split(None, 1)[1].strip()
            yield from _settings(target, f"{name.rpartition('/')[0]}/{other}", depth + 1)
        elif counts and (found := re.match(r"(initramfs)\s+(.*)|(\w+)\s*=\s*(.*)", line)):
            yield (found[1] or found[3]).lower(), (found[2] or found[4] or "").strip()


def version_of(kernel: Path) -> str:
    """The version of a kernel, whose name need not tell it; "" where it does not say. Those of Pis are compressed."""
    if not kernel.is_file() or kernel.stat().st_size > MOST_BYTES:
        return ""
    content = kernel.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return ""
    found = VERSION.search(content)
    return found[1].decode() if found else ""


def detect(run: Run) -> Facts | None:
    """A mounted FAT partition with config.txt and a part of the firmware, and the names of all its parts."""
    here = folder(Path("/"))
    if not here or here not in [mount["target"] for mount in mounted_fat(run)]:
        return None
    files = sorted({path.name for pattern in FIRMWARE for path in Path(here).glob(pattern)})
    return {"folder": here, "files": files} if files else None


def verify(run: Run, facts: Facts) -> list[str]:
    """The files of the firmware that are missing."""
    here = facts["folder"]
    names = [*facts["files"], CONFIG]
    lost = [f"{here}/{name}" for name in names if not recovered.inside(run.target, f"{here}/{name}").is_file()]
    return [f"{', '.join(lost)} of the Raspberry Pi's firmware are missing: reinstall raspi-firmware"] if lost else []


def root_part(text: str) -> Iterator[Reference]:
    """The root file system that /etc/default/raspi-firmware has for cmdline.txt."""
    for match in re.finditer(r"^[ \t]*ROOTPART=(\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)


def naming_files(words: Reader) -> list[NamingFile]:
    """cmdline.txt, whatever config.txt calls it, and what Debian makes it of."""
    return [
        *(NamingFile(f"{here}/{name}", words) for here in FOLDERS for name in ("*cmdline*.txt", "*/*cmdline*.txt")),
        *(NamingFile(name, lambda text: [*words(text), *root_part(text)]) for name in DEFAULTS),
    ]


RASPBERRY_PI = BootLoader(NAME, detect, "bios", lambda _run, _facts: (), verify, entries, notes, naming_files)
