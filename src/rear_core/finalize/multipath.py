# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of multipath-tools in a restored system: which WWID has which name, and WWIDs that changed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from .. import recovered

CONFIGURATION = ("/etc/multipath.conf", "/etc/multipath/conf.d/*.conf")
# One disk a line: `mpatha 3600a0b80...` where multipathd chose the name, and `/3600a0b80.../` for each it has made.
BINDINGS, WWIDS = "/etc/multipath/bindings", "/etc/multipath/wwids"


def names(target: Path, used: Collection[str]) -> dict[str, str]:
    """The names that the system gives disks, by their WWIDs; only those in `used`, as others may not be in force.

    A disk that has none here is called by its WWID.
    """
    found: dict[str, str] = {}
    for _, path in recovered.find(target, BINDINGS):
        found |= {wwid: name for name, wwid in re.findall(r"^[ \t]*([^#\s]\S*)[ \t]+(\S+)", recovered.read(path), re.M)}
    # An alias of multipath.conf(5) has precedence.
    for pattern in CONFIGURATION:
        for _, path in recovered.find(target, pattern):
            found |= _aliases(recovered.read(path))
    return {wwid: name for wwid, name in found.items() if name in used}


def _aliases(text: str) -> dict[str, str]:
    text = re.sub(r"^[ \t]*[#!].*$", "", text, flags=re.MULTILINE)
    found = {}
    for section in re.findall(r"\bmultipath[ \t]*\{([^}]*)\}", text):
        values = dict(re.findall(r"^[ \t]*(wwid|alias)[ \t]+\"?([^\"\s]+)", section, re.MULTILINE))
        if len(values) == 2:
            found[values["wwid"]] = values["alias"]
    return found


def rewrite_wwids(target: Path, changed: Mapping[str, str]) -> list[str]:
    """Write the WWIDs of new disks in the place of the old ones; returns the files that were changed."""
    done = []
    for pattern in (*CONFIGURATION, BINDINGS, WWIDS):
        for name, path in recovered.find(target, pattern):
            text = recovered.read(path)
            # Where the new disk is listed already, its own line would come before or after with another name.
            kept = _without(text, changed) if pattern in (BINDINGS, WWIDS) else text
            new = re.sub(_any_of(changed), lambda found: changed[found[0]], kept) if changed else text
            if new != text:
                recovered.replace(path, new)
                done.append(name)
    return done


def _without(text: str, changed: Mapping[str, str]) -> str:
    """The lines of a list but for those of disks that take the place of another one."""
    new = set(changed.values()) - set(changed)
    if not new or not re.search(_any_of(changed), text):
        return text
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("#") or not re.search(_any_of(new), line))


def _any_of(wwids: Collection[str]) -> str:
    return rf"(?<![\w.:-])(?:{'|'.join(map(re.escape, sorted(wwids)))})(?![\w.:-])"
