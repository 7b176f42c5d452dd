# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the commands of a plan, and keeps a journal by which a later run knows what was done."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .. import own_files
from ..errors import ProgramFailed, RearError, Refused
from ..mounts import device_number, loop_devices
from ..shell import Shell
from .command import Command
from .inventory import Device, is_same_disk

# mke2fs on a large slow disk, or one that discards its blocks one by one.
LONGEST = 4 * 3600.0
WAIT_FOR_DEVICE = 30
WAIT_FOR_RELEASE = 5


class Journal:
    """What was begun and done, one JSON object per line; written through before the next command begins.

    It lies in the memory of the rescue system: after a restart of that nothing is known, and all starts over, as
    nobody can say what of the last writes has reached the disks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, **entry: object) -> None:
        """Add an entry."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # No pipe is waited for.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(self.path, flags, 0o600), "w") as file:
            own_files.check(self.path, os.fstat(file.fileno()))
            # The line before may have been cut off.
            file.write("\n" + json.dumps({"time": round(time.time()), **entry}))
            file.flush()
            os.fsync(file.fileno())

    def built(self) -> str:
        """The id of the plan that was carried out to its end, "" when the last one was not."""
        last = self._last_plan()
        return str(last["plan"]) if last.get("state") == "built" else ""

    def holds(self) -> object:
        """What was noted with that plan of the devices that were made, None where nothing was."""
        return self._last_plan().get("holds")

    def _last_plan(self) -> dict[str, object]:
        return next((entry for entry in reversed(self._entries()) if "plan" in entry), {})

    def restored(self) -> str:
        """The backup whose files were going to be restored to what was built, "" when it did not come to that."""
        for entry in reversed(self._entries()):
            if "backup" in entry or "plan" in entry:
                return str(entry.get("backup", ""))
        return ""

    def _entries(self) -> list[dict[str, object]]:
        try:
            lines = own_files.read_text(self.path).splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except ValueError:
                # The last line of a run that was killed.
                continue
        return entries


def execute(
    sh: Shell, commands: Iterable[Command], *, journal: Journal | None = None,
    passphrases: Mapping[str, str] | None = None, tell: Callable[[str], None] = lambda _line: None,
    patience: float = 0,
) -> None:  # fmt: skip
    """Run commands in their order; the first that fails ends it, with its reason in the error.

    With `patience` it is tried again for so many seconds: programs of a run that was killed may still be ending.
    """
    for command in commands:
        tell(command.reason)
        for device in command.devices:
            _wait_for(sh, device, command)
        if journal:
            journal.note(begin=command.argv)
        secret = (passphrases or {})[command.passphrase] if command.passphrase else ""
        try:
            _run(sh, command, secret or command.input, patience)
        except ProgramFailed as error:
            if journal:
                journal.note(failed=command.argv, status=error.status)
            raise RearError(
                f"{error.message} (while trying to {command.reason})",
                "see the log, correct the cause, then run it again; `rear layout plan` lists all commands",
            ) from error
        if journal:
            journal.note(done=command.argv)


def release(sh: Shell, commands: Iterable[Command], tell: Callable[[str], None]) -> None:
    """Run commands that unmount and stop, and so lose nothing."""
    execute(sh, commands, tell=tell, patience=WAIT_FOR_RELEASE)


def _run(sh: Shell, command: Command, input: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            sh.run(*command.argv, input=input or None, timeout=LONGEST)
            return
        except ProgramFailed:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.2)


def check_unused(disks: Iterable[str], devices: Mapping[str, Device]) -> None:
    """Raise `Refused` unless nothing uses these disks, by whatever name and in whatever namespace.

    Only the kernel knows: a file system claims all its devices, those of its journal too (open(2), O_EXCL). A loop
    device claims nothing, and one path to a disk nothing of the others.
    """
    for disk in disks:
        found = devices.get(disk)
        # Partitions of a multipath disk are maps of their own, which hold it all the time.
        parts = found.children if found and found.type == "mpath" else ()
        others = _other_paths(disk, devices)
        for path in (*(parts or (disk,)), *others):
            _check_unused(path, disk)
        loops, numbers = loop_devices(), {number for path in (disk, *others) for number in _numbers(path, devices)}
        for number in sorted(numbers.intersection(loops)):
            raise Refused(
                f"{disk} is in use and cannot be overwritten: the loop device {loops[number]} stands on it",
                f"nothing was written; `losetup --detach {loops[number]}`; choose another disk if it holds the backup",
            )


def _other_paths(path: str, devices: Mapping[str, Device]) -> list[str]:
    """Other paths to the disks that a device lies on, but for those that are below it, as those of a multipath disk."""
    own = _stack(path, devices)
    others = [device for device in devices.values() if not device.parents and device not in own]
    return [device.path for device in others if any(is_same_disk(device, it) for it in own)]


def _numbers(path: str, devices: Mapping[str, Device]) -> set[str]:
    """The numbers of a device, and of all that it lies on and that stands on it."""
    return {device_number(path), *(device.number for device in _stack(path, devices))}


def _stack(path: str, devices: Mapping[str, Device]) -> list[Device]:
    """A device, all that it lies on and all that stands on it."""
    found: dict[str, Device] = {}
    for direction in ("parents", "children"):
        waiting, seen = [path], set[str]()
        while waiting:
            device = devices.get(waiting.pop())
            if device and device.path not in seen:
                seen.add(device.path)
                found[device.path] = device
                waiting += getattr(device, direction)
    return [*found.values()]


def _check_unused(path: str, disk: str) -> None:
    deadline = time.monotonic() + WAIT_FOR_RELEASE
    while True:
        try:
            return os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            # What udev starts for a device that was just released may hold it for a moment.
            if error.errno != errno.EBUSY:
                raise Refused(
                    f"{disk} cannot be opened: {error.strerror}",
                    "see `dmesg`, and choose another disk with DISK_MAPPING",
                ) from error
            if time.monotonic() > deadline:
                other = "" if path == disk else f", as {path}"
                raise Refused(
                    f"{disk} is in use and cannot be overwritten: {error.strerror}{other}",
                    "nothing was written; lsblk, /proc/mounts and /proc/swaps show what uses it; choose another disk"
                    " if it holds the backup",
                ) from error
        time.sleep(0.2)


def _wait_for(sh: Shell, device: str, command: Command) -> None:
    """Wait until a block device is there: some tools would make a file of its name."""
    deadline = time.monotonic() + WAIT_FOR_DEVICE
    while not is_block_device(device):
        if time.monotonic() > deadline:
            raise RearError(
                f"{device} did not appear; it is needed to {command.reason}",
                "look at `dmesg` and `lsblk`: the kernel may not have read the new partition table",
            )
        sh.run("udevadm", "settle", "--timeout=10", ok=(0, 1))
        time.sleep(0.2)


def is_block_device(path: str) -> bool:
    """Whether a path leads to a block device."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False
