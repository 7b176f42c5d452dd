# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian, Ubuntu and their kin: which package brings a missing program, how an initramfs is made."""
from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence

from rear_core import Contents, RearError, Run, Step, hookimpl
from rear_core.system.os_release import read_os_release
from rear_core.system.packages import install_advice

# Package: what it brings. Beside programs: GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "shim-signed grub-efi-amd64-signed": "shim-signed",
    "grub-pc-bin": "grub-i386-pc",
    "grub-efi-amd64-bin": "grub-x86_64-efi",
    "grub-efi-arm64-bin": "grub-arm64-efi",
    "grub-common": "grub-mkimage grub2-mkimage",
    "nfs-common": "mount.nfs mount.nfs4",
    "xz-utils": "xz",
    "iproute2": "ip bridge",
    "libteam-utils": "teamd teamdctl",
    "udev": "udevadm systemd-udevd",
    "util-linux": "agetty blkid blockdev dmesg findmnt fsck lsblk mkswap mountpoint setsid wipefs",
    "mount": "losetup mount swapoff swapon umount",
    "procps": "kill ps sysctl",
    "libc-bin": "getconf",
    "dash": "sh",
    "fdisk": "sfdisk",
    "gdisk": "sgdisk",
    "thin-provisioning-tools": "thin_check",
    "dmsetup": "dmsetup",
    "cryptsetup-bin": "cryptsetup",
    "multipath-tools": "multipath multipathd",
    "btrfs-progs": "btrfs mkfs.btrfs",
    "openssh-client": "sftp ssh ssh-keygen",
    "isc-dhcp-client": "dhclient",
    "dhcpcd-base": "dhcpcd",
    "binutils": "strip",
}


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/debian_version*"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    kernel = {kernel_package(read_os_release().ids, platform.machine()): "kernel"}
    return install_advice({**PACKAGES, **kernel}, "apt-get install", "apt-file search bin/{}", programs)


@hookimpl
def rear_finalize() -> Iterable[Step]:
    # Behind the configuration, before the boot loader.
    yield Step(50, "Make the initramfs anew where this machine needs another", rebuild_initramfs)
    yield Step(55, "Write GRUB's menu anew where names of devices changed", rebuild_menu)


def rebuild_initramfs(run: Run) -> None:
    """Run `update-initramfs` for all kernels in the recovered system; on the machine it was made for it stays."""
    from rear_core.boot.chroot import run_inside
    from rear_core.finalize.decision import reasons_for_new_initramfs

    reasons = reasons_for_new_initramfs(run)
    if not reasons:
        run.report.log("the initramfs fits this machine and stays as it is")
        return
    run.report.say(f"Making the initramfs anew: {'; '.join(reasons)}")
    try:
        run_inside(run, "update-initramfs", "-u", "-k", "all", timeout=7200)
    except RearError as error:
        # The boot loader is installed all the same, so that only this is left to repair.
        run.recovery.problems.append(f"the initramfs could not be made anew ({'; '.join(reasons)}): {error.message}")
    else:
        run.recovery.done.append(f"initramfs made anew: {'; '.join(reasons)}")


def rebuild_menu(run: Run) -> None:
    """Run `update-grub` in the recovered system, for what grub.cfg says of devices beside their identifiers."""
    from rear_core.boot.chroot import has_program, run_inside

    if run.recovery.rewritten and has_program(run, "update-grub"):
        try:
            run_inside(run, "update-grub")
        except RearError as error:
            # The names of devices in it were put right already.
            run.report.warn(f"GRUB's menu could not be written anew: {error.message}")
        else:
            run.recovery.done.append("GRUB's menu written anew")


def kernel_package(ids: Sequence[str], machine: str) -> str:
    """The package that brings the plain kernel of a distribution."""
    if "ubuntu" in ids:
        return "linux-image-generic"
    return "linux-image-" + {"x86_64": "amd64", "aarch64": "arm64", "i686": "686-pae"}.get(machine, machine)
