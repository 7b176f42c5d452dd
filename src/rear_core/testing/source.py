# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plugin's source says without being run: settings that it reads, functions that are called like hooks."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from .. import hookspecs

HOOKS = [name for name in vars(hookspecs) if name.startswith("rear_")]


def settings_read(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Names of settings as in `run.settings["NAME"]`, with the place; those that are put together are not seen.

    `run.settings.get("NAME")` does no harm where nobody declares it: so one plugin may look at what another has.
    """
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript) and _is_settings(node.value):
                name = getattr(node.slice, "value", None)
                if isinstance(name, str):
                    yield name, f"{path.name}:{node.lineno}"


def _is_settings(node: ast.expr) -> bool:
    return (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) == "settings"


def misspelled_hooks(names: Iterable[str]) -> list[str]:
    """Names that begin as those of hooks and are none, each with the one that may be meant."""
    found = []
    for name in names:
        if name.startswith("rear_") and name not in HOOKS:
            near = get_close_matches(name, HOOKS, 1)
            found.append(f"{name} is no hook" + (f"; is {near[0]} meant?" if near else ""))
    return found
