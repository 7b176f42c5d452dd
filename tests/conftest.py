# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: slow kinds get more time, and tests of one running machine go to one worker."""

from __future__ import annotations

import os

import pytest

# Emulated machines are slow, and slower when the host is busy.
SECONDS = {"vm": 1800, "root": 600}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Time limits by kind; tests that share a running machine go to the same worker."""
    for kind, seconds in SECONDS.items():
        if item.get_closest_marker(kind) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(seconds))
    if "guest" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("guest"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say plainly why a test cannot run here."""
    if (item.get_closest_marker("root") or item.get_closest_marker("vm")) and os.geteuid() != 0:
        pytest.skip("needs root")
