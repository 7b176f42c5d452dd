# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear drill`: a rehearsal of the recovery in a virtual machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rear_core import Offer, Run, hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def rear_commands() -> Iterable[click.Command]:
    from .cli import drill

    yield drill


@hookimpl
def rear_setup_offers(run: Run) -> Iterable[Offer]:
    from .command import is_possible

    if is_possible(run):
        yield Offer("Rehearse the recovery in a virtual machine, which takes as long as a recovery or longer", "drill")


@hookimpl
def rear_carried() -> bool:
    # A rehearsal runs on the healthy machine alone.
    return False
