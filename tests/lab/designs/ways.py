# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a machine of Debian's packages one in the way of another distribution."""

from __future__ import annotations

# An emulated machine with many services needs more than a minute and a half to find its disks.
PATIENCE = {"/etc/systemd/system.conf.d/patience.conf": "[Manager]\nDefaultDeviceTimeoutSec=900\n"}
# Red Hat and SUSE give GRUB's programs other names. Those that others call by theirs keep both.
GRUB2 = r"""
version=$(ls /lib/modules)
rm -rf /boot/grub /usr/sbin/update-grub
for name in mkconfig editenv set-default reboot; do
    mv $(command -v grub-$name) /usr/sbin/grub2-$name
done
for name in mkimage probe script-check bios-setup mkrelpath file; do
    ln -s $(command -v grub-$name) /usr/sbin/grub2-$name
done
mv /usr/sbin/grub-install /usr/sbin/grub2-install
mkdir -p /boot/grub2
grub2-editenv /boot/grub2/grubenv create
"""
# The same programs as those that `grub-install` of Debian calls, with the folder of Red Hat and SUSE.
GRUB2_INSTALL = r"""
cat >/usr/sbin/grub2-install <<'END'
#!/bin/sh
set -e
for word; do case $word in --target=i386-pc | --force) ;; *) device=$word ;; esac; done
folder=/boot/grub2/i386-pc
mkdir -p $folder
cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst /usr/lib/grub/i386-pc/boot.img $folder
echo "search.fs_uuid $(grub-probe --target=fs_uuid /boot) root" >$folder/load.cfg
echo "set prefix=(\$root)$(grub-mkrelpath /boot/grub2)" >>$folder/load.cfg
grub-mkimage --format i386-pc --prefix "$(grub-mkrelpath /boot/grub2)" --config $folder/load.cfg \
    --output $folder/core.img biosdisk part_gpt part_msdos search_fs_uuid $(grub-probe --target=fs /boot)
/usr/lib/grub/i386-pc/grub-bios-setup --directory=$folder "$device"
END
"""
MODULES = (
    "all_video btrfs configfile echo efi_gop fat gzio linux loadenv lvm minicmd normal part_gpt reboot regexp search"
    " search_fs_uuid sleep test true xfs zstd"
)


def on_esp(vendor: str, shim: str, title: str, modules: str = "") -> str:
    """A script: shim and GRUB in the folder of a vendor, and what makes its boot entry at the first start.

    GRUB is a program without a signature; it reads grub.cfg in that folder.
    """
    return rf"""
folder=/boot/efi/EFI/{vendor}
mkdir -p $folder /boot/efi/EFI/BOOT
cp /usr/lib/shim/shimx64.efi.signed $folder/{shim}
cp /usr/lib/shim/shimx64.efi.signed /boot/efi/EFI/BOOT/BOOTX64.EFI
cp /usr/lib/shim/fbx64.efi.signed /boot/efi/EFI/BOOT/fbx64.efi
printf '{shim},{title},,This is the boot entry for {title}\n' |
    iconv --from-code=utf-8 --to-code=utf-16 >$folder/BOOTX64.CSV
cat >/run/sbat.csv <<END
sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md
grub,5,Free Software Foundation,grub,2.14,https://www.gnu.org/software/grub/
END
grub2-mkimage --format x86_64-efi --prefix /EFI/{vendor} --sbat /run/sbat.csv --output $folder/grubx64.efi \
    {MODULES} {modules}
"""


def os_release(**fields: str) -> str:
    """The file os-release(5)."""
    return "".join(f'{name}="{value}"\n' for name, value in fields.items())
