# SPDX-License-Identifier: GPL-3.0-or-later
"""The option that accepts what the capture makes of the recorded machines now."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected layouts of tests/machines")
