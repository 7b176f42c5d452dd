# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of Debian: one for each kind of storage and firmware."""

from __future__ import annotations

from dataclasses import replace

from ..debian import BULLSEYE, FORKY, TRIXIE
from ..machines import Design, Drive
from .facts import (
    BOOT_ENTRIES,
    COMMON,
    EVERYTHING,
    FILES,
    IDENTIFIERS,
    LVM,
    LVM_NOTES,
    block_devices,
)

BIOS = Design(
    name="bios",
    loader="GRUB",
    root="ext4 on an MBR",
    about="swap",
    drives=[Drive("system", 4096)],
    storage="""
sfdisk --quiet /dev/vda <<END
label: dos
label-id: 0x8f2d0b5c
start=2048, size=7340032, type=83, bootable
type=82
END
udevadm settle
mkswap --uuid 7e2b8d14-5a6c-4f3e-9b07-c4d1e8f2a695 --label swap /dev/vda2
put_root /dev/vda1 -U 3c1f7a52-9d4e-4b8c-a6f1-0e5d2c7b9a31 -m 3
""",
    files={
        "/etc/fstab": """\
UUID=3c1f7a52-9d4e-4b8c-a6f1-0e5d2c7b9a31  /  ext4  errors=remount-ro  0  1
UUID=7e2b8d14-5a6c-4f3e-9b07-c4d1e8f2a695  none  swap  sw  0  0
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
"""
    },
    settle="grub-install /dev/vda; update-grub",
    facts=[*COMMON, FILES, "sfdisk --dump /dev/vda", block_devices("/dev/vda")],
)

UEFI = Design(
    name="uefi",
    loader="GRUB, by its boot entry",
    root="ext4 on LVM",
    network="systemd-networkd, by address",
    about="XFS and swap on LVM",
    drives=[Drive("system", 5120)],
    firmware="uefi",
    on_nfs=True,
    storage="""
sfdisk --quiet /dev/vda <<END
label: gpt
label-id: 5B0C3C34-2B5A-4B0F-9E51-6D2C1B7F8A90
size=128MiB, type=uefi, name="EFI System", uuid=0C8E6F1D-72C4-4E19-8B4B-0A9C5A3D2E71
type=lvm, name="volumes", uuid=9D41A0C6-5E3B-47D8-A1F2-7C6B8E0D4F35
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -i 5e1a7c0d -n ESP /dev/vda1
pvcreate --quiet /dev/vda2
vgcreate --quiet system /dev/vda2
lvcreate --quiet --yes --wipesignatures y --size 2800M --name root system
lvcreate --quiet --yes --size 256M --name swap system
lvcreate --quiet --yes --size 512M --name home system
mkfs.xfs -q -L home /dev/system/home
mkswap --label swap /dev/system/swap
put_root /dev/system/root
mkdir -p /mnt/boot/efi /mnt/home
mount /dev/vda1 /mnt/boot/efi
mount /dev/system/home /mnt/home
""",
    files={
        "/etc/fstab": """\
/dev/mapper/system-root  /  ext4  errors=remount-ro  0  1
UUID=5E1A-7C0D  /boot/efi  vfat  umask=0077  0  1
LABEL=home  /home  xfs  defaults,noatime  0  2
/dev/mapper/system-swap  none  swap  sw  0  0
""",
        "/etc/systemd/network/10-lan.network": """\
[Match]
MACAddress=52:54:00:00:00:01
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
""",
    },
    settle="systemctl enable systemd-networkd;"
    " grub-install --target=x86_64-efi --efi-directory=/boot/efi --force-extra-removable; update-grub",
    facts=[*COMMON, *LVM, FILES, "sfdisk --dump /dev/vda", block_devices("/dev/vda"), "xfs_info /home",
           BOOT_ENTRIES],
    # The card is in another slot than beside the disk that rear came from.
    may_differ=[*LVM_NOTES, "/etc/systemd/network/10-rear-*.link"],
)  # fmt: skip

RAID = Design(
    name="raid",
    loader="GRUB",
    root="ext4 on LVM on LUKS2 on RAID 1",
    about="two disks; btrfs with subvolumes",
    drives=[Drive("first", 4096), Drive("second", 4096)],
    passphrase="correct horse battery",
    storage="""
for disk in vda vdb; do
    printf '%s\n' 'label: gpt' 'size=1MiB, type=21686148-6449-6E6F-744E-656564454649' \
        'size=256MiB, type=raid' 'type=raid' | sfdisk --quiet /dev/$disk
done
udevadm settle
mdadm --create /dev/md/boot --run --uuid=c3d1a9f2:5b7e4c08:9a61f7d2:40be85c6 --homehost=debian12 --name=boot \
    --level=1 --raid-devices=2 --assume-clean --bitmap=none /dev/vda2 /dev/vdb2
mdadm --create /dev/md/system --run --uuid=7f04b6e1:2c9d4a35:b8e2d105:6c7a93f8 --homehost=debian12 --name=system \
    --level=1 --raid-devices=2 --assume-clean --bitmap=internal /dev/vda3 /dev/vdb3
mkfs.ext4 -q -L boot /dev/md/boot
printf '%s' 'correct horse battery' | cryptsetup luksFormat --batch-mode --type luks2 --label crypt --pbkdf argon2id \
    --pbkdf-memory 65536 --pbkdf-force-iterations 4 --pbkdf-parallel 2 \
    --uuid 6a0d9f4e-1c3b-4d85-9e72-b8f5a0c6d413 --key-file - /dev/md/system
printf '%s' 'correct horse battery' | cryptsetup open --key-file - /dev/md/system crypt
pvcreate --quiet /dev/mapper/crypt
vgcreate --quiet system /dev/mapper/crypt
lvcreate --quiet --yes --size 2400M --name root system
lvcreate --quiet --yes --size 128M --name swap system
lvcreate --quiet --yes --size 640M --name data system
mkswap --label swap /dev/system/swap
mkfs.btrfs --quiet --label data /dev/system/data
put_root /dev/system/root
put_boot /dev/md/boot
mkdir -p /mnt/srv/data /mnt/srv/logs
mount /dev/system/data /mnt/srv/data
btrfs subvolume create /mnt/srv/data/@data
btrfs subvolume create /mnt/srv/data/@logs
btrfs subvolume set-default /mnt/srv/data/@data
umount /mnt/srv/data
mount /dev/system/data /mnt/srv/data
mount --options subvol=@logs /dev/system/data /mnt/srv/logs
""",
    files={
        "/etc/fstab": """\
/dev/mapper/system-root  /  ext4  errors=remount-ro  0  1
LABEL=boot  /boot  ext4  defaults  0  2
LABEL=data  /srv/data  btrfs  defaults  0  0
LABEL=data  /srv/logs  btrfs  subvol=@logs,compress=zstd  0  0
/dev/mapper/system-swap  none  swap  sw  0  0
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
        # New mirrors are synchronised in the background, which an emulated machine has little time for.
        "/etc/sysctl.d/raid.conf": "dev.raid.speed_limit_max = 1000\n",
    },
    initramfs={
        "/etc/crypttab": "crypt UUID=6a0d9f4e-1c3b-4d85-9e72-b8f5a0c6d413 none luks,discard,initramfs\n",
        "/etc/mdadm/mdadm.conf": """\
HOMEHOST <system>
MAILADDR root
ARRAY /dev/md/boot metadata=1.2 UUID=c3d1a9f2:5b7e4c08:9a61f7d2:40be85c6 name=debian12:boot
ARRAY /dev/md/system metadata=1.2 UUID=7f04b6e1:2c9d4a35:b8e2d105:6c7a93f8 name=debian12:system
""",
        "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\nraid1\n"
        "dm_crypt\nxts\naes_generic\nsha256_generic\n",
    },
    settle="grub-install /dev/vda; grub-install /dev/vdb; update-grub",
    facts=[
        *COMMON, *LVM, FILES, "sfdisk --dump /dev/vda", "sfdisk --dump /dev/vdb",
        "for array in boot system; do mdadm --detail --export /dev/md/$array | grep -vE '^MD_(DEVICE_|UPDATE)'; done",
        "cryptsetup luksDump /dev/md/system | grep -E '^(Version|UUID|Label)|cipher|PBKDF|Memory|Threads|sector'",
        "btrfs subvolume list -t /srv/data | awk '{print $1, $3, $4}'",
        "btrfs subvolume get-default /srv/data | sed 's/ gen [0-9]*//'",
        # Arrays get their numbers as they are found, and a file system in several places is said to be in any.
        block_devices("/dev/vda /dev/vdb", EVERYTHING.replace(",MOUNTPOINT", "")) + " | sed 's/^md[0-9]*/md/' | sort",
    ],
    may_differ=LVM_NOTES,
)  # fmt: skip

SECURE_BOOT = Design(
    name="secureboot",
    loader="shim, GRUB",
    root="ext4",
    about="the initramfs lacks the driver of the new disk",
    drives=[Drive("small", 3584)],
    firmware="secureboot",
    storage="""
sfdisk --quiet /dev/vda <<END
label: gpt
size=128MiB, type=uefi
type=linux
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -n ESP /dev/vda1
put_root /dev/vda2
mkdir -p /mnt/boot/efi
mount /dev/vda1 /mnt/boot/efi
""",
    files={
        "/etc/fstab": """\
LABEL=root  /  ext4  errors=remount-ro  0  1
LABEL=ESP  /boot/efi  vfat  umask=0077  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
"""
    },
    # The initramfs has a driver for virtio alone. An emulated machine makes one in minutes, and in more with hooks for
    # storage that it does not have.
    settle="""
sed -i 's/MODULES=list/MODULES=dep/; s/BUSYBOX=auto/BUSYBOX=n/' /etc/initramfs-tools/initramfs.conf
rm -f /usr/share/initramfs-tools/hooks/{cryptroot,dmsetup,lvm2,mdadm,thin-provisioning-tools}
grub-install --target=x86_64-efi --efi-directory=/boot/efi --uefi-secure-boot --force-extra-removable
update-grub
""",
    facts=[*COMMON, block_devices("$(findmnt -n -o SOURCE / | sed 's/p\\?2$//')", IDENTIFIERS), "mokutil --sb-state",
           "sed 's/.*/lockdown: &/' /sys/kernel/security/lockdown", BOOT_ENTRIES],
    new_drives=[Drive("larger", 8192, "nvme")],
    may_differ=["/boot/initrd.img-*"],
)  # fmt: skip

THIN = Design(
    name="thin",
    loader="GRUB",
    root="ext4 on LVM",
    about="striped and thin volumes over two disks, with ext4 and XFS",
    drives=[Drive("first", 3072), Drive("second", 3072)],
    storage="""
sfdisk --quiet /dev/vda <<END
label: dos
size=300MiB, type=83, bootable
type=8e
END
udevadm settle
mkfs.ext4 -q -L boot /dev/vda1
pvcreate --quiet /dev/vda2 /dev/vdb
vgcreate --quiet --physicalextentsize 8M system /dev/vda2 /dev/vdb
lvcreate --quiet --yes --size 2200M --name root system /dev/vda2
lvcreate --quiet --yes --size 512M --stripes 2 --stripesize 128k --name home system
lvcreate --quiet --yes --type thin-pool --size 800M --chunksize 128k --poolmetadatasize 8M --name pool system /dev/vdb
lvcreate --quiet --yes --thin --virtualsize 2G --name data system/pool
mkfs.ext4 -q -L home /dev/system/home
mkfs.xfs -q -L data /dev/system/data
put_root /dev/system/root
put_boot /dev/vda1
mkdir -p /mnt/home /mnt/srv/data
mount /dev/system/home /mnt/home
mount /dev/system/data /mnt/srv/data
""",
    files={
        "/etc/fstab": """\
/dev/mapper/system-root  /  ext4  errors=remount-ro  0  1
LABEL=boot  /boot  ext4  defaults  0  2
LABEL=home  /home  ext4  defaults  0  2
LABEL=data  /srv/data  xfs  defaults  0  2
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
"""
    },
    settle="grub-install /dev/vda; update-grub",
    facts=[*COMMON, *LVM, block_devices("/dev/vda /dev/vdb", IDENTIFIERS)],
    # The second disk comes first, and the first one was replaced.
    new_drives=[Drive("second", 3072), Drive("larger", 6144, first=True)],
    may_differ=LVM_NOTES,
)

# The password is where nobody has to type it: beside the repository, on a disk that is plugged in.
RESTIC = replace(
    BIOS,
    name="restic",
    about="as `bios`",
    packages=["restic"],
    configuration="BACKUP=RESTIC\nRESTIC_PASSWORD_FILE=/srv/backup/password\n",
    # restic 0.14 knows no holes.
    may_differ=["/srv/odd/sparse"],
    prepare="(umask 077; echo a word of restic >/srv/backup/password) &&"
    " restic --repo /srv/backup/restic --password-file /srv/backup/password init",
)

DEBIAN_11 = replace(
    SECURE_BOOT,
    name="debian11",
    about="as `secureboot`",
    release=BULLSEYE,
    # A start compiles it where /usr is newer than /etc.
    may_differ=[*SECURE_BOOT.may_differ, "/etc/udev/hwdb.bin"],
)
DEBIAN_13 = replace(
    SECURE_BOOT,
    name="debian13",
    about="as `secureboot`",
    release=TRIXIE,
)

# What becomes Debian 14 has dracut by default; its initramfs lacks the driver of the new disk.
FORKY_BY_DRACUT = replace(
    SECURE_BOOT,
    name="forky",
    about="as `secureboot`, with dracut",
    release=FORKY,
    dracut=True,
    initramfs={
        "/etc/dracut.conf.d/machine.conf": """\
hostonly="yes"
hostonly_cmdline="no"
compress="zstd -3"
do_strip="no"
add_drivers+=" virtio_blk virtio_pci ext4 "
omit_dracutmodules+=" bcache btrfs crypt dm dmraid i18n lvm mdraid multipath nvdimm overlay-root qemu terminfo "
"""
    },
    settle="""
grub-install --target=x86_64-efi --efi-directory=/boot/efi --uefi-secure-boot --force-extra-removable
update-grub
""",
)

ALL = (BIOS, UEFI, RAID, SECURE_BOOT, THIN, RESTIC, DEBIAN_11, DEBIAN_13, FORKY_BY_DRACUT)
