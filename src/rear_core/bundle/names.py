# SPDX-License-Identifier: GPL-3.0-or-later
"""The names by which this machine and its people can be known: those that have to be replaced wherever they stand."""

from __future__ import annotations

import pwd
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .words import telling, words

if TYPE_CHECKING:
    from ..settings import Settings

HOSTS, RESOLVER = Path("/etc/hosts"), Path("/etc/resolv.conf")
# Users of people (login.defs(5)); the last one is nobody.
PEOPLE = range(1000, 65000)
# Settings that hold names of servers, clients, people or storage.
NAMING = re.compile(
    r"SERVER|HOST|CLIENT|NODE|NAME|PREFIX|USER|REPOSITORY|URL|MAIL|LABEL|_VG$|GROUP|WIRELESS|ADDRESS|DOMAIN|PARTS"
    r"|MAPPING|MOUNTPOINTS|COMPONENTS|GIVE_UP|DIRECTOR|JOB|POOL|STORAGE|DEVICES|KEY_FILE"
)


def names(settings: Settings, documents: Iterable[object], here: Iterable[str]) -> set[str]:
    """The words of all these names; `documents` are JSON that describes the machine, `here` as of `of_this_machine`."""
    found = {word for document in documents for text in telling(document) for word in words(text)}
    for text in (*here, *_of_settings(settings)):
        found |= words(text)
    return found


def of_this_machine() -> Iterator[str]:
    """The names of this machine, of others that it knows, and of its people."""
    yield socket.gethostname()
    for path, pattern in ((HOSTS, r"^\s*[\w.:%]+\s+([^#\n]+)"), (RESOLVER, r"^\s*(?:search|domain)\s+([^#\n]+)")):
        with suppress(OSError):
            yield from re.findall(pattern, path.read_text(errors="replace"), re.MULTILINE)
    for user in pwd.getpwall():
        if user.pw_uid in PEOPLE:
            yield from (user.pw_name, user.pw_gecos, user.pw_dir)


def _of_settings(settings: Settings) -> Iterator[str]:
    for name, setting in settings.declared.items():
        if NAMING.search(name) and settings[name] != setting.default:
            value = settings[name]
            yield from map(str, value) if isinstance(value, tuple) else [str(value)]
