# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server of S3 on the loopback interface: it keeps objects in the memory of the test, and fails as told."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, SECRET = "AKIAREAR0123456789AB", "rear/secret+of/the/bucket0123456789abcdef"


@dataclass
class Store:
    """The objects of its buckets by their keys, and what goes wrong.

    Only `readable` tells what is there. Objects of more than `limit` bytes find no room, of one whose key has `spoiled`
    another byte is kept than its sum says, and after `cut` bytes a connection is lost, or the server `hangs`.
    """

    buckets: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"media": {}})
    limit: int = 1 << 40
    spoiled: str = ""
    cut: int = 0
    hangs: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    readable: bool = True
    requests: list[str] = field(default_factory=list)
    port: int = 0

    def section(self, name: str = "store") -> str:
        """A remote of rclone for it."""
        return (
            f"[{name}]\ntype = s3\nprovider = Other\nregion = us-east-1\nendpoint = http://127.0.0.1:{self.port}\n"
            f"access_key_id = {KEY}\nsecret_access_key = {SECRET}\n"
        )


class Handler(BaseHTTPRequestHandler):
    """GET, HEAD, PUT and DELETE of objects, and lists of them (Amazon S3, API reference), path style."""

    store: Store
    protocol_version = "HTTP/1.1"

    def _asked(self) -> tuple[str, str, dict[str, str]] | None:
        """Bucket, key and query of a request; None when an error was answered instead."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        self.store.requests.append(f"{self.command} {bucket}/{key}")
        if KEY not in (self.headers["Authorization"] or query.get("X-Amz-Credential", "")):
            self._refuse(403, "InvalidAccessKeyId", "The key does not exist in our records.")
        elif bucket not in self.store.buckets:
            self._refuse(404, "NoSuchBucket", "The specified bucket does not exist")
        else:
            return bucket, key, query
        return None

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())

    def _answer(self, status: int, content: bytes = b"", tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if tag:
            self.send_header("ETag", f'"{tag}"')
            self.send_header("Last-Modified", "Sat, 28 Nov 2026 10:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        if not (asked := self._asked()):
            return
        bucket, key, query = asked
        objects = self.store.buckets[bucket]
        if not self.store.readable:
            self._refuse(403, "AccessDenied", "Access Denied")
        elif not key:
            self._answer(200, listing(bucket, objects, query))
        elif key in objects:
            self._answer(200, objects[key], hashlib.md5(objects[key]).hexdigest())
        else:
            self._refuse(404, "NoSuchKey", "The specified key does not exist.")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        size = int(self.headers["Content-Length"] or 0)
        if self.store.cut and size > self.store.cut:
            self.rfile.read(self.store.cut)
            if self.store.hangs:
                self.store.ended.wait()
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        content = self.rfile.read(size)
        if not (asked := self._asked()):
            return
        bucket, key, _ = asked
        if size > self.store.limit:
            self._refuse(507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
            return
        spoiled = self.store.spoiled and self.store.spoiled in key
        self.store.buckets[bucket][key] = b"?" + content[1:] if spoiled else content
        self._answer(200, tag=hashlib.md5(content).hexdigest())

    def do_DELETE(self) -> None:
        if asked := self._asked():
            self.store.buckets[asked[0]].pop(asked[1], None)
            self._answer(204)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: tests look at the requests."""


def listing(bucket: str, objects: dict[str, bytes], query: dict[str, str]) -> bytes:
    """The objects with a prefix, and the folders among them, as ListObjects has them."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    rows, folders = [], set()
    for key, content in sorted(objects.items()):
        if not key.startswith(prefix):
            continue
        first, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if found:
            folders.add(f"{prefix}{first}{delimiter}")
        else:
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>x</ETag>"
                "<LastModified>2026-11-28T10:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            )
    rows += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
    head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
    return f"<ListBucketResult>{head}{''.join(rows)}</ListBucketResult>".encode()


@contextmanager
def server() -> Iterator[Store]:
    """A server with an empty bucket `media`."""
    store = Store()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store})) as running:
        store.port = running.server_port
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield store
        finally:
            store.ended.set()
            running.shutdown()
            thread.join()
