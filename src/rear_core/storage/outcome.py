# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what was built with what was planned: new identifiers, and everything else that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .compare import compare
from .layout import Layout, make


def outcome(planned: Layout, now: Layout) -> tuple[dict[str, str], list[str]]:
    """The identifiers that changed, old to new, and what else differs, one line each."""
    identifiers: dict[str, str] = {}
    wanted = [item for item in planned if item.is_storage]
    found = []
    for before in wanted:
        item = now.get(before.id)
        if type(item) is type(before):
            pairs = [(getattr(before, name), getattr(item, name)) for name in item.renewed]
            identifiers |= {old: new for old, new in pairs if old != new}
            item = item.as_planned(before)
        found += [item] if item else []
    return identifiers, compare(make(wanted), make(found))


def renamed(layout: Layout, names: Mapping[str, str]) -> Layout:
    """The layout with other ids for some items."""
    return make(
        (
            replace(item, id=names.get(item.id, item.id), needs=tuple(names.get(need, need) for need in item.needs))
            for item in layout
        ),
        layout.left_out,
    )
