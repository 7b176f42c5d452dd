# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan does, in words that do not depend on how disks are called here: by that two plans are the same.

Disks go by what was recorded of them. So a rehearsal on virtual disks and the recovery on the machine itself have the
same plan where they make the same: the same partitions, volumes and file systems with the same sizes, options and
identifiers, on disks of the same sizes, of which the same are left out or keep something.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .command import Command, Site
from .disk import Disk
from .kinds import StorageKind, kind_of
from .layout import Item, Layout, make
from .script import joined

if TYPE_CHECKING:
    from .plan import Plan

# The first line; another number is another plan.
VERSION = "rear plan 1"
SHOWN = 16
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def steps(made: Plan, recorded: Layout, kinds: Sequence[StorageKind], firmware: str) -> list[str]:
    """The lines of a plan for a layout as it was recorded, on a machine with that firmware."""
    site = _site(made)

    def of(wanted: Callable[[Item], bool], later: bool = False) -> Iterator[Command]:
        for item in site.layout.order():
            kind = kind_of(item, kinds)
            make_it = kind.restored if later else kind.recreate
            if make_it and wanted(item):
                yield from make_it(item, site)

    chapters = (
        ("create", of(lambda item: item.is_storage and item.id not in made.in_place)),
        ("mount", of(lambda item: not item.is_storage)),
        ("after the files", of(lambda item: item.id not in made.in_place, later=True)),
    )
    lines = [VERSION, f"firmware: {firmware}", *_disks(made, recorded, site)]
    lines += [f"kept in place: {id}" for id in sorted(made.in_place)]
    return [*lines, *(line for title, commands in chapters for each in commands for line in _lines(title, each))]


def digest(lines: Sequence[str]) -> str:
    """The id of the plan with these lines: 64 hexadecimal digits, of which people see the first 16."""
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def is_called(wanted: str, id: str) -> bool:
    """Whether somebody who gave the beginning of an id means this one."""
    return id.startswith(wanted.lower())


def _site(made: Plan) -> Site:
    """Where the plan would be done if disks had no names but their letters, and nothing else told them apart."""
    roles = {id: f"/dev/disk{_letters(number)}" for number, id in enumerate(sorted(made.mapping))}
    nameless = {disk.id: _nameless(disk, roles[disk.id]) for disk in made.site.layout.of(Disk)}
    layout = make(nameless.get(item.id, item) for item in made.site.layout)
    # Memory only decides how a key is derived: a rehearsal has less of it.
    return replace(made.site, layout=layout, disks=roles, memory=0, target="/mnt/local")


def _nameless(disk: Disk, role: str) -> Disk:
    return replace(disk, device=role, model="", vendor="", serial="", wwn="", transport="")


def _letters(number: int) -> str:
    """A, B ... Z, AA, AB: names that do not end with a digit, as partitions of such are called otherwise."""
    more, last = divmod(number, len(LETTERS))
    return (_letters(more - 1) if more else "") + LETTERS[last]


def _disks(made: Plan, recorded: Layout, site: Site) -> Iterator[str]:
    taken = {disk.id: disk for disk in site.layout.of(Disk)}
    staying = {below for id in made.in_place for below in made.site.below(id)}
    for disk in sorted(recorded.of(Disk), key=lambda disk: disk.id):
        here = taken.get(disk.id)
        if here is None:
            yield f"{disk.id}: left alone"
            continue
        fate = "keeps what is named below" if disk.id in staying else "becomes blank"
        yield f"{disk.id}: {here.device}, {here.size} bytes in sectors of {here.logical_sector_size}, {fate}"


def _lines(title: str, command: Command) -> Iterator[str]:
    secret = f" < passphrase of {command.passphrase}" if command.passphrase else ""
    yield f"{title}: {joined(command.argv)}{secret}"
    yield from (f"  {line}" for line in command.input.splitlines())
