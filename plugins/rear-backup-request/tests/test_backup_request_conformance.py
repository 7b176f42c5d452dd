# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DISTRIBUTION = "rear-backup-request"
# The backup of somebody else is the tree itself; the folder to restore to is beside it.
RESTORE = """\
#!/bin/sh
tree=${1%/*}/tree
mkdir -p "$1$tree" && exec cp -a "$tree/." "$1$tree"
"""


@pytest.fixture
def supply(tmp_path_factory: pytest.TempPathFactory) -> Supply:
    """A program that restores what somebody has saved."""
    path = tmp_path_factory.mktemp("programs")
    program = Path(path, "acme-restore")
    program.write_text(RESTORE)
    program.chmod(0o755)
    return Supply("REQUESTRESTORE_COMMAND=( acme-restore {target} )\n", programs=path, elsewhere=True)
