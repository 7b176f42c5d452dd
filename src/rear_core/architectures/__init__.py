# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear has to know of the architecture of a machine: one file for each."""

from __future__ import annotations

from ..errors import Refused
from . import arm64, ppc64le, s390x, x86
from .architecture import Architecture as Architecture

ALL = (*x86.ALL, arm64.ARM64, ppc64le.PPC64LE, s390x.S390X)


def find(machine: str) -> Architecture | None:
    """That of a machine by its name in uname(2), None if rear does not know it."""
    return next((each for each in ALL if machine in each.machines), None)


def supported(machine: str) -> Architecture:
    """Likewise; raises `Refused` with what is missing if rear cannot make media for it."""
    found = find(machine)
    if found is None or found.missing:
        missing = found.missing if found else "rear does not know how these machines start"
        advice = "`rear mkbackuponly` saves its files; recover with the rescue system of the distribution"
        raise Refused(f"rear does not support {machine} yet: {missing}", advice)
    return found
