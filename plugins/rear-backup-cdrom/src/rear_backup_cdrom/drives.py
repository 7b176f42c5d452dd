# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for discs with a backup: in optical drives, on disks and sticks they were copied to, among finished images."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rear_core import ProgramFailed, RearError, Run
from rear_core.archive import manifest
from rear_core.archive.generations import read_small
from rear_core.archive.manifest import Manifest
from rear_core.media.carried import ROOT

from .pieces import part_name

SECONDS = 120
# What may hold a disc, as lsblk calls it, in the order in which it is looked at.
KINDS = ("rom", "disk", "part")
CDROMEJECT = 0x5309
CDROM_LOCKDOOR = 0x5329


@dataclass(frozen=True)
class Disc:
    """A disc of a backup, mounted; `owner` is the folder of its machine, `text` the manifest as it stands there, `path`
    the piece that the disc holds."""

    source: str
    owner: str
    text: str
    manifest: Manifest
    number: int
    path: Path

    @property
    def count(self) -> int:
        """Of how many discs it is one."""
        return len(self.manifest.parts)

    def __str__(self) -> str:
        return f"{title(self.manifest, self.number)} in {self.source}"


def title(found: Manifest, number: int) -> str:
    """A disc as the user knows it."""
    return f"disc {number} of {len(found.parts)} of the backup {found.created} of {found.hostname}"


@dataclass(frozen=True)
class Source:
    """What may be or hold a disc: a device, or an image in a file."""

    path: str
    kind: str
    label: str = ""


@dataclass(frozen=True)
class Found:
    """What is there: discs of the machine, in words what else, and whether an optical drive has anything in it."""

    discs: tuple[Disc, ...]
    others: tuple[str, ...]
    drive_ready: bool

    def __str__(self) -> str:
        return "; ".join((*map(str, self.discs), *self.others)) or "nothing"


def look(run: Run, owner: str, images: Path | None) -> Found:
    """Look for discs with backups of a machine; they stay mounted.

    `images` is a folder in which finished images may lie.
    """
    discs: list[Disc] = []
    others: list[str] = []
    drive_ready = False
    for source in sources(run, images):
        drive_ready |= source.kind == "rom"
        folder = mount_point(run, source)
        try:
            mount(run, source, folder)
            found = list(read_discs(source, folder))
        except (RearError, OSError) as error:
            others.append(f"{source.path}, which cannot be read ({error})")
            unmount(run, folder)
            continue
        ours = [disc for disc in found if disc.owner == owner]
        if not ours:
            unmount(run, folder)
            others += [str(disc) for disc in found] or [f"{source.path} ({source.label or 'no label'}), no backup"]
        discs += ours
    return Found(tuple(discs), tuple(others), drive_ready)


def sources(run: Run, images: Path | None) -> Iterator[Source]:
    """The devices with a file system of discs, drives first, and the images in a folder.

    >>> sh.json("lsblk", "--json", "--list", "--paths", "--output", "NAME,TYPE,PKNAME")
    {"blockdevices": [{"name": "/dev/sda1", "type": "part", "pkname": "/dev/sda"}, ...]}
    """
    rows = run.sh.json("lsblk", "--json", "--list", "--paths", "--output", "NAME,TYPE,PKNAME")["blockdevices"]
    wanted = [row for row in rows if row["type"] in KINDS]
    found: set[str] = set()
    for row in sorted(wanted, key=lambda row: (KINDS.index(row["type"]), row["name"])):
        # An image on a stick is on the whole of it; some partition may begin at its beginning.
        label = None if {row["name"], row["pkname"]} & found else disc_label(run, row["name"])
        if label is not None:
            found.add(row["name"])
            yield Source(row["name"], row["type"], label)
    for image in sorted(images.glob("*.iso")) if images else ():
        yield Source(os.fspath(image), "image")


def disc_label(run: Run, device: str) -> str | None:
    """The label of the disc, or of the copy of one, on a device; None when there is none."""
    # 2: nothing is there or known; 8: several signatures, as no disc has them.
    probed = run.sh.query("blkid", "--probe", "--output", "export", device, ok=(0, 2, 8))
    facts = dict(line.split("=", 1) for line in probed.splitlines() if "=" in line)
    return facts.get("LABEL", "") if facts.get("TYPE") == "iso9660" else None


def mount_point(run: Run, source: Source) -> Path:
    """Where a source is mounted, always the same."""
    return run.build_dir / "discs" / source.path.strip("/").replace("/", "-")


def mount(run: Run, source: Source, folder: Path) -> None:
    """Mount a source read-only until the run ends, unless it is mounted already."""
    if os.path.ismount(folder):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = "ro,nodev,nosuid,noexec" + (",loop" if source.kind == "image" else "")
    run.sh.run("mount", "--types", "iso9660", "--options", options, source.path, folder, timeout=SECONDS)
    run.undo.callback(unmount, run, folder)


def unmount(run: Run, folder: Path) -> None:
    """Unmount what is mounted there."""
    if os.path.ismount(folder):
        try:
            run.sh.run("umount", folder, timeout=SECONDS)
        except ProgramFailed as error:
            run.report.warn(f"{folder} stays mounted: {error.message}")


def release(run: Run) -> None:
    """Unmount all discs in optical drives and open the drives, as far as they have something that opens."""
    for source in sources(run, None):
        if source.kind == "rom":
            unmount(run, mount_point(run, source))
            try:
                open_drive(source.path)
            except OSError as error:
                run.report.log(f"{source.path} cannot be opened: {error.strerror}")


def open_drive(path: str) -> None:
    """Unlock and open a drive as eject(1) does, which many machines do not have (linux/cdrom.h)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, CDROM_LOCKDOOR, 0)
        fcntl.ioctl(descriptor, CDROMEJECT)
    finally:
        os.close(descriptor)


def read_discs(source: Source, folder: Path) -> Iterator[Disc]:
    """The parts of backups that a mounted disc holds, as it was made one."""
    root = folder / ROOT.strip("/")
    if root.resolve() != folder.resolve() / ROOT.strip("/"):
        return  # A link that leads to other file systems.
    for path in sorted(root.glob(f"**/{manifest.NAME}")):
        try:
            text = read_small(path)
        except UnicodeDecodeError as error:
            raise RearError("its manifest is damaged") from error
        found = manifest.loads(text).manifest
        owner = os.fspath(path.parent.parent.relative_to(root))
        for number in range(1, len(found.parts) + 1):
            piece = path.with_name(part_name(found.archive, number, len(found.parts)))
            if piece.exists():
                yield Disc(source.path, owner, text, found, number, piece)
