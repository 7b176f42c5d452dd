# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server that only shows a folder."""

from __future__ import annotations

import functools
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(folder: Path, address: str, asked: list[str], port: int = 0) -> Iterator[int]:
    """An HTTP server for a folder on an address of this machine; its port, and the paths that it was asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code: object = "-", size: object = "-") -> None:
            asked.append(self.path)

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Server((address, port), functools.partial(Handler, directory=os.fspath(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
