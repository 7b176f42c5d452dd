# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen of a machine with BIOS in QEMU: what talks there before it reads any configuration."""

from __future__ import annotations

import re
import time

from . import qemu

# Where text mode has its letters, each followed by its color: 25 lines of 80.
PLACE, LINES, COLUMNS = 0xB8000, 25, 80


def text(vm: qemu.Machine) -> str:
    """What the screen shows in text mode."""
    asked = f"xp /{LINES * COLUMNS}hx {PLACE:#x}"
    words = re.findall(r"0x([0-9a-f]{4})\b", vm._monitor.ask("human-monitor-command", **{"command-line": asked}))
    letters = "".join(chr(int(word, 16) & 0xFF) for word in words)
    return "\n".join(letters[begin : begin + COLUMNS].rstrip() for begin in range(0, len(letters), COLUMNS))


def expect(vm: qemu.Machine, pattern: str, timeout: float) -> None:
    """Wait until the screen shows what the regular expression matches."""
    deadline = time.monotonic() + timeout
    while not re.search(pattern, shown := text(vm)):
        assert time.monotonic() < deadline, shown
        time.sleep(0.5)
