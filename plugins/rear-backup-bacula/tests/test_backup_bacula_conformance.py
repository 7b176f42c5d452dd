# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin, with a real director."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import bacula
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.root,
    pytest.mark.timeout(600),
    bacula.NEEDS_BACULA,
]

DISTRIBUTION = "rear-backup-bacula"


@pytest.fixture
def supply(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supply]:
    """A director whose job saves the tree of these tests, and which can fail."""
    place = tmp_path_factory.mktemp("bacula") / "server"
    with bacula.Server(place, (f"{tmp_path}/rear-conformance/tree",)) as server:
        for name in ("sd", "fd", "dir"):
            server.start(name)
        yield Supply(
            f"BACULA_CONSOLE={server.console}\nBACULA_FD={server.daemon}\nBACKUP_STALL_MINUTES=1\n"
            "BACULA_JOBS=( 'save web1' )\n",
            midway=server.dying,
            full=server.full,
        )
