# SPDX-License-Identifier: GPL-3.0-or-later
"""64-bit ARM, which PCs emulate: trees of Debian, programs in them, and whole machines."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rear_drill import qemu
from rear_drill.console import Console

NAME, CONSOLE = "aarch64", "ttyAMA0"
FIRMWARE = Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")
# How the kernel gets to know the emulator of programs: by what its Debian package lays ready for systemd,
# ":qemu-aarch64:M::<magic>:<mask>:<emulator>:<flags>" (Documentation/admin-guide/binfmt-misc.rst).
BINFMT = Path("/proc/sys/fs/binfmt_misc")
RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")

# An emulated dpkg unpacks for many minutes. So that of this machine does, and only what packages run is emulated. There
# is no initramfs yet: `debian.disk` makes one anyway, where it finds one.
TREE = r"""
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C INITRD=No
mmdebstrap --mode=root --variant=extract --architectures=arm64 --aptopt='APT::Install-Recommends 0' \
    --skip=essential/unlink,cleanup/apt --include='?essential' --include="$2" "$1" "$4"
mount --bind /proc "$4/proc"
mount --rbind /dev "$4/dev"
printf '#!/bin/sh\nexit 101\n' >"$4/usr/sbin/policy-rc.d"
chmod 755 "$4/usr/sbin/policy-rc.d"
dpkg --root="$4" --force-all --no-triggers --unpack "$4"/var/cache/apt/archives/*.deb
dpkg --root="$4" --force-depends --force-unsafe-io --configure --pending
rm -r "$4/usr/sbin/policy-rc.d" "$4"/var/cache/apt/archives/*.deb "$4"/var/lib/apt/lists/*
touch "$4/boot/initrd.img-$(ls "$4/usr/lib/modules")"
sh -c "$3" sh "$4"
"""


@dataclass
class Machine(qemu.Machine):
    """One with QEMU's `virt`: firmware for UEFI, a PL011 as console, discs on a SCSI bus; no display."""

    accelerator: Sequence[str] = ("-accel", "tcg,thread=multi", "-cpu", "cortex-a72")

    program: ClassVar[str] = "qemu-system-aarch64"
    display: ClassVar[tuple[str, ...]] = ()
    disc_drive: ClassVar[tuple[str, ...]] = ("-device", "virtio-scsi-pci,id=discs", "-device", "scsi-cd,bus=discs.0")

    def _firmware(self, private: Path) -> list[str]:
        return ["-machine", "virt", *self._flash(*FIRMWARE, private)]


def emulate_programs() -> None:
    """Have the kernel of this machine run programs for ARM, also in trees without the emulator."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / RULE.stem).exists():
        (BINFMT / "register").write_bytes(RULE.read_bytes())


def emulate_programs_in(guest: Console) -> None:
    """Likewise the kernel of a guest on this machine."""
    emulator = Path(RULE.read_text().split(":")[6])
    guest.check(f"modprobe binfmt_misc && mount -t binfmt_misc binfmt_misc {BINFMT} && mkdir -p {emulator.parent}")
    guest.put(f"{emulator}", emulator.read_bytes())
    guest.check(f"chmod 755 {emulator}")
    guest.put(f"{BINFMT}/register", RULE.read_bytes())


def make_tree(suite: str, packages: str, customise: str, path: Path) -> None:
    """A root file system with these packages, separated by commas, as `debian.tree` makes it."""
    emulate_programs()
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", TREE, "sh", suite, packages, customise]
    subprocess.run([*argv, path], check=True, stdin=subprocess.DEVNULL, timeout=3600)
