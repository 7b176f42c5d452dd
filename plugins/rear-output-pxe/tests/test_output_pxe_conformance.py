# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = pytest.mark.timeout(300)

DISTRIBUTION = "rear-output-pxe"


@pytest.fixture
def supply(tmp_path: Path) -> Supply:
    node = "PXE_NODES=( 52:54:00:aa:00:01 )\nPXE_BOOT_LOADERS=replace\n"
    return Supply(f"OUTPUT_URL=file://{tmp_path}/tftp\n{node}")
