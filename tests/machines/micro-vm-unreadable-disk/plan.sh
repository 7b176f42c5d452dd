#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk /dev/vda
set -e

## Build

# create file system /dev/vda (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 /dev/vda

# `rear recover` continues from here.
rear layout made 685e853014bae2ab

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local
