# SPDX-License-Identifier: GPL-3.0-or-later
"""dhclient.conf(5): by what a server of DHCP knows the machine."""

from __future__ import annotations

import re

from .wanted import Wanted

# What dhclient finds out itself, as in `send host-name = gethostname();`, is the clone's own.
SENT = re.compile(
    r"^([^#\n]*?)\bsend\s+(?:host-name|fqdn\.fqdn|dhcp-client-identifier|dhcp6\.client-id|dhcp-requested-address)\b"
    r"(?![^;]*\b(?:gethostname|hardware)\b)[^;]*;",
    re.MULTILINE,
)


def rewritten(_name: str, text: str, _wanted: Wanted) -> str:
    """The text that sends no name, number or address of the other machine."""
    return SENT.sub(r"\1", text)
