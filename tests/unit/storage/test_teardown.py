# SPDX-License-Identifier: GPL-3.0-or-later
"""Old storage on reused disks is taken down from the top, and nothing is that others stand on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rear_core.contents import Contents
from rear_core.errors import Refused
from rear_core.storage.command import Command
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import StorageKind
from rear_core.storage.present import Machine
from rear_core.storage.survey import Mounted
from rear_core.storage.teardown import teardown
from rear_core.storage.technologies import CORE_KINDS


def device(path: str, type: str, *parents: str, fstype: str = "", label: str = "") -> Device:
    return Device(path, path.rpartition("/")[2], "", type, 1 << 30, fstype, label=label, parents=parents)


def machine(*devices: Device, mounts: tuple[str, ...] = (), swaps: tuple[str, ...] = ()) -> Machine:
    """A machine with these devices, those below first; a mount is written source=target."""
    children = {d.path: tuple(other.path for other in devices if d.path in other.parents) for d in devices}
    found = {d.path: replace(d, children=children[d.path]) for d in devices}
    mounted = tuple(Mounted(t, s, "ext4", "rw", "/", "") for s, _, t in (m.partition("=") for m in mounts))
    return Machine(found, mounted, frozenset(swaps), ())


def clear(path: str) -> str:
    return f"dd if=/dev/zero of={path} bs=1048576 count=1 conv=nocreat,notrunc,fsync status=none"


STACK = (
    device("/dev/sda", "disk"),
    device("/dev/sdb", "disk"),
    device("/dev/sda1", "part", "/dev/sda", fstype="linux_raid_member"),
    device("/dev/sdb1", "part", "/dev/sdb", fstype="linux_raid_member"),
    device("/dev/md0", "raid1", "/dev/sda1", "/dev/sdb1", fstype="crypto_LUKS"),
    device("/dev/mapper/vault", "crypt", "/dev/md0", fstype="LVM2_member"),
    device("/dev/mapper/my--data-root", "lvm", "/dev/mapper/vault", fstype="ext4", label="root"),
    device("/dev/mapper/my--data-swap", "lvm", "/dev/mapper/vault", fstype="swap"),
)


def test_a_stack_is_taken_down_from_the_top() -> None:
    here = machine(
        *STACK,
        mounts=("/dev/mapper/my--data-root=/mnt/local", "/dev/mapper/my--data-root=/mnt/local/srv"),
        swaps=("/dev/mapper/my--data-swap",),
    )
    commands = [" ".join(command.argv) for command in teardown(here, ["/dev/sda", "/dev/sdb"], CORE_KINDS)]
    assert commands == [
        "umount /mnt/local/srv",
        "umount /mnt/local",
        "swapoff /dev/mapper/my--data-swap",
        "lvm vgchange --activate=n my-data",
        "cryptsetup close vault",
        "mdadm --stop /dev/md0",
        "wipefs --all --force /dev/sda1",
        clear("/dev/sda1"),
        "wipefs --all --force /dev/sda",
        clear("/dev/sda"),
        "wipefs --all --force /dev/sdb1",
        clear("/dev/sdb1"),
        "wipefs --all --force /dev/sdb",
        clear("/dev/sdb"),
    ]


def test_what_is_lost_is_said() -> None:
    commands = teardown(machine(*STACK), ["/dev/sda", "/dev/sdb"], CORE_KINDS)
    lost = [command.destroys for command in commands if command.destroys]
    assert "linux_raid_member on /dev/sda1" in lost and "partition table on /dev/sda" in lost


def test_an_array_that_another_disk_shares_is_left_alone() -> None:
    with pytest.raises(Refused, match="/dev/md0 also lies on /dev/sdb1"):
        teardown(machine(*STACK), ["/dev/sda"], CORE_KINDS)


def test_partitions_of_an_array_go_with_it() -> None:
    here = machine(*STACK[:4], device("/dev/md0", "raid1", "/dev/sda1", "/dev/sdb1"),
                   device("/dev/md0p1", "part", "/dev/md0", fstype="ext4"))  # fmt: skip
    commands = [" ".join(command.argv) for command in teardown(here, ["/dev/sda", "/dev/sdb"], CORE_KINDS)]
    assert commands[0] == "mdadm --stop /dev/md0" and not [c for c in commands if "md0p1" in c]


def test_a_blank_disk_needs_nothing() -> None:
    assert teardown(machine(device("/dev/sda", "disk")), ["/dev/sda"], CORE_KINDS) == []


def test_a_file_system_on_a_whole_disk_is_wiped() -> None:
    command, _ = teardown(machine(device("/dev/sda", "disk", fstype="xfs", label="srv")), ["/dev/sda"], CORE_KINDS)
    assert command.destroys == "xfs srv on /dev/sda" and command.devices == ("/dev/sda",)


def test_both_paths_of_a_multipath_disk_may_go() -> None:
    here = machine(
        device("/dev/sda", "disk", fstype="mpath_member"),
        device("/dev/sdb", "disk", fstype="mpath_member"),
        device("/dev/mapper/mpatha", "mpath", "/dev/sda", "/dev/sdb"),
        device("/dev/mapper/mpatha-part1", "part", "/dev/mapper/mpatha", fstype="ext4"),
    )
    commands = [" ".join(command.argv) for command in teardown(here, ["/dev/mapper/mpatha"], CORE_KINDS)]
    assert commands == [
        "wipefs --all --force /dev/mapper/mpatha-part1",
        clear("/dev/mapper/mpatha-part1"),
        "wipefs --all --force /dev/mapper/mpatha",
        clear("/dev/mapper/mpatha"),
    ]


def test_what_the_kernel_uses_without_a_device_on_it_is_let_go_of_as_soon_as_it_is_free() -> None:
    """On the disks themselves as well, and on a volume before its group is stopped."""

    def free(device: Device) -> Command | None:
        return Command(("free", device.path), "it may be in use") if device.fstype == "cache" else None

    def stop(device: Device) -> Command | None:
        return Command(("stop", device.path), "it runs") if device.kernel_name.startswith("fast") else None

    kind = StorageKind("fast", (), lambda _: (), lambda _: Contents(), stop=stop, release=free)
    here = machine(
        device("/dev/sda", "disk", fstype="LVM2_member"), device("/dev/sdb", "disk", fstype="cache"),
        device("/dev/mapper/vg-a", "lvm", "/dev/sda", fstype="cache"), device("/dev/mapper/vg-b", "lvm", "/dev/sda"),
        device("/dev/fast0", "disk", "/dev/mapper/vg-a", "/dev/mapper/vg-b", "/dev/sdb"),
    )  # fmt: skip
    commands = [" ".join(c.argv) for c in teardown(here, ["/dev/sda", "/dev/sdb"], [*CORE_KINDS, kind])]
    assert commands[0] == "stop /dev/fast0" and {*commands[1:3]} == {"free /dev/mapper/vg-a", "free /dev/sdb"}
    assert commands[3] == "lvm vgchange --activate=n vg"
