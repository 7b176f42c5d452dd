#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk /dev/loop0
#   disk /dev/loop1
#   disk /dev/loop2
#   disk /dev/loop3
#   disk /dev/vda
set -e

## Build

# create file system /dev/vda (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 /dev/vda

# create file system root (ext4)
# DESTROYS everything on /dev/loop0
test -b /dev/loop0
mke2fs -q -F -t ext4 -U 53c23451-2e9f-4565-8d7c-ea3036afcc0d -L root -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 1024 -N 65536 -I 256 -G 16 -J size=8 -E hash_seed=8cc14cf0-4b9a-4290-815b-acc800618f18,stride=4,stripe_width=8 -m 4.9999 /dev/loop0

# tune file system root
tune2fs -r 13107 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E hash_alg=half_md4 /dev/loop0

# create file system 53d0d804-cd44-4966-827f-2109db3af160 (ext2)
# DESTROYS everything on /dev/loop2
test -b /dev/loop2
mke2fs -q -F -t ext2 -U 53d0d804-cd44-4966-827f-2109db3af160 -O none -b 1024 -N 4096 -I 128 -E hash_seed=d387ee04-5766-401b-bbb2-d9020305f4c4 -m 4.9988 /dev/loop2

# tune file system 53d0d804-cd44-4966-827f-2109db3af160
tune2fs -r 819 -u 0 -g 0 -c -1 -i 0s -e continue -o '^acl,^user_xattr' -E stride=0,stripe_width=0 /dev/loop2

# create file system old (ext3)
# DESTROYS everything on /dev/loop1
test -b /dev/loop1
mke2fs -q -F -t ext3 -U ff169a12-ed53-425a-b3f0-55b0f5aaed37 -L old -O none,dir_index,ext_attr,filetype,has_journal,large_file,resize_inode,sparse_super -b 1024 -N 16384 -I 256 -J size=4 -E hash_seed=d20a8843-ed78-4496-98f9-9891796d9703 -m 4.9988 /dev/loop1

# tune file system old
tune2fs -r 3276 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/loop1

# create partition table on /dev/loop3
# DESTROYS all partitions on /dev/loop3
test -b /dev/loop3
sfdisk --wipe always --wipe-partitions always /dev/loop3 <<'END'
label: dos
label-id: 0x8f2d0b5c
unit: sectors

1 : start=2048, size=40960, type=83, bootable
2 : start=43008, size=163840, type=5
3 : start=206848, size=20480, type=82
5 : start=45056, size=20480, type=83
6 : start=67584, size=20480, type=8e
END

# wait for the partitions of /dev/loop3
udevadm settle --timeout=60

# `rear recover` continues from here.
rear layout made 3b65dcdda7782116

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /mnt/lab-root
mkdir --parents /mnt/local/mnt/lab-root

# mount /mnt/lab-root
test -b /dev/loop0
mount -t ext4 /dev/loop0 /mnt/local/mnt/lab-root
