# SPDX-License-Identifier: GPL-3.0-or-later
"""Swap devices and swap files, and how they are activated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rear_core.contents import Contents
from rear_core.fstab import FstabEntry
from rear_core.mounts import unescaped
from rear_core.storage.command import Command, Site
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout
from rear_core.storage.mount import Mount, find_device
from rear_core.storage.references import Reference, at, kernel_words
from rear_core.storage.survey import Survey

if TYPE_CHECKING:
    from rear_core.storage.resize import Sizes

WORDS = kernel_words("resume", "real_resume", "RESUME")


@dataclass(frozen=True)
class Swap(Item):
    """A swap device, with its line of fstab."""

    type = "swap"
    noun = "swap"
    is_scratch = True
    identified_below = True
    configured = ("fstab_spec", "fstab_options")

    uuid: str = ""
    label: str = ""
    page_size: int = 4096
    active: bool = field(default=False, compare=False)
    fstab_spec: str = ""
    fstab_options: str = ""

    def component_names(self, below: str) -> list[str]:
        """As in `EXCLUDE_COMPONENTS=( swap:/dev/sda2 )`."""
        return [f"swap:{self.fstab_spec}", f"swap:{below}"]

    def fits(self, _sizes: Sizes, _size: int) -> bool:
        """It can be a little smaller."""
        return True

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its UUID and label."""
        return {"UUID": self.uuid, "LABEL": self.label}


@dataclass(frozen=True)
class SwapFile(Item):
    """A swap file on a mounted file system: backups leave it out, so it is recreated. `size` is bytes;
    `resume_offset` is where the kernel was told that it begins, to wake up from hibernation, 0 where it was not."""

    type = "swap file"
    noun = "swap file"
    is_scratch = True
    is_storage = False

    path: str
    size: int
    fstab_options: str = ""
    uuid: str = ""
    label: str = ""
    resume_offset: int = 0

    @property
    def made_file(self) -> str:
        """Backups leave it out."""
        return self.path


def capture(survey: Survey) -> Iterator[Item]:
    """Every swap device, active or not, and the active swap files.

    >>> sh.query("swapon", "--show=NAME,TYPE,SIZE", "--bytes", "--noheadings", "--raw")
    /dev/dm-1 partition 1023406080
    /swapfile file 536866816
    """
    shown = survey.sh.query("swapon", "--show=NAME,TYPE,SIZE", "--bytes", "--noheadings", "--raw")
    active = [line.split() for line in shown.splitlines()]
    page = int(survey.sh.query("getconf", "PAGESIZE"))
    lines = [entry for entry in survey.fstab if entry.fstype == "swap"]
    by_device = {find_device(survey, entry.spec): entry for entry in lines}
    names = {name for name, _, _ in active}
    for device in survey.carrying("swap"):
        entry = by_device.get(device.path, FstabEntry("", "", "", ""))
        yield Swap(
            id=f"swap:{device.uuid or device.path}",
            needs=(device.path,),
            uuid=device.uuid,
            label=device.label,
            page_size=page,
            active=bool(names & {device.path, f"/dev/{device.kernel_name}"}),
            fstab_spec=entry.spec,
            fstab_options=entry.options,
        )
    described = {f"/dev/{device.kernel_name}" for device in survey.devices.values()} | set(survey.devices)
    for name, kind, size in active:
        if kind == "file":
            yield _swap_file(survey, unescaped(name), int(size) + page, lines)
        elif name not in described:
            survey.leave_out(f"swap {name}", "a device that is not described")


def _swap_file(survey: Survey, path: str, size: int, lines: list[FstabEntry]) -> SwapFile:
    # The first page is the header, which the kernel does not count.
    mounts = [
        item for item in survey.items if isinstance(item, Mount) and path.startswith(item.target.rstrip("/") + "/")
    ]
    holder = max(mounts, key=lambda mount: len(mount.target), default=None)
    options = next((entry.options for entry in lines if entry.spec == path), "")
    exact = survey.ask("stat", "--format=%s", path, lost=f"{path}: the exact size of this swap file is unknown")
    size = int(exact) if exact.strip().isdigit() else size
    found = _labels(survey, path)
    parameter = re.search(r"\bresume_offset=(\d+)", survey.file("/proc/cmdline"))
    return SwapFile(
        f"swap file:{path}", (holder.id,) if holder else (), path, size, options, found.get("UUID", ""),
        found.get("LABEL", ""), int(parameter[1]) if parameter else 0,
    )  # fmt: skip


def _labels(survey: Survey, path: str) -> dict[str, str]:
    """UUID and label of a swap file.

    >>> sh.query("swaplabel", "/swapfile")
    LABEL: big
    UUID:  22222222-2222-4222-8222-222222222222
    """
    lines = survey.ask("swaplabel", path, lost=f"{path}: UUID and label of this swap file are unknown").splitlines()
    pairs = (re.match(r"(LABEL: |UUID:  )(.*)", line) for line in lines)
    return {pair[1].rstrip(" :"): pair[2] for pair in pairs if pair}


def contents(layout: Layout) -> Contents:
    """mkswap and swapon, what makes a swap file, and what a capture asks."""
    files = any(isinstance(item, SwapFile) for item in layout)
    making = ["fallocate", "truncate", "chmod", "chattr"] if files else []
    return Contents(programs=["mkswap", "swapon", "swapoff", "getconf", *making], optional_programs=["swaplabel"])


def recreate(item: Item, site: Site) -> Iterator[Command]:
    """Make a swap device with its UUID and label."""
    if not isinstance(item, Swap):
        return
    device = site.device(item.id)
    options = [f"--uuid={item.uuid}"] * bool(item.uuid) + [f"--label={item.label}"] * bool(item.label)
    options += [f"--pagesize={item.page_size}"] * (item.page_size != 4096)
    command = ("mkswap", "--force", *options, device)
    yield Command(
        command,
        f"create {item.noun} {item.label or item.uuid}",
        destroys=f"everything on {device}",
        devices=(device,),
        trial=command,
    )


def restored(item: Item, site: Site) -> Iterator[Command]:
    """Make a swap file, in the folder that came back with the files; nothing may share or compress its blocks."""
    if not isinstance(item, SwapFile):
        return
    path = site.target.rstrip("/") + item.path
    yield Command(("mkdir", "--parents", path.rpartition("/")[0]), f"create the folder of {item}")
    yield Command(("truncate", "--size=0", path), f"create {item}")
    if item.needs and getattr(site.item(item.needs[0]), "fstype", "") == "btrfs":
        yield Command(("chattr", "+C", path), f"turn off copy-on-write for {item}")
    yield Command(("chmod", "600", path), f"let only root read {item}")
    # Where the file system cannot (ext3, ext2) the blocks are written: a swap file may have no holes.
    yield Command(("fallocate", "--posix", f"--length={item.size}", path), f"allocate {item}")
    options = [f"--uuid={item.uuid}"] * bool(item.uuid) + [f"--label={item.label}"] * bool(item.label)
    yield Command(("mkswap", *options, path), f"format {item} as swap")


def notes(item: Item, _site: Site) -> Iterator[str]:
    """A swap file begins somewhere else when it is recreated."""
    if isinstance(item, SwapFile) and item.resume_offset:
        yield (
            f"resume_offset={item.resume_offset} of the kernel parameters must change then:"
            f" `filefrag -v {item.path}` shows where it begins"
        )


def words(text: str) -> Iterator[Reference]:
    """The device to wake up from, without which the system starts as after any other shutdown."""
    for match in WORDS.finditer(text):
        yield from at(match, "device", True)


KIND = StorageKind(
    "swap", (Swap, SwapFile), capture, contents, last=True, recreate=recreate, restored=restored, notes=notes,
    words=words, signatures=("swap",),
)  # fmt: skip
