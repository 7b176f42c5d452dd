# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rear_core.media.tape import Label, write_label
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply
from rear_core.testing.tape import Cartridge, StandInDrive, StandInTape, in_drive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DISTRIBUTION = "rear-output-obdr"
DRIVE = Path("/dev/rear-stand-in")


@pytest.fixture
def supply() -> Iterator[Supply]:
    """A labelled tape in a stand-in for the drive."""
    drive = StandInDrive(Cartridge())
    assert drive.cartridge is not None
    write_label(StandInTape(drive.cartridge, drive), Label("2026-01-01T000000Z"))
    with in_drive(DRIVE, drive):
        yield Supply(f"TAPE_DEVICE={DRIVE}\n")
