#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk QM00001 (/dev/sda)
# Note: Left out: snapshots on / (3 snapshots: the subvolumes they were taken of are described)
# Note: file system 3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c: quotas are enabled again, but set their limits and groups by hand (btrfs qgroup)
set -e

## Build

# create partition table on /dev/sda
# DESTROYS all partitions on /dev/sda
test -b /dev/sda
sfdisk --wipe always --wipe-partitions always /dev/sda <<'END'
label: gpt
label-id: 5ab1c2d3-e4f5-4a6b-9c8d-7e0f1a2b3c4d
unit: sectors
first-lba: 34
last-lba: 85983198

1 : start=2048, size=1048576, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, uuid=1a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9
2 : start=1050624, size=79691776, type=0fc63daf-8483-4772-8e79-3d69d8477de4, uuid=2a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9
3 : start=80742400, size=4190208, type=0657fd6d-a4ab-43c4-84e5-0933c84b4f4f, uuid=3a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9
END

# wait for the partitions of /dev/sda
udevadm settle --timeout=60

# create file system 3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c (btrfs)
# DESTROYS everything on /dev/sda2
test -b /dev/sda2
mkfs.btrfs --quiet --force --uuid=3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c --data=single --metadata=dup --nodesize=16384 --sectorsize=4096 --checksum=crc32c --features=no-holes --runtime-features=free-space-tree /dev/sda2

# create a mount point for the top of the Btrfs
mkdir --parents /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c

# mount the top of file system 3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c
mount -t btrfs -o subvolid=5 /dev/sda2 /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c

# create subvolume @
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@

# create subvolume @/.snapshots
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/.snapshots

# create the folder of subvolume @/boot/grub2/i386-pc
mkdir --parents /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/boot/grub2

# create subvolume @/boot/grub2/i386-pc
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/boot/grub2/i386-pc

# create the folder of subvolume @/boot/grub2/x86_64-efi
mkdir --parents /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/boot/grub2

# create subvolume @/boot/grub2/x86_64-efi
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/boot/grub2/x86_64-efi

# create subvolume @/home
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/home

# create subvolume @/opt
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/opt

# create subvolume @/root
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/root

# create subvolume @/srv
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/srv

# create subvolume @/tmp
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/tmp

# create the folder of subvolume @/usr/local
mkdir --parents /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/usr

# create subvolume @/usr/local
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/usr/local

# create subvolume @/var
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/var

# create the folder of subvolume @/.snapshots/5/snapshot
mkdir --parents /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/.snapshots/5

# create subvolume @/.snapshots/5/snapshot
btrfs subvolume create /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/.snapshots/5/snapshot

# choose the default subvolume
btrfs subvolume set-default /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c/@/.snapshots/5/snapshot

# enable quotas on file system 3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c
btrfs quota enable /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c

# unmount the top of the Btrfs
umount /run/rear/3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c

# create file system 4E5F-6071 (FAT)
# DESTROYS everything on /dev/sda1
test -b /dev/sda1
mkfs.vfat -I -F 32 -i 4E5F6071 -s 8 -S 512 -R 32 -f 2 -M 0xf8 -h 2048 /dev/sda1

# create swap 8e0f1a2b-3c4d-4e5f-8a7b-9c0d1e2f3a4b
# DESTROYS everything on /dev/sda3
test -b /dev/sda3
mkswap --force --uuid=8e0f1a2b-3c4d-4e5f-8a7b-9c0d1e2f3a4b /dev/sda3

# `rear recover` continues from here.
rear layout made 6bf8f09720374fd2

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/sda2
mount -t btrfs -o subvol=@/.snapshots/5/snapshot /dev/sda2 /mnt/local

# create the mount point /.snapshots
mkdir --parents /mnt/local/.snapshots

# mount /.snapshots
test -b /dev/sda2
mount -t btrfs -o subvol=@/.snapshots /dev/sda2 /mnt/local/.snapshots

# create the mount point /boot/efi
mkdir --parents /mnt/local/boot/efi

# mount /boot/efi
test -b /dev/sda1
mount -t vfat /dev/sda1 /mnt/local/boot/efi

# create the mount point /boot/grub2/i386-pc
mkdir --parents /mnt/local/boot/grub2/i386-pc

# mount /boot/grub2/i386-pc
test -b /dev/sda2
mount -t btrfs -o subvol=@/boot/grub2/i386-pc /dev/sda2 /mnt/local/boot/grub2/i386-pc

# create the mount point /boot/grub2/x86_64-efi
mkdir --parents /mnt/local/boot/grub2/x86_64-efi

# mount /boot/grub2/x86_64-efi
test -b /dev/sda2
mount -t btrfs -o subvol=@/boot/grub2/x86_64-efi /dev/sda2 /mnt/local/boot/grub2/x86_64-efi

# create the mount point /home
mkdir --parents /mnt/local/home

# mount /home
test -b /dev/sda2
mount -t btrfs -o subvol=@/home /dev/sda2 /mnt/local/home

# create the mount point /opt
mkdir --parents /mnt/local/opt

# mount /opt
test -b /dev/sda2
mount -t btrfs -o subvol=@/opt /dev/sda2 /mnt/local/opt

# create the mount point /root
mkdir --parents /mnt/local/root

# mount /root
test -b /dev/sda2
mount -t btrfs -o subvol=@/root /dev/sda2 /mnt/local/root

# create the mount point /srv
mkdir --parents /mnt/local/srv

# mount /srv
test -b /dev/sda2
mount -t btrfs -o subvol=@/srv /dev/sda2 /mnt/local/srv

# create the mount point /tmp
mkdir --parents /mnt/local/tmp

# mount /tmp
test -b /dev/sda2
mount -t btrfs -o subvol=@/tmp /dev/sda2 /mnt/local/tmp

# create the mount point /usr/local
mkdir --parents /mnt/local/usr/local

# mount /usr/local
test -b /dev/sda2
mount -t btrfs -o subvol=@/usr/local /dev/sda2 /mnt/local/usr/local

# create the mount point /var
mkdir --parents /mnt/local/var

# mount /var
test -b /dev/sda2
mount -t btrfs -o subvol=@/var /dev/sda2 /mnt/local/var
