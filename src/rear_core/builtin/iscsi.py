# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a recovered system find its iSCSI disks when it starts, also those of another target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run


@hookimpl
def rear_finalize(run: Run) -> Iterable[Step]:
    from ..finalize import iscsi
    from ..storage.technologies.iscsi import IscsiUnit

    if run.layout is None or run.layout.of(IscsiUnit):
        # Before the initramfs, which has a copy of what is changed.
        yield Step(27, "Update the targets of iSCSI disks", iscsi.update)
        yield Step(81, "Check that iSCSI disks are found at the start", iscsi.check)
