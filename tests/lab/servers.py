# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers of HTTP, ssh and rsync on the loopback interface, each with a folder that files can be put to."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from rear_drill.qemu import free_port

LOGIN = "rear:a secret"

SSHD = """
ListenAddress {address}
Port {port}
HostKey {work}/host
AuthorizedKeysFile {work}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""

RSYNCD = """
address = 127.0.0.1
port = {port}
use chroot = no
uid = root
gid = root
log file = {work}/log

[media]
path = {folder}
read only = no
auth users = rear
secrets file = {work}/secrets

[readonly]
path = {folder}

[picky]
path = {folder}
read only = no
refuse options = checksum
"""


class Handler(BaseHTTPRequestHandler):
    """GET, PUT, DELETE and MKCOL below a folder, as a WebDAV server does them.

    `forbidden` methods get 405, files of more than `limit` bytes 507.
    """

    directory: Path
    login = ""
    forbidden: frozenset[str] = frozenset()
    limit = 1 << 40
    protocol_version = "HTTP/1.1"

    def _path(self) -> Path | None:
        """The file that is meant; None when an answer was given instead."""
        expected = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and self.headers["Authorization"] != expected:
            self._answer(401)
            return None
        if self.command in self.forbidden:
            self._answer(405)
            return None
        return self.directory / unquote(self.path).lstrip("/")

    def _answer(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if path := self._path():
            self._answer(200, path.read_bytes()) if path.is_file() else self._answer(404)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if path := self._path():
            if not path.parent.is_dir():
                return self._answer(409)
            if len(content) > self.limit:
                return self._answer(507)
            path.write_bytes(content)
            self._answer(201)
        return None

    def do_MKCOL(self) -> None:
        if path := self._path():
            if path.exists():
                return self._answer(405)
            path.mkdir()
            self._answer(201)
        return None

    def do_DELETE(self) -> None:
        if path := self._path():
            if not path.exists():
                return self._answer(404)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._answer(204)
        return None

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: tests look at the files."""


@contextmanager
def http(
    directory: Path,
    certificate: Path | None = None,
    login: str = "",
    forbidden: tuple[str, ...] = (),
    limit: int = Handler.limit,
) -> Iterator[str]:
    """The URL of a server for a folder; with a certificate (as `certificate` makes it) by https."""
    members = {"directory": directory, "login": login, "forbidden": frozenset(forbidden), "limit": limit}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), members)) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def certificate(path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    with path.open("ab") as file:
        file.write(path.with_suffix(".crt").read_bytes())
    return path


@dataclass(frozen=True)
class Sshd:
    """An ssh server that runs; `options` make ssh take its key, and our key."""

    port: int
    options: str
    pid: int

    def drop(self) -> None:
        """End all connections at once."""
        _end_below(self.pid)


def _end_below(server: int) -> None:
    """Kill what a server has started; since OpenSSH 9.8 it is a grandchild that has a connection, as with rsync."""
    found = list(_below(server))
    assert found
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> Iterator[int]:
    """The children of a process and theirs, the nearest first."""
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        yield child
        yield from _below(child)


@contextmanager
def sshd(work: Path, *, port: int = 0, address: str = "127.0.0.1", network: Path | None = None) -> Iterator[Sshd]:
    """An ssh server with sftp, for the user of this process; its keys and settings are in `work`, and stay.

    With `network` it is in a namespace of its own, as the one of a guest.
    """
    port = port or free_port()
    for name in ("host", "user"):
        if not (work / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / name], check=True)
    (work / "known").write_text(f"[{address}]:{port} {(work / 'host.pub').read_text()}")
    (work / "config").write_text(SSHD.format(address=address, port=port, work=work))
    (work / "log").unlink(missing_ok=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    argv = ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-E", f"{work}/log", "-f", f"{work}/config"]
    argv = ["nsenter", f"--net={network}", *argv] if network else argv
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                if "listening" in ((work / "log").read_text() if (work / "log").exists() else ""):
                    break
                assert process.poll() is None, (work / "log").read_text()
                time.sleep(0.05)
            yield Sshd(port, f"IdentityFile={work}/user,UserKnownHostsFile={work}/known", process.pid)
        finally:
            process.kill()


@dataclass(frozen=True)
class Rsyncd:
    """A daemon of rsync that runs."""

    port: int
    pid: int

    def drop(self) -> None:
        """End all connections at once: of each the process, and the one that it has receive."""
        _end_below(self.pid)


@contextmanager
def rsyncd(work: Path, folder: Path) -> Iterator[Rsyncd]:
    """A daemon of rsync that has a folder as modules: `media` for the user of LOGIN, `readonly` and `picky`.

    The password is in `work`/password.
    """
    port, password = free_port(), LOGIN.partition(":")[2]
    (work / "rsyncd.conf").write_text(RSYNCD.format(port=port, folder=folder, work=work))
    for name, text in (("secrets", LOGIN), ("password", password)):
        (work / name).write_text(f"{text}\n")
        (work / name).chmod(0o600)
    argv = ["setpriv", "--pdeathsig", "KILL", "rsync", "--daemon", "--no-detach", f"--config={work}/rsyncd.conf"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until_it_listens(port, process)
            yield Rsyncd(port, process.pid)
        finally:
            process.kill()


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until something answers on a port of the loopback interface."""
    for _ in range(400):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen on port {port}")


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        # The kernel accepts them; nobody reads.
        listening.listen(100)
        yield listening.getsockname()[1]


@dataclass(frozen=True)
class WebDav:
    """A server of WebDAV that runs."""

    process: subprocess.Popen[bytes]
    port: int
    url: str

    def section(self, name: str = "dav", path: str = "", **more: str) -> str:
        """A remote of rclone for it, with more lines."""
        address = f"{self.url.replace('webdav', 'http').rstrip('/')}{path}"
        lines = {"type": "webdav", "url": address, "vendor": "other", **more}
        return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


@contextmanager
def webdav(folder: Path, work: Path, *options: str, certificate: Path | None = None) -> Iterator[WebDav]:
    """rclone serves a folder by WebDAV; with a certificate by https, for the user of LOGIN alone."""
    port, scheme = free_port(), "webdavs" if certificate else "webdav"
    argv = ["setpriv", "--pdeathsig", "KILL", "rclone", "serve", "webdav", f"--addr=127.0.0.1:{port}", "--quiet"]
    argv += ["--config=/dev/null", "--dir-cache-time=0s", *options, str(folder)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(work)}
    if certificate:
        user, _, password = LOGIN.partition(":")
        argv += [f"--cert={certificate}", f"--key={certificate}"]
        environment |= {"RCLONE_USER": user, "RCLONE_PASS": password}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=environment) as process:
        try:
            wait_until_it_listens(port, process)
            yield WebDav(process, port, f"{scheme}://127.0.0.1:{port}/")
        finally:
            process.kill()


def obscured(password: str) -> str:
    """A password as rclone has it in its configuration."""
    done = subprocess.run(["rclone", "obscure", "-"], input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip()
