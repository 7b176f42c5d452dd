#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk 0x1a2b3c4d (/dev/mmcblk0)
set -e

## Build

# create partition table on /dev/mmcblk0
# DESTROYS all partitions on /dev/mmcblk0
test -b /dev/mmcblk0
sfdisk --wipe always --wipe-partitions always /dev/mmcblk0 <<'END'
label: dos
label-id: 0x5452574f
unit: sectors

1 : start=8192, size=1048576, type=c
2 : start=1056768, size=61277184, type=83
END

# wait for the partitions of /dev/mmcblk0
udevadm settle --timeout=60

# create file system rootfs (ext4)
# DESTROYS everything on /dev/mmcblk0p2
test -b /dev/mmcblk0p2
mke2fs -q -F -t ext4 -U 8c3f5d1e-6b7a-4c2d-9e0f-1a2b3c4d5e6f -L rootfs -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 1900544 -I 256 -G 16 -J size=64 -E hash_seed=6f1dd0ad-4f3c-4f0a-8d45-2f5a6a2f6f0f -m 4.2487 /dev/mmcblk0p2

# tune file system rootfs
tune2fs -r 325437 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/mmcblk0p2

# create file system bootfs (FAT)
# DESTROYS everything on /dev/mmcblk0p1
test -b /dev/mmcblk0p1
mkfs.vfat -I -F 32 -i 9F2E4B1C -n bootfs -s 8 -S 512 -R 32 -f 2 -M 0xf8 -h 2048 /dev/mmcblk0p1

# `rear recover` continues from here.
rear layout made 872d0115b88a64fa

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/mmcblk0p2
mount -t ext4 /dev/mmcblk0p2 /mnt/local

# create the mount point /boot
mkdir --parents /mnt/local/boot

# mount /boot
test -b /dev/mmcblk0p1
mount -t vfat /dev/mmcblk0p1 /mnt/local/boot

## After the files are restored (not done by this script)
# # create the folder of swap file /var/swap
# mkdir --parents /mnt/local/var
# # create swap file /var/swap
# truncate --size=0 /mnt/local/var/swap
# # let only root read swap file /var/swap
# chmod 600 /mnt/local/var/swap
# # allocate swap file /var/swap
# fallocate --posix --length=104857600 /mnt/local/var/swap
# # format swap file /var/swap as swap
# mkswap /mnt/local/var/swap
