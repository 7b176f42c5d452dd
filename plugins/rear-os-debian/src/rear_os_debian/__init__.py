# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian, Ubuntu and their kin: which package brings a missing program, how an initramfs is made."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from rear_core import Contents, RearError, Run, Step, hookimpl
from rear_core.system.os_release import read_os_release
from rear_core.system.packages import install_advice

# Package: what it brings. Beside programs: GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "pxelinux syslinux-common": "pxelinux",
    "grub-pc-bin": "grub-i386-pc",
    "grub-efi-amd64-bin": "grub-x86_64-efi",
    "grub-efi-arm64-bin": "grub-arm64-efi",
    "grub-common": "grub-mkimage grub2-mkimage",
    "cifs-utils": "mount.cifs",
    "sshfs": "sshfs",
    "nfs-common": "mount.nfs mount.nfs4",
    "xz-utils": "xz unxz xzcat",
    "iproute2": "ip bridge ss",
    "libteam-utils": "teamd teamdctl",
    "udev": "udevadm systemd-udevd",
    "util-linux": "agetty blkid blockdev dmesg findmnt fsck lsblk mkswap mountpoint setsid wipefs fallocate flock"
    " fsfreeze ipcs last lscpu mkfs more namei nsenter partx setterm unshare rev",
    "mount": "losetup mount swapoff swapon umount",
    "procps": "kill ps sysctl free pgrep pkill top uptime vmstat watch",
    "libc-bin": "getconf",
    "dash": "sh",
    "fdisk": "sfdisk cfdisk fdisk",
    "gdisk": "sgdisk",
    "thin-provisioning-tools": "thin_check",
    "dmsetup": "dmsetup",
    "cryptsetup-bin": "cryptsetup",
    "multipath-tools": "multipath multipathd",
    "btrfs-progs": "btrfs mkfs.btrfs",
    "openssh-client": "sftp ssh ssh-keygen scp",
    "isc-dhcp-client": "dhclient",
    "dhcpcd-base": "dhcpcd",
    "binutils": "strip",
    "qemu-system-x86": "qemu-system-x86_64",
    "ovmf": "ovmf",
    "iputils-ping": "ping",
    "netcat-openbsd": "nc",
    "util-linux-extra": "hwclock",
    "bsdutils": "logger script",
    "bsdextrautils": "hexdump",
    "sysvinit-utils": "pidof",
    "ncurses-bin": "clear",
    "debianutils": "which",
    "eject": "eject",
    "xxd": "xxd",
    "mt-st": "mt",
    "sg3-utils": "sg_inq",
    "udhcpc": "udhcpc",
    "wpasupplicant": "wpa_supplicant wpa_cli",
}

# What packages of the kernel and of GRUB have in their names for an architecture of uname(2).
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

QUESTIONS = ("grub-pc/install_devices", "grub-efi/install_devices")


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/debian_version*"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    machine = platform.machine()
    packages = {
        **PACKAGES,
        kernel_package(read_os_release().ids, machine): "kernel",
        f"shim-signed grub-efi-{ARCHITECTURES.get(machine, 'ia32')}-signed": "shim-signed grubnet-signed",
    }
    return install_advice(packages, "apt-get install", "apt-file search bin/{}", programs)


@hookimpl
def rear_finalize() -> Iterable[Step]:
    # Behind the configuration, before the boot loader.
    yield Step(50, "Rebuild the initramfs if this hardware needs other drivers", rebuild_initramfs)
    yield Step(55, "Rewrite GRUB's menu if device names changed", rebuild_menu)
    yield Step(57, "Update where the GRUB package is installed", update_install_devices)


def rebuild_initramfs(run: Run) -> None:
    """Run `update-initramfs` for all kernels in the recovered system; on the machine it was made for it stays."""
    from rear_core.finalize.renew import renew_initramfs

    renew_initramfs(run, make_initramfs)


def make_initramfs(run: Run) -> None:
    """By initramfs-tools, or by dracut, which can take its place."""
    from rear_core.boot.chroot import has_program, run_inside
    from rear_core.finalize import dracut

    if has_program(run, "update-initramfs") or not has_program(run, "dracut"):
        run_inside(run, "update-initramfs", "-u", "-k", "all", timeout=7200)
    else:
        dracut.make_images(run)


def rebuild_menu(run: Run) -> None:
    """Run `update-grub` in the recovered system."""
    from rear_core.boot.chroot import has_program
    from rear_core.boot.grub_renew import renew_menu

    renew_menu(run, [("update-grub",)] if has_program(run, "update-grub") else [])


def update_install_devices(run: Run) -> None:
    """Name the new disks in debconf: GRUB's next update installs it there, and fails on one that is gone."""
    from rear_core.boot.chroot import run_inside
    from rear_core.finalize.devices import storage_of

    recorded = install_devices(run.target)
    if not recorded:
        return
    storage = storage_of(run)
    for owner, question, devices in recorded:
        now = [name for name in (storage.now("", device) for device in devices) if name]
        if not now or now == devices:
            continue
        answer = f"{owner} {question} multiselect {', '.join(now)}"
        try:
            run_inside(run, "debconf-set-selections", input=answer + "\n")
        except RearError as error:
            run.report.warn(f"the next update of GRUB will ask where to install it: {error.message}")
        else:
            run.recovery.done.append(f"{question} is now {', '.join(now)}")


def install_devices(target: Path) -> list[tuple[str, str, list[str]]]:
    """Where GRUB's packages install it: package, question and answer of debconf, for each that was answered.

    Name: grub-pc/install_devices
    Value: /dev/disk/by-id/ata-QEMU_HARDDISK_QM00001, /dev/disk/by-id/ata-QEMU_HARDDISK_QM00003
    Owners: grub-pc
    """
    path = target / "var/cache/debconf/config.dat"
    text = path.read_text(errors="replace") if path.is_file() else ""
    found = []
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        if fields.get("Name") in QUESTIONS and fields.get("Value"):
            owner = fields.get("Owners", "").partition(",")[0] or "grub-pc"
            found.append((owner, fields["Name"], fields["Value"].split(", ")))
    return found


def kernel_package(ids: Sequence[str], machine: str) -> str:
    """The package that brings the plain kernel of a distribution."""
    if "ubuntu" in ids:
        return "linux-image-generic"
    return "linux-image-" + {**ARCHITECTURES, "i686": "686-pae"}.get(machine, machine)
