#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk /dev/loop0
#   disk /dev/loop1
#   disk /dev/loop2
#   disk /dev/loop3
#   disk /dev/loop4
#   disk /dev/loop5
#   disk /dev/vda
# Note: Left out: snapshots on /mnt/lab-top (1 snapshots: the subvolumes they were taken of are described)
set -e

## Build

# create file system /dev/vda (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 /dev/vda

# create file system srv (xfs)
# DESTROYS everything on /dev/loop0
test -b /dev/loop0
mkfs.xfs -q -f -L srv -m crc=1,finobt=1,rmapbt=1,reflink=1,bigtime=1,inobtcount=1,uuid=226cbd37-32cd-473a-b00e-40ac71ddb8f6 -i maxpct=25,sparse=1,nrext64=0,size=1024 -n size=4096 -l size=67108864 -b size=4096 -s size=512 -d agsize=83886080,noalign /dev/loop0

# create file system ESP (FAT)
# DESTROYS everything on /dev/loop2
test -b /dev/loop2
mkfs.vfat -I -F 32 -i C4CA32AA -n ESP -s 1 -S 512 -R 32 -f 2 -M 0xf8 /dev/loop2

# create file system C4CA-9202 (FAT)
# DESTROYS everything on /dev/loop3
test -b /dev/loop3
mkfs.vfat -I -F 12 -i C4CA9202 -s 4 -S 512 -R 4 -f 2 -M 0xf8 -r 512 /dev/loop3

# create file system tree (btrfs)
# DESTROYS everything on /dev/loop1
test -b /dev/loop1
mkfs.btrfs --quiet --force --uuid=e85f536e-1e45-4b34-85e9-8401de5a9542 --label=tree --data=single --metadata=dup --nodesize=16384 --sectorsize=4096 --checksum=crc32c --features=no-holes --runtime-features=free-space-tree /dev/loop1

# create a mount point for the top of the Btrfs
mkdir --parents /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542

# mount the top of file system tree
mount -t btrfs -o subvolid=5 /dev/loop1 /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542

# create subvolume @
btrfs subvolume create /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542/@

# create subvolume @home
btrfs subvolume create /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542/@home

# create subvolume @home/nested
btrfs subvolume create /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542/@home/nested

# choose the default subvolume
btrfs subvolume set-default /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542/@

# unmount the top of the Btrfs
umount /run/rear/e85f536e-1e45-4b34-85e9-8401de5a9542

# create swap sw
# DESTROYS everything on /dev/loop4
test -b /dev/loop4
mkswap --force --uuid=00a33374-f637-467e-bf94-1eeb65eb9e80 --label=sw /dev/loop4

# create partition table on /dev/loop5
# DESTROYS all partitions on /dev/loop5
test -b /dev/loop5
sfdisk --wipe always --wipe-partitions always /dev/loop5 <<'END'
label: gpt
label-id: 76239fb7-0b7b-9842-8a26-016fdd9768ad
unit: sectors
first-lba: 64
last-lba: 524254

1 : start=2048, size=65536, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, uuid=a964ad78-519c-254d-81b4-666818f71a1c, name="EFI System"
2 : start=67584, size=2048, type=21686148-6449-6e6f-744e-656564454649, uuid=7b1f518f-03e2-6248-be3b-9e08f4917017
3 : start=69632, size=32768, type=0fc63daf-8483-4772-8e79-3d69d8477de4, uuid=2a5bd99b-4c6b-aa45-9846-f921e0d6bc1a, name="Linux root", attrs="RequiredPartition GUID:60,63"
END

# wait for the partitions of /dev/loop5
udevadm settle --timeout=60

# `rear recover` continues from here.
rear layout made 35014b93b9259598

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /mnt/lab-home
mkdir --parents /mnt/local/mnt/lab-home

# mount /mnt/lab-home
test -b /dev/loop1
mount -t btrfs -o subvol=@home /dev/loop1 /mnt/local/mnt/lab-home

# create the mount point /mnt/lab-srv
mkdir --parents /mnt/local/mnt/lab-srv

# mount /mnt/lab-srv
test -b /dev/loop0
mount -t xfs /dev/loop0 /mnt/local/mnt/lab-srv

# create the mount point /mnt/lab-top
mkdir --parents /mnt/local/mnt/lab-top

# mount /mnt/lab-top
test -b /dev/loop1
mount -t btrfs -o subvol=/ /dev/loop1 /mnt/local/mnt/lab-top
