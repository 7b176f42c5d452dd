#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk /dev/loop0
#   disk /dev/loop1
#   disk /dev/loop2
#   disk /dev/loop3
#   disk /dev/vda
# Note: Left out: snapshots on /srv/rec (1 snapshots: the subvolumes they were taken of are described)
set -e

## Build

# create file system /dev/vda (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 /dev/vda

# create file system CARDS (FAT)
# DESTROYS everything on /dev/loop2
test -b /dev/loop2
mkfs.vfat -I -F 16 -i 4C2A81B8 -n CARDS -s 4 -S 512 -R 4 -f 2 -M 0xf8 -r 512 /dev/loop2

# create file system pair (btrfs)
# DESTROYS everything on /dev/loop0, /dev/loop1
test -b /dev/loop0
test -b /dev/loop1
mkfs.btrfs --quiet --force --uuid=97275b95-3f07-4d5b-ac3a-cec2b2078450 --label=pair --data=raid0 --metadata=raid1 --nodesize=16384 --sectorsize=4096 --checksum=crc32c --features=no-holes --runtime-features=free-space-tree /dev/loop0 /dev/loop1

# tell the kernel which devices belong together
btrfs device scan /dev/loop0 /dev/loop1

# create a mount point for the top of the Btrfs
mkdir --parents /run/rear/97275b95-3f07-4d5b-ac3a-cec2b2078450

# mount the top of file system pair
mount -t btrfs -o subvolid=5 /dev/loop0 /run/rear/97275b95-3f07-4d5b-ac3a-cec2b2078450

# create subvolume @data
btrfs subvolume create /run/rear/97275b95-3f07-4d5b-ac3a-cec2b2078450/@data

# create subvolume @data/nested
btrfs subvolume create /run/rear/97275b95-3f07-4d5b-ac3a-cec2b2078450/@data/nested

# choose the default subvolume
btrfs subvolume set-default /run/rear/97275b95-3f07-4d5b-ac3a-cec2b2078450/@data

# unmount the top of the Btrfs
umount /run/rear/97275b95-3f07-4d5b-ac3a-cec2b2078450

# create swap spare
# DESTROYS everything on /dev/loop3
test -b /dev/loop3
mkswap --force --uuid=503d8fff-7fcc-46cf-adef-88dcef6ec645 --label=spare /dev/loop3

# `rear recover` continues from here.
rear layout made d5b5d9ecba2afbf9

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /srv/rec
mkdir --parents /mnt/local/srv/rec

# mount /srv/rec
test -b /dev/loop0
mount -t btrfs -o subvol=/ /dev/loop0 /mnt/local/srv/rec
