# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine in the way of SUSE Linux Enterprise Server 16: what rear touches is as there, made of packages of Debian.

The subvolumes are those that its installer Agama makes; the EFI system partition is as sdbootutil fills it for GRUB,
with entries of the Boot Loader Specification (products.d/sles_161.yaml and sdbootutil in their public repositories). No
package of SUSE is used. Debian's GRUB 2.14 reads those entries with a configuration that is built into it, as SUSE's
is, and its default from grubenv; shim calls it grubx64.efi. The policy of SELinux is Debian's.
"""

from __future__ import annotations

from dataclasses import replace

from ..debian import PARAMETERS
from ..machines import Drive
from .facts import COMMON, FILES, IDENTIFIERS, block_devices
from .redhat import CONNECTION, OLD
from .suse import PACKAGES, SUSE_UEFI, UUID, subvolumes
from .ways import GRUB2, PATIENCE, on_esp, os_release

OS_RELEASE = os_release(
    NAME="SLES", VERSION="16.1", VERSION_ID="16.1", ID="sles", ID_LIKE="suse",
    PRETTY_NAME="SUSE Linux Enterprise Server 16.1",
)  # fmt: skip
APART = ("home", "opt", "root", "srv", "usr/local", "var")
# Debian's kernel has SELinux, but prefers another module.
OPTIONS = f"root=UUID={UUID} console=ttyS0 security=selinux enforcing=1 {PARAMETERS}"
INSIDE = "blsuki memdisk tar --memdisk=/run/memdisk.tar --prefix='(memdisk)/grub'"
# As `sdbootutil install` and `add-kernel`: kernel and initramfs by their checksums, an entry for each snapshot. The
# second snapshot is in no backup, and so its entry does not come back.
ON_ESP = rf"""
version=$(ls /lib/modules)
token=$(cat /etc/machine-id)
esp=/boot/efi
mkdir -p $esp/loader/entries $esp/$token/$version
linux=$token/$version/linux-$(sha1sum /boot/vmlinuz-$version | cut -c 1-40)
initrd=$token/$version/initrd-$(sha1sum /boot/initrd.img-$version | cut -c 1-40)
cp /boot/vmlinuz-$version $esp/$linux
# What stays is /usr/lib/modules/VERSION/vmlinuz, as SUSE has it; Debian 14 has that as a link to the other.
rm /boot/vmlinuz-$version
mv /boot/initrd.img-$version $esp/$initrd
rm -f /vmlinuz* /initrd.img* /boot/vmlinuz /boot/initrd.img
add() {{
    cat >$esp/loader/entries/$1-$token-$version-$2.conf <<END
# Boot Loader Specification type#1 entry
title      $3
version    $2@$version
machine-id $token
sort-key   $4
options    {OPTIONS} rootflags=subvol=@/.snapshots/$2/snapshot systemd.machine_id=$token
linux      /$linux
initrd     /$initrd
END
}}
add system 3 'SUSE Linux Enterprise Server 16.1' sles
add snapper 2 'Snapper: SUSE Linux Enterprise Server 16.1 (2,$version,2026-01-02T12:00,rollback)' snapper-sles
echo $token >/etc/kernel/entry-token
cat >/run/grub.cfg <<'END'
search --no-floppy --file --set=root /EFI/sles/installed_by_sdbootutil
load_env --file ($root)/EFI/sles/grubenv
set timeout=1
insmod blsuki
blscfg
END
mkdir -p /run/memdisk/grub
mv /run/grub.cfg /run/memdisk/grub
tar --create --file /run/memdisk.tar --directory /run/memdisk grub
"""

SUSE_16 = replace(
    SUSE_UEFI,
    name="suse16",
    way="SLES 16",
    loader="shim, GRUB with BLS entries for snapshots on the EFI system partition",
    network="NetworkManager, by address",
    about="as `suse`, with the subvolumes of Agama, SELinux enforcing",
    packages=(*PACKAGES, "selinux-policy-default", "policycoreutils", "selinux-utils"),
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
        **PATIENCE,
        **{name: text for name, text in SUSE_UEFI.files.items() if name.startswith(("/etc/snapper", "/etc/default"))},
        "/etc/fstab": f"UUID={UUID}  /  btrfs  defaults  0  0\n"
        + "".join(f"UUID={UUID}  /{name}  btrfs  subvol=/@/{name}  0  0\n" for name in (*APART, ".snapshots"))
        + """\
UUID=3C5E-9A17  /boot/efi  vfat  defaults  0  2
UUID=8c1f3a5e-47d2-4b60-9e8a-d2b6f0c71594  swap  swap  defaults  0  0
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
""",
        "/etc/os-release": OS_RELEASE,
        "/etc/kernel/cmdline": f"{OPTIONS}\n",
        "/etc/sysconfig/bootloader": 'LOADER_TYPE="grub2-bls"\n',
        "/etc/NetworkManager/system-connections/lan.nmconnection": CONNECTION.format(mac=OLD),
    },
    settle=rf"""{GRUB2}{ON_ESP}
{on_esp("sles", "shim.efi", "SLES Boot Manager", INSIDE)}
echo $token >$folder/installed_by_sdbootutil
grub2-editenv $folder/grubenv set default=system-$token-$version-3
rm -r /boot/grub2
chmod 600 /etc/NetworkManager/system-connections/lan.nmconnection
systemctl disable snapper-timeline.timer snapper-cleanup.timer snapper-boot.timer
sed -i 's/^SELINUX=.*/SELINUX=enforcing/' /etc/selinux/config
setfiles -F -e /proc -e /sys -e /dev -e /run -e /boot/efi -e /.snapshots/2 \
    /etc/selinux/default/contexts/files/file_contexts / {" ".join(f"/{name}" for name in APART)}
""",
    facts=[*COMMON, f"{FILES} | sed 's/discard=async,//; s/ssd,//; s/subvolid=[0-9]*,//'", "cat /proc/cmdline",
           "getenforce", "ip -brief -4 address", "nmcli --get-values NAME,TYPE,STATE,DEVICE connection show --active",
           "btrfs subvolume list -t / | awk 'NR > 2 {print $NF}' | grep -v snapshots/2/ | sort",
           "btrfs subvolume get-default / | sed 's/.* path //'",
           "lsattr -d /var /var/lib /home | cut -c 1-22", "btrfs property get /var",
           "snapper --no-dbus --csvout list --columns number,default,active,description | grep ^3,",
           "cat /boot/efi/loader/entries/system-*", "grub2-editenv /boot/efi/EFI/sles/grubenv list",
           block_devices("$(blkid --list-one --output device --match-token LABEL=EFI | sed 's/p\\?1$//')",
                         IDENTIFIERS.replace(",MOUNTPOINT", "")),
           "efibootmgr | grep --ignore-case sles | cut -c 10-"],
    new_drives=[Drive("larger", 8192, "nvme")],
    # The third snapshot is the system itself, with what lies below its mounts. Each start writes the machine id that
    # its parameters have.
    may_differ=["/boot/efi/*/*/initrd-*", "/boot/efi/loader/entries/snapper-*", "/.snapshots/2*",
                "/.snapshots/3/snapshot/*", "/etc/snapper/configs/root", "/etc/machine-id", "/var/lib/NetworkManager/*",
                "/var/lib/selinux/*", "/var/lib/private/*", "/etc/systemd/network/10-rear-*.link",
                "/etc/NetworkManager/system-connections/lan.nmconnection"],
)  # fmt: skip

ALL = (SUSE_16,)
