# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine that stands in for the recorded one, and what it cannot stand in for."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from rear_core import Refused
from rear_core.network.model import CARD, Network
from rear_core.storage.disk import Disk
from rear_core.storage.layout import Layout

from . import qemu

# What lsblk calls the way to a disk, and the bus of the virtual one.
BUSES = {"virtio": "virtio", "nvme": "nvme", "sata": "sata", "ata": "sata", "usb": "usb"}
SCSI = {"sas": "SAS", "fc": "Fibre Channel", "iscsi": "iSCSI", "fcoe": "FCoE", "spi": "parallel SCSI"}
# The controller has six ports, two are for the discs.
SATA_PORTS = 4
MOST_DISKS = 20
# How long the serial numbers of virtual disks may be.
SERIAL_SIZES = {"scsi": 36, "usb": 20, "virtio": 20, "sata": 20, "nvme": 20}
RAID_CONTROLLERS = re.compile(r"RAID|PERC|LOGICAL VOLUME|Smart Array|ServeRAID|Virtual Disk|VDISK", re.IGNORECASE)


def recorded_disks(layout: Layout, without: Collection[str] = ()) -> list[Disk]:
    """The disks of a layout in the order of their names, except some by id."""
    disks = [item for item in layout if isinstance(item, Disk) and item.id not in without]
    if not disks:
        raise Refused("the rescue image describes no disk to recover", "run `rear layout show` to see what it has")
    if len(disks) > MOST_DISKS:
        raise Refused(
            f"{len(disks)} disks are recorded, but a rehearsal supports at most {MOST_DISKS}", "rehearse by hand"
        )
    return sorted(disks, key=lambda disk: (len(disk.device), disk.device))


def blank_disks(recorded: Sequence[Disk], folder: Path) -> list[qemu.Disk]:
    """Sparse files for disks of the recorded sizes, sectors, buses and identities."""
    made = []
    ports = SATA_PORTS
    for number, disk in enumerate(recorded):
        bus = bus_of(disk)
        if bus == "sata":
            ports -= 1
            bus = bus if ports >= 0 else "scsi"
        path = folder / f"disk{number}"
        path.touch(mode=0o600)
        try:
            os.truncate(path, disk.size)
        except OSError as error:
            raise Refused(
                f"cannot create a file in place of {disk}: {error.strerror}", "set TMPDIR to another place"
            ) from error
        made.append(
            qemu.Disk(
                path,
                serial=disk.serial if len(disk.serial) <= SERIAL_SIZES[bus] else "",
                bus=bus,
                wwn=disk.wwn if bus in ("sata", "scsi") and re.fullmatch(r"0x[0-9a-f]{16}", disk.wwn) else "",
                logical_sector_size=disk.logical_sector_size,
                physical_sector_size=disk.physical_sector_size,
            )
        )
    return made


def bus_of(disk: Disk) -> str:
    """The bus of the virtual disk that stands in for a recorded one."""
    if disk.transport in BUSES:
        return BUSES[disk.transport]
    name = disk.device.rpartition("/")[2]
    if name.startswith("nvme"):
        return "nvme"
    return "scsi" if name.startswith("sd") or disk.transport in SCSI else "virtio"


def cards(network: Network) -> list[qemu.Nic]:
    """The recorded network cards, each with its address and a DHCP server that leads nowhere."""
    found = [link.hardware_mac for link in network.links if link.kind == CARD and not link.radio]
    return [
        qemu.Nic(mac, nat=True, restrict=True)
        for mac in dict.fromkeys(found)
        if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac.lower())
    ]


def firmware_of(mode: str, secure_boot: bool | None) -> str:
    """The recorded firmware as `qemu.Machine` knows it."""
    return "secureboot" if secure_boot else mode


def limits(disks: Sequence[Disk], layout: Layout) -> Iterator[str]:
    """What a rehearsal in a virtual machine cannot prove of this machine."""
    yield (
        "That drivers, firmware and firmware settings of the real machine work: this one had QEMU's devices and the"
        " firmware SeaBIOS or OVMF."
    )
    for disk in disks:
        if disk.type == "multipath disk":
            yield f"The paths to {disk}: it was one disk on one path here."
        if disk.transport in SCSI:
            yield f"The way to {disk} over {SCSI[disk.transport]}: it was a local SCSI disk here."
        if RAID_CONTROLLERS.search(f"{disk.vendor} {disk.model}"):
            yield (
                f"That a controller presents {disk} ({disk.vendor} {disk.model}) as configured: it was a plain disk"
                " here."
            )
    yield "That addresses and routes work: its network cards were not connected."
    if any(item.has_passphrase for item in layout):
        yield (
            "Your passphrases and tokens of LUKS volumes, and headers kept with the backup: the volumes were created"
            " with a temporary passphrase, as a recovery creates them again."
        )
