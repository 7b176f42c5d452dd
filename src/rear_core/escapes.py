# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are bytes, as the kernel and udev write them into lines of text."""
from __future__ import annotations

import os
import re
from pathlib import Path

# The kernel writes octal numbers (proc(5), mountinfo), udev and the raw output of util-linux hexadecimal ones; all of
# them escape a backslash of the name itself.
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([0-7]{3}))")


def unescaped(text: str) -> str:
    r"""The name that an escaped one stands for, with bytes that are no UTF-8 as `os.fsdecode` has them.

    >>> unescaped(r"/srv/gr\xc3\xb6\xc3\x9fe"), unescaped(r"/srv/a\040b")
    ('/srv/größe', '/srv/a b')
    """

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16) if match[1] else int(match[2], 8) & 0xFF])

    return os.fsdecode(ESCAPE.sub(byte, os.fsencode(text)))


def mount_points() -> list[str]:
    """All mount points by the kernel's own table (proc(5), /proc/pid/mountinfo), in the order of mounting."""
    # Lines and fields end at these two bytes alone: names may hold whatever else Unicode calls a blank or a line's end.
    lines = Path("/proc/self/mountinfo").read_bytes().split(b"\n")
    return [unescaped(os.fsdecode(line.split(b" ")[4])) for line in lines if line]
