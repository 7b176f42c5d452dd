# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM, software RAID and LUKS of a real kernel: made in the guest, described by `rear savelayout`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab import guests
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import Layout, loads
from rear_core.storage.technologies import CORE_KINDS

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

MAKE = r"""
set -e
sfdisk --quiet /dev/disk/lab/lab1 <<END
label: gpt
label-id: 11111111-2222-4333-8444-555555555501
first-lba: 2048
size=64MiB, type=U, name="EFI System", uuid=11111111-2222-4333-8444-555555555502
size=128MiB, name=boot
type=V, name="LVM data", attrs="GUID:63"
END
for disk in lab3 lab4; do sfdisk --quiet /dev/disk/lab/$disk <<END
label: dos
size=256MiB, type=fd, bootable
type=5
size=128MiB, type=83
END
done
udevadm settle
one=/dev/disk/lab/lab1 two=/dev/disk/lab/lab2
three=/dev/disk/lab/lab3 four=/dev/disk/lab/lab4
mkfs.vfat -F 32 -n EFI $one-part1 >/dev/null
mkfs.ext4 -q -L boot -m 3 $one-part2
pvcreate -qq $one-part3 $two
vgcreate -qq -s 8m --addtag lab data $one-part3 $two
lvcreate -qq -y -n linear -L 64m data $one-part3
lvextend -qq -L 128m data/linear $two
lvcreate -qq -y -n striped -i 2 -I 64k -L 128m data
lvcreate -qq -y -n mirror --type raid1 -m 1 -L 64m data
lvcreate -qq -y --type thin-pool -n pool -L 256m --poolmetadatasize 16m -c 128k data
lvcreate -qq -y -n thin -V 1g --thinpool pool data
mkswap -q -L labswap /dev/data/striped
mkfs.xfs -q -K -L thin /dev/data/thin
mdadm --quiet --create /dev/md/boot --run --level=1 --metadata=1.0 --raid-devices=2 --name=boot \
    --assume-clean --bitmap=internal $three-part1 $four-part1
printf secret >/run/lab-key
cryptsetup luksFormat -q --type luks2 --label vault --subsystem lab --pbkdf argon2id --pbkdf-memory 16384 \
    --pbkdf-force-iterations 4 --pbkdf-parallel 1 /dev/md/boot /run/lab-key
cryptsetup open --key-file /run/lab-key /dev/md/boot vault
cryptsetup luksFormat -q --type luks1 --hash sha512 --key-size 256 --pbkdf-force-iterations 1000 \
    $three-part5 /run/lab-key
mkfs.ext4 -q -L vault /dev/mapper/vault
mkdir -p /srv/vault /srv/thin
mount /dev/mapper/vault /srv/vault
mount -o noatime /dev/data/thin /srv/thin
mount --bind /etc /mnt
udevadm settle
"""

UNDO = r"""
umount /mnt /srv/vault /srv/thin
vgremove -qq -y -f data; pvremove -qq -y /dev/disk/lab/lab1-part3 /dev/disk/lab/lab2
cryptsetup close vault; mdadm --quiet --stop /dev/md/boot
for disk in lab1 lab2 lab3 lab4; do
    for part in /dev/disk/lab/$disk-part[0-9]; do [ ! -e $part ] || wipefs -q -a -f $part; done
    udevadm settle
    wipefs -q -a -f /dev/disk/lab/$disk
    udevadm settle
    partx --delete /dev/disk/lab/$disk 2>/dev/null
done
rm -rf /etc/rear/recovery /srv/vault /srv/thin /run/lab-key; udevadm settle
"""


@pytest.fixture(scope="module")
def machine(guest: guests.Machine) -> Iterator[guests.Machine]:
    """The guest with storage of every technology, described by `rear savelayout`."""
    try:
        guest.check(f"(\n{MAKE}\n)", timeout=600)
        guest.check("rear savelayout", timeout=300)
        yield guest
    finally:
        guest.sh(UNDO, timeout=300)


@pytest.fixture(scope="module")
def layout(machine: guests.Machine) -> Layout:
    """What `rear savelayout` wrote."""
    assert machine.check("stat -c %a /etc/rear/recovery /etc/rear/recovery/layout.json").split() == [
        "700",
        "600",
    ]
    return loads(machine.check("cat /etc/rear/recovery/layout.json"), item_types(CORE_KINDS))


def one(layout: Layout, kind: str, **fields: Any) -> Any:
    """The only item of a type with these fields."""
    (found,) = [item for item in layout if item.type == kind and all(getattr(item, k) == v for k, v in fields.items())]
    return found


def disk(layout: Layout, serial: str) -> Any:
    """The disk with this serial number."""
    return one(layout, "disk", serial=serial)


def test_disks_are_named_by_wwn_and_blank_ones_left_out(layout: Layout) -> None:
    names = {item.serial: item.id for item in layout if isinstance(item, Disk)}
    wwns = {f"lab{number}": f"disk:0x6001405ab{number}{'0' * 22}" for number in range(1, 5)}
    assert names.pop("") in ("disk:/dev/ubda", "disk:/dev/vda") and names == wwns
    assert [entry.reason for entry in layout.left_out].count("an empty disk") == 3
    assert [entry.name for entry in layout.left_out if "bind mount" in entry.reason] == ["/mnt"]


def test_partition_tables(layout: Layout) -> None:
    gpt = one(layout, "partition table", label="gpt")
    assert (gpt.uuid, gpt.first_lba, gpt.needs) == (
        "11111111-2222-4333-8444-555555555501",
        2048,
        (disk(layout, "lab1").id,),
    )
    assert one(layout, "partition", name="LVM data").attributes == "GUID:63"
    logical = [item for item in layout if item.type == "partition" and len(item.needs) == 2]
    assert len(logical) == 2 and all(layout[item.needs[1]].code == "5" for item in logical)  # type: ignore[attr-defined]


def test_lvm(layout: Layout) -> None:
    group = one(layout, "vg")
    assert (group.name, group.extent_size, group.tags, len(group.needs)) == ("data", 8 << 20, ("lab",), 2)
    linear, striped = layout["lv:data/linear"], layout["lv:data/striped"]
    mirror, pool, thin = layout["lv:data/mirror"], layout["lv:data/pool"], layout["lv:data/thin"]
    assert [len(volume.segments) for volume in (linear, striped, mirror)] == [2, 1, 1]  # type: ignore[attr-defined]
    assert (striped.segments[0].stripes, striped.segments[0].stripe_size) == (2, 65536)  # type: ignore[attr-defined]
    assert mirror.segments[0].kind == "raid1"  # type: ignore[attr-defined]
    volumes = {volume.removeprefix("pv:") for volume in group.needs}
    assert {r.partition(":")[0] for r in mirror.segments[0].ranges} == volumes  # type: ignore[attr-defined]
    assert (pool.metadata_size, pool.segments[0].chunk_size) == (16 << 20, 128 << 10)  # type: ignore[attr-defined]
    assert thin.needs == ("vg:data", "lv:data/pool") and thin.size == 1 << 30  # type: ignore[attr-defined]


def test_raid_and_luks(layout: Layout) -> None:
    array = one(layout, "md")
    assert (array.level, array.metadata, array.name, array.bitmap) == (
        "raid1",
        "1.0",
        "debian12:boot",
        "internal",
    )
    assert [layout[need].needs[0] for need in array.needs] == [
        one(layout, "partition table", needs=(disk(layout, serial).id,)).id for serial in ("lab3", "lab4")
    ]
    second, first = one(layout, "luks", version=2), one(layout, "luks", version=1)
    assert second.needs == (array.id,)
    assert (second.label, second.subsystem, second.name) == ("vault", "lab", "vault")
    slot = second.slots[0]
    assert (slot.pbkdf, slot.cost, slot.memory, slot.threads) == ("argon2id", 4, 16384, 1)
    assert (first.hash, first.key_size, first.slots[0].cost) == ("sha512", 256, 1000)
    mounted = one(layout, "mount", target="/srv/vault")
    assert layout[mounted.needs[0]].needs == (second.id,)


def test_a_changed_machine_is_told_from_an_unchanged_one(machine: guests.Machine) -> None:
    assert machine.sh("rear checklayout", timeout=300) == guests.Answer(0, "")
    machine.check("lvextend -qq -L 192m data/linear && swaplabel -L other /dev/data/striped")
    answer = machine.sh("rear checklayout 2>&1", timeout=300)
    assert answer.status == 1
    assert "logical volume data/linear (/dev/mapper/data-linear) grew from 128 MiB to 192 MiB" in answer.output
    assert "label changed from labswap to other" in answer.output
    machine.check("mv /etc/rear/recovery/layout.json /root/layout.json")
    assert machine.sh("rear checklayout", timeout=300).status == 2
