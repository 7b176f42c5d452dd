# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS volumes recreated: with another key and salt, as these stay secret, and all else as it was."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from rear_core.storage.command import Command, Site
from rear_core.storage.disk import sector_size
from rear_core.storage.execute import is_block_device
from rear_core.storage.inventory import Device, is_part, read_devices
from rear_core.storage.kinds import Starting

from .capture import Luks, Slot

# By cryptsetup(8), when no key slot takes the passphrase.
NO_KEY = 2
PERSISTENT_FLAGS = {
    "allow-discards": "--allow-discards",
    "same-cpu-crypt": "--perf-same_cpu_crypt",
    "submit-from-crypt-cpus": "--perf-submit_from_crypt_cpus",
    "no-read-workqueue": "--perf-no_read_workqueue",
    "no-write-workqueue": "--perf-no_write_workqueue",
}


def recreate(item: Luks, site: Site) -> Iterator[Command]:
    """Format with the same identifiers and parameters and a passphrase in the first slot, then open it.

    The passphrase is read from standard input, where it has no line end, as the tool expects it.
    """
    device = site.device(item.needs[0])
    options = [
        f"--type=luks{item.version}", f"--uuid={item.uuid}", f"--cipher={item.cipher}", f"--key-size={item.key_size}",
        f"--hash={item.hash}", f"--offset={item.offset // 512}", *_key_derivation(item, site),
    ]  # fmt: skip
    if item.version == 2:
        options.append(f"--sector-size={item.sector_size}")
        options += [f"--luks2-metadata-size={item.metadata_size}"] * bool(item.metadata_size)
        options += [f"--luks2-keyslots-size={item.keyslots_size}"] * bool(item.keyslots_size)
        options += [f"--label={item.label}"] * bool(item.label)
        options += [f"--subsystem={item.subsystem}"] * bool(item.subsystem)
    yield Command(
        ("cryptsetup", "luksFormat", "--batch-mode", *options, "--key-file=-", device),
        f"create {item.noun} {item.uuid}",
        destroys=f"everything on {device}",
        passphrase=item.id,
        devices=(device,),
    )
    yield from opening(item, site)


def opening(item: Luks, site: Site) -> Iterator[Command]:
    """Open a volume that was made, if it has a name, with the flags that it keeps."""
    if item.name:
        flags = [PERSISTENT_FLAGS[flag] for flag in item.flags if flag in PERSISTENT_FLAGS]
        words = (*flags, *["--persistent"] * bool(flags), "--key-file=-", site.device(item.needs[0]), item.name)
        yield Command(
            ("cryptsetup", "open", *words),
            f"open {item.noun} {item.uuid} as {item.name}",
            passphrase=item.id,
        )


def _passphrase_slots(item: Luks, site: Site) -> list[Slot]:
    """The slots of passphrases, the one first that the new passphrase gets.

    GRUB, which opens a volume with /boot in it, knows argon2 from 2.14 on; one of pbkdf2 every GRUB can open.
    """
    boot = site.layout.get("mount:/boot") or site.layout.get("mount:/")
    by_grub = boot is not None and item.id in site.below(boot.id)
    return sorted(item.passphrase_slots, key=lambda slot: (by_grub and slot.pbkdf != "pbkdf2", slot.number))


def _key_derivation(item: Luks, site: Site) -> list[str]:
    """The options of the first slot of a passphrase; where it asks for more memory than there is, the tool measures
    again."""
    if not (slots := _passphrase_slots(item, site)):
        return []
    slot = slots[0]
    options = [f"--key-slot={slot.number}"]
    if item.version == 2:
        options.append(f"--pbkdf={slot.pbkdf}")
    if site.memory and slot.memory << 10 > site.memory // 2:
        return options
    if slot.memory:
        options += [f"--pbkdf-memory={slot.memory}", f"--pbkdf-parallel={slot.threads}"]
    return [*options, f"--pbkdf-force-iterations={slot.cost}"] if slot.cost else options


def start(item: Luks, starting: Starting) -> None:
    """Open the volume with a passphrase that somebody has, unless it is open, or nobody knows as what it was."""
    if item.name and not is_block_device(item.place("")):
        starting.tell(f"open {item}")
        starting.unlock(item, _trying(starting, item))


def _trying(starting: Starting, volume: Luks) -> Callable[[str], bool]:
    """What opens a volume with a passphrase, and tells whether it has it."""
    argv = ("cryptsetup", "open", "--key-file=-", _holding(starting, volume), volume.name)
    return lambda word: starting.sh.run(*argv, input=word, ok=(0, NO_KEY)).status == 0


def _holding(starting: Starting, volume: Luks) -> str:
    """The device that holds a volume, or the link that cryptsetup says is missing; of clones the one on its own disk.

    The link may be that of something which begins where the device does: a leg of a mirrored logical volume, a
    partition that only the kernel sees.
    """
    starting.sh.run("udevadm", "settle", "--timeout=60")
    devices = read_devices(starting.sh, lambda _line: None)
    holding = [d.path for d in devices.values() if d.uuid == volume.uuid and not is_part(devices, d)]
    own = starting.device(volume.needs[0])
    return own if own in holding else next(iter(holding), f"/dev/disk/by-uuid/{volume.uuid}")


def stop(device: Device) -> Command | None:
    """Close an open volume."""
    if device.type != "crypt":
        return None
    return Command(("cryptsetup", "close", device.path.rpartition("/")[2]), f"close {device.path}")


def refuses(item: Luks, site: Site) -> Iterator[str]:
    """Volumes that hold more than encrypted data, are being made into others, or begin within a sector."""
    sector = sector_size(site, item.id)
    if item.offset % sector:
        yield f"its data begin at byte {item.offset}, which is not a multiple of the sector size, {sector}"
    if item.other:
        yield f"rear cannot recreate a volume with {', '.join(item.other)}"


def notes(item: Luks, site: Site) -> Iterator[str]:
    """What of its keys has to be recreated by hand."""
    yield from (f"the key in slot {slot.number} must be added again" for slot in _passphrase_slots(item, site)[1:])
    for token in item.tokens:
        by = shlex.join(token.enrolling(f"/dev/disk/by-uuid/{item.uuid}"))
        how = "rear enrolls it again where it can" if token.needs_nobody else f"enroll it again{by and ': '}{by}"
        yield f"the {token} is lost with its secrets; {how}"
    if item.key_file:
        yield f"its key file {item.key_file} opens it only after you add it as a key again"
