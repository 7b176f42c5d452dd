# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of the stand-ins: it keeps what clients send, by client, path and time, in a folder."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Of <sched.h>.
CLONE_NEWNET = 0x40000000
# The bytes of a backup after which its connection is lost.
MIDWAY = 100_000


@dataclass
class Vault:
    """A running server: `nodes` are the clients it knows with their passwords, `clock` tells the time of a backup.

    `requests` lists what was asked, without passwords. `fails` is what happens in the middle of a backup: "lost" is the
    connection, "full" the server.
    """

    directory: Path
    nodes: dict[str, str]
    port: int = 0
    clock: Callable[[], float] = time.time
    requests: list[dict[str, Any]] = field(default_factory=list)
    fails: str = ""

    def saved(self, node: str) -> list[dict[str, Any]]:
        """What is kept for a client: path, time, names at its top, in order of time."""
        found = [json.loads(path.read_text()) for path in (self.directory / node).glob("*.json")]
        return sorted(found, key=lambda entry: (float(entry["time"]), int(entry["id"])))

    def put(self, node: str, path: str, folder: Path, when: float) -> None:
        """Keep what is below a folder as a client's backup of a path at a time."""
        entry = {"id": f"{time.time_ns()}", "path": path, "time": int(when), "names": sorted(os.listdir(folder))}
        place = self.file(node, entry)
        place.parent.mkdir(exist_ok=True)
        subprocess.run(["tar", "--create", f"--file={place}", f"--directory={folder}", "."], check=True)
        place.with_suffix(".json").write_text(json.dumps(entry))

    def media(self, node: str, path: str) -> Path:
        """A single file that a client has archived."""
        return self.directory / "media" / node / Path(path).name

    def file(self, node: str, entry: dict[str, Any]) -> Path:
        """The tar file of a backup."""
        return self.directory / node / f"{entry['id']}.tar"


@contextmanager
def failing(server: Vault, how: str) -> Iterator[None]:
    """A block in which the server fails in the middle of each backup."""
    server.fails = how
    try:
        yield
    finally:
        server.fails = ""


@contextmanager
def vault(directory: Path, nodes: dict[str, str], port: int = 0, network: Path | None = None) -> Iterator[Vault]:
    """A server on a port of the loopback interface, a free one if none is named, inside a `with` block.

    With `network`, the namespace of a guest's cables, it listens there as 10.0.2.2 instead.
    """
    running = Vault(directory, nodes)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = json.loads(self.rfile.readline())
            running.requests.append({key: value for key, value in request.items() if key != "password"})
            node = request["node"]
            if running.nodes.get(node) is None:
                return self.answer({"error": "unknown"})
            if running.nodes[node] != request["password"]:
                return self.answer({"error": "authentication"})
            return getattr(self, request["do"])(node, request)  # type: ignore[no-any-return]

        def answer(self, value: Any) -> None:
            self.wfile.write(json.dumps(value).encode() + b"\n")

        def session(self, node: str, request: dict[str, Any]) -> None:
            self.answer({"server": "VAULT"})

        def list(self, node: str, request: dict[str, Any]) -> None:
            self.answer(running.saved(node))

        def save(self, node: str, request: dict[str, Any]) -> None:
            now = running.clock()
            entry = {"id": f"{time.time_ns()}", "path": request["path"], "time": int(now), "names": request["names"]}
            path = running.file(node, entry)
            path.parent.mkdir(exist_ok=True)
            if running.fails == "lost":
                self.rfile.read(MIDWAY)
                return None
            with path.open("wb") as file:
                shutil.copyfileobj(self.rfile, file, 1 << 20)
            if running.fails == "full":
                path.unlink()
                return self.answer({"error": "out of data storage space"})
            path.with_suffix(".json").write_text(json.dumps(entry))
            return self.answer({"bytes": path.stat().st_size})

        def archive(self, node: str, request: dict[str, Any]) -> None:
            path = running.media(node, request["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(self.rfile, file, 1 << 20)
            self.answer({"bytes": path.stat().st_size})

        def restore(self, node: str, request: dict[str, Any]) -> None:
            until = request.get("until") or float("inf")
            fitting = [e for e in running.saved(node) if e["path"] == request["path"] and e["time"] <= until]
            if not fitting:
                return self.answer({"error": "no match"})
            with running.file(node, fitting[-1]).open("rb") as file:
                self.answer({"time": fitting[-1]["time"]})
                shutil.copyfileobj(file, self.wfile, 1 << 20)
            return None

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with listening(network, port) as there, Server(there.getsockname(), Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = there
        server.server_address = there.getsockname()
        running.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield running
        finally:
            server.shutdown()


def listening(network: Path | None, port: int = 0) -> socket.socket:
    """A socket that listens on the loopback interface, or as 10.0.2.2 in the namespace of a guest's cables."""

    def make() -> socket.socket:
        if network:
            _enter(network)
        return socket.create_server(("10.0.2.2" if network else "127.0.0.1", port))

    # A thread that ends takes its network with it; what listens stays where it was made.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()


def _enter(network: Path) -> None:
    """Move this thread alone to another network namespace (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with network.open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {network}")
