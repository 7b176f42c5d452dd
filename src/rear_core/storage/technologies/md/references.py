# SPDX-License-Identifier: GPL-3.0-or-later
"""Where arrays and their members are named: mdadm.conf, words for the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rear_core.storage.references import NamingFile, Reference, at

# The lines of mdadm.conf(5): three letters of their first words are enough, and they go on with those that begin with a
# blank: `DEVICE partitions /dev/sda1`, `ARRAY /dev/md0 devices=/dev/sda1,/dev/sdb1 UUID=...`.
MDADM_CONF = re.compile(r"^(?P<word>ARR|DEV)\w*[ \t].*(?:\n[ \t].*)*", re.MULTILINE | re.IGNORECASE)
DEVICES = re.compile(r"\s(/dev/[^\s*?\[]+)(?!\S)")
NAMED = re.compile(r"\w+[ \t]+(/dev/md\S+)")
MEMBERS = re.compile(r"(?i)(?:\sdevices=|,)(/dev/[^\s,*?\[]+)(?![^\s,])")


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


def arrays(text: str) -> Iterator[tuple[str, Sequence[Reference]]]:
    """The names that lines of mdadm.conf give to arrays: `ARRAY /dev/md/data UUID=...`."""
    for line in MDADM_CONF.finditer(text):
        uuids = [one for one in mdadm_conf(line[0]) if one.tag == "MD"]
        if uuids and (name := NAMED.match(line[0])):
            yield name[1], uuids


def words(text: str) -> Iterator[Reference]:
    """The arrays that the initramfs assembles."""
    for match in re.finditer(r"(?<![\w.])rd\.md\.uuid=([0-9a-fA-F:]{32,35})", text):
        yield Reference(match.start(1), match.end(1), "MD", match[1])


FILES = tuple(NamingFile(path, mdadm_conf, makes=arrays) for path in ("/etc/mdadm.conf", "/etc/mdadm/mdadm.conf"))
