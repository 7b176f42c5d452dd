# SPDX-License-Identifier: GPL-3.0-or-later
"""SUSE Linux Enterprise and openSUSE: packages of missing programs, the initramfs, GRUB's menu, snapper."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence

from rear_core import Contents, RearError, Run, Step, architectures, hookimpl
from rear_core.system.packages import install_advice

# Package: what it brings. Beside programs: "kernel", and GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "kernel-default": "kernel",
    "syslinux": "pxelinux",
    "grub2-i386-pc": "grub-i386-pc",
    "grub2-x86_64-efi": "grub-x86_64-efi",
    "grub2-arm64-efi": "grub-arm64-efi",
    "grub2": "grub-mkimage grub2-mkimage",
    "cifs-utils": "mount.cifs",
    "squashfs": "mksquashfs",
    "sshfs": "sshfs",
    "nfs-client": "mount.nfs mount.nfs4",
    "xz": "xz unxz xzcat",
    "iproute2": "ip bridge ss",
    "libteam-tools": "teamd teamdctl",
    "udev": "udevadm systemd-udevd",
    "util-linux": "agetty blkid blockdev dmesg fsck losetup mkswap mount mountpoint setsid sfdisk swapoff swapon"
    " umount wipefs cfdisk eject fallocate fdisk flock fsfreeze hexdump hwclock ipcs last mkfs more namei nsenter"
    " partx rev script setterm unshare",
    "gptfdisk": "sgdisk",
    "thin-provisioning-tools": "thin_check",
    "device-mapper": "dmsetup",
    "cryptsetup": "cryptsetup",
    "multipath-tools": "multipath multipathd",
    "btrfsprogs": "btrfs mkfs.btrfs",
    "openssh-common": "ssh-keygen",
    "openssh-clients": "sftp ssh scp",
    "dhcp-client": "dhclient",
    "dhcpcd": "dhcpcd",
    "binutils": "strip",
    "qemu-x86": "qemu-system-x86_64",
    "qemu-ovmf-x86_64": "ovmf",
    "util-linux-systemd": "findmnt lsblk logger lscpu",
    "procps": "kill ps sysctl free pgrep pidof pkill top uptime vmstat watch",
    "glibc": "getconf",
    "bash-sh": "sh",
    "iputils": "ping",
    "netcat-openbsd": "nc",
    "ncurses-utils": "clear",
    "which": "which",
    "xxd": "xxd",
    "mt_st": "mt",
    "sg3_utils": "sg_inq",
    "wpa_supplicant": "wpa_supplicant wpa_cli",
}


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/*-release"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    own = architectures.find(platform.machine())
    signed = {f"shim grub2-{own.grub_efi if own else 'x86_64-efi'}": "shim-signed grubnet-signed"}
    return install_advice(
        {**PACKAGES, **signed}, "zypper install", "zypper search --provides --file-list bin/{}", programs
    )


@hookimpl
def rear_finalize() -> Iterable[Step]:
    # Behind the configuration, before the boot loader.
    yield Step(45, "Remove snapshots that are in no backup from snapper", forget_snapshots)
    yield Step(47, "Enable snapper's space limits again", set_up_quota)
    yield Step(50, "Rebuild the initramfs if this hardware needs other drivers", rebuild_initramfs)
    yield Step(55, "Rewrite GRUB's menu if device names changed", rebuild_menu)


def rebuild_initramfs(run: Run) -> None:
    """Run `dracut` for the kernels of the boot menu; on the machine it was made for the initramfs stays."""
    from rear_core.finalize.renew import renew_initramfs

    renew_initramfs(run, make_initramfs)


def make_initramfs(run: Run) -> None:
    """By dracut; releases before SLE 12 have a `mkinitrd` of their own, later ones one that only calls dracut."""
    from rear_core.boot.chroot import has_program, run_inside
    from rear_core.finalize import dracut

    if has_program(run, "dracut") or not has_program(run, "mkinitrd"):
        dracut.make_images(run)
    else:
        run_inside(run, "mkinitrd", timeout=dracut.SECONDS)


def rebuild_menu(run: Run) -> None:
    """Run `grub2-mkconfig` for the menus that it has made."""
    from rear_core.boot.grub_renew import mkconfig, renew_menu

    renew_menu(run, mkconfig(run))


def forget_snapshots(run: Run) -> None:
    """Remove snapper's records and boot entries of snapshots that were not recreated: nothing could use them."""
    from rear_os_suse import snapper

    gone = snapper.forget_lost(run.target)
    if gone:
        run.recovery.differences.append(f"{len(gone)} snapshots of snapper are in no backup: {', '.join(gone)}")
        for name in snapper.forget_entries(run.target, gone):
            run.recovery.done.append(f"boot entry of a lost snapshot removed: {name}")


def set_up_quota(run: Run) -> None:
    """Have snapper recreate its quota group, by whose number its configuration means one that is gone."""
    from rear_core.boot.chroot import has_program, run_inside
    from rear_os_suse import snapper

    for name in snapper.with_quota(run.target) if has_program(run, "snapper") else []:
        command = ("snapper", "--no-dbus", "--config", name)
        try:
            run_inside(run, *command, "set-config", "QGROUP=")
            run_inside(run, *command, "setup-quota")
        except RearError as error:
            run.report.warn(f"cannot enable snapper's space limits ({name}): {error.message}")
        else:
            run.recovery.done.append(f"snapper's space limits enabled again ({name})")
