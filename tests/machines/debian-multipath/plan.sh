#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   multipath disk 0x5000c50015ea71ac (/dev/mapper/mpatha)
#   disk root (/dev/vda)
set -e

## Build

# create file system debian12 (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 -U 0b3059bd-1abf-49e0-b6c5-e0f4b11dcc5c -L debian12 -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 262144 -I 256 -G 16 -J size=64 -E hash_seed=516f26ec-727d-496c-a17f-e69072f5a9ed -m 4.9999 /dev/vda

# tune file system debian12
tune2fs -r 52428 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/vda

# create partition table on /dev/mapper/mpatha
# DESTROYS all partitions on /dev/mapper/mpatha
test -b /dev/mapper/mpatha
sfdisk --wipe always --wipe-partitions always /dev/mapper/mpatha <<'END'
label: gpt
label-id: 8466e84e-1c22-8f41-9d98-366556334dac
unit: sectors
first-lba: 2048
last-lba: 4194270

1 : start=2048, size=1024000, type=0fc63daf-8483-4772-8e79-3d69d8477de4, uuid=8d6ae482-d550-2645-8c29-6110a8aaa360, name="san"
END

# wait for the partitions of /dev/mapper/mpatha
udevadm settle --timeout=60

# create file system san (ext4)
# DESTROYS everything on /dev/mapper/mpatha-part1
test -b /dev/mapper/mpatha-part1
mke2fs -q -F -t ext4 -U 427f6d5e-d23b-4f96-82a7-537cf7eb5cb5 -L san -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 1024 -N 128016 -I 256 -G 16 -J size=8 -E hash_seed=f14307b9-381f-4c99-980f-ed246c2820cd -m 5.0000 /dev/mapper/mpatha-part1

# tune file system san
tune2fs -r 25600 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/mapper/mpatha-part1

# `rear recover` continues from here.
rear layout made adad283557fba13f

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /srv/san
mkdir --parents /mnt/local/srv/san

# mount /srv/san
test -b /dev/mapper/mpatha-part1
mount -t ext4 /dev/mapper/mpatha-part1 /mnt/local/srv/san
