# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB 2 for UEFI on a recovered system: files, boot entries, and the path that firmware starts without an entry."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ..errors import RearError
from .efi_variables import BootEntries, BootEntry, read_boot_entries
from .loader import Facts

if TYPE_CHECKING:
    from ..run import Run

# By `uname -m`: GRUB's platform and the file of the fallback path (UEFI Specification 2.10, 3.5.1.1).
PLATFORMS = {
    "x86_64": ("x86_64-efi", "BOOTX64.EFI"),
    "aarch64": ("arm64-efi", "BOOTAA64.EFI"),
    "i686": ("i386-efi", "BOOTIA32.EFI"),
}


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


def install(run: Run, facts: Facts) -> list[str]:
    """Bring back what the firmware starts; the files themselves came with the backup or are installed anew."""
    done = []
    for partition in made_again(run, facts):
        for found in partition["installations"]:
            if not _has_files(run, partition, found):
                _install_files(run, partition, found)
                done.append(f"GRUB for UEFI installed to {partition['mountpoint']}/EFI/{found['vendor']}")
    wanted = wanted_entries(run, facts)
    try:
        done += _register(run, wanted)
    except (RearError, OSError) as error:
        run.report.warn(f"the firmware takes no boot entries: {error}")
        wanted = []
    if not wanted:
        done += _provide_fallback(run, facts)
    return done


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


def _esp(run: Run, partition: dict[str, Any]) -> Path:
    return run.target / str(partition["mountpoint"]).lstrip("/")


def _has_files(run: Run, partition: dict[str, Any], found: dict[str, Any]) -> bool:
    return all((_esp(run, partition) / found[name]).is_file() for name in ("loader", "grub"))


def _install_files(run: Run, partition: dict[str, Any], found: dict[str, Any]) -> None:
    from .chroot import run_inside

    run_inside(run, *install_command(run, partition["mountpoint"], found))


def install_command(run: Run, mountpoint: str, found: dict[str, Any]) -> tuple[str, ...]:
    """The recovered system's own command that brings GRUB's files; raises where that would break Secure Boot.

    Debian's grub-install copies the signed shim and GRUB where they are installed; SUSE has shim-install for that.
    Red Hat's grub2-install writes an unsigned GRUB, and its signed one only comes with the packages.
    """
    from .chroot import has_program
    from .grub_bios import install_program

    removable = found["vendor"].upper() == "BOOT"
    if found["shim"] and has_program(run, "shim-install"):
        return ("shim-install", "--config-file=/boot/grub2/grub.cfg", *(["--removable"] if removable else []))
    program = install_program(run)
    if found["shim"] and program == "grub2-install":
        raise RearError(
            f"{mountpoint} lacks {found['loader']} or {found['grub']}, and {program} would not bring the signed ones",
            "`rear mountonly`, then in a chroot reinstall the packages of shim and GRUB:"
            " dnf reinstall 'shim-*' 'grub2-efi-*'",
        )
    platform, _ = PLATFORMS[run.system.machine]
    place = "--removable" if removable else f"--bootloader-id={found['vendor']}"
    return (program, f"--target={platform}", f"--efi-directory={mountpoint}", "--no-nvram", place)


def _provide_fallback(run: Run, facts: Facts) -> list[str]:
    """Copy the loader to where firmware finds it without an entry, where nothing is there yet."""
    done = []
    for partition in made_again(run, facts):
        esp = _esp(run, partition)
        if fallback_path(run, esp):
            continue
        found = next((f for f in partition["installations"] if (esp / f["loader"]).is_file()), None)
        if found is None:
            continue
        folder = esp / "EFI/BOOT"
        folder.mkdir(parents=True, exist_ok=True)
        loader = esp / found["loader"]
        # Shim looks for GRUB and for the key manager beside itself, by the names they have there.
        for path in loader.parent.glob("*.[eE][fF][iI]") if found["shim"] else ():
            if path.name.lower().startswith(("grub", "mm")):
                shutil.copyfile(path, folder / path.name)
        shutil.copyfile(loader, folder / PLATFORMS[run.system.machine][1])
        done.append(f"{folder.relative_to(run.target)}/{PLATFORMS[run.system.machine][1]} made from {loader.name}")
    return done


def fallback_path(run: Run, esp: Path) -> Path | None:
    """The file that firmware starts without a boot entry, without regard to case."""
    name = PLATFORMS[run.system.machine][1]
    here = [path for path in esp.glob("[eE][fF][iI]/[bB][oO][oO][tT]/*") if path.name.upper() == name]
    return here[0] if here else None


def verify(run: Run, facts: Facts) -> list[str]:
    """What keeps the firmware from starting GRUB."""
    if run.system.firmware.mode != "uefi":
        return []
    partitions = made_again(run, facts)
    if not partitions:
        return ["no EFI system partition that GRUB started from was made again"]
    problems = [
        f"{partition['mountpoint']}/{found[name]} is missing"
        for partition in partitions
        for found in partition["installations"]
        for name in dict.fromkeys(("loader", "grub"))
        if not (_esp(run, partition) / found[name]).is_file()
    ]
    variables = read_boot_entries()
    entries = [matching(entry, variables) for entry in wanted_entries(run, facts)]
    started = any(entry and entry.active and entry.number in variables.order for entry in entries)
    if not started and not any(fallback_path(run, _esp(run, partition)) for partition in partitions):
        problems.append("the firmware has no boot entry for GRUB, and no file is where it looks without one")
    shims = [found["shim"] for partition in partitions for found in partition["installations"]]
    if run.system.firmware.secure_boot and not any(shims):
        problems.append("Secure Boot is on, and GRUB is not started by a signed shim: switch it off in the firmware")
    return problems
