# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines in the way of SUSE Linux Enterprise Server: what rear touches is as there, made of packages of Debian.

No package of SUSE is used. SUSE's GRUB looks for its files in the default subvolume; here they are named by their path
from the top. NetworkManager has the place of wicked.
"""

from __future__ import annotations

from .. import qemu
from ..debian import FORKY
from ..machines import Design, Drive
from .facts import COMMON, FILES, IDENTIFIERS, block_devices
from .ways import GRUB2, PATIENCE, on_esp, os_release

TITLE = "SUSE Linux Enterprise Server"
OS_RELEASE = os_release(
    NAME="SLES", VERSION="15-SP7", VERSION_ID="15.7", ID="sles", ID_LIKE="suse", PRETTY_NAME=f"{TITLE} 15 SP7"
)
PACKAGES = ("network-manager", "snapper")
UUID = "2f9c7e10-84ab-4d36-b5e2-6a1d0c93f748"
# What snapshots of the system do not have, as YaST makes it.
APART = ("home", "opt", "root", "srv", "tmp", "usr/local", "var", "boot/grub2/x86_64-efi")
DRACUT = """\
hostonly="yes"
hostonly_cmdline="no"
compress="zstd -3"
do_strip="no"
add_drivers+=" virtio_blk virtio_pci btrfs "
omit_dracutmodules+=" bcache crypt dm dmraid i18n lvm mdraid multipath nvdimm overlay-root qemu terminfo "
"""


def subvolumes(*apart: str) -> str:
    """A script: the subvolumes of a system that was rolled back, mounted with the files of the machine.

    It runs from the third snapshot, the second one is what it was before, the first one was cleaned up. `apart` is what
    snapshots do not have.
    """
    return f"""
mount -o subvolid=5 /dev/vda2 /mnt
btrfs --quiet subvolume create /mnt/@
for name in .snapshots {" ".join(apart)}; do
    mkdir -p $(dirname /mnt/@/$name)
    btrfs --quiet subvolume create /mnt/@/$name
done
chattr +C /mnt/@/var
mkdir /mnt/@/.snapshots/1 /mnt/@/.snapshots/2 /mnt/@/.snapshots/3
btrfs --quiet subvolume create /mnt/@/.snapshots/1/snapshot
btrfs subvolume set-default /mnt/@/.snapshots/1/snapshot
umount /mnt
put_subvolumes() {{
    mount /dev/vda2 /mnt
    for name in .snapshots {" ".join(apart)}; do
        mount --mkdir -o subvol=/@/$name /dev/vda2 /mnt/$name
    done
}}
put_subvolumes
put_files
btrfs --quiet subvolume snapshot -r /mnt /mnt/.snapshots/2/snapshot
btrfs --quiet subvolume snapshot /mnt /mnt/.snapshots/3/snapshot
btrfs subvolume set-default /mnt/.snapshots/3/snapshot
umount --recursive /mnt
put_subvolumes
btrfs --quiet subvolume delete /mnt/.snapshots/1/snapshot
rmdir /mnt/.snapshots/1
for number in 2 3; do
    cat >/mnt/.snapshots/$number/info.xml <<END
<?xml version="1.0"?>
<snapshot>
  <type>single</type>
  <num>$number</num>
  <date>2026-01-0$number 12:00:00</date>
  <description>rollback</description>
</snapshot>
END
done
btrfs quota enable /mnt
btrfs qgroup create 1/0 /mnt
"""


SNAPPER = """\
SUBVOLUME="/"
FSTYPE="btrfs"
QGROUP="1/0"
SPACE_LIMIT="0.5"
NUMBER_CLEANUP="yes"
NUMBER_LIMIT="2-10"
TIMELINE_CREATE="no"
"""
MENU = r"""
mv /boot/initrd.img-$version /boot/initrd-$version
ln -s initrd-$version /boot/initrd
ln -s vmlinuz-$version /boot/vmlinuz
cat >/etc/grub.d/10_linux <<'END'
#!/bin/sh
set -e
. /usr/share/grub/grub-mkconfig_lib
for kernel in /boot/vmlinuz-*; do
    version=${kernel#*vmlinuz-}
    echo "menuentry 'SLES 15-SP7, with Linux $version' --class sles --unrestricted {"
    prepare_grub_to_access_device $(grub-probe --target=device /boot)
    folder=$(grub-mkrelpath /boot)
    echo "linux $folder/vmlinuz-$version root=UUID=$(grub-probe --target=fs_uuid /) $GRUB_CMDLINE_LINUX" \
        "$GRUB_CMDLINE_LINUX_DEFAULT"
    echo "initrd $folder/initrd-$version"
    echo "}"
done
END
grub2-mkconfig --output=/boot/grub2/grub.cfg
"""
CONNECTION = """\
[connection]
id=eth0
uuid=0d8b5f64-1c7a-4e29-a3b0-95e7f2c614d8
type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1=10.0.2.15/24,10.0.2.2
[ipv6]
method=disabled
"""
NET_RULES = (
    'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{{address}}=="{mac}", ATTR{{dev_id}}=="0x0",'
    ' ATTR{{type}}=="1", KERNEL=="*", NAME="eth0"\n'
)
OLD, NEW = "52:54:00:00:00:01", "52:54:00:00:0a:02"

SUSE_UEFI = Design(
    name="suse",
    way="SLES 15",
    loader="shim, GRUB",
    root="btrfs with subvolumes, rolled back by snapper",
    network="NetworkManager, by name",
    about="quotas, /var not copied on write, persistent names of network cards; dracut",
    drives=[Drive("system", 5120)],
    firmware="uefi",
    release=FORKY,
    dracut=True,
    packages=PACKAGES,
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: gpt
size=256MiB, type=uefi
size=4200MiB, type=linux
type=swap
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -i 3c5e9a17 -n EFI /dev/vda1
mkfs.btrfs --quiet --uuid {UUID} /dev/vda2
mkswap --uuid 8c1f3a5e-47d2-4b60-9e8a-d2b6f0c71594 /dev/vda3
{subvolumes(*APART)}
mkdir -p /mnt/boot/efi
mount /dev/vda1 /mnt/boot/efi
""",
    files={
        "/etc/fstab": f"UUID={UUID}  /  btrfs  defaults  0  0\n"
        + "".join(f"UUID={UUID}  /{name}  btrfs  subvol=/@/{name}  0  0\n" for name in (*APART, ".snapshots"))
        + """\
UUID=3C5E-9A17  /boot/efi  vfat  utf8  0  2
UUID=8c1f3a5e-47d2-4b60-9e8a-d2b6f0c71594  swap  swap  defaults  0  0
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
        **PATIENCE,
        "/etc/os-release": OS_RELEASE,
        "/etc/snapper/configs/root": SNAPPER,
        "/etc/default/snapper": 'SNAPPER_CONFIGS="root"\n',
        "/etc/udev/rules.d/70-persistent-net.rules": NET_RULES.format(mac=OLD),
        "/etc/NetworkManager/system-connections/eth0.nmconnection": CONNECTION,
        "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='static'\nIPADDR='10.0.2.15/24'\nSTARTMODE='auto'\n",
    },
    initramfs={"/etc/dracut.conf.d/machine.conf": DRACUT},
    settle=rf"""{GRUB2}{MENU}
chmod 600 /etc/NetworkManager/system-connections/eth0.nmconnection
systemctl disable snapper-timeline.timer snapper-cleanup.timer snapper-boot.timer
{on_esp("sles", "shim.efi", "sles-secureboot")}
cat >$folder/grub.cfg <<END
search --fs-uuid --set=root $(grub2-probe --target=fs_uuid /boot)
set prefix=(\$root)$(grub2-mkrelpath /boot/grub2)
source \$prefix/grub.cfg
END
""",
    # The kernel numbers subvolumes, and chooses by the disk whether it tells it of free blocks.
    facts=[*COMMON, f"{FILES} | sed 's/discard=async,//; s/subvolid=[0-9]*,//'", "cat /proc/cmdline",
           "ip -brief -4 address",
           "nmcli --get-values NAME,TYPE,STATE,DEVICE connection show --active",
           "btrfs subvolume list -t / | awk 'NR > 2 {print $NF}' | grep -v snapshots/2/ | sort",
           "btrfs subvolume get-default / | sed 's/.* path //'",
           "lsattr -d /var /var/lib /home | cut -c 1-22", "btrfs property get /var",
           "btrfs qgroup show / | awk '{print $1}' | grep ^1/",
           "snapper --no-dbus --csvout list --columns number,default,active,description | grep ^3,",
           block_devices("$(blkid --list-one --output device --match-token LABEL=EFI | sed 's/p\\?1$//')",
                         IDENTIFIERS.replace(",MOUNTPOINT", "")),
           "efibootmgr | grep --ignore-case sles | cut -c 10-"],
    new_drives=[Drive("larger", 8192, "sata")],
    nics=[qemu.Nic(OLD, nat=True, restrict=True)],
    new_nics=[qemu.Nic(NEW, nat=True, restrict=True, model="e1000e")],
    # The third snapshot is the system itself, with what lies below its mounts.
    may_differ=["/boot/initrd-*", "/boot/grub2/*", "/.snapshots/2*", "/.snapshots/3/snapshot/*",
                "/etc/snapper/configs/root", "/var/lib/NetworkManager/*",
                "/etc/udev/rules.d/70-persistent-net.rules", "/etc/systemd/network/10-rear-*.link"],
)  # fmt: skip

ALL = (SUSE_UEFI,)
