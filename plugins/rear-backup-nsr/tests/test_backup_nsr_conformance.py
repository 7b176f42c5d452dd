# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from lab import vendors
from lab.vendors.server import failing, vault
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DISTRIBUTION = "rear-backup-nsr"
KEY = "the client's private key"


@pytest.fixture
def supply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supply]:
    """A client that is set up, and a server: the stand-ins of the other tests."""
    path = tmp_path_factory.mktemp("client")
    (path / "vault").mkdir()
    (path / "nsr/res/nsrladb").mkdir(parents=True)
    (path / "nsr/logs").mkdir()
    vendors.install(path, *vendors.NETWORKER)
    with vault(path / "vault", {"web1": KEY}) as server:
        (path / "nsr/res/nsrladb/nsrla.json").write_text(json.dumps({"key": KEY, "port": server.port}))
        (path / "nsr/logs/nsrexecd.pid").write_text(str(os.getpid()))
        settings = "NSRSERVER=localhost\nNSR_CLIENT_NAME=web1\n"
        yield Supply(
            settings,
            programs=path,
            environment={"NSR_ROOT": f"{path}/nsr"},
            midway=lambda: failing(server, "lost"),
            full=lambda: failing(server, "full"),
        )
