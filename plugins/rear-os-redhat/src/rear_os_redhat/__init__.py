# SPDX-License-Identifier: GPL-3.0-or-later
"""Red Hat Enterprise Linux, Fedora and their kin: packages of missing programs, the initramfs and GRUB's menu."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence

from rear_core import Contents, Run, Step, architectures, hookimpl
from rear_core.system.packages import install_advice

# Package: what it brings. Beside programs: "kernel", and GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "kernel-core kernel-modules": "kernel",
    "syslinux-tftpboot": "pxelinux",
    "grub2-pc-modules": "grub-i386-pc",
    "grub2-efi-x64-modules": "grub-x86_64-efi",
    "grub2-efi-aa64-modules": "grub-arm64-efi",
    "grub2-tools": "grub-mkimage grub2-mkimage",
    "cifs-utils": "mount.cifs",
    "fuse-sshfs": "sshfs",
    "nfs-utils": "mount.nfs mount.nfs4",
    "xz": "xz unxz xzcat",
    "iproute": "ip bridge ss",
    "teamd": "teamd teamdctl",
    "systemd-udev": "udevadm systemd-udevd",
    "util-linux": "agetty blkid blockdev dmesg findmnt fsck kill losetup lsblk mkswap mount mountpoint setsid sfdisk"
    " swapoff swapon umount wipefs cfdisk eject fallocate fdisk flock fsfreeze hexdump hwclock ipcs last mkfs more"
    " namei nsenter partx rev script setterm unshare logger lscpu",
    "procps-ng": "ps sysctl free pgrep pidof pkill top uptime vmstat watch",
    "glibc-common": "getconf",
    "bash": "bash sh",
    "gdisk": "sgdisk",
    "device-mapper-persistent-data": "thin_check",
    "device-mapper": "dmsetup",
    "cryptsetup": "cryptsetup",
    "device-mapper-multipath": "multipath multipathd",
    "btrfs-progs": "btrfs mkfs.btrfs",
    "openssh": "ssh-keygen",
    "openssh-clients": "sftp ssh scp",
    "dhcp-client": "dhclient",
    "dhcpcd": "dhcpcd",
    "binutils": "strip",
    "qemu-system-x86-core": "qemu-system-x86_64",
    "edk2-ovmf": "ovmf",
    "iputils": "ping",
    "nmap-ncat": "nc",
    "ncurses": "clear",
    "which": "which",
    "vim-common": "xxd",
    "mt-st": "mt",
    "sg3_utils": "sg_inq",
    "wpa_supplicant": "wpa_supplicant wpa_cli",
}


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/*-release"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    own = architectures.find(platform.machine())
    efi = own.efi if own else "x64"
    signed = {f"shim-{efi} grub2-efi-{efi}-cdboot": "shim-signed", f"shim-{efi} grub2-efi-{efi}": "grubnet-signed"}
    return install_advice({**PACKAGES, **signed}, "dnf install", "dnf provides '*/bin/{}'", programs)


@hookimpl
def rear_finalize() -> Iterable[Step]:
    # Behind the configuration, before the boot loader.
    yield Step(50, "Rebuild the initramfs if this hardware needs other drivers", rebuild_initramfs)
    yield Step(55, "Rewrite GRUB's menu if device names changed", rebuild_menu)


def rebuild_initramfs(run: Run) -> None:
    """Run `dracut` for the kernels of the boot menu; on the machine it was made for the initramfs stays."""
    from rear_core.finalize import dracut
    from rear_core.finalize.renew import renew_initramfs

    renew_initramfs(run, dracut.make_images)


def rebuild_menu(run: Run) -> None:
    """Run `grub2-mkconfig` for the menus that it has made.

    The entries below /boot/loader/entries are no part of them: what they say of devices was put right already. Nor are
    the few lines on an EFI system partition that lead to the menu.
    """
    from rear_core.boot.grub_renew import mkconfig, renew_menu

    renew_menu(run, mkconfig(run))
