# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = pytest.mark.timeout(300)

DISTRIBUTION = "rear-output-ramdisk"


@pytest.fixture
def supply(tmp_path: Path) -> Supply:
    return Supply(f"VAR_DIR={tmp_path}/var\nOUTPUT_URL=file://{tmp_path}/copy\nKEEP_OLD_OUTPUT_COPY=yes\n")
