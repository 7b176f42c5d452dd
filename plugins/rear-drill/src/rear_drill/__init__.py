# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear drill`: a rehearsal of the recovery in a virtual machine."""

from __future__ import annotations

from rear_core import hookimpl


@hookimpl
def rear_carried() -> bool:
    # A rehearsal runs on the healthy machine alone.
    return False
