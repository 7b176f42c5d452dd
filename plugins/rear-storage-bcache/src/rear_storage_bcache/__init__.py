# SPDX-License-Identifier: GPL-3.0-or-later
"""bcache: block devices with a cache on a faster disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rear_core import hookimpl

if TYPE_CHECKING:
    from rear_core.storage.kinds import StorageKind


@hookimpl
def rear_storage_kinds() -> Iterator[StorageKind]:
    """Backing devices, and the sets of their caches."""
    from .kind import KIND

    yield KIND
