# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB for the other kind of firmware, on a machine that has its modules for both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import architectures
from ..storage.disk import Disk
from .loader import Facts, below_boot

if TYPE_CHECKING:
    from ..run import Run

BIOS = "i386-pc"
MODULES = "usr/lib/grub"
SHIM = "usr/lib/shim/shim{suffix}.efi.signed"


def platforms(machine: str, root: Path = Path("/")) -> list[str]:
    """The platforms that grub-install can install here: i386-pc, x86_64-efi; `x86_64-efi-signed` where shim is there
    with a GRUB that it starts."""
    # Red Hat's grub2-install refuses to install for UEFI, and the signed files come with packages alone.
    efi = any((root / "usr/sbin" / name).exists() for name in ("grub-install", "shim-install"))
    own = architectures.find(machine)
    known = [BIOS, *([own.grub_efi] if own and own.grub_efi and efi else [])]
    found = [name for name in known if (root / MODULES / name).is_dir()]
    signed = [f"{name}-signed" for name in found if (root / MODULES / f"{name}-signed").is_dir()]
    return found + [name for name in signed if own and (root / SHIM.format(suffix=own.efi)).is_file()]


def for_bios(run: Run, found: Mapping[str, Facts], _mountpoint: str) -> Facts | None:
    """The boot sectors of all disks with kernels."""
    was = _with(run, found, BIOS)
    if was is None or run.layout is None:
        return None
    below = below_boot(run.layout)
    disks = [disk.device for disk in run.layout.of(Disk) if disk.id in below]
    sectors = [{"device": disk, "core_start": 0, "core_sectors": 0, "core_place": "not yet"} for disk in disks]
    return {"boot_sectors": sectors, "platforms": was["platforms"]}


def for_efi(run: Run, found: Mapping[str, Facts], mountpoint: str) -> Facts | None:
    """A folder of the EFI system partition that is called as the distribution is, and its boot entry."""
    own = architectures.supported(run.system.machine)
    was = _with(run, found, own.grub_efi)
    if was is None:
        return None
    vendor, suffix = run.system.os.id, own.efi
    shim = f"{own.grub_efi}-signed" in was["platforms"]
    grub = f"EFI/{vendor}/grub{suffix}.efi"
    installation: dict[str, Any] = {
        "vendor": vendor, "loader": f"EFI/{vendor}/shim{suffix}.efi" if shim else grub, "grub": grub, "shim": shim,
        "entries": [{"number": "", "label": vendor, "active": True}],
    }  # fmt: skip
    return {
        "partitions": [{"mountpoint": mountpoint, "installations": [installation]}], "boot_order": [],
        "platforms": was["platforms"],
    }  # fmt: skip


def _with(run: Run, found: Mapping[str, Facts], platform: str) -> Facts | None:
    """What was recorded of a GRUB whose machine had the modules of that platform, too."""
    return next((facts for facts in found.values() if platform in facts.get("platforms", ())), None)
