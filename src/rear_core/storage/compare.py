# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare two layouts by the identity of their items, and say each difference in one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from .layout import Item, Layout

# Fields of this name are bytes.
BYTES = (
    "size",
    "start",
    "extent_size",
    "journal_size",
    "metadata_size",
    "component_size",
    "chunk",
    "data_offset",
    "bitmap_chunk",
)


def compare(before: Layout, now: Layout) -> list[str]:
    """What has changed, [] when nothing has.

    Names that the kernel gives again at each boot, and what is left out, do not count.
    """
    old = {item.id: item for item in before}
    new = {item.id: item for item in now}
    lines = [f"{old[id]} is missing" for id in old if id not in new]
    lines += [f"{new[id]} is new" for id in new if id not in old]
    for id in old:
        if id in new and old[id] != new[id]:
            lines += _changes(old[id], new[id])
    return lines


def _changes(old: Item, new: Item) -> Iterator[str]:
    if type(old) is not type(new):
        yield f"{old} now has the type {new.type!r}"
        return
    for field in fields(old):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.compare and was != now:
            yield f"{new}{_change(field, was, now)}"


def _change(field: Field[Any], was: Any, now: Any) -> str:
    word = field.name.replace("_", " ")
    if field.name == "needs":
        return f" now lies on {_listed(now)} instead of {_listed(was)}"
    if field.name in BYTES:
        if field.name == "size":
            return f" {'grew' if now > was else 'shrank'} from {human_size(was)} to {human_size(now)}"
        return f": {word} changed from {human_size(was)} to {human_size(now)}"
    if isinstance(now, tuple):
        gone, come = [p for p in was if p not in now], [p for p in now if p not in was]
        parts = [f"no longer {_listed(gone)}"] * bool(gone) + [f"now {_listed(come)}"] * bool(come)
        return f": {word} " + (" and ".join(parts) or "are in another order")
    return f": {word} changed from {_shown(was)} to {_shown(now)}"


def _listed(values: Any) -> str:
    return ", ".join(map(_shown, values)) or "nothing"


def _shown(value: Any) -> str:
    if is_dataclass(value):
        pairs = ((f.name, getattr(value, f.name), f.default) for f in fields(value) if f.compare)
        return "(" + " ".join(f"{name} {_shown(part)}" for name, part, default in pairs if part != default) + ")"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return _listed(value)
    return str(value) if value != "" else "nothing"


def human_size(size: int) -> str:
    """10 GiB; a size that is not round is also given in bytes, so that two that differ never read the
    same."""
    unit, value = "bytes", float(size)
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        unit, value = larger, value / 1024
    short = f"{value:.4g} {unit}"
    return short if value == float(f"{value:.4g}") else f"{short} ({size} bytes)"
