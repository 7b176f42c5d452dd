# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab import bucket, servers
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

# Each check talks to real servers.
pytestmark = pytest.mark.slow
DISTRIBUTION = "rear-places-rclone"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supply]:
    """A bucket, and two servers of WebDAV for a folder."""
    if shutil.which("rclone") is None or os.geteuid() != 0:
        yield Supply(cannot_run="that takes rclone, and a configuration of root")
        return
    top = tmp_path_factory.mktemp("places")
    (top / "tree").mkdir()
    certificate = servers.certificate(top / "lab.pem")
    with ExitStack() as stack:
        store = stack.enter_context(bucket.server())
        plain = stack.enter_context(servers.webdav(top / "tree", top))
        secure = stack.enter_context(servers.webdav(top / "tree", top, certificate=certificate))
        login = {"user": "rear", "pass": servers.obscured(servers.LOGIN.partition(":")[2])}
        config = top / "rclone.conf"
        config.touch(mode=0o600)
        config.write_text(store.section() + plain.section("plain") + secure.section("secure", **login))
        urls = ("s3://media/rear", "rclone://plain/", plain.url, secure.url)
        yield Supply(
            f"RCLONE_CONFIG={config}\n",
            environment={"SSL_CERT_FILE": str(top / "lab.crt")},
            places=dict.fromkeys(urls, ""),
        )


@pytest.fixture
def supply(places: Supply) -> Supply:
    """Servers that run for all tests."""
    return places
