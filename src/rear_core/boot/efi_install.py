# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes the firmware of a recovered machine start a boot loader: its boot entries, and the path without an entry.

For any loader whose facts are those of `efi_partitions.describe`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from .. import architectures
from ..errors import RearError
from .efi_variables import BootEntries, BootEntry, read_boot_entries
from .loader import Facts

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class SystemPartition:
    """A partition that firmware can start from: where it is now, and its PARTUUID."""

    disk: str
    number: int
    partuuid: str


@dataclass(frozen=True)
class WantedEntry:
    """A boot entry that the machine had; `number` is the one it had."""

    number: str
    label: str
    loader: str
    partition: SystemPartition


def made_again(run: Run, facts: Facts) -> list[dict[str, Any]]:
    """The recorded EFI system partitions that are mounted; of one whose disk is left out there is a folder at most."""
    assert run.rebuilt is not None
    return [found for found in facts["partitions"] if f"mount:{found['mountpoint']}" in run.rebuilt.site.layout]


def wanted_entries(run: Run, facts: Facts) -> list[WantedEntry]:
    """The recorded entries, on each partition that holds their files, in the order in which firmware tried them."""
    wanted = [
        WantedEntry(entry["number"], entry["label"], found["loader"], place)
        for partition in made_again(run, facts)
        for found in partition["installations"]
        for entry in found["entries"]
        for place in places(run, partition["mountpoint"])
    ]
    order = list(facts["boot_order"])
    return sorted(wanted, key=lambda entry: order.index(entry.number) if entry.number in order else len(order))


def places(run: Run, mountpoint: str) -> Iterator[SystemPartition]:
    """The partition an EFI system partition is on now; several when it is mirrored."""
    from ..storage.disk import Partition
    from ..storage.layout import of_type

    assert run.rebuilt is not None
    layout = run.rebuilt.site.layout
    filesystem = next(need for need in layout[f"mount:{mountpoint}"].needs if not need.startswith("mount:"))
    for item in sorted(of_type(layout.below(filesystem), Partition), key=lambda item: item.id):
        disks = run.rebuilt.disks(item.id)
        if len(disks) == 1:
            partuuid = run.rebuilt.changed_identifiers.get(item.uuid, item.uuid)
            yield SystemPartition(disks[0], item.number, partuuid.lower())


def matching(entry: WantedEntry, variables: BootEntries) -> BootEntry | None:
    """The firmware's entry that starts the same file on the same partition."""
    return next((found for found in variables.entries if _starts(found, entry)), None)


def _starts(found: BootEntry, entry: WantedEntry) -> bool:
    return found.partition == entry.partition.partuuid and _same_file(found.loader, entry.loader)


def _same_file(one: str, other: str) -> bool:
    # PureWindowsPath compares as FAT does, without regard to case.
    return PureWindowsPath("/", one) == PureWindowsPath("/", other)


def stale(wanted: Sequence[WantedEntry], variables: BootEntries, here: set[str]) -> list[BootEntry]:
    """Entries that did what a wanted one does, on a partition that is no more."""
    return [
        found
        for found in variables.entries
        if found.partition and found.partition not in here
        and any(found.label == entry.label and _same_file(found.loader, entry.loader) for entry in wanted)
    ]  # fmt: skip


def repeated(wanted: Sequence[WantedEntry], variables: BootEntries) -> list[BootEntry]:
    """Entries that start the same as another one of the same label, where the machine had not as many.

    The first ones in the order of the firmware are left.
    """
    kept: list[tuple[WantedEntry, BootEntry]] = []
    more = []
    for found in sorted(variables.entries, key=lambda entry: _rank(entry, variables)):
        alike = [entry for entry in wanted if entry.label == found.label and _starts(found, entry)]
        # Those of a partition without an id cannot be told apart.
        if not alike or not found.partition:
            continue
        same = [one for entry, one in kept if entry == alike[0]]
        if len(same) < len(alike):
            kept.append((alike[0], found))
        else:
            more.append(found)
    return more


def _rank(entry: BootEntry, variables: BootEntries) -> tuple[bool, int]:
    order = variables.order
    return not entry.active, order.index(entry.number) if entry.number in order else len(order)


def make_startable(run: Run, facts: Facts) -> list[str]:
    """Give the firmware the boot entries that it had, or else the file that it starts without one."""
    wanted = wanted_entries(run, facts)
    done = []
    try:
        done += _register(run, wanted)
    except (RearError, OSError) as error:
        run.report.warn(f"the firmware takes no boot entries: {error}")
        wanted = []
    return done if wanted else done + _provide_fallback(run, facts)


def _register(run: Run, wanted: Sequence[WantedEntry]) -> list[str]:
    done = []
    here = {uuid.lower() for uuid in run.sh.query("lsblk", "--noheadings", "--output", "PARTUUID").split()}
    before = read_boot_entries()
    reasons = {"of a lost partition": stale(wanted, before, here), "that was there twice": repeated(wanted, before)}
    for old, reason in [(old, reason) for reason, entries in reasons.items() for old in entries]:
        _efibootmgr(run, "--bootnum", old.number, "--delete-bootnum")
        done.append(f"boot entry {old.number} {old.label!r} {reason} removed")
    # Each new entry comes first in the order.
    for entry in reversed(wanted):
        variables = read_boot_entries()
        found = matching(entry, variables)
        if found is None:
            place = entry.partition
            loader = str(PureWindowsPath("/", entry.loader))
            _efibootmgr(
                run, "--create", "--disk", place.disk, "--part", str(place.number),
                "--label", entry.label, "--loader", loader,
            )  # fmt: skip
            done.append(f"boot entry {entry.label!r} made for {place.disk}, partition {place.number}")
        elif found.number not in variables.order:
            _efibootmgr(run, "--bootorder", ",".join((found.number, *variables.order)))
            done.append(f"boot entry {entry.label!r} put back into the boot order")
    return done


def _efibootmgr(run: Run, *words: str) -> None:
    from .chroot import run_inside

    if run.sh.which("efibootmgr"):
        run.sh.run("efibootmgr", "--quiet", *words)
    else:
        run_inside(run, "efibootmgr", "--quiet", *words)


def esp_of(run: Run, partition: dict[str, Any]) -> Path:
    """Where a recorded EFI system partition is mounted now."""
    return run.target / str(partition["mountpoint"]).lstrip("/")


def _provide_fallback(run: Run, facts: Facts) -> list[str]:
    """Copy the loader to where firmware finds it without an entry, where nothing is there yet."""
    done = []
    for partition in made_again(run, facts):
        esp = esp_of(run, partition)
        if fallback_path(run, esp):
            continue
        found = next((f for f in partition["installations"] if (esp / f["loader"]).is_file()), None)
        if found is None:
            continue
        folder = esp / "EFI/BOOT"
        folder.mkdir(parents=True, exist_ok=True)
        loader = esp / found["loader"]
        # Shim looks for what it starts and for the key manager beside itself, by the names they have there.
        for path in loader.parent.glob("*.[eE][fF][iI]") if found["shim"] else ():
            if path.name.lower().startswith(("grub", "mm")):
                shutil.copyfile(path, folder / path.name)
        name = architectures.supported(run.system.machine).fallback
        shutil.copyfile(loader, folder / name)
        done.append(f"{folder.relative_to(run.target)}/{name} made from {loader.name}")
    return done


def fallback_path(run: Run, esp: Path) -> Path | None:
    """The file that firmware starts without a boot entry, without regard to case."""
    name = architectures.supported(run.system.machine).fallback
    here = [path for path in esp.glob("[eE][fF][iI]/[bB][oO][oO][tT]/*") if path.name.upper() == name]
    return here[0] if here else None


def problems(run: Run, facts: Facts, name: str, *files: str) -> list[str]:
    """What keeps the firmware from starting the loader of that name; `files` are words of the facts for its files."""
    if run.system.firmware.mode != "uefi":
        return []
    partitions = made_again(run, facts)
    if not partitions:
        return [f"no EFI system partition that {name} started from was recreated"]
    missing = [
        f"{partition['mountpoint']}/{found[file]} is missing"
        for partition in partitions
        for found in partition["installations"]
        for file in files
        if not (esp_of(run, partition) / found[file]).is_file()
    ]
    variables = read_boot_entries()
    entries = [matching(entry, variables) for entry in wanted_entries(run, facts)]
    started = any(entry and entry.active and entry.number in variables.order for entry in entries)
    if not started and not any(fallback_path(run, esp_of(run, partition)) for partition in partitions):
        missing.append(f"the firmware has no boot entry for {name}, and no file is where it looks without one")
    return list(dict.fromkeys(missing))
