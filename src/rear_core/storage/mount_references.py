# SPDX-License-Identifier: GPL-3.0-or-later
"""Where file systems and what they need are named: fstab, mount units, words for the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .fstypes import NETWORK, VIRTUAL
from .references import NamingFile, Reference, Table, at, kernel_words, on_demand, table_lines

# Options of mount that name another device: log and realtime section of XFS, journal of ext4, a device of Btrfs, and
# what systemd waits for (systemd.mount(5)).
OTHER_DEVICE = re.compile(
    r"(?<![\w.-])(?:logdev|rtdev|journal_path|device|x-systemd\.(?:requires|after|before))=([^\s,\"']+)"
)

FSTAB = table_lines(2, "device", "place", "type", "options")
WORDS = kernel_words("root", "real_root", "boot", r"mount\.usr")


def fstab(text: str) -> Iterator[Reference]:
    """The first fields of /etc/fstab that name a device of this machine, and options that name another one."""
    for line in FSTAB.finditer(text):
        optional = on_demand(line)
        if line["type"] not in NETWORK | VIRTUAL:
            yield from at(line, "device", optional)
            for option in OTHER_DEVICE.finditer(text, *line.span("options")) if line["options"] else ():
                # Where it is only the order that is asked for, nobody waits for a device.
                waits = not option[0].startswith(("x-systemd.after", "x-systemd.before"))
                yield from at(option, 1, optional or not waits)


def mount_unit(text: str) -> Iterator[Reference]:
    """The devices of a mount unit of systemd, of which nobody knows whether it is started."""
    for match in re.finditer(r"^[ \t]*What[ \t]*=[ \t]*(\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)
    for line in re.finditer(r"^[ \t]*Options[ \t]*=.*$", text, re.MULTILINE):
        for option in OTHER_DEVICE.finditer(text, *line.span()):
            yield from at(option, 1, True)


def words(text: str) -> Iterator[Reference]:
    """The file systems that the kernel and the initramfs mount."""
    for match in WORDS.finditer(text):
        yield from at(match, "device", False)
    for match in re.finditer(r"(?<![\w.])rootflags=\S+", text):
        for option in OTHER_DEVICE.finditer(text, *match.span()):
            yield from at(option, 1, False)


FILES = (
    NamingFile("/etc/fstab", fstab, Table(4, "auto")),
    NamingFile("/etc/systemd/system/*.mount", mount_unit),
    NamingFile("/etc/systemd/system/*.mount.d/*.conf", mount_unit),
)
