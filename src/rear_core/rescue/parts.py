# SPDX-License-Identifier: GPL-3.0-or-later
"""What an initramfs is made of: its members by parts that somebody may want to leave out, and what each part takes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..shell import Shell
from .initramfs import Member

# A file of a program's package that is larger is a part of its own.
LARGE_FILE = 8 << 20
PYTHON = re.compile(r".*/(lib)?python3\.\d+([/.]|$)|usr/lib/rear/python/")


@dataclass(frozen=True)
class Part:
    """Members that belong together, and the bytes of their files, unpacked."""

    name: str
    members: tuple[Member, ...]
    size: int


def parts(members: Iterable[Member], listed: Mapping[str, Sequence[str]]) -> list[Part]:
    """All parts, the largest first; `listed` has paths and patterns that were asked for by the names of settings."""
    found: dict[str, list[tuple[Member, int]]] = {}
    for member in members:
        size = os.stat(member.source).st_size if member.source else len(member.content)
        found.setdefault(_part(member.name, size, listed), []).append((member, size))
    made = [
        Part(name, tuple(member for member, _ in each), sum(size for _, size in each)) for name, each in found.items()
    ]
    return sorted(made, key=lambda part: (-part.size, part.name))


def _part(name: str, size: int, listed: Mapping[str, Sequence[str]]) -> str:
    """The part that a member belongs to.

    >>> _part("usr/lib/firmware/mellanox/fw.mfa2", 1, {})
    'firmware mellanox'
    >>> _part("lib/modules/6.1.0/kernel/drivers/net/ethernet/intel/ice/ice.ko", 1, {})
    'kernel modules drivers/net'
    >>> _part("opt/agent/bin/agent", 1, {"RESCUE_FILES": ["/opt/agent"]})
    'RESCUE_FILES /opt/agent'
    """
    for setting, patterns in listed.items():
        for pattern in patterns:
            if any(fnmatchcase(f"/{name}", each) for each in (pattern, f"{pattern.rstrip('/')}/*")):
                return f"{setting} {pattern}"
    words = name.split("/")
    where = words[words[0] == "usr" :]
    if where[:2] == ["lib", "firmware"]:
        return f"firmware {where[2]}" if len(where) > 3 else "firmware without a folder"
    if where[:2] == ["lib", "modules"]:
        return f"kernel modules {'/'.join(where[4:-1][:2])}" if len(where) > 5 else "kernel modules, their index"
    if PYTHON.match(name):
        return "Python and what it imports"
    if size > LARGE_FILE:
        return f"/{name}"
    return f"/{'/'.join(words[: min(3, len(words) - 1)])}"


def namers(sh: Shell, modules: Sequence[Path], wanted: Iterable[str]) -> dict[str, list[str]]:
    """The kernel modules that name firmware, by the part that it belongs to, of these parts."""
    # $ modinfo tg3.ko
    # filename:       /lib/modules/6.1.0-13-amd64/kernel/drivers/net/ethernet/broadcom/tg3.ko
    # firmware:       tigon/tg357766.bin
    folders, found = set(wanted), dict[str, set[str]]()
    module = ""
    for line in sh.query("modinfo", *modules, timeout=600).splitlines() if modules else ():
        key, _, value = line.partition(":")
        if key == "filename":
            module = Path(value.strip()).name.partition(".ko")[0]
        elif key == "firmware" and (part := _part(f"lib/firmware/{value.strip()}", 0, {})) in folders:
            found.setdefault(part, set()).add(module)
    return {part: sorted(names) for part, names in found.items()}
