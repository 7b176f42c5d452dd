# SPDX-License-Identifier: GPL-3.0-or-later
"""netplan(5): YAML in its usual form of a key in each line. Any other form is not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .wanted import MAC, OFF, NotUnderstood, Wanted

# Keys of a device that are addresses, or come with them.
DROPPED = (
    "addresses", "dhcp4", "dhcp6", "dhcp4-overrides", "dhcp6-overrides", "dhcp-identifier", "gateway4", "gateway6",
    "macaddress", "nameservers", "routes", "routing-policy",
)  # fmt: skip
KEY = re.compile(r"([ ]*)[\"']?([\w.:*-]+)[\"']?[ ]*:(?:[ ]+(.*))?$")
# Only these say that a device has addresses, unless they are off or empty.
ADDRESSED = ("addresses", "dhcp4", "dhcp6", "gateway4", "gateway6")
TUNNELS = ("tunnels", "modems")
DEVICE = 2


def rewritten(_name: str, text: str, wanted: Wanted) -> str:
    """The text in which each device with an address has those of the clone."""
    lines, blocks = text.splitlines(), _devices(text.splitlines())
    for start, end in reversed(blocks):
        lines[start:end] = _device(lines[start:end], wanted)
    return "".join(f"{line}\n" for line in lines)


def _devices(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Where the blocks of devices begin and end; `NotUnderstood` for what is not written in the usual way."""
    blocks: list[list[int]] = []
    above: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        if "\t" in line or re.search(r"(?:^|[\s:])[&*]\w|<<:", line):
            raise NotUnderstood(f"line {number + 1} has tabs, anchors or aliases")
        found = KEY.match(line)
        indent = len(line) - len(line.lstrip(" "))
        while above and above[-1][0] >= indent and not line.lstrip().startswith(("-", "]", "}")):
            above.pop()
        if len(above) <= DEVICE and not found:
            raise NotUnderstood(f"line {number + 1} is not a key of netplan")
        if blocks and len(above) > DEVICE:
            blocks[-1][1] = number + 1
        if not found or line.lstrip().startswith("-"):
            continue
        if len(above) == 1 and found[2] in TUNNELS:
            raise NotUnderstood(f"it has {found[2]}")
        value = _value(found)
        if len(above) <= DEVICE and value[:1] in ("{", "[") and value != "{}":
            raise NotUnderstood(f"line {number + 1} has all in one line")
        if len(above) == DEVICE:
            blocks.append([number, number + 1])
        above.append((indent, found[2]))
    return [(start, end) for start, end in blocks]


def _value(found: re.Match[str]) -> str:
    return (found[3] or "").partition(" #")[0].strip().strip("\"'")


def _device(lines: list[str], wanted: Wanted) -> list[str]:
    """A device with its own keys: those of addresses are exchanged, if it has any."""
    head = KEY.match(lines[0])
    keys = [(number, found) for number, line in enumerate(lines[1:], 1) if (found := KEY.match(line))]
    if not keys or head is None:
        return lines
    depth = len(keys[0][1][1])
    own = [(number, found[2], _value(found)) for number, found in keys if len(found[1]) == depth]
    had = any(key in ADDRESSED and value.lower() not in (*OFF, "[]") for _, key, value in own)
    ends = [number for number, *_ in own[1:]] + [len(lines)]
    kept = lines[1 : own[0][0]]
    for (start, key, _), end in zip(own, ends):
        kept += lines[start:end] if key not in DROPPED or (key in ADDRESSED and not had) else []
    if not had:
        # It may be a member of another one, which has a hardware address that is not its card's.
        return [lines[0], *kept]
    names = [head[2], *(found[3].strip("\"' ") for _, found in keys if found[2] == "set-name" and found[3])]
    # On the device itself it is an address that it is given, below `match` that of its card.
    macs = [
        mac for _, found in keys if len(found[1]) > depth and found[2] == "macaddress" for mac in MAC.findall(found[0])
    ]
    given = wanted.addresses([*names, *macs])
    return [lines[0], *(" " * depth + line for line in _told(given, wanted)), *kept]


def _told(given: Sequence[str], wanted: Wanted) -> list[str]:
    if not given:
        return ["dhcp4: true"]
    lines = ["dhcp4: false", f"addresses: [{', '.join(_quoted(given))}]"]
    gateways = [gateway for address in given if (gateway := wanted.identity.gateway(address))]
    if gateways:
        # `default` is not known to releases before 0.104.
        routes = ", ".join(f'{{to: "{"::/0" if ":" in way else "0.0.0.0/0"}", via: "{way}"}}' for way in gateways)
        lines.append(f"routes: [{routes}]")
    if wanted.identity.nameservers:
        lines.append(f"nameservers: {{addresses: [{', '.join(_quoted(wanted.identity.nameservers))}]}}")
    return lines


def _quoted(words: Sequence[str]) -> list[str]:
    return [f'"{word}"' for word in words]
