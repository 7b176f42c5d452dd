# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from lab import vendors
from lab.vendors.server import failing, vault
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DISTRIBUTION = "rear-backup-tsm"
NODE, PASSWORD = "WEB1", "correct horse"
DSM_SYS = """\
SErvername  VAULT
   COMMMethod          TCPip
   TCPServeraddress    127.0.0.1
   TCPPort             {port}
   NODename            web1
   PASSWORDAccess      generate
   PASSWORDDIR         {folder}/adsm
"""


@pytest.fixture
def supply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supply]:
    """A client that is set up, and a server: the stand-ins of the other tests."""
    path = tmp_path_factory.mktemp("client")
    (path / "vault").mkdir()
    (path / "adsm").mkdir()
    vendors.install(path, "dsmc")
    with vault(path / "vault", {NODE: PASSWORD}) as server:
        (path / "dsm.opt").write_text("SErvername\tVAULT\n")
        (path / "dsm.sys").write_text(DSM_SYS.format(port=server.port, folder=path))
        (path / "adsm/TSM.KDB").write_bytes(base64.b64encode(PASSWORD.encode()))
        (path / "adsm/TSM.sth").write_bytes(b"key")
        yield Supply(
            f"TSM_CLIENT_DIR={path}\n",
            programs=path,
            midway=lambda: failing(server, "lost"),
            full=lambda: failing(server, "full"),
        )
