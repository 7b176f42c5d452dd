# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines for tests: `machine` makes any."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import cache, machines, qemu


@pytest.fixture(scope="session")
def accelerator() -> tuple[str, ...]:
    """QEMU's options for the fastest way to run a machine that works here."""
    return machines.accelerator()


@pytest.fixture
def machine(request: pytest.FixtureRequest, accelerator: tuple[str, ...]) -> Callable[..., qemu.Machine]:
    """Makes a `qemu.Machine`; its transcript is kept with the cache, under the name of the test."""
    transcript = cache.transcript(request.node.name)
    return lambda **fields: qemu.Machine(**{"accelerator": accelerator, "transcript": transcript, **fields})
