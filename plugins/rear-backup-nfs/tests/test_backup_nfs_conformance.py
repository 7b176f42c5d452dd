# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

DISTRIBUTION = "rear-backup-nfs"


@pytest.fixture
def supply(tmp_path: Path) -> Supply:
    (tmp_path / "place").mkdir()
    return Supply(f"BACKUP_URL=file://{tmp_path}/place\n")
