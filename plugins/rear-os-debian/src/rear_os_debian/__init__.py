# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian, Ubuntu and their kin: which package brings a missing program."""
from __future__ import annotations

import platform
from collections.abc import Sequence

from rear_core import Contents, hookimpl
from rear_core.system.os_release import read_os_release

# Package: what it brings. Beside programs: GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "shim-signed grub-efi-amd64-signed": "shim-signed",
    "grub-pc-bin": "grub-i386-pc",
    "grub-efi-amd64-bin": "grub-x86_64-efi",
    "grub-efi-arm64-bin": "grub-arm64-efi",
    "grub-common": "grub-mkimage grub2-mkimage",
    "xorriso": "xorriso",
    "dosfstools": "mkfs.vfat fatlabel fsck.vfat",
    "mtools": "mmd mcopy",
    "nfs-common": "mount.nfs mount.nfs4",
    "cpio": "cpio",
    "zstd": "zstd",
    "xz-utils": "xz",
    "gzip": "gzip",
    "iproute2": "ip bridge",
    "ethtool": "ethtool",
    "libteam-utils": "teamd teamdctl",
    "udev": "udevadm systemd-udevd",
    "kmod": "modprobe depmod",
    "util-linux": "agetty blkid findmnt lsblk mkswap wipefs",
    "mount": "losetup mount",
    "fdisk": "sfdisk",
    "parted": "partprobe parted",
    "gdisk": "sgdisk",
    "mdadm": "mdadm",
    "lvm2": "lvm",
    "thin-provisioning-tools": "thin_check",
    "dmsetup": "dmsetup",
    "cryptsetup-bin": "cryptsetup",
    "multipath-tools": "multipath multipathd",
    "e2fsprogs": "mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 dumpe2fs tune2fs e2fsck",
    "xfsprogs": "mkfs.xfs xfs_info xfs_admin xfs_db xfs_repair",
    "btrfs-progs": "btrfs mkfs.btrfs",
    "openssh-server": "sshd",
    "openssh-client": "ssh-keygen",
    "tar": "tar",
    "efibootmgr": "efibootmgr",
    "isc-dhcp-client": "dhclient",
    "dhcpcd-base": "dhcpcd",
    "binutils": "strip",
}


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/debian_version*"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    known = {thing: package for package, things in PACKAGES.items() for thing in things.split()}
    known["kernel"] = kernel_package(read_os_release().ids, platform.machine())
    packages = dict.fromkeys(known[program] for program in programs if program in known)
    advice = ["apt-get install " + " ".join(packages)] if packages else []
    unknown = [program for program in programs if program not in known]
    advice += [f"apt-file search bin/{program}" for program in unknown]
    return "; ".join(advice)


def kernel_package(ids: Sequence[str], machine: str) -> str:
    """The package that brings the plain kernel of a distribution."""
    if "ubuntu" in ids:
        return "linux-image-generic"
    return "linux-image-" + {"x86_64": "amd64", "aarch64": "arm64", "i686": "686-pae"}.get(machine, machine)
