# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of the table of layouts, what can be said of one, and commands that many of them share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Made:
    """A layout: a script for bash that makes it on the disks $a to $f, of `size` MiB each.

    It is made again on disks that are `larger` by so many MiB. udev has not `noticed` what the script wrote where that
    says so; `multipath` is the configuration of multipathd.
    """

    name: str
    script: str
    disks: int = 1
    size: int = 256
    larger: int = 0
    sector_size: int = 512
    paths: int = 1
    noticed: bool = True
    multipath: str = ""


@dataclass(frozen=True)
class Refused:
    """What `rear savelayout` says of a layout that cannot be made again, as a pattern, and why it cannot."""

    pattern: str
    why: str


@dataclass(frozen=True)
class Said:
    """What is said beforehand of a layout that will not be quite as it was, as a pattern, and why it is not."""

    pattern: str
    why: str


def gpt(*disks: str, size: str = "") -> str:
    """Commands that make one partition on each of the disks."""
    line = f"size={size}" if size else "type=L"
    return "".join(f"echo '{line}' | sfdisk --quiet --label gpt ${disk}\n" for disk in disks) + "udevadm settle\n"


def phantom(disk: str) -> str:
    """Commands after which the kernel sees a partition where no table is, as it does on one of 256 LUKS volumes.

    It is one of Acorn's Powertec, which are known by a checksum of one byte (Linux, block/partitions/acorn.c).
    """
    return (
        f"printf '\\1' | dd of=${disk} bs=1 seek=14 conv=notrunc status=none\n"
        f"printf '\\x2b' | dd of=${disk} bs=1 seek=511 conv=notrunc status=none\n"
        f"blockdev --rereadpt ${disk}; udevadm settle; [ -b ${{{disk}}}1 ]\n"
    )


def md(level: str, options: str, members: str, data: str = "mkfs.ext4 -q /dev/md/data") -> str:
    """Commands that make an array, and what is on it."""
    devices = len(members.replace("--write-mostly", "").split()) - options.count("--spare-devices=1")
    return (
        f"mdadm --quiet --create /dev/md/data --run --level={level} --name=data --homehost=debian12"
        f" --raid-devices={devices} {options} {members}\n"
        f"udevadm settle\nmdadm --wait /dev/md/data || true\n{data}\n"
    )


def lvm(disks: str, *commands: str) -> str:
    """Commands that make the group vg on these disks, and what is in it."""
    volumes = " ".join(f"${disk}" for disk in disks)
    return f"pvcreate -qq {volumes}\nvgcreate -qq vg {volumes}\n" + "\n".join(commands) + "\n"


LUKS1 = "cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000"
PBKDF2 = "cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
ARGON2 = (
    "cryptsetup luksFormat -q --type luks2 --pbkdf argon2id --pbkdf-memory 16384 --pbkdf-force-iterations 4"
    " --pbkdf-parallel 1"
)


# Gives a LUKS2 volume a UUID with which the first sector of its header (LUKS2 On-Disk Format Specification, 2.1) is a
# table of Acorn's. Its size of the header is then read as a partition that begins where the volume does.
UNLUCKY_UUID = r"""
import hashlib, subprocess, sys, uuid

with open(sys.argv[1], "rb") as device:
    header = bytearray(device.read(16384))
header[16:24] = (int.from_bytes(header[16:24], "big") + 1).to_bytes(8, "big")
while True:
    name = str(uuid.uuid4())
    header[168:208] = name.encode().ljust(40, b"\0")
    header[448:512] = bytes(64)
    header[448:480] = hashlib.sha256(header).digest()
    if (0x2A + sum(header[:511])) % 256 == header[511]:
        break
subprocess.run(["cryptsetup", "luksUUID", "-q", "--uuid", name, sys.argv[1]], check=True)
"""


def luks_by_phantom(disk: str) -> str:
    """Commands that make a volume on which the kernel sees a partition, and open it by that."""
    return (
        f"{PBKDF2} ${disk} $key\n/opt/rear/bin/python - ${disk} <<'END'{UNLUCKY_UUID}END\n"
        f"blockdev --rereadpt ${disk}; udevadm settle\n"
        f"cryptsetup open --key-file $key ${{{disk}}}1 vault\nmkfs.ext4 -q /dev/mapper/vault\n"
    )


def luks(how: str, device: str) -> str:
    """Commands that make a volume, and a file system in it."""
    return f"{how} {device} $key\ncryptsetup open --key-file $key {device} vault\nmkfs.ext4 -q /dev/mapper/vault\n"
