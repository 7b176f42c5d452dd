# SPDX-License-Identifier: GPL-3.0-or-later
"""EFI programs that come back as files, as rEFInd and Limine do: found by what is in them, started by a boot entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RearError
from .efi_install import esp_of, made_again, make_startable
from .efi_partitions import child
from .loader import Facts

if TYPE_CHECKING:
    from ..run import Run

# A larger file is no boot loader.
MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class Program:
    """A program in a folder of the EFI system partition; paths are relative to the partition's root.

    `loader` is what the firmware starts: shim when there is one, else the program itself.
    """

    vendor: str
    loader: str
    program: str
    shim: bool


def find(esp: Path, is_ours: Callable[[bytes], bool]) -> list[Program]:
    """Every program below EFI/ of a mounted EFI system partition whose content is ours, sorted by folder."""
    efi = child(esp, "EFI")
    folders = sorted(path for path in efi.iterdir() if path.is_dir()) if efi else []
    return [found for folder in folders for found in _programs(esp, folder, is_ours)]


def _programs(esp: Path, folder: Path, is_ours: Callable[[bytes], bool]) -> Iterator[Program]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".efi" and path.is_file())
    ours = [path for path in paths if path.stat().st_size <= MOST_BYTES and is_ours(path.read_bytes())]
    shim = next((path for path in paths if path.name.lower().startswith("shim") and path not in ours), None)
    for path in ours:
        names = ((shim or path).relative_to(esp).as_posix(), path.relative_to(esp).as_posix())
        yield Program(folder.name, *names, shim=shim is not None)


def lost(run: Run, facts: Facts) -> list[str]:
    """The recorded programs that are not on the recovered EFI system partitions, by their paths in the system."""

    def place(partition: dict[str, Any], name: str) -> str:
        return f"{partition['mountpoint'].rstrip('/')}/{name}"

    return [
        place(partition, found[part])
        for partition in made_again(run, facts)
        for found in partition["installations"]
        for part in ("program", "loader")
        if not (esp_of(run, partition) / found[part]).is_file()
    ]


def install(run: Run, facts: Facts, name: str, advice: str) -> list[str]:
    """Make the firmware start the programs that came back; `advice` says how to bring one that did not."""
    absent = lost(run, facts)
    if absent:
        raise RearError(f"{name} lacks {', '.join(dict.fromkeys(absent))}: `rear mountonly`, then {advice}", advice)
    return make_startable(run, facts)
