# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `rear` as a program of its own, for the tests of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Rear = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def rear(tmp_path: Path) -> Rear:
    """Run the command with a configuration folder of its own; keyword arguments become lines of local.conf."""
    config = tmp_path / "etc"
    config.mkdir()

    def run(*arguments: str, conf: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        base = f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
        (config / "local.conf").write_text(base + conf)
        return subprocess.run(
            [sys.executable, "-c", "from rear_core.cli import main; main()", "-c", str(config), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    return run
