# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines in the way of Red Hat Enterprise Linux 10: what rear touches is as there, made of packages of Debian.

No package of Red Hat is used. GRUB 2.14 reads the entries below /boot/loader/entries by itself, where Red Hat has
patched its own to do so, and the policy of SELinux is Debian's.
"""

from __future__ import annotations

from dataclasses import replace

from .. import qemu
from ..debian import FORKY, PARAMETERS
from ..machines import Design, Drive
from .facts import COMMON, FILES, IDENTIFIERS, LVM, LVM_NOTES, block_devices
from .ways import GRUB2, GRUB2_INSTALL, PATIENCE, on_esp, os_release

TITLE = "Red Hat Enterprise Linux"
OS_RELEASE = os_release(
    NAME=TITLE, VERSION="10.1 (Coughlan)", ID="rhel", ID_LIKE="centos fedora", VERSION_ID="10.1",
    PLATFORM_ID="platform:el10", PRETTY_NAME=f"{TITLE} 10.1 (Coughlan)",
)  # fmt: skip
PACKAGES = ("network-manager", "chrony", "firewalld", "nftables", "selinux-policy-default", "policycoreutils",
            "selinux-utils")  # fmt: skip
# Debian's kernel has SELinux, but prefers another module.
OPTIONS = (
    f"root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap console=ttyS0 security=selinux {PARAMETERS}"
)
DRACUT = """\
hostonly="yes"
hostonly_cmdline="no"
compress="zstd -3"
do_strip="no"
add_dracutmodules+=" lvm "
add_drivers+=" virtio_blk virtio_pci xfs "
omit_dracutmodules+=" bcache btrfs crypt dmraid i18n mdraid multipath nvdimm overlay-root qemu terminfo "
"""
# Entries that GRUB reads when the machine starts, as with GRUB_ENABLE_BLSCFG=true.
ENTRIES = rf"""
mv /boot/initrd.img-$version /boot/initramfs-$version.img
echo "{TITLE} release 10.1 (Coughlan)" >/etc/redhat-release
mkdir -p /boot/loader/entries
entry=$(cat /etc/machine-id)-$version
cat >/boot/loader/entries/$entry.conf <<END
title {TITLE} ($version) 10.1 (Coughlan)
version $version
linux /vmlinuz-$version
initrd /initramfs-$version.img
options $(cat /etc/kernel/cmdline)
grub_users \$grub_users
grub_arg --unrestricted
grub_class rhel
END
grub2-editenv /boot/grub2/grubenv set saved_entry=$entry
cat >/etc/grub.d/10_linux <<'END'
#!/bin/sh
set -e
. /usr/share/grub/grub-mkconfig_lib
prepare_grub_to_access_device $(grub-probe --target=device /boot)
echo 'insmod blsuki'
echo 'blscfg'
END
sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/' /etc/default/grub
grub2-mkconfig --output=/boot/grub2/grub.cfg
"""
# Labels for all files, as the installer gives them.
LABEL = """
sed -i 's/^SELINUX=.*/SELINUX=enforcing/' /etc/selinux/config
setfiles -F -e /proc -e /sys -e /dev -e /run -e /boot/efi /etc/selinux/default/contexts/files/file_contexts / /boot
"""
CONNECTION = """\
[connection]
id=lan
uuid=6f0d2a1e-3c58-4b97-9e14-d7a5b8c3f021
type=ethernet
[ethernet]
mac-address={mac}
[ipv4]
method=manual
address1=10.0.2.15/24,10.0.2.2
[ipv6]
method=disabled
"""
BOOT = "b7d0c1f4-5a2e-4c83-9b61-0e4f7d2a8c35"
OLD, NEW = "52:54:00:00:00:01", "52:54:00:00:0A:02"
# What services write as they run.
BY_SERVICES = ("/var/lib/NetworkManager/*", "/var/lib/chrony/*", "/var/lib/private/*", "/var/lib/selinux/*")
FACTS = (
    *COMMON, *LVM, FILES, "getenforce", "xfs_info / | grep -v ^meta-data", "xfs_info /boot | grep -v ^meta-data",
    "nmcli --get-values NAME,TYPE,STATE,DEVICE connection show --active", "ip -brief -4 address",
    "firewall-cmd --state; firewall-cmd --list-services", "systemctl is-active chronyd chrony",
    "cat /proc/cmdline", "grub2-editenv /boot/grub2/grubenv list",
    # LVM's list names the disk that is there.
    "lvm lvmdevices --check && echo 'the list is right'",
)  # fmt: skip


def volumes(boot: str, physical: str) -> str:
    """A script: XFS on /boot and in a volume group, mounted with the files of the machine."""
    return f"""
mkfs.xfs -q -m uuid={BOOT} {boot}
pvcreate --quiet {physical}
vgcreate --quiet rhel {physical}
lvcreate --quiet --yes --wipesignatures y --size 3400M --name root rhel
lvcreate --quiet --yes --size 256M --name swap rhel
mkfs.xfs -q -f /dev/rhel/root
mkswap /dev/rhel/swap
mount /dev/rhel/root /mnt
put_files
put_boot {boot}
"""


FILES_OF_ALL = {
    **PATIENCE,
    "/etc/fstab": f"""\
/dev/mapper/rhel-root  /  xfs  defaults  0  0
UUID={BOOT}  /boot  xfs  defaults  0  0
/dev/mapper/rhel-swap  none  swap  defaults  0  0
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
    "/etc/os-release": OS_RELEASE,
    "/etc/kernel/cmdline": f"{OPTIONS}\n",
    "/etc/lvm/lvmlocal.conf": "devices {\n    use_devicesfile = 1\n}\n",
    "/etc/NetworkManager/system-connections/lan.nmconnection": CONNECTION.format(mac=OLD),
}
SETTLE = f"""
{ENTRIES}
chmod 600 /etc/NetworkManager/system-connections/lan.nmconnection
systemctl enable NetworkManager firewalld chrony
{LABEL}"""

REDHAT_UEFI = Design(
    name="redhat",
    way="RHEL 10",
    loader="shim, GRUB with BLS entries",
    root="XFS on LVM",
    network="NetworkManager, by address",
    about="LVM's list of devices, SELinux enforcing, firewalld; dracut",
    drives=[Drive("system", 5120)],
    firmware="uefi",
    release=FORKY,
    dracut=True,
    packages=PACKAGES,
    modules="netfilter",
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: gpt
size=200MiB, type=uefi, name="EFI System Partition"
size=512MiB, type=linux
type=lvm
END
udevadm settle
mkfs.vfat -F 32 $GEOMETRY -i 7b1c40d2 /dev/vda1
{volumes("/dev/vda2", "/dev/vda3")}
mkdir -p /mnt/boot/efi
mount /dev/vda1 /mnt/boot/efi
""",
    files={
        **FILES_OF_ALL,
        "/etc/fstab": FILES_OF_ALL["/etc/fstab"]
        + "UUID=7B1C-40D2  /boot/efi  vfat  umask=0077,shortname=winnt  0  2\n",
    },
    initramfs={"/etc/dracut.conf.d/machine.conf": DRACUT},
    settle=rf"""{GRUB2}
cat >/usr/sbin/grub2-install <<'END'
#!/bin/sh
echo "grub2-install: error: this utility should not be used for EFI platforms" >&2
exit 1
END
{on_esp("redhat", "shimx64.efi", TITLE, "blsuki")}
cat >$folder/grub.cfg <<END
search --no-floppy --fs-uuid --set=dev {BOOT}
set prefix=(\$dev)/grub2
export \$prefix
configfile \$prefix/grub.cfg
END
{SETTLE}""",
    facts=[*FACTS, block_devices("$(blkid --list-one --output device --match-token PARTLABEL='EFI System Partition' |"
           " sed 's/p\\?1$//')", IDENTIFIERS), "efibootmgr | grep --ignore-case 'red hat' | cut -c 10-"],
    new_drives=[Drive("larger", 8192, "nvme")],
    nics=[qemu.Nic(OLD, nat=True, restrict=True)],
    new_nics=[qemu.Nic(NEW, nat=True, restrict=True, model="e1000e")],
    prepare="lvm vgimportdevices --all",
    may_differ=[*LVM_NOTES, *BY_SERVICES, "/boot/initramfs-*", "/etc/lvm/devices/*", "/boot/grub2/*",
                "/etc/NetworkManager/system-connections/lan.nmconnection", "/etc/systemd/network/10-rear-*.link"],
)  # fmt: skip

REDHAT_BIOS = replace(
    REDHAT_UEFI,
    name="redhat-bios",
    loader="GRUB with BLS entries",
    about="as `redhat`, with an MBR",
    firmware="bios",
    storage=f"""
sfdisk --quiet /dev/vda <<END
label: dos
size=512MiB, type=83, bootable
type=8e
END
udevadm settle
{volumes("/dev/vda1", "/dev/vda2")}
""",
    files=FILES_OF_ALL,
    settle=f"""{GRUB2}{GRUB2_INSTALL}
chmod 755 /usr/sbin/grub2-install
grub2-install /dev/vda
{SETTLE}""",
    facts=[*FACTS, block_devices(f"$(blkid --uuid {BOOT} | sed 's/1$//')", IDENTIFIERS)],
    new_drives=[Drive("larger", 8192, "sata")],
)

ALL = (REDHAT_UEFI, REDHAT_BIOS)
