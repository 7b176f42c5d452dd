# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue systems on the disk, boot/rear/<machine>/<date>, and the menu that names them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from rear_core import RearError, RescueImage, Run
from rear_core.archive.dates import FORMAT
from rear_core.archive.generations import PARTIAL, names, new, read_small
from rear_core.archive.generations import write as write_text
from rear_core.archive.manifest import LARGEST, is_count
from rear_core.archive.signature import is_other, known_marks
from rear_core.durable import flush
from rear_core.media.menu import entries, seconds
from rear_core.places.delivery import beside, checksum, forget
from rear_core.removal import discard, remove_tree
from rear_core.run import DRIVERS
from rear_core.system.identity import may_be_one
from rear_core.template import render

FOLDER = Path("boot/rear")
MENU = Path("boot/grub/grub.cfg")
DESCRIPTION = "rescue.json"
KERNEL, INITRAMFS = "vmlinuz", "initramfs.img"
MENU_SECONDS = 10
FOR_EVER = -1


@dataclass(frozen=True)
class Version:
    """A complete rescue system: of which machine and date (UTC), its kernel's version and parameters, its size.

    `number` counts those of a host name on the disk, 0 for one from before they were counted: clocks are set back.
    `machine` is the identity of the machine, by which clones of one host name are told apart, "" where it is not known;
    `signer` is the mark of the key that signs its backups, by which those of one identity are.
    """

    hostname: str
    date: str
    kernel_version: str
    command_line: str
    size: int
    number: int = 0
    machine: str = ""
    signer: str = ""

    def is_of(self, machine: str, keys: Collection[str]) -> bool:
        """Whether it may be a machine's own, as far as its identity and its keys, by their marks, tell."""
        return may_be_one(self.machine, machine) and not is_other(self.signer, keys)

    @property
    def folder(self) -> Path:
        """Where it lies, relative to the root of the file system."""
        return FOLDER / _file_name(self.hostname) / self.date

    @property
    def title(self) -> str:
        """How it is called in the menu."""
        return f"{_quotable(self.hostname)}, {datetime.strptime(self.date, FORMAT):%Y-%m-%d %H:%M} UTC"


def write(
    root: Path, hostname: str, image: RescueImage, machine: str = "", signer: str = "", uuid: str = ""
) -> Version:
    """Write a rescue system and read it back; it gets its name when it is complete.

    `uuid` is that of the file system, by which the rescue system finds its drivers if they are a file of their own.
    """
    home = root / FOLDER / _file_name(hostname)
    files = {KERNEL: image.kernel, INITRAMFS: image.initramfs, **({DRIVERS: image.drivers} if image.drivers else {})}
    number = min(1 + max((version.number for version in of_machine(root, hostname)), default=0), LARGEST)
    try:
        with new(home) as (partial, date):
            place = f"UUID={uuid}:/{FOLDER / home.name / date / DRIVERS}"
            version = Version(
                hostname, date, image.kernel_version, image.command_line_for(place), image.size, number, machine, signer
            )
            for name, source in files.items():
                shutil.copyfile(source, partial / name)
                (partial / name).chmod(0o600)
                forget(partial / name)
                if checksum(partial / name) != checksum(source):
                    raise RearError(f"{name} on the USB disk differs from its source", "use another disk")
            write_text(partial / DESCRIPTION, json.dumps(asdict(version), indent=2) + "\n")
    except OSError as error:
        raise RearError(
            f"cannot write the rescue system to the USB disk: {error.strerror}",
            "check the disk; earlier rescue systems on it are unchanged",
        ) from error
    return version


def all_versions(root: Path) -> list[Version]:
    """All rescue systems, by machine, the newest of each first."""
    machines = sorted(path.name for path in (root / FOLDER).glob("*") if path.is_dir())
    return [version for machine in machines for version in of_machine(root, machine)]


def of_machine(root: Path, hostname: str) -> list[Version]:
    """The rescue systems of a host name, the one that was made last first; what is not complete is none."""
    home = root / FOLDER / _file_name(hostname)
    found = []
    for date in names(home):
        with suppress(OSError, ValueError, TypeError):
            version = Version(**json.loads(read_small(home / date / DESCRIPTION)))
            if version.folder == FOLDER / home.name / date and _is_complete(home / date, version):
                found.append(version)
    return sorted(found, key=lambda version: (version.number, version.date), reverse=True)


def too_many(root: Path, hostname: str, keep: int, machine: str = "", keys: Collection[str] = ()) -> list[Version]:
    """The oldest rescue systems of a machine, beyond those to keep; never those of another one of its name."""
    return [version for version in of_machine(root, hostname) if version.is_of(machine, keys)][keep:]


def others(root: Path, hostname: str, machine: str, keys: Collection[str] = ()) -> list[Version]:
    """A rescue system of each other machine of this host name that has some there."""
    found = {(each.machine, each.signer): each for each in of_machine(root, hostname) if not each.is_of(machine, keys)}
    return [found[which] for which in sorted(found)]


def remove(root: Path, version: Version) -> None:
    """Remove a rescue system; out of sight first, as half of it must never be taken for one."""
    path = root / version.folder
    partial = path.with_name(path.name + PARTIAL)
    discard(partial)
    remove_tree(path.rename(partial))


def menu(run: Run, versions: Iterable[Version]) -> str:
    """The GRUB menu: a rescue system can be started in the ways that all media offer.

    That of one machine starts by itself, the newest; where there are several, GRUB waits for a choice.
    """
    machines: dict[str, list[dict[str, object]]] = {}
    keys = known_marks(run)
    # All keys of this machine are one.
    named = [replace(version, signer=version.signer * is_other(version.signer, keys)) for version in versions]
    for version in named:
        machines.setdefault(_machine_name(version, named), []).append(
            {
                "title": version.title,
                "kernel": f"/{version.folder / KERNEL}",
                "initramfs": f"/{version.folder / INITRAMFS}",
                "kernel_version": _quotable(version.kernel_version),
                "entries": entries(version.title, version.command_line),
            }
        )
    newest = entries("", named[0].command_line) if named else []
    timeout = seconds(newest, MENU_SECONDS) if len(machines) == 1 else FOR_EVER
    return render(run, "grub-usb.cfg.j2", machines=machines, timeout=timeout)


def _machine_name(version: Version, named: Iterable[Version]) -> str:
    """The host name, with the beginning of its identity where there are several machines of that name."""
    name = _quotable(version.hostname)
    same = [other for other in named if other.hostname == version.hostname]
    words = [_quotable(version.machine)[:8]] if len({other.machine for other in same} - {""}) > 1 else []
    # Clones of one identity; what has no key may be of either.
    if version.signer and any(other.signer != version.signer and other.machine == version.machine for other in same):
        words.append(f"key {_quotable(version.signer)[:8]}")
    words = list(filter(None, words))
    return f"{name} ({', '.join(words)})" if words else name


def put_menu(root: Path, text: str) -> None:
    """Replace the menu of the disk."""
    path = root / MENU
    path.parent.mkdir(parents=True, exist_ok=True)
    beside(path).unlink(missing_ok=True)
    write_text(beside(path), text)
    beside(path).replace(path)
    flush(path.parent)


def _is_complete(folder: Path, version: Version) -> bool:
    drivers = (DRIVERS,) if (folder / DRIVERS).exists() else ()
    sizes = sum(os.stat(folder / name).st_size for name in (KERNEL, INITRAMFS, *drivers))
    texts = isinstance(version.machine, str) and isinstance(version.signer, str)
    return is_count(version.number) and texts and sizes == version.size


def _file_name(hostname: str) -> str:
    """A host name as the name of a folder that GRUB needs no quotes for."""
    return re.sub(r"[^A-Za-z0-9._-]|^\.", "_", hostname)


def _quotable(text: str) -> str:
    """Text that is safe between double quotes of GRUB's script language."""
    return re.sub(r'["\\$`]|[^ -~]', "", text)
