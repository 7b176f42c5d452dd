# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: declared once, read from files in shell-assignment syntax that are never executed."""

from __future__ import annotations

from .default_conf import dump_lines, quote, render
from .evaluation import Settings, assign, evaluate
from .files import Sources, load, names_for
from .model import Setting, Value
from .reader import Assignment, parse

__all__ = [
    "Assignment",
    "Setting",
    "Settings",
    "Sources",
    "Value",
    "assign",
    "dump_lines",
    "evaluate",
    "load",
    "names_for",
    "parse",
    "quote",
    "render",
]
