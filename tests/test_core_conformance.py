# SPDX-License-Identifier: GPL-3.0-or-later
"""The core's own storage technologies pass what rear asks of everybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.builtin import storage
from rear_core.plugins import CORE, Found
from rear_core.storage.disk import Disk
from rear_core.storage.ext import Ext, Journal
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.testing.conformance import harness as harness
from rear_core.testing.conformance_storage import *  # noqa: F403
from rear_core.testing.harness import Subject, Supply

TESTS = Path(__file__).parent
SUBJECTS = [
    Subject(Found(CORE, "storage", storage.__name__, "rear-core", "", module=storage), ("storage",)),
]
JOURNAL = make(
    [
        Disk("disk:a", (), 10 << 30, "/dev/sda"),
        Disk("disk:b", (), 1 << 30, "/dev/sdb"),
        Journal("fs:journal", ("disk:b",), "0a1b2c3d-0001-4a5b-8c6d-7e8f9a0b1c2d"),
        Ext("fs:data", ("disk:a", "fs:journal"), "0a1b2c3d-0002-4a5b-8c6d-7e8f9a0b1c2d"),
        Mount("mount:/data", ("fs:data",), "/data", "ext4"),
    ]
)
RECORDED = sorted(path.parent for path in TESTS.glob("machines/*/commands"))


@pytest.fixture
def supply() -> Supply:
    """All machines that were recorded."""
    return Supply(machines=RECORDED, layouts=[JOURNAL])
