# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of a LUKS volume as a file: saved, looked at, and put back with all its keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from rear_core.shell import Shell
from rear_core.storage.command import Command, Site
from rear_core.storage.kinds import HeaderKeeper
from rear_core.storage.survey import Survey

from .capture import Luks, described
from .recreate import NO_KEY, opening

SAME = ("version", "uuid", "cipher", "key_size", "offset", "sector_size")


def save(item: Luks, site: Site, sh: Shell, path: Path) -> None:
    """Write the header of a volume, with all key slots and tokens, to a file that is not there yet."""
    sh.run("cryptsetup", "luksHeaderBackup", f"--header-backup-file={path}", site.device(item.needs[0]))


def live(item: Luks) -> str:
    """Which keys the header has: "key slots 0 1, tokens 0"."""
    slots = " ".join(str(slot.number) for slot in item.slots) or "none"
    tokens = " ".join(str(token.number) for token in item.tokens)
    return f"key slots {slots}" + (f", tokens {tokens}" if tokens else "")


def unfit(item: Luks, site: Site, sh: Shell, path: Path) -> str:
    """Why a saved header is none of the volume that will be made, "" where it is: data would begin elsewhere."""
    found = described(Survey(sh, {}, [], [], sh.log), os.fspath(path), {"id": item.id, "needs": item.needs})
    different = [name for name in SAME if getattr(found, name) != getattr(item, name)]
    if different:
        name = different[0]
        return f"its {name.replace('_', ' ')} is {getattr(found, name)}, that of the volume {getattr(item, name)}"
    if not found.slots:
        return "it has no key slot"
    needed = found.offset + (_fixed_size(sh, path) if found.version == 2 else 0)
    size = site.size(item.needs[0])
    return f"the volume needs more than {needed} bytes, and has {size}" if 0 < size <= needed else ""


def _fixed_size(sh: Shell, path: Path) -> int:
    """The bytes of encrypted data, 0 where they go to the end of the device, as they nearly always do."""
    segments = json.loads(sh.query("cryptsetup", "luksDump", "--dump-json-metadata", path))["segments"].values()
    return sum(int(segment["size"]) - 1 for segment in segments if segment["size"].isdigit())


def put_back(item: Luks, site: Site, path: Path) -> Iterator[Command]:
    """Put the header back in the place of a new one, and open the volume with one of its own passphrases."""
    device = site.device(item.needs[0])
    yield Command(
        ("cryptsetup", "luksHeaderRestore", "--batch-mode", f"--header-backup-file={path}", device),
        f"put back the header of {item.noun} {item.uuid}",
        destroys=f"everything on {device}",
        devices=(device,),
    )
    yield from opening(item, site)


def opens(sh: Shell, path: Path, passphrase: str) -> bool:
    """Whether a saved header has a key slot for a passphrase."""
    argv = ("cryptsetup", "open", "--test-passphrase", "--key-file=-", path)
    return sh.run(*argv, input=passphrase, ok=(0, NO_KEY)).status == 0


KEEPER = HeaderKeeper(save, live, unfit, put_back, opens)
