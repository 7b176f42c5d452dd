# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees to it that the disks that are erased are those that were chosen: passphrases and hours of checks lie between."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from ..errors import Refused
from ..mounts import device_number
from .present import Machine, PresentDisk

ADVICE = "nothing was written; see what happened to the disk (dmesg, lsblk), then run it again"


class HeldDisks:
    """Disks that are open until `undo` is closed.

    The kernel gives the name of an open device to no other one, also when the disk is pulled out: what is written
    under that name afterwards fails, and reaches no other disk.
    """

    def __init__(self, disks: Iterable[PresentDisk], undo: ExitStack) -> None:
        self._disks = tuple(disks)
        self._descriptors = {disk.path: _held(disk.path, undo) for disk in self._disks}

    @property
    def identities(self) -> dict[str, str]:
        """What each is known by beside its contents, by path."""
        return {disk.path: " ".join(_identity(disk)) for disk in self._disks}

    def carrying(self, known: frozenset[str]) -> set[str]:
        """The paths of those on which one of these identifiers was found."""
        return {disk.path for disk in self._disks if disk.marks & known}

    def drop_caches(self) -> None:
        """Have what is read next come from the disks: the kernel remembers the sectors of a device for as long as it is
        open, also when something else lies there by now (posix_fadvise(2))."""
        for descriptor in self._descriptors.values():
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def check(self, machine: Machine, spared: Mapping[str, str]) -> None:
        """Raise `Refused` unless each is still there, the same one, holds what it held, and is none of those that are
        spared, by path with the reason."""
        present = {disk.path: disk for disk in machine.disks}
        for disk in self._disks:
            if disk.path in spared:
                raise Refused(f"{disk.path} can no longer be used: {spared[disk.path]}", ADVICE)
            now = present.get(disk.path)
            if now is None or device_number(disk.path) != _number(self._descriptors[disk.path]):
                raise Refused(f"{disk.path} is no longer the disk that was chosen", ADVICE)
            if now.size != disk.size:
                raise Refused(f"the size of {disk.path} changed after it was chosen", ADVICE)
            if _identity(now) != _identity(disk):
                raise Refused(f"{disk.path} is another disk than the one that was chosen", ADVICE)
            if (now.marks, now.holds) != (disk.marks, disk.holds):
                was, is_now = (it.holds or "nothing" for it in (disk, now))
                is_now = "something else" if is_now == was else is_now
                raise Refused(f"{disk.path} held {was} when it was chosen, but holds {is_now} now", ADVICE)


def _identity(disk: PresentDisk) -> tuple[str, ...]:
    return disk.serial, disk.wwn, disk.model, disk.vendor


def _held(path: str, undo: ExitStack) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{path} cannot be opened: {error.strerror}", "choose another disk with DISK_MAPPING") from error
    undo.callback(os.close, descriptor)
    return descriptor


def _number(descriptor: int) -> str:
    number = os.fstat(descriptor).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"
