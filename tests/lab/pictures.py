# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine to draw: LVM on two disks, recovered to a blank disk and to a larger one that holds other data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rear_core.plugins import Plugins
from rear_core.run import Options, Recovery, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout, LeftOut, make
from rear_core.storage.mapping import assign
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.resize import minimum
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext.capture import Ext
from rear_core.storage.technologies.lvm.items import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.lvm.parts import Segment
from rear_core.storage.technologies.swap import Swap
from rear_core.storage.technologies.vfat import Fat
from rear_core.storage.technologies.xfs import Xfs
from rear_core.system import Firmware, OperatingSystem, System

MIB, GIB = 1 << 20, 1 << 30
ESP, LINUX, LVM = (
    "c12a7328-f81f-11d2-ba4b-00c93ec93b10", "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "e6d6d379-f507-44c2-a23c-238f2a3df928",
)  # fmt: skip
# Size in GiB, file system or swap, and where it is mounted.
VOLUMES = {"root": (60, "/"), "var": (220, "/var"), "home": (400, "/home"), "swap": (16, "")}


def layout() -> Layout:
    """The recorded machine: a disk with GPT and a whole one, in one volume group."""
    items: list[Item] = [
        Disk("disk:S4EV1", (), 480 * GIB, "/dev/sda", model="Samsung SSD 870", serial="S4EV1"),
        Disk("disk:WD77", (), 480 * GIB, "/dev/sdb", model="WDC WDS480G2", serial="WD77"),
        PartitionTable("table:t1", ("disk:S4EV1",), "gpt", "t1"),
        Partition("partition:p1", ("table:t1",), 1, MIB, 512 * MIB, ESP, MIB, "p1", "EFI", device="/dev/sda1"),
        Partition("partition:p2", ("table:t1",), 2, 513 * MIB, GIB, LINUX, MIB, "p2", device="/dev/sda2"),
        Partition("partition:p3", ("table:t1",), 3, 1537 * MIB, 478 * GIB, LVM, MIB, "p3", device="/dev/sda3"),
        Fat("fs:A1B2-C3D4", ("partition:p1",), "A1B2-C3D4", bits=32),
        Ext("fs:b1", ("partition:p2",), "b1", "boot", version=4, block_size=4096),
        PhysicalVolume("pv:v1", ("partition:p3",), "v1", 478 * GIB, data_start=MIB),
        PhysicalVolume("pv:v2", ("disk:WD77",), "v2", 480 * GIB, data_start=MIB),
        VolumeGroup("vg:web", ("pv:v1", "pv:v2"), "web", "g1", 4 * MIB),
    ]
    for name, (size, target) in VOLUMES.items():
        segments = (Segment("linear", 0, size * GIB),)
        device = f"/dev/mapper/web-{name}"
        volume = LogicalVolume(
            f"lv:web/{name}", ("vg:web",), "web", name, f"l-{name}", size * GIB, "linear", device, segments=segments
        )
        content = Xfs(f"fs:{name}", (volume.id,), name, name) if target else Swap(f"swap:{name}", (volume.id,), name)
        items += [volume, content]
    mounts = {"/boot/efi": ("fs:A1B2-C3D4", "vfat"), "/boot": ("fs:b1", "ext4")}
    mounts |= {target: (f"fs:{name}", "xfs") for name, (_, target) in VOLUMES.items() if target}
    items += [Mount(f"mount:{target}", (below,), target, fstype) for target, (below, fstype) in mounts.items()]
    return make(items, [LeftOut("/dev/sr0", "an optical drive"), LeftOut("/srv/media", "a network file system")])


def machine(name: str = "photos") -> Machine:
    """What the recovery finds: a larger disk in the place of the first, with other data, and a stick beside it."""
    devices = [
        Device("/dev/nvme0n1", "nvme0n1", "259:0", "disk", 960 * GIB, is_disk=True),
        Device("/dev/nvme0n1p1", "nvme0n1p1", "259:1", "part", 100 * MIB, "vfat"),
        Device("/dev/nvme0n1p2", "nvme0n1p2", "259:2", "part", 700 * GIB, "ntfs", label=name),
        Device("/dev/nvme0n1p3", "nvme0n1p3", "259:3", "part", 250 * GIB, "crypto_LUKS"),
        Device("/dev/mapper/vault", "dm-0", "254:0", "crypt", 250 * GIB, "ext4", label="private"),
        Device("/dev/sda", "sda", "8:0", "disk", 480 * GIB, is_disk=True),
        Device("/dev/sdb", "sdb", "8:16", "disk", 32 * GIB, is_disk=True),
        Device("/dev/sdb1", "sdb1", "8:17", "part", 32 * GIB, "ext4", label="REAR-000"),
    ]
    on = {"/dev/nvme0n1": devices[1:4], "/dev/nvme0n1p3": devices[4:5], "/dev/sdb": devices[7:8]}
    parents = {above.path: path for path, found in on.items() for above in found}
    found = [
        replace(
            device, children=tuple(above.path for above in on.get(device.path, ())),
            parents=(parents[device.path],) if device.path in parents else (),
        )
        for device in devices
    ]  # fmt: skip
    return Machine(
        {device.path: device for device in found}, (), frozenset(), (
            PresentDisk("/dev/nvme0n1", 960 * GIB, "CT1000P3", serial="2241E", holds="3 partitions"),
            PresentDisk("/dev/sda", 480 * GIB, "WDC WDS480G2", serial="WD77"),
            PresentDisk("/dev/sdb", 32 * GIB, "Ultra Fit", locked="it is rescue media (labelled REAR-000)"),
        ),
    )  # fmt: skip


def planned(here: Machine) -> Plan:
    """The plan that takes the larger disk."""
    recorded = layout()
    answers = {"disk:S4EV1": "/dev/nvme0n1", "disk:WD77": "/dev/sda"}
    assignment = assign(recorded, here.disks, minimum(recorded, {}), answers)
    assert not assignment.problems and not assignment.questions, assignment
    return plan(recorded, assignment, here, CORE_KINDS)


RECOVERY = Recovery(
    done=["GRUB installed on /dev/nvme0n1", "/etc/fstab: UUID=b1 instead of UUID=b0"],
    differences=["disk 2241E grew from 480 GiB to 960 GiB", "the LUKS volume vault has a new passphrase"],
    seconds={"config": 1, "verify": 42, "recreate": 31, "restore": 913, "finalize": 77},
)
FACTS = {"date": "2026-11-22T183000Z", "hostname": "web1", "backup": "2026-11-22T020000Z"}


def recovered(here: Machine | None = None, recovery: Recovery = RECOVERY) -> Run:
    """The run of a recovery, at its end."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(config_dir=Path("/etc/rear")), recovery=recovery)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi"))
    run.erased = here or machine()
    run.layout, run.plan = layout(), planned(run.erased)
    return run
