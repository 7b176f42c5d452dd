# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3 server for guests, or for this machine: moto, which keeps its buckets in the memory of the test."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .vendors.server import listening


@contextmanager
def server(network: Path | None, port: int = 0) -> Iterator[str]:
    """The URL of the server at the other end of a guest's cables, or on the loopback interface, inside a `with` block;
    on a free port if none is named. Who starts it again finds the same buckets."""
    moto, serving = importlib.import_module("moto.server"), importlib.import_module("werkzeug.serving")
    with listening(network, port) as listener:
        host, port = listener.getsockname()
        application = moto.DomainDispatcherApplication(moto.create_backend_app)
        running = serving.make_server(host, port, application, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://{host}:{port}"
        finally:
            running.shutdown()
            thread.join()
