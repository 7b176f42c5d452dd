# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine is asked to know it again."""

from __future__ import annotations

BLOCK_DEVICES = "lsblk --noheadings --raw --exclude 11 --output {columns} {disks} | sort -u"
EVERYTHING = "NAME,SIZE,TYPE,FSTYPE,FSVER,UUID,LABEL,PARTUUID,PARTTYPE,PARTLABEL,PARTFLAGS,MOUNTPOINT"
# Of disks that are replaced by others: no names and sizes.
IDENTIFIERS = "TYPE,FSTYPE,FSVER,UUID,LABEL,PARTUUID,PARTTYPE,PARTLABEL,PARTFLAGS,MOUNTPOINT"
EXT4 = (
    # Sorted by their places: a start mounts them in any order.
    "for device in $(findmnt --noheadings --list --types ext4 --output TARGET,SOURCE --nofsroot | sort |"
    " awk '{print $2}' | grep -v -F $(findmnt -n -o SOURCE /srv/backup || echo none)); do"
    " dumpe2fs -h $device 2>/dev/null | grep -E '^(Filesystem (UUID|features|volume name)|Block size|Inode size|"
    "Default mount|Errors|Maximum|Directory Hash)'; done"
)
COMMON = (
    "systemctl is-system-running --wait",
    "swapon --show=TYPE,SIZE,UUID,LABEL --noheadings",
    "systemctl list-units --state=failed --plain --no-legend --no-pager",
    # Some are started by others, and end when they like.
    "systemctl list-units --type=service --state=running --plain --no-legend --no-pager | cut -d' ' -f1 |"
    " grep -vE 'fsckd|polkit|hostnamed|dispatcher|snapperd'",
    EXT4,
)
LVM = (
    "vgs --noheadings --options vg_name,vg_extent_size",
    "lvs --noheadings --options vg_name,lv_name,segtype,stripes,stripe_size,lv_size,lv_attr,pool_lv,chunk_size,zero",
    "pvs --noheadings --options pv_uuid,vg_name | sort",
)
# LVM writes down what it has seen.
LVM_NOTES = ("/etc/lvm/archive/*", "/etc/lvm/backup/*")
BOOT_ENTRIES = "efibootmgr | grep --ignore-case debian | cut -c 10-"
FILES = "findmnt --noheadings --real --list --output TARGET,FSTYPE,OPTIONS | sort"


def block_devices(disks: str, columns: str = EVERYTHING) -> str:
    return BLOCK_DEVICES.format(columns=columns, disks=disks)
