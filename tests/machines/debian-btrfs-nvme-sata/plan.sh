#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk /dev/sdc
#   disk 0x5000c50015ea71ac (/dev/sdb)
#   disk lab1 (/dev/vdb)
#   disk lab5 (/dev/sda)
#   disk lab7 (/dev/sdd)
#   disk nvme.1b36-6c616236-51454d55204e564d65204374726c-00000001 (/dev/nvme0n1)
#   disk root (/dev/vda)
# Note: Left out: file system E55C-11C9 (it needs /dev/vdb1, which is not described)
# Note: Left out: snapshots on /srv/top (1 snapshots: the subvolumes they were taken of are described)
# Note: file system 04866923-c4af-4d99-a17e-ed2c2f8a0344: quotas are enabled again, but set their limits and groups by hand (btrfs qgroup)
set -e

## Build

# create file system pool (btrfs)
# DESTROYS everything on /dev/nvme0n1, /dev/sda
test -b /dev/nvme0n1
test -b /dev/sda
mkfs.btrfs --quiet --force --uuid=04866923-c4af-4d99-a17e-ed2c2f8a0344 --label=pool --data=raid1 --metadata=raid1 --nodesize=16384 --sectorsize=4096 --checksum=xxhash64 --features=no-holes --runtime-features=free-space-tree /dev/nvme0n1 /dev/sda

# tell the kernel which devices belong together
btrfs device scan /dev/nvme0n1 /dev/sda

# create a mount point for the top of the Btrfs
mkdir --parents /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344

# mount the top of file system pool
mount -t btrfs -o subvolid=5 /dev/nvme0n1 /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344

# create subvolume .snapshots
btrfs subvolume create /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344/.snapshots

# create subvolume @
btrfs subvolume create /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344/@

# create subvolume @home
btrfs subvolume create /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344/@home

# create subvolume .snapshots/1
btrfs subvolume create /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344/.snapshots/1

# create subvolume @home/work
btrfs subvolume create /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344/@home/work

# choose the default subvolume
btrfs subvolume set-default /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344/.snapshots/1

# enable quotas on file system pool
btrfs quota enable /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344

# unmount the top of the Btrfs
umount /run/rear/04866923-c4af-4d99-a17e-ed2c2f8a0344

# create file system debian12 (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 -U 0b3059bd-1abf-49e0-b6c5-e0f4b11dcc5c -L debian12 -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 262144 -I 256 -G 16 -J size=64 -E hash_seed=516f26ec-727d-496c-a17f-e69072f5a9ed -m 4.9999 /dev/vda

# tune file system debian12
tune2fs -r 52428 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/vda

# create file system STICK (FAT)
# DESTROYS everything on /dev/vdb
test -b /dev/vdb
mkfs.vfat -I -F 32 -i E55C11C9 -n STICK -s 8 -S 512 -R 32 -f 2 -M 0xf8 /dev/vdb

# create partition table on /dev/sdd
# DESTROYS all partitions on /dev/sdd
test -b /dev/sdd
sfdisk --wipe always --wipe-partitions always /dev/sdd <<'END'
label: gpt
label-id: 53dfeba2-4e20-3747-b672-6514bc40c64e
unit: sectors
first-lba: 2048
last-lba: 8388574

1 : start=2048, size=2097152, type=0fc63daf-8483-4772-8e79-3d69d8477de4, uuid=fa1d91f2-0c17-414b-92e6-51d86943cf89, name="single"
END

# wait for the partitions of /dev/sdd
udevadm settle --timeout=60

# create file system single (btrfs)
# DESTROYS everything on /dev/sdd1
test -b /dev/sdd1
mkfs.btrfs --quiet --force --uuid=504152a5-e944-4085-84aa-bc7a72760249 --label=single --nodesize=16384 --sectorsize=4096 --checksum=crc32c --features=no-holes --runtime-features=free-space-tree /dev/sdd1

# `rear recover` continues from here.
rear layout made 92b4d5d028bb30ce

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /srv/home
mkdir --parents /mnt/local/srv/home

# mount /srv/home
test -b /dev/nvme0n1
mount -t btrfs -o subvol=@home /dev/nvme0n1 /mnt/local/srv/home

# create the mount point /srv/pool
mkdir --parents /mnt/local/srv/pool

# mount /srv/pool
test -b /dev/nvme0n1
mount -t btrfs -o subvol=@ /dev/nvme0n1 /mnt/local/srv/pool

# create the mount point /srv/top
mkdir --parents /mnt/local/srv/top

# mount /srv/top
test -b /dev/nvme0n1
mount -t btrfs -o subvol=/ /dev/nvme0n1 /mnt/local/srv/top

## After the files are restored (not done by this script)
# # create the folder of swap file /swapfile
# mkdir --parents /mnt/local
# # create swap file /swapfile
# truncate --size=0 /mnt/local/swapfile
# # let only root read swap file /swapfile
# chmod 600 /mnt/local/swapfile
# # allocate swap file /swapfile
# fallocate --posix --length=67108864 /mnt/local/swapfile
# # format swap file /swapfile as swap
# mkswap /mnt/local/swapfile
