# SPDX-License-Identifier: GPL-3.0-or-later
# How the stand-ins talk to their server: a line of JSON, perhaps a tar stream, a line of JSON, perhaps a tar stream.
# This text is the beginning of each stand-in.

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from typing import IO, Any

PACK = ("--create", "--verbose", "--one-file-system", "--acls", "--xattrs", "--xattrs-include=*", "--sparse",
        "--numeric-owner", "--file=-", ".")  # fmt: skip
UNPACK = ("tar", "--extract", "--verbose", "--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner",
          "--same-owner", "--preserve-permissions", "--file=-")  # fmt: skip


class NoAnswer(Exception):
    """The server is not there, or says no; the text says why."""


def ask(address: tuple[str, int], request: Mapping[str, Any], source: IO[bytes] | None = None) -> tuple[Any, IO[bytes]]:
    """The server's answer, and the stream that follows it."""
    try:
        connection = socket.create_connection(address, timeout=120)
    except OSError as error:
        raise NoAnswer(f"TCP/IP connection failure: {error}") from error
    try:
        with connection.makefile("wb") as sink:
            sink.write(json.dumps(request).encode() + b"\n")
            if source:
                shutil.copyfileobj(source, sink, 1 << 20)
        connection.shutdown(socket.SHUT_WR)
        stream = connection.makefile("rb")
        answer = json.loads(stream.readline() or b'{"error": "the session was lost"}')
    except OSError as error:
        raise NoAnswer("the session was lost") from error
    if isinstance(answer, dict) and "error" in answer:
        raise NoAnswer(answer["error"])
    return answer, stream


def send(
    address: tuple[str, int], request: Mapping[str, Any], path: str, left_out: Iterable[str] = ()
) -> tuple[int, list[str]]:
    """Save what is below a path, but for some folders; the status of tar, and the names."""
    top = path.rstrip("/")
    excluded = [f"--exclude=.{folder[len(top) :]}" for folder in left_out if folder.startswith(f"{top}/")]
    with tempfile.TemporaryFile() as names:
        argv = ["tar", "--anchored", *excluded, *PACK]
        with subprocess.Popen(argv, cwd=path, stdout=subprocess.PIPE, stderr=names) as tar:
            ask(address, {**request, "path": path, "names": sorted(os.listdir(path))}, tar.stdout)
        names.seek(0)
        lines = names.read().decode(errors="replace").splitlines()
    return tar.returncode, [line for line in lines if line.startswith("./")]


def receive(address: tuple[str, int], request: Mapping[str, Any], target: str) -> tuple[int, int]:
    """Restore below a folder; the number of files, and the status of tar. Each name is printed."""
    _, stream = ask(address, request)
    os.makedirs(target, exist_ok=True)
    count = 0
    with subprocess.Popen(UNPACK, cwd=target, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tar:
        assert tar.stdin is not None and tar.stdout is not None
        feeder = threading.Thread(target=_feed, args=(stream, tar.stdin))
        feeder.start()
        for line in tar.stdout:
            count += 1
            sys.stdout.write(line.decode(errors="replace"))
        feeder.join()
    return count, tar.returncode


def _feed(stream: IO[bytes], sink: IO[bytes]) -> None:
    with sink:
        shutil.copyfileobj(stream, sink, 1 << 20)
