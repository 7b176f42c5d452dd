#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk eui.002538b121b0c0a5 (/dev/nvme0n1)
# Note: LUKS volume 5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 (/dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42): the token 0 (TPM 2 by systemd-cryptenroll, PCRs 7) is lost with its secrets; rear enrolls it again where it can
set -e
passphrase() { printf 'Passphrase of %s: ' "$1" >&2; IFS= read -rs word </dev/tty; echo >&2; printf %s "$word"; }

## Build

# create partition table on /dev/nvme0n1
# DESTROYS all partitions on /dev/nvme0n1
test -b /dev/nvme0n1
sfdisk --wipe always --wipe-partitions always /dev/nvme0n1 <<'END'
label: gpt
label-id: a7d6c3e8-3b0f-4e0c-9d64-0f5c1b2a3948
unit: sectors
first-lba: 34
last-lba: 1000215182

1 : start=2048, size=1228800, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, uuid=0f6e5d4c-3b2a-4190-8f7e-6d5c4b3a2910, name="EFI System Partition"
2 : start=1230848, size=2097152, type=0fc63daf-8483-4772-8e79-3d69d8477de4, uuid=1f6e5d4c-3b2a-4190-8f7e-6d5c4b3a2911
3 : start=3328000, size=996886528, type=ca7d7ccb-63ed-4c53-861c-1742536059cc, uuid=2f6e5d4c-3b2a-4190-8f7e-6d5c4b3a2912
END

# wait for the partitions of /dev/nvme0n1
udevadm settle --timeout=60

# create file system boot (ext4)
# DESTROYS everything on /dev/nvme0n1p2
test -b /dev/nvme0n1p2
mke2fs -q -F -t ext4 -U 1f9c1a52-7f6e-4c92-8f0e-5a4b3c2d1e0f -L boot -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 65536 -I 256 -G 16 -J size=64 -E hash_seed=6f1dd0ad-4f3c-4f0a-8d45-2f5a6a2f6f0f -m 4.9999 /dev/nvme0n1p2

# tune file system boot
tune2fs -r 13107 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/nvme0n1p2

# create file system 7B3A-0C1D (FAT)
# DESTROYS everything on /dev/nvme0n1p1
test -b /dev/nvme0n1p1
mkfs.vfat -I -F 32 -i 7B3A0C1D -s 8 -S 512 -R 32 -f 2 -M 0xf8 -h 2048 /dev/nvme0n1p1

# create LUKS volume 5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42
# DESTROYS everything on /dev/nvme0n1p3
test -b /dev/nvme0n1p3
passphrase luks:5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 | cryptsetup luksFormat --batch-mode --type=luks2 --uuid=5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 --cipher=aes-xts-plain64 --key-size=512 --hash=sha256 --offset=32768 --key-slot=0 --pbkdf=argon2id --pbkdf-memory=1048576 --pbkdf-parallel=4 --pbkdf-force-iterations=7 --sector-size=512 --luks2-metadata-size=16384 --luks2-keyslots-size=16744448 --key-file=- /dev/nvme0n1p3

# open LUKS volume 5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 as luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42
passphrase luks:5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 | cryptsetup open --allow-discards --persistent --key-file=- /dev/nvme0n1p3 luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42

# create file system fedora (btrfs)
# DESTROYS everything on /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42
test -b /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42
mkfs.btrfs --quiet --force --uuid=0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01 --label=fedora --data=single --metadata=dup --nodesize=16384 --sectorsize=4096 --checksum=crc32c --features=no-holes --runtime-features=free-space-tree /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42

# create a mount point for the top of the Btrfs
mkdir --parents /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01

# mount the top of file system fedora
mount -t btrfs -o subvolid=5 /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01

# create subvolume home
btrfs subvolume create /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01/home

# create subvolume root
btrfs subvolume create /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01/root

# create the folder of subvolume root/var/lib/machines
mkdir --parents /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01/root/var/lib

# create subvolume root/var/lib/machines
btrfs subvolume create /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01/root/var/lib/machines

# unmount the top of the Btrfs
umount /run/rear/0d2f7a4e-2c1b-4f3e-9a55-7d1c6b8e9f01

# `rear recover` continues from here.
rear layout made 9607dd4cd7bcd181

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42
mount -t btrfs -o subvol=root,compress=zstd:1 /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 /mnt/local

# create the mount point /boot
mkdir --parents /mnt/local/boot

# mount /boot
test -b /dev/nvme0n1p2
mount -t ext4 /dev/nvme0n1p2 /mnt/local/boot

# create the mount point /home
mkdir --parents /mnt/local/home

# mount /home
test -b /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42
mount -t btrfs -o subvol=home,compress=zstd:1 /dev/mapper/luks-5b6f0c52-95a1-4f0e-8d21-3c9b7a6e5d42 /mnt/local/home

# create the mount point /boot/efi
mkdir --parents /mnt/local/boot/efi

# mount /boot/efi
test -b /dev/nvme0n1p1
mount -t vfat /dev/nvme0n1p1 /mnt/local/boot/efi
