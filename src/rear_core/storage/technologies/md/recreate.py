# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates, starts and stops arrays, and says what of them cannot come back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from rear_core.shell import Shell
from rear_core.storage.command import Command, Site, zeros
from rear_core.storage.disk import sector_size
from rear_core.storage.execute import is_block_device
from rear_core.storage.inventory import PROBED, Device
from rear_core.storage.kinds import Starting, StorageKind
from rear_core.storage.layout import Layout
from rear_core.storage.marks import mark

from . import references
from .capture import RUNNING, Array, capture, contents

# How lsblk and blkid call what an array is made of.
MEMBER = "linux_raid_member"


def recreate(item: Array, site: Site) -> Iterator[Command]:
    """Create the array; it synchronizes its members while the recovery goes on.

    The members of a new array differ wherever nothing was written yet, so that it is never said to be clean.
    """
    host, _, name = item.name.rpartition(":")
    devices = tuple(site.device(need) for need in item.needs)
    same_size = not any(site.is_resized(need) for need in item.needs)
    # In larger sectors a member can have some bytes less.
    sector = sector_size(site, item.id)
    size = item.component_size // sector * sector
    options = [
        f"--metadata={item.metadata}",
        f"--level={item.level}",
        # One is taken for a mistake, and has to be allowed before it is named.
        *["--force"] * (item.members == 1),
        f"--raid-devices={item.members}",
        f"--uuid={item.uuid}",
    ]
    if item.metadata != "0.90":
        options += [f"--homehost={host or 'any'}", f"--name={name}"] if name else []
        if same_size and item.data_offset and item.metadata not in ("1.0",):
            options.append(f"--data-offset={item.data_offset >> 10}")
    if same_size and size and item.level not in ("raid0", "linear"):
        options.append(f"--size={size >> 10}")
    options += [f"--spare-devices={item.spares}"] * bool(item.spares)
    options += [f"--chunk={item.chunk >> 10}"] * bool(item.chunk)
    options += [f"--layout={_layout(item)}"] * bool(_layout(item))
    if item.journal:
        options.append(f"--write-journal={devices[-1]}")
    elif item.consistency == "ppl":
        options.append("--consistency-policy=ppl")
    elif item.level not in ("raid0", "linear"):
        internal = item.bitmap.startswith("internal")
        options.append(f"--bitmap={'internal' if internal else 'none'}")
        options += [f"--bitmap-chunk={item.bitmap_chunk >> 10}"] * (internal and same_size and bool(item.bitmap_chunk))
        options += [f"--write-behind={item.write_behind}"] * (internal and _lags(item))
    options += ["--failfast"] * (len(item.failfast) == item.members)
    array = site.device(item.id)
    yield Command(
        ("mdadm", "--create", array, "--run", *options, *_members(item, devices)),
        f"create {item.noun} {array} ({item.level})",
        destroys=f"everything on {', '.join(devices)}",
        devices=devices,
    )
    yield Command(("udevadm", "settle", "--timeout=60"), f"wait for {array}")
    # What was in an array of these members before lies where it did, and LVM takes no volume of a group.
    yield zeros(array, site.size(item.id) or PROBED)


def _members(item: Array, devices: tuple[str, ...]) -> Iterator[str]:
    """The members by their roles, and the spares; the flag holds for all that come after it."""
    places = iter(devices[: len(devices) - item.journal])
    for role in range(item.members):
        if item.write_mostly[:1] == (role,) and _can_flag(item):
            yield "--write-mostly"
        yield "missing" if role in item.missing else next(places)
    yield from places


def _can_flag(item: Array) -> bool:
    """Whether nothing comes after the members that are write-mostly."""
    last = tuple(role for role in range(item.write_mostly[0], item.members) if role not in item.missing)
    return not item.spares and last == item.write_mostly


def _lags(item: Array) -> bool:
    """Whether some members may lag behind, and mdadm can be told so when it makes the array."""
    return bool(item.write_behind and item.write_mostly) and _can_flag(item)


def start(item: Array, starting: Starting) -> None:
    """Assemble the array; it is no failure that it runs already."""
    starting.tell(f"assemble {item}")
    starting.sh.run("mdadm", "--assemble", "--scan", f"--uuid={item.uuid}", ok=(0, 1, 2))


def read_only(item: Array) -> tuple[list[str], list[str]] | None:
    """Assemble it so that it does not even count that it was started, also where members are missing."""
    link = f"/dev/disk/by-id/md-uuid-{item.uuid}"
    argv = ["mdadm", "--assemble", "--readonly", "--run", "--scan", f"--uuid={item.uuid}"]
    return None if is_block_device(link) else (argv, ["mdadm", "--stop", link])


def within(_sh: Shell, devices: Mapping[str, Device], layout: Layout) -> dict[str, list[str]]:
    """Members of a recorded array that runs without them: they were taken out, and may have been used otherwise since.

    mdadm starts one half of a mirror that was split, and both have the same UUID.
    """
    arrays = {mark(item.uuid) for item in layout.of(Array)}
    members = [device for device in devices.values() if device.fstype == MEMBER and mark(device.uuid) in arrays]
    running = {mark(device.uuid) for device in members if device.children}
    return {
        device.path: [f"array:{device.uuid}/a member that the array runs without"]
        for device in members
        if not device.children and mark(device.uuid) in running
    }


def stop(device: Device) -> Command | None:
    """Arrays, and the containers of those of firmware."""
    if not device.type.startswith(RUNNING):
        return None
    return Command(("mdadm", "--stop", device.path), f"stop the array {device.path}")


def refuses(item: Array, _site: Site) -> Iterator[str]:
    """Arrays whose metadata belong to the firmware, or to a cluster, those without any, and what will soon be
    another one."""
    if not re.fullmatch(r"0\.90|1(\.\d)?|", item.metadata):
        yield f"rear cannot recreate an array of firmware RAID ({item.metadata})"
    elif not item.uuid.strip("0:"):
        yield "rear cannot recreate an array without metadata on its members (mdadm --build)"
    if item.reshaping:
        yield "mdadm is reshaping it: wait until /proc/mdstat shows that it has finished"
    if "cluster" in item.bitmap:
        yield "rear cannot recreate an array that a cluster shares"


def lacking(item: Array, gone: Collection[str]) -> Array | None:
    """The array degraded, its spares in the places of members; None where more are gone than its level survives,
    whichever they are."""
    roles = [role for role in range(item.members) if role not in item.missing]
    others = list(item.needs[len(roles) :])
    journal = [others.pop()] if item.journal else []
    spares = [need for need in others if need not in gone]
    members: dict[int, str] = {}
    for role, need in zip(roles, item.needs):
        if need not in gone:
            members[role] = need
        elif spares:
            members[role] = spares.pop(0)
    copies = int(_layout(item)[1:]) if item.level == "raid10" else 0
    survives = {"raid1": item.members - 1, "raid4": 1, "raid5": 1, "raid6": 2, "raid10": copies - 1}
    missing = tuple(role for role in range(item.members) if role not in members)
    if len(missing) > survives.get(item.level, 0):
        return None
    journal = [need for need in journal if need not in gone]
    needs = (*(members[role] for role in sorted(members)), *spares, *journal)
    return replace(item, needs=needs, missing=missing, spares=len(spares), journal=bool(journal))


def notes(item: Array, _site: Site) -> Iterator[str]:
    """What mdadm cannot be told when it makes an array."""
    if item.missing:
        roles = ", ".join(map(str, item.missing))
        yield f"it is created degraded, without the members {roles}; add them later with `mdadm --add`"
    if item.write_mostly and not _can_flag(item):
        yield f"members {', '.join(map(str, item.write_mostly))} were write-mostly: set that by hand"
    if item.write_behind and not _lags(item):
        yield f"{item.write_behind} writes could lag behind (--write-behind): set that by hand"
    if item.failfast and len(item.failfast) < item.members:
        yield f"members {', '.join(map(str, item.failfast))} failed fast: set that by hand"
    if item.bitmap and not item.bitmap.startswith("internal"):
        yield f"its bitmap was the file {item.bitmap}; it is created without one"
    if item.no_bad_block_log:
        yield "it had no log of bad blocks, and gets one: `mdadm --assemble --update=no-bbl` removes it"


def _layout(item: Array) -> str:
    """The word of `mdadm --create`: `near=1, far=2` of RAID 10 is f2; RAID 0 and 1 choose their own."""
    if item.level == "raid10":
        copies = dict(re.findall(r"(near|far|offset)=(\d+)", item.layout))
        word = max(copies, key=lambda word: int(copies[word]), default="near")
        return f"{word[0]}{copies.get(word, 2)}"
    return item.layout if item.level in ("raid5", "raid6") and not item.layout.startswith("-") else ""


KIND = StorageKind(
    "md", (Array,), capture, contents, recreate=recreate, refuses=refuses, notes=notes, lacking=lacking, start=start,
    read_only=read_only, stop=stop, within=within, naming_files=references.FILES, words=references.words,
    signatures=(MEMBER,),
)  # fmt: skip
