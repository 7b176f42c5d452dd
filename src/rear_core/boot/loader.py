# SPDX-License-Identifier: GPL-3.0-or-later
"""What a boot loader is to the core, and the search for those of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PluginError, ProgramFailed
from .efi_variables import read_boot_entries

if TYPE_CHECKING:
    from ..run import RescueImage, Run
    from ..storage.layout import Layout
    from ..storage.references import NamingFile, Reader

# What JSON can hold: the facts are kept in recovery/system.json.
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """An entry of a boot menu that starts a kernel.

    Paths are those of files in the recovered system, wherever the loader reads them: /boot/vmlinuz-6.1. `version` is
    the kernel's, where the loader knows more than names like that tell. Where one file is kernel and initramfs (a
    unified kernel image), `part` is where the initramfs begins in it, and its size.
    """

    title: str
    id: str = ""
    kernel: str = ""
    initramfs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    hypervisor: str = ""
    version: str = ""
    part: tuple[int, int] | None = None


# What starts a loader; without a word nothing is said about it.
FIRMWARE = ("", "bios", "uefi")


# Where the files of a rescue system lie, unless a loader cannot read them there.
RESCUE = Path("/boot/rear")


@dataclass(frozen=True)
class RescueMenu:
    """How a boot loader's menu on this machine offers the rescue system that was made of it.

    `check(run)` only looks; it raises `Refused` where that cannot be. `offer(run, image)` names kernel and initramfs,
    which were put into the folder that `folder()` tells, in the menu in use, and proves it; with None the menu no
    longer names any. After a failure the menu is as it was.
    """

    check: Callable[[Run], None]
    offer: Callable[[Run, RescueImage | None], None]
    folder: Callable[[], Path] = lambda: RESCUE


def _never(_facts: Facts) -> bool:
    return False


@dataclass(frozen=True)
class BootLoader:
    """A boot loader, as yielded by the hook `rear_boot_loaders`.

    - `firmware` is the kind that starts it, "bios" or "uefi".
    - `detect(run)` only looks; it returns what a later installation must know, None when the loader is not in use.
      Its word `started` says whether the firmware started this machine by it: then no other one has to start the
      recovered machine. `is_left_over(facts)` says that nothing can start from what was found.
    - `install(run, facts)` makes it start the recovered system from the rebuilt disks, and returns a line for each
      thing done; `verify(run, facts)` only looks and returns what is wrong.
    - `entries(target)` are those of the menu below a folder with the recovered system, what it starts by default first:
      the kernel, the initramfs and the names of devices in them are then looked at. `notes(target)` is what the user
      should know of that menu.
    - `rescue_menu` puts the rescue system into its menu on this machine.
    - `naming_files(words)` are its files that name devices; `words` finds these in words for the kernel.
    - `by_hand(run, facts)` is what it takes to start that rear does not bring, with the files and places that it needs,
      a line each; it is told when media are made and in the report of a recovery. `programs` are those of the rescue
      system that `install` runs, where the machine has them.
    - `adopt(run, found, mountpoint)` is asked where a machine is recovered by this kind of firmware, and another one
      started it before. It returns facts as of `detect`, by those of all loaders that were found, by name; None where
      the machine lacks what that takes. A new EFI system partition will be mounted on `mountpoint`.
    """

    name: str
    detect: Callable[[Run], Facts | None]
    firmware: str = ""
    install: Callable[[Run, Facts], Sequence[str]] | None = None
    verify: Callable[[Run, Facts], Sequence[str]] | None = None
    entries: Callable[[Path], Sequence[Entry]] | None = None
    notes: Callable[[Path], Sequence[str]] | None = None
    naming_files: Callable[[Reader], Sequence[NamingFile]] | None = None
    is_left_over: Callable[[Facts], bool] = _never
    rescue_menu: RescueMenu | None = None
    by_hand: Callable[[Run, Facts], Sequence[str]] | None = None
    programs: Sequence[str] = ()
    adopt: Callable[[Run, Mapping[str, Facts], str], Facts | None] | None = None

    def __post_init__(self) -> None:
        if self.firmware not in FIRMWARE:
            raise ValueError(f"{self.name}: the firmware {self.firmware!r} is neither bios nor uefi")


def below_boot(layout: Layout) -> set[str]:
    """The ids of all that the file system with the kernels lies on."""
    mount = layout.get("mount:/boot") or layout.get("mount:/")
    return {item.id for item in layout.below(mount.needs[0])} if mount and mount.needs else set()


def detect_boot_loaders(run: Run, loaders: Iterable[BootLoader]) -> dict[str, Facts]:
    """The facts of those boot loaders that are in use, by name; what cannot be read is a warning."""
    found: dict[str, Facts] = {}
    loaders = list(loaders)
    for loader in loaders:
        try:
            facts = loader.detect(run)
        except (OSError, ProgramFailed) as error:
            run.report.warn(f"cannot look for the boot loader {loader.name}: {error}")
            continue
        if facts is not None:
            found[loader.name] = _checked(loader, facts)
    if run.system.firmware.mode == "uefi":
        of_uefi = {loader.name for loader in loaders if loader.firmware == "uefi"}
        _warn_of_others(run, {name: facts for name, facts in found.items() if name in of_uefi})
    return found


def _checked(loader: BootLoader, facts: Facts) -> Facts:
    """The facts of a boot loader; `PluginError` where they cannot be kept."""
    try:
        json.dumps(facts)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"the boot loader {loader.name} is described by what JSON cannot hold: {error}",
            "update or remove the package that brings it, and report this fault to its author",
        ) from error
    return facts


def _warn_of_others(run: Run, found: Mapping[str, Facts]) -> None:
    """Say when none of the boot loaders that were found is the one that the firmware started."""
    if not found:
        run.report.warn(
            "no mounted EFI system partition has a boot loader that rear knows: mount the one in use, or install the"
            " package for it (rear-boot-systemd for systemd-boot)"
        )
        return
    variables = read_boot_entries()
    entry = variables.get(variables.current)
    if entry and entry.loader and all(facts.get("started") is False for facts in found.values()):
        run.report.warn(
            f"the firmware started this machine by {entry.label} ({entry.loader}), which rear does not describe: a"
            f" recovery installs {' and '.join(found)}"
        )
