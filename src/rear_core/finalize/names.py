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
# Options of mount that name another device: log and realtime section of XFS, journal of ext4, a device of Btrfs, and
# what systemd waits for (systemd.mount(5)).
OTHER_DEVICE = re.compile(
    r"(?<![\w.-])(?:logdev|rtdev|journal_path|device|x-systemd\.(?:requires|after|before))=([^\s,\"']+)"
)


def _lines(needed: int, *names: str) -> re.Pattern[str]:
    """The lines of a table with these fields; a field that begins with `#` is a comment, and the end of its line."""
    fields = [rf"(?P<{name}>[^#\s]\S*)" for name in names]
    more = "".join(rf"(?:[ \t]+{field})?" for field in fields[needed:])
    return re.compile(r"^[ \t]*" + r"[ \t]+".join(fields[:needed]) + more, re.MULTILINE)


FSTAB = _lines(2, "device", "place", "type", "options")
# crypttab(5): `vault UUID=... /etc/key luks,header=/dev/sda1`. Behind a path there may be the device that it is on
# (`/key:LABEL=stick`), for Debian's passdev before it (`/dev/disk/by-label/stick:/key`).
CRYPTTAB = _lines(2, "name", "device", "key", "options")
# integritytab(5), veritytab(5), and their options that name another device.
INTEGRITYTAB = _lines(2, "name", "device", "key", "options")
VERITYTAB = _lines(3, "name", "device", "hashes", "roothash", "options")
INTEGRITY_DEVICE = re.compile(r"(?<![\w.-])(?:data-device|fec-device)=([^\s,]+)")
KEY = re.compile(r"(?:/(?!dev/)[^\s:]*:)?(\S+?)(?::/\S*)?(?=\s|$)")
WORD = re.compile(r"[^\s\"']+")
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
                # Where it is only the order that is asked for, nobody waits for a device.
                waits = not option[0].startswith(("x-systemd.after", "x-systemd.before"))
                yield from at(option, 1, optional or not waits)


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


def integritytab(text: str) -> Iterator[Reference]:
    """The devices of /etc/integritytab."""
    yield from _checked(text, INTEGRITYTAB, "device")


def veritytab(text: str) -> Iterator[Reference]:
    """The devices of /etc/veritytab: those with the data, and those with their hashes."""
    yield from _checked(text, VERITYTAB, "device", "hashes")


def _checked(text: str, lines: re.Pattern[str], *devices: str) -> Iterator[Reference]:
    for line in lines.finditer(text):
        optional = bool(ON_DEMAND.intersection((line["options"] or "").split(",")))
        for device in devices:
            yield from at(line, device, optional)
        for option in INTEGRITY_DEVICE.finditer(text, *line.span("options")) if line["options"] else ():
            yield from at(option, 1, optional)


def mount_unit(text: str) -> Iterator[Reference]:
    """The devices of a mount unit of systemd, of which nobody knows whether it is started."""
    for match in re.finditer(r"^[ \t]*What[ \t]*=[ \t]*(\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)
    for line in re.finditer(r"^[ \t]*Options[ \t]*=.*$", text, re.MULTILINE):
        for option in OTHER_DEVICE.finditer(text, *line.span()):
            yield from at(option, 1, True)


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


# dracut.cmdline(7) and systemd-cryptsetup-generator(8) agree on rd.luks.uuid; `luks.key=` is PATH:DEVICE:UUID with the
# first, UUID=PATH:DEVICE with the second, `luks.data=` UUID=DEVICE, `luks.options=` UUID=OPTIONS.
LUKS_WORD = re.compile(
    r"(?<![\w.])(?:rd\.)?luks\.(?P<word>uuid|name|key|data|options|allow-discards)=[\"']?"
    r"(?:luks-)?(?P<uuid>[0-9a-fA-F-]{36}(?![^\s\"'=]))?(?P<value>[^\s\"']*)"
)
DEVICE_WORD = re.compile(
    r"(?<![\w.])(?P<word>root|real_root|resume|real_resume|RESUME|cryptdevice|boot|mount\.usr)=[\"']?"
    rf"(?P<device>(?:{'|'.join(TAGS)})=[^\s\"':]+|/dev/[^\s\"':]+)"
)
PART_OF_WORD = re.compile(rf"(?<=[=:\"'])((?:{'|'.join(TAGS)})=[^\s:]+|/dev/[^\s:]+)")


def command_line(text: str) -> Iterator[Reference]:
    """The root, swap, LUKS, LVM and md devices that words for the kernel name, wherever they stand in a text.

    Without the swap space to wake up from, the system starts as after any other shutdown.
    """
    comments = [match.span() for match in re.finditer(r"^[ \t]*#.*$", text, re.MULTILINE)]
    for found in _words_for_the_kernel(text):
        if not any(start <= found.start < end for start, end in comments):
            yield found


def _words_for_the_kernel(text: str) -> Iterator[Reference]:
    for match in DEVICE_WORD.finditer(text):
        yield from at(match, "device", match["word"].lower().endswith("resume"))
    for match in LUKS_WORD.finditer(text):
        yield from _luks_word(text, match)
    for match in re.finditer(r"(?<![\w.])rootflags=\S+", text):
        for option in OTHER_DEVICE.finditer(text, *match.span()):
            yield from at(option, 1, False)
    for match in re.finditer(r"(?<![\w.])rd\.md\.uuid=([0-9a-fA-F:]{32,35})", text):
        yield Reference(match.start(1), match.end(1), "MD", match[1])
    for match in re.finditer(r"(?<![\w.])rd\.lvm\.lv=([^\s\"'/]+/[^\s\"']+)", text):
        yield Reference(match.start(1), match.end(1), "LV", match[1])


def _luks_word(text: str, match: re.Match[str]) -> Iterator[Reference]:
    """A LUKS volume, and what its key, its data or its header is on; a key may be on what is plugged in alone."""
    if match["uuid"]:
        yield Reference(match.start("uuid"), match.end("uuid"), "UUID", match["uuid"])
    if match["word"] in ("key", "data"):
        for part in PART_OF_WORD.finditer(text, *match.span("value")):
            yield from at(part, 1, match["word"] == "key")
    if match["word"] == "options":
        for header in HEADER.finditer(text, *match.span("value")):
            yield from at(header, 1, False)


def kernel_words(text: str) -> Iterator[Reference]:
    """Words for the kernel of which nobody knows whether it gets them: `proof` reads those of the default entry."""
    return (replace(reference, optional=True) for reference in command_line(text))


def grub_cfg(text: str) -> Iterator[Reference]:
    """Kernel words and searched UUIDs of grub.cfg."""
    yield from kernel_words(text)
    for match in re.finditer(r"(?:--fs-uuid\b[^\n]*?|search\.fs_uuid)[ \t]+([0-9a-fA-F-]{8,})(?=\s|$)", text):
        yield Reference(match.start(1), match.end(1), "UUID", match[1], optional=True)


def dracut_conf(text: str) -> Iterator[Reference]:
    """Kernel words of dracut.conf(5), and the devices that an image is to have."""
    yield from kernel_words(text)
    for line in re.finditer(r"^[ \t]*(?:add_device|fstab_lines)\+?=(.*)$", text, re.MULTILINE):
        for word in WORD.finditer(text, *line.span(1)):
            yield from at(word, 0, True)


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
    "/etc/default/grub", "/etc/default/grub.d/*.cfg", "/etc/kernel/cmdline", "/etc/cmdline", "/etc/cmdline.d/*",
    "/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d/*", "/boot/loader/entries/*.conf",
    "/boot/grub/grubenv", "/boot/grub2/grubenv", "/boot/efi/EFI/*/grubenv",
)  # fmt: skip
DRACUT_CONF = ("/etc/dracut.conf", "/etc/dracut.conf.d/*.conf")
GRUB_CFG = (
    "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg",
    "/boot/grub/custom.cfg", "/boot/grub2/custom.cfg", "/boot/efi/EFI/*/custom.cfg", "/etc/grub.d/*custom*",
)  # fmt: skip
FILES: tuple[tuple[str, Callable[[str], Iterable[Reference]]], ...] = (
    ("/etc/fstab", fstab),
    ("/etc/crypttab", crypttab),
    ("/etc/integritytab", integritytab),
    ("/etc/veritytab", veritytab),
    ("/etc/systemd/system/*.mount", mount_unit),
    ("/etc/systemd/system/*.mount.d/*.conf", mount_unit),
    ("/etc/mdadm.conf", mdadm_conf),
    ("/etc/mdadm/mdadm.conf", mdadm_conf),
    *((place, kernel_words) for place in KERNEL_WORDS),
    *((place, dracut_conf) for place in DRACUT_CONF),
    *((place, grub_cfg) for place in GRUB_CFG),
    ("/boot/grub/device.map", device_map),
    ("/boot/grub2/device.map", device_map),
    ("/etc/default/grub_installdevice", install_devices),
)
