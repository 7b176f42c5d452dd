# SPDX-License-Identifier: GPL-3.0-or-later
"""Enrolls again what opened LUKS volumes beside passphrases, where that can be done without their owner."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run


@hookimpl
def rear_finalize(run: Run) -> Iterable[Step]:
    from ..finalize import luks
    from ..storage.technologies.luks import Luks

    if run.layout is None or any(volume.tokens for volume in run.layout.of(Luks)):
        # Before the initramfs, which has a copy of crypttab.
        yield Step(40, "Enroll the tokens of LUKS volumes again", luks.enroll_again)
