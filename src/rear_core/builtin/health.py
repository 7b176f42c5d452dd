# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of `rear status`: how old what may get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..hookspecs import hookimpl
from ..settings.model import Setting

DAYS = (
    ("BACKUP", ("2", "7"), "the last backup"),
    ("VERIFICATION", ("35", "100"), "the last time that a whole backup was read and was as it was made"),
    ("MEDIA", (), "the rescue media"),
    ("DRILL", ("100", "400"), "the last rehearsal that succeeded"),
)


@hookimpl
def rear_settings() -> Iterable[Setting]:
    for name, default, what in DAYS:
        none = "" if default else " If empty: only what changed on the machine since is a warning."
        yield Setting(
            f"STATUS_{name}_DAYS",
            list,
            default=default,
            check=_two_numbers,
            help=f"Age of {what} in days above which `rear status` has a warning, and above which it is critical; 0, or"
            f" none, for never.{none}",
        )


def _two_numbers(values: Sequence[str]) -> str:
    if len(values) > 2 or not all(value.isdecimal() and value.isascii() for value in values):
        return "must be up to two whole numbers of days"
    days = [int(value) for value in values if int(value)]
    return "must have the smaller number of days first" if days != sorted(days) else ""
