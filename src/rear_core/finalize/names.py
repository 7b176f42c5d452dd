# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that names block devices, and where in each file such a name stands.

Files are read in their own syntax; whoever replaces a name leaves comments, order and spaces as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ..storage.luks import RANDOM
from ..storage.mount import NETWORK, VIRTUAL
from .devices import TAGS

NAME = re.compile(
    rf"(?:(?P<tag>{'|'.join(TAGS)})=|/dev/disk/by-(?P<link>uuid|label|partuuid|partlabel)/|(?=/dev/))(?P<value>.+)"
)
ON_DEMAND = {"noauto", "nofail"}
# Options of mount that name another device: log and realtime section of XFS, journal of ext4, a device of Btrfs.
OTHER_DEVICE = re.compile(r"(?<![\w.-])(?:logdev|rtdev|journal_path|device)=([^\s,\"']+)")

# A field of fstab(5) and crypttab(5); one that begins with `#` is a comment, and the end of its line.
FIELD = r"[^#\s]\S*"
FSTAB = re.compile(
    rf"^[ \t]*(?P<device>{FIELD})[ \t]+(?P<place>{FIELD})(?:[ \t]+(?P<type>{FIELD}))?"
    rf"(?:[ \t]+(?P<options>{FIELD}))?",
    re.MULTILINE,
)
# The lines of crypttab(5): `vault UUID=... /etc/key luks,header=/dev/sda1`. Behind a path there may be the device that
# it is on (`/key:LABEL=stick`), for Debian's passdev before it (`/dev/disk/by-label/stick:/key`).
CRYPTTAB = re.compile(
    rf"^[ \t]*(?P<name>{FIELD})[ \t]+(?P<device>{FIELD})(?:[ \t]+(?P<key>{FIELD}))?(?:[ \t]+(?P<options>{FIELD}))?",
    re.MULTILINE,
)
KEY = re.compile(r"(?:/(?!dev/)[^\s:]*:)?(\S+?)(?::/\S*)?(?=\s|$)")
# The lines of mdadm.conf(5): three letters of their first words are enough, and they go on with those that begin with a
# blank: `DEVICE partitions /dev/sda1`, `ARRAY /dev/md0 devices=/dev/sda1,/dev/sdb1 UUID=...`.
MDADM_CONF = re.compile(r"^(?P<word>ARR|DEV)\w*[ \t].*(?:\n[ \t].*)*", re.MULTILINE | re.IGNORECASE)
DEVICES = re.compile(r"\s(/dev/[^\s*?\[]+)(?!\S)")
MEMBERS = re.compile(r"(?i)(?:\sdevices=|,)(/dev/[^\s,*?\[]+)(?![^\s,])")
HEADER = re.compile(r"(?<![\w.-])header=(?:/(?!dev/)[^\s,:]*:)?([^\s,]+)")


@dataclass(frozen=True)
class Reference:
    """A name at its place in a text; `tag` as `Storage.now` takes it. The system boots without an `optional` one."""

    start: int
    end: int
    tag: str
    value: str
    optional: bool = False


def fstab(text: str) -> Iterator[Reference]:
    """The first fields of /etc/fstab that name a device of this machine, and options that name another one."""
    for line in FSTAB.finditer(text):
        optional = bool(ON_DEMAND.intersection((line["options"] or "").split(",")))
        if line["type"] not in NETWORK | VIRTUAL:
            yield from at(line, "device", optional)
            for option in OTHER_DEVICE.finditer(text, *line.span("options")) if line["options"] else ():
                yield from at(option, 1, optional)


def crypttab(text: str) -> Iterator[Reference]:
    """The devices of /etc/crypttab: the encrypted ones, and those that their headers and keys are on.

    A key may be on what is plugged in at the start alone.
    """
    for line in CRYPTTAB.finditer(text):
        optional = bool(ON_DEMAND.intersection((line["options"] or "").split(",")))
        yield from at(line, "device", optional)
        for header in HEADER.finditer(text, *line.span("options")) if line["options"] else ():
            yield from at(header, 1, optional)
        key = KEY.match(text, *line.span("key")) if line["key"] else None
        if key and key[1] not in RANDOM:
            yield from at(key, 1, True)


def mdadm_conf(text: str) -> Iterator[Reference]:
    """The arrays of mdadm.conf, and the devices that may be members; one that is gone does no harm there.

    What a pattern among these was to match is not known.
    """
    for line in MDADM_CONF.finditer(text):
        is_array = line["word"].upper() == "ARR"
        for match in re.finditer(r"(?i)\buuid=([0-9a-f:]+)", line[0]) if is_array else ():
            yield Reference(line.start() + match.start(1), line.start() + match.end(1), "MD", match[1], optional=True)
        for match in (MEMBERS if is_array else DEVICES).finditer(text, *line.span()):
            yield from at(match, 1, True)


def command_line(text: str) -> Iterator[Reference]:
    """The root, swap, LUKS, LVM and md devices that words for the kernel name, wherever they stand in a text.

    Without the swap space to wake up from, the system starts as after any other shutdown.
    """
    word = r"(?<![\w.])(root|resume|real_root|RESUME|cryptdevice)=[\"']?((?:%s)=[^\s\"':]+|/dev/[^\s\"':]+)"
    patterns = (
        ("", word % "|".join(TAGS)),
        ("UUID", r"(?<![\w.])rd\.luks\.(?:uuid|name)=[\"']?(?:luks-)?([0-9a-fA-F-]{36})"),
        ("MD", r"(?<![\w.])rd\.md\.uuid=([0-9a-fA-F:]{32,35})"),
        ("rootflags", r"(?<![\w.])rootflags=\S+"),
        ("LV", r"(?<![\w.])rd\.lvm\.lv=([^\s\"'/]+/[^\s\"']+)"),
    )
    comments = [match.span() for match in re.finditer(r"^[ \t]*#.*$", text, re.MULTILINE)]
    for tag, pattern in patterns:
        for match in re.finditer(pattern, text):
            if any(start <= match.start() < end for start, end in comments):
                continue
            if tag == "rootflags":
                for option in OTHER_DEVICE.finditer(text, *match.span()):
                    yield from at(option, 1, False)
            elif tag:
                yield Reference(match.start(1), match.end(1), tag, match[1])
            else:
                yield from at(match, 2, match[1].lower() == "resume")


def kernel_words(text: str) -> Iterator[Reference]:
    """Words for the kernel of which nobody knows whether it gets them: `proof` reads those of the default entry."""
    return (replace(reference, optional=True) for reference in command_line(text))


def grub_cfg(text: str) -> Iterator[Reference]:
    """Kernel words and searched UUIDs of grub.cfg."""
    yield from kernel_words(text)
    for match in re.finditer(r"(?:--fs-uuid\b[^\n]*?|search\.fs_uuid)[ \t]+([0-9a-fA-F-]{8,})(?=\s|$)", text):
        yield Reference(match.start(1), match.end(1), "UUID", match[1], optional=True)


def device_map(text: str) -> Iterator[Reference]:
    """GRUB's names of disks."""
    for match in re.finditer(r"^\(\w+\)\s+(/dev/\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)


def install_devices(text: str) -> Iterator[Reference]:
    """The devices of /etc/default/grub_installdevice, one a line among words like `activate` (SUSE)."""
    for match in re.finditer(r"^(/dev/\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)


def at(match: re.Match[str], group: int | str, optional: bool) -> Iterator[Reference]:
    """The reference in a group of a match, none when it does not name a block device."""
    quoted = match[group]
    word = quoted.strip("\"'")
    before = len(quoted) - len(quoted.lstrip("\"'"))
    found = NAME.fullmatch(word)
    if not found:
        return
    inner = found["value"].lstrip("\"'") if found["tag"] else found["value"]
    start = match.start(group) + before + found.start("value") + len(found["value"]) - len(inner)
    tag = found["tag"] or (found["link"] or "").upper()
    yield Reference(start, start + len(inner), tag, inner, optional)


# Where the words for the kernel stand.
KERNEL_WORDS = (
    "/etc/default/grub", "/etc/default/grub.d/*.cfg", "/etc/kernel/cmdline", "/boot/loader/entries/*.conf",
    "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg",
    "/boot/grub/grubenv", "/boot/grub2/grubenv", "/boot/efi/EFI/*/grubenv",
)  # fmt: skip
FILES: tuple[tuple[str, Callable[[str], Iterable[Reference]]], ...] = (
    ("/etc/fstab", fstab),
    ("/etc/crypttab", crypttab),
    ("/etc/mdadm.conf", mdadm_conf),
    ("/etc/mdadm/mdadm.conf", mdadm_conf),
    ("/etc/default/grub", kernel_words),
    ("/etc/default/grub.d/*.cfg", kernel_words),
    ("/etc/kernel/cmdline", kernel_words),
    ("/etc/initramfs-tools/conf.d/*", kernel_words),
    ("/etc/dracut.conf.d/*.conf", kernel_words),
    ("/boot/loader/entries/*.conf", kernel_words),
    ("/boot/grub/grub.cfg", grub_cfg),
    ("/boot/grub2/grub.cfg", grub_cfg),
    ("/boot/efi/EFI/*/grub.cfg", grub_cfg),
    ("/boot/grub/device.map", device_map),
    ("/boot/grub2/device.map", device_map),
    ("/boot/grub/grubenv", kernel_words),
    ("/boot/grub2/grubenv", kernel_words),
    ("/boot/efi/EFI/*/grubenv", kernel_words),
    ("/etc/default/grub_installdevice", install_devices),
)  # fmt: skip
