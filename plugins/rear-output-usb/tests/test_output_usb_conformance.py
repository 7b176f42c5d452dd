# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""
from __future__ import annotations

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

DISTRIBUTION = "rear-output-usb"


@pytest.fixture
def supply() -> Supply:
    reason = "a disk with partitions is needed; test_output_usb_root.py makes one of loop devices for its parts"
    return Supply(cannot_run=reason)
