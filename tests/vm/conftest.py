# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines for tests: `machine` makes any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab import cache, debian, machines, qemu


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Callable[..., qemu.Machine]:
    """Makes a `qemu.Machine`, of the architecture of a release; its transcript is kept under the name of the test."""
    transcript = cache.transcript(request.node.name)

    def make(release: debian.Release = debian.BOOKWORM, **fields: Any) -> qemu.Machine:
        return machines.computer(release)(**{"transcript": transcript, **fields})

    return make
