# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of an HTTP server that takes files by PUT (RFC 9110, 9.3.4), with folders by MKCOL where it has WebDAV."""

from __future__ import annotations

import base64
import hashlib
import netrc
import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from ..errors import ConfigurationError, RearError
from .url import Url

SILENCE_SECONDS = 60
CHUNK = 1 << 20
GONE = (404, 410)
# RFC 4918, 9.7.1: the folder that the file is to be in does not exist. Some servers say "not found".
NO_FOLDER = (404, 409)


class _NoRedirect(HTTPRedirectHandler):
    """A file is put where the URL says, and a password sent nowhere else."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


class Web:
    """Certificates are verified by what this machine trusts; a password comes from root's .netrc, for https alone."""

    def __init__(self, url: Url) -> None:
        self.url = url
        self._headers = {"User-Agent": "rear", **_credentials(url)}
        self._opener = build_opener(_NoRedirect, HTTPSHandler(context=ssl.create_default_context()))

    def put(self, source: Path, name: str, sha256: str) -> None:
        """PUT the file, then GET it and compare."""
        try:
            self._send(source, name)
        except HTTPError as error:
            if error.code not in NO_FOLDER or "/" not in name:
                raise self._failure("PUT", name, error) from error
            self._make_folders(name)
            try:
                self._send(source, name)
            except HTTPError as again:
                raise self._failure("PUT", name, again) from again
        digest = hashlib.sha256()
        try:
            with closing(self._ask("GET", name)) as answer:
                while chunk := answer.read(CHUNK):
                    digest.update(chunk)
        except (OSError, HTTPException) as error:
            raise self._failure("GET", name, error) from error
        if digest.hexdigest() != sha256:
            raise RearError(f"{self.url.http(name)} differs from {source}", "check the storage of that server")

    def read(self, name: str) -> bytes | None:
        """GET a file."""
        try:
            with closing(self._ask("GET", name)) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            if error.code in GONE:
                return None
            raise self._failure("GET", name, error) from error
        except (OSError, HTTPException) as error:
            raise self._failure("GET", name, error) from error

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """DELETE the files; a server without WebDAV keeps the empty folder."""
        for name in names:
            path = f"{folder}/{name}" if folder else name
            try:
                self._ask("DELETE", path).close()
            except HTTPError as error:
                if error.code not in GONE:
                    raise self._failure("DELETE", path, error) from error
        if folder:
            with suppress(HTTPError):
                self._ask("DELETE", f"{folder}/").close()

    def _send(self, source: Path, name: str) -> None:
        with source.open("rb") as file:
            length = {"Content-Length": str(source.stat().st_size), "Content-Type": "application/octet-stream"}
            self._ask("PUT", name, file, length).close()

    def _make_folders(self, name: str) -> None:
        for parent in list(PurePosixPath(name).parents)[-2::-1]:
            try:
                self._ask("MKCOL", f"{parent}/").close()
            except HTTPError as error:
                if error.code != 405:  # it is there already
                    raise self._failure("MKCOL", f"{parent}/", error) from error

    def _ask(self, method: str, name: str, data: IO[bytes] | None = None, headers: dict[str, str] | None = None) -> Any:
        request = Request(self.url.http(name), data, {**self._headers, **(headers or {})}, method=method)
        try:
            return self._opener.open(request, timeout=SILENCE_SECONDS)
        except HTTPError as error:
            error.close()
            raise
        except (OSError, HTTPException) as error:
            raise self._failure(method, name, error) from error

    def _failure(self, method: str, name: str, error: Exception) -> RearError:
        reason = error.reason if isinstance(error, URLError) else error
        said = f"{error.code} {reason}" if isinstance(error, HTTPError) else reason
        hint = ""
        if isinstance(reason, ssl.SSLCertVerificationError):
            hint = "install the certificate of the server's authority on this machine"
        elif isinstance(error, HTTPError) and error.code in (401, 403):
            hint = f"write `machine {self.url.host} login ... password ...` into root's .netrc, and use https"
        elif isinstance(error, HTTPError) and error.code in (405, 501):
            hint = f"have the server allow {method} there"
        return RearError(f"{method} {self.url.http(name)} failed: {said}", hint)


def _credentials(url: Url) -> dict[str, str]:
    """The header of RFC 7617 for what root's .netrc says of the server; none without encryption."""
    if url.scheme != "https":
        return {}
    try:
        found = netrc.netrc().authenticators(url.host)
    except FileNotFoundError:
        return {}
    except netrc.NetrcParseError as error:
        raise ConfigurationError(f"{error.filename}:{error.lineno}: {error.msg}", "correct that file") from error
    if found is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{found[0]}:{found[2]}".encode()).decode()}
