# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine is known by among others of its name: a number made of its machine-id and its firmware's UUID.

Neither can be told from the number. A copy of a virtual machine has a UUID of its own (SMBIOS 7.2.1), also where the
machine-id was copied. A machine that was recovered keeps its number on other hardware.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .. import own_files

MACHINE_ID = Path("/etc/machine-id")
FIRMWARE = Path("/sys/class/dmi/id/product_uuid")
NAME = "identity.json"


def computed(machine_id: Path = MACHINE_ID, firmware: Path = FIRMWARE) -> str:
    """The number of the machine that this is by itself, 32 hexadecimal digits; "" where nothing tells."""
    found = [_text(machine_id), _text(firmware).lower()]
    return hashlib.sha256("\0".join(["rear", *found]).encode()).hexdigest()[:32] if any(found) else ""


def known(var_dir: Path, here: str) -> str:
    """The number that a recovery has given to the machine on this hardware, otherwise the one that it has by itself.

    Raises `NoFile` for what is no file in its place: a machine of another number could not save where its backups are.
    """
    try:
        kept = json.loads(own_files.read_text(var_dir / NAME))
        return str(kept["identity"]) if kept["on"] == here else here
    except (OSError, ValueError, KeyError, TypeError):
        return here


def may_be_one(one: str, other: str) -> bool:
    """Whether two machines of one name may be the same: they are not where both have a number, and not the same."""
    return not (one and other) or one == other


def told_apart(other: str, own: str) -> str:
    """How another machine of the same name is told from this one, by their numbers."""
    if other == own:
        return "of the same identity, with another key, as a clone has"
    return f"identity {other}, this one is {own}"


def kept(identity: str, here: str) -> str:
    """What to put into the file of a machine that is to keep its number on this hardware."""
    return json.dumps({"identity": identity, "on": here}) + "\n"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
