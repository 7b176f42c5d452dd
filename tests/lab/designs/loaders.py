# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of Debian 12 with other boot loaders than GRUB."""

from __future__ import annotations

from ..debian import PARAMETERS
from ..machines import Design, Drive
from .facts import (
    COMMON,
    FILES,
    IDENTIFIERS,
    block_devices,
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
    loader="systemd-boot with entries",
    root="ext4, named by its partition",
    about="the initramfs lacks the driver of the new disk",
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
    loader="systemd-boot with a unified kernel image",
    root="ext4 on LUKS2",
    about="the image is signed with a key of the machine",
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
    loader="systemd-boot with a unified kernel image",
    root="ext4, named by its partition",
    about="dracut makes and signs another image",
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
    loader="EXTLINUX",
    root="ext4, named by its partition",
    about="another disk comes first",
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

# rEFInd finds the kernel by itself, with its driver for ext4, and takes the parameters from the file beside it. They
# name the root file system by a name that it does not have on the new disk, for which the initramfs has no driver.
REFIND = Design(
    name="refind",
    loader="rEFInd, by its boot entry",
    root="ext4, named by its partition",
    about="rEFInd's driver for ext4; the initramfs lacks the driver of the new disk",
    drives=[Drive("system", 4096)],
    firmware="uefi",
    boot_entry=False,
    packages=["refind"],
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
""",
        "/boot/refind_linux.conf": f"""\
"Boot with standard options"  "root=/dev/vda2 ro console=ttyS0 {PARAMETERS}"
"Boot to single-user mode"    "root=/dev/vda2 ro console=ttyS0 {PARAMETERS} single"
""",
        "/boot/efi/EFI/refind/refind.conf": "timeout 1\ntextonly\nscanfor internal\nuse_nvram false\n",
    },
    settle="""
sed -i 's/MODULES=list/MODULES=dep/; s/BUSYBOX=auto/BUSYBOX=n/' /etc/initramfs-tools/initramfs.conf
rm /usr/share/initramfs-tools/hooks/{cryptroot,dmsetup,lvm2,mdadm,thin-provisioning-tools}
folder=/boot/efi/EFI/refind
mkdir -p $folder/drivers_x64 /boot/efi/EFI/BOOT
cp /usr/share/refind/refind/refind_x64.efi $folder
cp /usr/share/refind/refind/drivers_x64/ext4_x64.efi $folder/drivers_x64
cp --recursive $folder/. /boot/efi/EFI/BOOT
mv /boot/efi/EFI/BOOT/refind_x64.efi /boot/efi/EFI/BOOT/BOOTX64.EFI
""",
    # From now on the machine starts by its boot entry alone, which the firmware tries first.
    prepare=r"""
efibootmgr --quiet --create --disk /dev/vda --part 1 --label 'rEFInd Boot Manager' --loader '\EFI\refind\refind_x64.efi'
rm -r /boot/efi/EFI/BOOT
""",
    facts=[*COMMON, block_devices("$(findmnt -n -o SOURCE / | sed 's/p\\?2$//')", IDENTIFIERS),
           "efibootmgr | grep rEFInd | sed 's/.*\\(rEFInd Boot Manager\\).*/\\1/'",
           "sed 's/root=[^ ]*//' /proc/cmdline", "sed 's/root=[^ ]*//' /boot/refind_linux.conf"],
    new_drives=[Drive("larger", 8192, "nvme")],
    may_differ=["/boot/initrd.img-*", "/boot/refind_linux.conf"],
)  # fmt: skip

ALL = (SYSTEMD_BOOT, UKI, UKI_OF_DRACUT, EXTLINUX, REFIND)
