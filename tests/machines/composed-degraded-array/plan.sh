#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk /dev/sdc
#   disk 0x55cd2e4150000001 (/dev/sda)
#   disk 0x55cd2e4150000004 (/dev/sdd)
# Note: Left out: zfs_member on /dev/sdd (the zfs_member on it is not described)
# Note: RAID array f1e2d3c4:b5a69788:79685746:35241302 (/dev/md0): it is created degraded, without the members 1; add them later with `mdadm --add`
# Note: RAID array f1e2d3c4:b5a69788:79685746:35241302 (/dev/md0): it had no log of bad blocks, and gets one: `mdadm --assemble --update=no-bbl` removes it
set -e

## Build

# create partition table on /dev/sdc
# DESTROYS all partitions on /dev/sdc
test -b /dev/sdc
sfdisk --wipe always --wipe-partitions always /dev/sdc <<'END'
label: dos
label-id: 0x00000000
unit: sectors

1 : start=2048, size=937701040, type=fd
END

# wait for the partitions of /dev/sdc
udevadm settle --timeout=60

# create partition table on /dev/sda
# DESTROYS all partitions on /dev/sda
test -b /dev/sda
sfdisk --wipe always --wipe-partitions always /dev/sda <<'END'
label: dos
label-id: 0x00000000
unit: sectors

1 : start=2048, size=937701040, type=fd
END

# wait for the partitions of /dev/sda
udevadm settle --timeout=60

# create RAID array /dev/md0 (raid1)
# DESTROYS everything on /dev/sda1
test -b /dev/sda1
mdadm --create /dev/md0 --run --metadata=1.2 --level=raid1 --raid-devices=2 --uuid=f1e2d3c4:b5a69788:79685746:35241302 --homehost=srv --name=0 --data-offset=132096 --size=468785664 --bitmap=internal /dev/sda1 missing

# wait for /dev/md0
udevadm settle --timeout=60

# erase the first bytes of /dev/md0
# DESTROYS the first bytes of /dev/md0
test -b /dev/md0
dd if=/dev/zero of=/dev/md0 bs=1048576 count=1 conv=nocreat,notrunc,fsync status=none

# create file system 3aaa0c5e-9d1b-4a62-8f5f-1b2c3d4e5f60 (xfs)
# DESTROYS everything on /dev/md0
test -b /dev/md0
mkfs.xfs -q -f -m uuid=3aaa0c5e-9d1b-4a62-8f5f-1b2c3d4e5f60 /dev/md0

# `rear recover` continues from here.
rear layout made 6977ed719d2c7b0c

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/md0
mount -t xfs /dev/md0 /mnt/local
