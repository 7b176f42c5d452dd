# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from rear_core.testing.conformance import *  # noqa: F403

DISTRIBUTION = "rear-notify"
