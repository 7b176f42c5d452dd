# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

DISTRIBUTION = "rear-storage-bcache"


@pytest.fixture
def supply() -> Supply:
    """A recorded machine, without the disk that its system lies on."""
    return Supply("EXCLUDE_DEVICES=( '/dev/ubd?' )\n", machines=[Path(__file__).parent / "machine"])
