#!/bin/bash
# Makes the storage of this machine again. THIS DESTROYS what lies on these disks:
#   disk /dev/vda
set -e

## Build

# make file system /dev/vda (ext4)
# DESTROYS what lies on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 /dev/vda

# `rear recover` takes it from here.
rear layout made 8587446ad12eca08

## Mount

# make the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local
