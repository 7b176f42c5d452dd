# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of Debian: one for each kind of storage and firmware."""

from __future__ import annotations

from dataclasses import replace

from ..debian import BULLSEYE, FORKY, PARAMETERS, TRIXIE
from ..machines import GRUB, Design, Drive

BLOCK_DEVICES = "lsblk --noheadings --raw --exclude 11 --output {columns} {disks} | sort -u"
EVERYTHING = "NAME,SIZE,TYPE,FSTYPE,FSVER,UUID,LABEL,PARTUUID,PARTTYPE,PARTLABEL,PARTFLAGS,MOUNTPOINT"
# Of disks that are replaced by others: no names and sizes.
IDENTIFIERS = "TYPE,FSTYPE,FSVER,UUID,LABEL,PARTUUID,PARTTYPE,PARTLABEL,PARTFLAGS,MOUNTPOINT"
EXT4 = (
    # Sorted by their places: a start mounts them in any order.
    "for device in $(findmnt --noheadings --list --types ext4 --output TARGET,SOURCE --nofsroot | sort |"
    " awk '{print $2}' | grep -v -F $(findmnt -n -o SOURCE /srv/backup || echo none)); do"
    " dumpe2fs -h $device 2>/dev/null | grep -E '^(Filesystem (UUID|features|volume name)|Block size|Inode size|"
    "Default mount|Errors|Maximum|Directory Hash)'; done"
)
COMMON = (
    "systemctl is-system-running --wait",
    "swapon --show=TYPE,SIZE,UUID,LABEL --noheadings",
    "systemctl list-units --state=failed --plain --no-legend --no-pager",
    # The one that checks file systems ends when it likes, and others start polkit when they like.
    "systemctl list-units --type=service --state=running --plain --no-legend --no-pager | cut -d' ' -f1 |"
    " grep -vE 'fsckd|polkit'",
    EXT4,
)
LVM = (
    "vgs --noheadings --options vg_name,vg_extent_size",
    "lvs --noheadings --options vg_name,lv_name,segtype,stripes,stripe_size,lv_size,lv_attr,pool_lv,chunk_size,zero",
    "pvs --noheadings --options pv_uuid,vg_name | sort",
)
# LVM writes down what it has seen.
LVM_NOTES = ("/etc/lvm/archive/*", "/etc/lvm/backup/*")
BOOT_ENTRIES = "efibootmgr | grep --ignore-case debian | cut -c 10-"
FILES = "findmnt --noheadings --real --list --output TARGET,FSTYPE,OPTIONS | sort"


def block_devices(disks: str, columns: str = EVERYTHING) -> str:
    return BLOCK_DEVICES.format(columns=columns, disks=disks)


BIOS = Design(
    name="bios",
    about="MBR, ext4, swap; GRUB",
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
    about="LVM with ext4, XFS and swap; GRUB, started by its boot entry",
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
    about="md RAID 1 on two disks, LUKS2, LVM, btrfs with subvolumes; GRUB",
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
    about="ext4; shim and GRUB; the initramfs lacks the driver of the new disk",
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
    about="LVM linear, striped and thin over two disks, with ext4 and XFS; GRUB",
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

# A root file system beside an ESP of its own mount point, as systemd-boot has it.
ON_ESP = """
sfdisk --quiet /dev/vda <<END
label: gpt
size=256MiB, type=uefi
type=linux
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -n ESP /dev/vda1
put_root /dev/vda2
mkdir -p /mnt/efi
mount /dev/vda1 /mnt/efi
"""
FSTAB_WITH_ESP = """\
LABEL=root  /  ext4  errors=remount-ro  0  1
LABEL=ESP  /efi  vfat  umask=0077  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
"""

# Its root file system has another name on the new disk, for which its initramfs has no driver: the copy beside the
# entry has to be renewed, by hooks of Debian that would take the parameters of the rescue system.
SYSTEMD_BOOT = Design(
    name="systemd-boot",
    about="ext4, named by its partition; systemd-boot with entries",
    drives=[Drive("system", 4096)],
    firmware="uefi",
    boot_entry=False,
    packages=["systemd-boot"],
    storage=ON_ESP,
    files={
        "/etc/fstab": FSTAB_WITH_ESP,
        "/etc/kernel/cmdline": f"root=/dev/vda2 rw console=ttyS0 {PARAMETERS}\n",
    },
    settle="""
sed -i 's/MODULES=list/MODULES=dep/; s/BUSYBOX=auto/BUSYBOX=n/' /etc/initramfs-tools/initramfs.conf
rm /usr/share/initramfs-tools/hooks/{cryptroot,dmsetup,lvm2,mdadm,thin-provisioning-tools}
SYSTEMD_RELAX_ESP_CHECKS=1 bootctl install --no-variables --esp-path=/efi
version=$(ls /lib/modules)
kernel-install add $version /boot/vmlinuz-$version /boot/initrd.img-$version
rm /etc/kernel/cmdline
""",
    facts=[*COMMON, block_devices("$(findmnt -n -o SOURCE / | sed 's/p\\?2$//')", IDENTIFIERS),
           "bootctl is-installed",
           "sed 's/root=[^ ]*//' /proc/cmdline", "sed 's/root=[^ ]*//' /efi/loader/entries/*.conf"],
    new_drives=[Drive("larger", 8192, "nvme")],
    # kernel-install copies the kernel again and runs depmod; each start writes the machine id that its parameters have.
    may_differ=["/boot/initrd.img-*", "/efi/*/*/*", "/efi/loader/entries/*", "/efi/loader/random-seed",
                "/etc/machine-id", "/usr/lib/modules/*/modules.*"],
)  # fmt: skip

# The administrator has signed systemd-boot and the image with a key of the machine, which its firmware trusts.
OWN_KEY = """
mkdir --mode 700 /etc/secureboot
openssl req -x509 -newkey rsa:2048 -noenc -days 3650 -subj '/CN=key of this machine' \
    -keyout /etc/secureboot/db.key -out /etc/secureboot/db.crt
sign() { sbsign --key /etc/secureboot/db.key --cert /etc/secureboot/db.crt --output "$2" "$1"; }
programs=/usr/lib/systemd/boot/efi
sign $programs/systemd-bootx64.efi $programs/systemd-bootx64.efi.signed
SYSTEMD_RELAX_ESP_CHECKS=1 bootctl install --no-variables --esp-path=/efi
mkdir -p /efi/EFI/Linux
version=$(ls /lib/modules)
"""
CERTIFICATE = "/etc/secureboot/db.crt"
STARTED_BY = (
    "mokutil --sb-state",
    "sed 's/.*/lockdown: &/' /sys/kernel/security/lockdown",
    "bootctl is-installed",
    # The loader, the entry that it has started, and the program at the head of the image.
    "for name in LoaderInfo LoaderEntrySelected StubInfo; do"
    " cat /sys/firmware/efi/efivars/$name-* | tail --bytes +5 | tr -d '\\0'; echo; done",
)

# The rescue system does not have that key: the machine starts again only if nothing has changed the image, which has
# the drivers of both disks.
UKI = Design(
    name="uki",
    about="LUKS2; a unified kernel image, signed with a key of the machine",
    drives=[Drive("system", 4096)],
    firmware="secureboot",
    boot_entry=False,
    certificate=CERTIFICATE,
    passphrase="correct horse battery",
    packages=["systemd-boot", "sbsigntool", "binutils"],
    storage="""
sfdisk --quiet /dev/vda <<END
label: gpt
size=256MiB, type=uefi
type=linux
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -n ESP /dev/vda1
printf '%s' 'correct horse battery' | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf argon2id \
    --pbkdf-memory 65536 --pbkdf-force-iterations 4 --pbkdf-parallel 1 \
    --uuid 0b7f4d2c-6e19-4a53-8c0d-f1a5e7932b68 --key-file - /dev/vda2
printf '%s' 'correct horse battery' | cryptsetup open --key-file - /dev/vda2 crypt
put_root /dev/mapper/crypt -U d58e1c36-27fa-4b90-a4e3-7c6d0f8b2951
mkdir -p /mnt/efi
mount /dev/vda1 /mnt/efi
""",
    files={
        "/etc/fstab": """\
UUID=d58e1c36-27fa-4b90-a4e3-7c6d0f8b2951  /  ext4  errors=remount-ro  0  1
LABEL=ESP  /efi  vfat  umask=0077  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
        "/etc/kernel/cmdline": f"root=UUID=d58e1c36-27fa-4b90-a4e3-7c6d0f8b2951 ro console=ttyS0 {PARAMETERS}\n",
    },
    initramfs={
        "/etc/crypttab": "crypt UUID=0b7f4d2c-6e19-4a53-8c0d-f1a5e7932b68 none luks,discard,initramfs\n",
        "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\nnvme\next4\ndm_crypt\nxts\naes_generic\n"
        "sha256_generic\n",
    },
    settle=f"""{OWN_KEY}
echo -n $version >/run/version
objcopy \
    --add-section .osrel=/etc/os-release --change-section-vma .osrel=0x20000 \
    --add-section .uname=/run/version --change-section-vma .uname=0x28000 \
    --add-section .cmdline=/etc/kernel/cmdline --change-section-vma .cmdline=0x30000 \
    --add-section .linux=/boot/vmlinuz-$version --change-section-vma .linux=0x2000000 \
    --add-section .initrd=/boot/initrd.img-$version --change-section-vma .initrd=0x3000000 \
    $programs/linuxx64.efi.stub /run/image
sign /run/image /efi/EFI/Linux/debian-$version.efi
""",
    facts=[*COMMON, *STARTED_BY, FILES, block_devices("$(blkid --label ESP | sed 's/p\\?1$//')", IDENTIFIERS),
           "cryptsetup luksDump /dev/disk/by-uuid/0b7f4d2c-6e19-4a53-8c0d-f1a5e7932b68 |"
           " grep -E '^(Version|UUID|Label)|cipher|PBKDF|Memory|Threads|sector'",
           "cat /proc/cmdline", "sha256sum /efi/EFI/*/*"],
    new_drives=[Drive("larger", 8192, "nvme")],
    may_differ=["/efi/loader/random-seed"],
)  # fmt: skip

# Its image names the root file system by a name that it does not have on the new disk, for which it has no driver.
# dracut, which has the place of initramfs-tools, makes and signs another one.
UKI_OF_DRACUT = Design(
    name="uki-of-dracut",
    about="ext4; a unified kernel image, which dracut makes and signs anew",
    drives=[Drive("system", 4096)],
    firmware="secureboot",
    boot_entry=False,
    certificate=CERTIFICATE,
    packages=["systemd-boot", "sbsigntool", "binutils"],
    dracut=True,
    storage=ON_ESP,
    files={
        "/etc/fstab": FSTAB_WITH_ESP,
        "/etc/dracut.conf.d/machine.conf": """\
hostonly="yes"
hostonly_cmdline="no"
compress="zstd -3"
do_strip="no"
add_drivers+=" virtio_blk virtio_pci "
omit_dracutmodules+=" bcache btrfs crypt dm dmraid i18n lvm mdraid multipath nvdimm overlay-root qemu terminfo "
uefi_secureboot_cert="/etc/secureboot/db.crt"
uefi_secureboot_key="/etc/secureboot/db.key"
""",
        "/etc/kernel/cmdline": f"root=/dev/vda2 ro console=ttyS0 {PARAMETERS}\n",
    },
    settle=f"""{OWN_KEY}
dracut --uefi --kver $version --kernel-image /boot/vmlinuz-$version \
    --kernel-cmdline "$(cat /etc/kernel/cmdline)" /efi/EFI/Linux/debian-$version.efi
rm /etc/kernel/cmdline /usr/sbin/update-initramfs /boot/initrd.img-*
""",
    facts=[*COMMON, *STARTED_BY, FILES, block_devices("$(blkid --label ESP | sed 's/p\\?1$//')", IDENTIFIERS),
           "sed 's/root=[^ ]*//' /proc/cmdline", "sha256sum /efi/EFI/{BOOT,systemd}/*"],
    new_drives=[Drive("larger", 8192, "nvme")],
    may_differ=["/efi/EFI/Linux/*", "/efi/loader/random-seed"],
)  # fmt: skip

# Its kernel gets the root file system by a name that is another one there, as another disk comes first. EXTLINUX reads
# no ext4 with 64 bits.
EXTLINUX = Design(
    name="extlinux",
    about="MBR, ext4, named by its partition; EXTLINUX",
    drives=[Drive("system", 4096)],
    packages=["extlinux"],
    storage="""
sfdisk --quiet /dev/vda <<END
label: dos
label-id: 0x2c7e9a41
size=256MiB, type=83, bootable
type=83
END
udevadm settle
mkfs.ext4 -q -O ^64bit -L boot /dev/vda1
put_root /dev/vda2
put_boot /dev/vda1
""",
    files={
        "/etc/fstab": """\
LABEL=root  /  ext4  errors=remount-ro  0  1
LABEL=boot  /boot  ext4  defaults  0  2
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
        "/boot/extlinux/extlinux.conf": f"""\
DEFAULT linux
PROMPT 0
TIMEOUT 10
LABEL linux
    MENU LABEL Debian
    LINUX ../vmlinuz-VERSION
    INITRD /initrd.img-VERSION
    APPEND root=/dev/vda2 ro console=ttyS0 {PARAMETERS}
""",
    },
    settle="""
sed -i "s/VERSION/$(ls /lib/modules)/" /boot/extlinux/extlinux.conf
extlinux --install /boot/extlinux
dd if=/usr/lib/EXTLINUX/mbr.bin of=/dev/vda bs=440 count=1 conv=notrunc
""",
    facts=[*COMMON, FILES, block_devices("$(findmnt -n -o SOURCE / | sed 's/2$//')", IDENTIFIERS),
           "head --bytes 440 $(findmnt -n -o SOURCE / | sed 's/2$//') | sha256sum",
           "lsattr /boot/extlinux/ldlinux.sys", "sed 's/root=[^ ]*//' /proc/cmdline",
           "sed 's/root=[^ ]*//' /boot/extlinux/extlinux.conf"],
    new_drives=[Drive("other", 64), Drive("system", 4096, first=True)],
    # The installer brings both, and writes into one where it lies.
    may_differ=["/boot/extlinux/extlinux.conf", "/boot/extlinux/ldlinux.*"],
)  # fmt: skip

# Recovered by the other kind of firmware: the plan adds what that needs, and swap becomes smaller for it.
OF_BOTH = [fact for fact in COMMON if "swapon" not in fact]
MADE_BY_GRUB = ["/boot/grub/*", "/boot/grub"]
BIOS_TO_UEFI = replace(
    BIOS,
    name="bios-to-uefi",
    about="as `bios`, recovered with UEFI: an EFI system partition is added, GRUB gets a boot entry",
    facts=[*OF_BOTH, "swapon --show=UUID,LABEL --noheadings",
           "findmnt --noheadings --list --output TARGET,FSTYPE,OPTIONS /", "sfdisk --disk-id /dev/vda",
           "grep -v /boot/efi /etc/fstab"],
    new_firmware="uefi",
    new_drives=BIOS.drives,
    may_differ=[*MADE_BY_GRUB, "/boot/efi", "/boot/efi/*", "/etc/fstab"],
)  # fmt: skip
UEFI_TO_BIOS = Design(
    name="uefi-to-bios",
    about="GPT, ext4; GRUB for UEFI, recovered with BIOS: a BIOS boot partition is added",
    drives=[Drive("system", 4096)],
    firmware="uefi",
    boot_entry=False,
    storage=SECURE_BOOT.storage,
    files=SECURE_BOOT.files,
    settle="grub-install --target=x86_64-efi --efi-directory=/boot/efi --force-extra-removable; update-grub",
    facts=[*COMMON, FILES, "sfdisk --dump /dev/vda | grep -v -i -e first-lba -e 21686148",
           block_devices("/dev/vda1 /dev/vda2", IDENTIFIERS)],
    new_firmware="bios",
    new_drives=[Drive("system", 4096)],
    may_differ=MADE_BY_GRUB,
)  # fmt: skip

# GRUB asks for the passphrase of a volume with /boot in it, and then the initramfs does. A second volume is opened by a
# TPM, which is another one after the recovery.
VAULT = "1c7d5e90-83b2-4f6a-a04d-92e6f1b8c375"
LAPTOP = Design(
    name="laptop",
    about="LUKS1 with /boot in it, LUKS2 opened by a TPM; GRUB",
    drives=[Drive("system", 4608)],
    passphrase="correct horse battery",
    asked_by_grub=True,
    tpm=True,
    packages=["libtss2-esys-3.0.2-0", "libtss2-mu0", "libtss2-rc0", "libtss2-tcti-device0"],
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: dos
label-id: 0x5d1e7a04
start=2048, size=8388608, type=83, bootable
type=83
END
udevadm settle
encrypt() {{
    printf '%s' 'correct horse battery' | cryptsetup luksFormat -q --pbkdf-force-iterations 1000 --key-file - "$@"
    printf '%s' 'correct horse battery' | cryptsetup open --key-file - "${{@: -1}}" $name
}}
name=crypt encrypt --type luks1 --uuid e2f40b87-61d9-4c3a-b5a7-30d8c9f61e24 /dev/vda1
name=vault encrypt --type luks2 --pbkdf pbkdf2 --uuid {VAULT} /dev/vda2
mkfs.ext4 -q -L vault -U 7b90d3c1-4e5f-4a28-96d7-c1f0e8a2b653 /dev/mapper/vault
cryptsetup close vault
put_root /dev/mapper/crypt -U 90a6b3d5-1f72-4e8c-8d49-5c2e7f0a1b68
""",
    files={
        "/etc/default/grub": f"{GRUB}GRUB_ENABLE_CRYPTODISK=y\n",
        "/etc/fstab": """\
UUID=90a6b3d5-1f72-4e8c-8d49-5c2e7f0a1b68  /  ext4  errors=remount-ro  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
    },
    initramfs={
        "/etc/crypttab": "crypt UUID=e2f40b87-61d9-4c3a-b5a7-30d8c9f61e24 none luks,discard,initramfs\n",
        "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\ndm_crypt\nxts\naes_generic\nsha256_generic\n",
    },
    settle="grub-install /dev/vda; update-grub",
    prepare=f"""
PASSWORD='correct horse battery' systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7 /dev/disk/by-uuid/{VAULT}
echo 'vault UUID={VAULT} none luks,tpm2-device=auto,headless' >>/etc/crypttab
echo 'LABEL=vault /srv/vault ext4 defaults 0 2' >>/etc/fstab
mkdir /srv/vault
systemctl daemon-reload
systemctl start systemd-cryptsetup@vault srv-vault.mount
echo kept >/srv/vault/kept
""",
    facts=[
        *COMMON, FILES, "sfdisk --dump /dev/vda", block_devices("/dev/vda"),
        "cryptsetup luksDump /dev/vda1 | grep -E '^(Version|UUID|Cipher|Hash|Payload)|Iterations'",
        f"cryptsetup luksDump /dev/disk/by-uuid/{VAULT} | grep -E '^(Version|UUID)|cipher|PBKDF|systemd-tpm2|pcrs:'",
        f"cryptsetup open --test-passphrase --token-only /dev/disk/by-uuid/{VAULT} && echo opened",
        "grep -c cryptomount /boot/grub/grub.cfg", "cat /srv/vault/kept",
    ],
)  # fmt: skip

# The password is where nobody has to type it: beside the repository, on a disk that is plugged in.
RESTIC = replace(
    BIOS,
    name="restic",
    about="as `bios`, saved to a repository on a disk",
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
    about="as `secureboot`, with dracut, which Debian 14 has by default",
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

ALL = (
    BIOS,
    UEFI,
    RAID,
    SECURE_BOOT,
    THIN,
    SYSTEMD_BOOT,
    UKI,
    UKI_OF_DRACUT,
    EXTLINUX,
    BIOS_TO_UEFI,
    UEFI_TO_BIOS,
    LAPTOP,
    RESTIC,
    DEBIAN_11,
    DEBIAN_13,
    FORKY_BY_DRACUT,
)
