# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished files are put to real servers, read back, replaced and removed."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rear_output_iso
from lab import servers
from rear_core import RearError, Refused, Run, hookimpl
from rear_core.builtin import core
from rear_core.errors import PluginError
from rear_core.places.delivery import checksum
from rear_core.places.opening import check_place, missing_programs, opened, opened_place
from rear_core.places.place import PUBLIC, PlaceKind, publish
from rear_core.places.url import ALL, Scheme, Url, parse_url
from rear_core.plugins import Found, Plugins
from rear_core.settings import Sources, evaluate, parse

pytestmark = pytest.mark.root

# Of this name every character means something to a shell, sftp or rsync.
ODD = 'odd name*[1]"$HOME'


@dataclass(frozen=True)
class Server:
    """A place: its URL, the folder behind it, and whether it keeps modes."""

    url: str
    folder: Path
    options: str = ""
    modes: bool = True


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "build").mkdir()
    text = f"RSYNC_PASSWORD_FILE={tmp_path}/work/password"
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), [*core.rear_settings()], {})
    return Run(settings, Plugins([]), build_dir=tmp_path / "build")


@pytest.fixture(params=["file", "http", "https", "sftp", "rsync+ssh", "rsync"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that runs, with an empty folder of an odd name."""
    folder, work = tmp_path / "tree" / ODD, tmp_path / "work"
    folder.mkdir(parents=True)
    work.mkdir()
    quoted = ODD.replace(" ", "%20").replace("[", "%5B").replace("]", "%5D")
    with ExitStack() as stack:
        if request.param == "file":
            yield Server(f"file://{tmp_path}/tree/{quoted}", folder)
        elif request.param in ("http", "https"):
            certificate = servers.certificate(work / "lab.pem") if request.param == "https" else None
            if certificate:
                monkeypatch.setenv("SSL_CERT_FILE", str(work / "lab.crt"))
                monkeypatch.setenv("HOME", str(work))
                (work / ".netrc").write_text('machine 127.0.0.1 login rear password "a secret"\n')
                (work / ".netrc").chmod(0o600)
            login = servers.LOGIN if certificate else ""
            url = stack.enter_context(servers.http(tmp_path / "tree", certificate, login))
            yield Server(f"{url}/{quoted}", folder, modes=False)
        elif request.param == "rsync":
            port = stack.enter_context(servers.rsyncd(work, tmp_path / "tree")).port
            yield Server(f"rsync://rear@127.0.0.1:{port}/media/{quoted}", folder)
        else:
            sshd = stack.enter_context(servers.sshd(work))
            yield Server(f"{request.param}://root@127.0.0.1:{sshd.port}{tmp_path}/tree/{quoted}", folder, sshd.options)


def test_files_are_put_read_replaced_and_removed(run: Run, server: Server, tmp_path: Path) -> None:
    url = parse_url(server.url, ALL)
    assert missing_programs(run, url) == []
    check_place(run, url, server.options, 1 << 20, "OUTPUT_URL")
    assert list(server.folder.iterdir()) == []

    source = tmp_path / "source"
    with opened_place(run, url, server.options, mode=PUBLIC) as place:
        assert place.read("deep/er/file") is None
        for content in (b"first" * 100_000, b"second"):
            source.write_bytes(content)
            place.put(source, "deep/er/file", checksum(source))
            stored = server.folder / "deep/er/file"
            assert stored.read_bytes() == content
            assert place.read("deep/er/file") == content
            assert [path.name for path in stored.parent.iterdir()] == ["file"]
        if server.modes:
            assert stat.S_IMODE(stored.stat().st_mode) == 0o644
            assert stat.S_IMODE(stored.parent.stat().st_mode) == 0o755
        place.put(source, "deep/other", checksum(source))
        place.remove("deep/er", ["file", "absent"])
    assert [path.name for path in (server.folder / "deep").iterdir()] == ["other"]
    assert list(run.build_dir.iterdir()) == []


def test_a_file_is_published_with_its_checksum(run: Run, server: Server, tmp_path: Path) -> None:
    source = tmp_path / "rear-web1.iso"
    source.write_bytes(b"image" * 1000)
    with opened_place(run, parse_url(server.url, ALL), server.options) as place:
        for _ in range(2):
            publish(place, source, checksum(source))
    assert sorted(path.name for path in server.folder.iterdir()) == ["rear-web1.iso", "rear-web1.iso.sha256"]
    run.sh.run("sha256sum", "--check", "--strict", "rear-web1.iso.sha256", cwd=server.folder)
    if server.modes:
        assert {stat.S_IMODE(path.stat().st_mode) for path in server.folder.iterdir()} == {0o600}


def test_a_prefix_is_a_folder_that_is_made_there(run: Run, server: Server, tmp_path: Path) -> None:
    url, prefix = parse_url(server.url, ALL), "rescue/web1"
    check_place(run, url, server.options, 1 << 20, "OUTPUT_URL", prefix=prefix)
    source = tmp_path / "rear-web1.iso"
    with opened_place(run, url, server.options, prefix=prefix) as place:
        for content in (b"first", b"second"):
            source.write_bytes(content)
            publish(place, source, checksum(source), "a note")
        assert place.read("rear-web1.iso") == b"second"
    assert [path.name for path in server.folder.iterdir()] == ["rescue"]
    folder = server.folder / prefix
    assert sorted(path.name for path in folder.iterdir()) == ["rear-web1.iso", "rear-web1.iso.sha256"]
    run.sh.run("sha256sum", "--check", "rear-web1.iso.sha256", cwd=folder)


def test_an_iso_image_is_copied_there(server: Server, tmp_path: Path) -> None:
    text = (
        f"ISO_DIR={tmp_path}/output\nISO_PREFIX=rescue\nOUTPUT_URL='{server.url}'\nOUTPUT_OPTIONS='{server.options}'\n"
    )
    text += f"RSYNC_PASSWORD_FILE={tmp_path}/work/password"
    declared = [*core.rear_settings(), *rear_output_iso.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    run = Run(settings, Plugins([]), build_dir=tmp_path)
    (tmp_path / "output").mkdir()
    (tmp_path / "output/rescue.iso").write_bytes(b"image")
    rear_output_iso.check_places(run)
    rear_output_iso.copy_image(run)
    assert (server.folder / "rescue.iso").read_bytes() == b"image"
    run.sh.run("sha256sum", "--check", "--strict", "rescue.iso.sha256", cwd=server.folder)


def test_a_copy_that_differs_is_an_error(run: Run, server: Server, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"what is read back is not this")
    (server.folder / "file").write_bytes(b"old")
    with (
        opened_place(run, parse_url(server.url, ALL), server.options) as place,
        pytest.raises(RearError, match=r"differs|has changed"),
    ):
        place.put(source, "file", hashlib.sha256(b"another").hexdigest())
    if "http" not in server.url:
        assert (server.folder / "file").read_bytes() == b"old"
        assert [path.name for path in server.folder.iterdir()] == ["file"]


def test_a_place_that_takes_nothing_is_refused_with_its_reason(run: Run, server: Server) -> None:
    server.folder.rmdir()
    server.folder.touch()
    url = parse_url(server.url, ALL)
    with pytest.raises(Refused):
        check_place(run, url, server.options, 1, "OUTPUT_URL")


def test_a_certificate_that_nobody_vouches_for_is_refused(run: Run, tmp_path: Path) -> None:
    with (
        servers.http(tmp_path, servers.certificate(tmp_path / "lab.pem")) as url,
        pytest.raises(Refused, match="certificate verify failed") as caught,
    ):
        check_place(run, parse_url(f"{url}/", ALL), "", 1, "OUTPUT_URL")
    assert "authority" in caught.value.hint


@pytest.mark.parametrize(
    ("login", "forbidden", "told", "hint"),
    [(servers.LOGIN, (), "401 Unauthorized", ".netrc"), ("", ("PUT",), "405 Method Not Allowed", "allow PUT")],
)
def test_what_a_web_server_refuses_is_told(
    run: Run, tmp_path: Path, login: str, forbidden: tuple[str, ...], told: str, hint: str
) -> None:
    with (
        servers.http(tmp_path, login=login, forbidden=forbidden) as url,
        pytest.raises(Refused, match=told) as caught,
    ):
        check_place(run, parse_url(f"{url}/", ALL), "", 1, "OUTPUT_URL")
    assert hint in caught.value.hint


@pytest.mark.parametrize("scheme", ["sftp", "rsync+ssh"])
def test_an_unknown_ssh_server_is_refused(run: Run, tmp_path: Path, scheme: str) -> None:
    with servers.sshd(tmp_path) as sshd:
        url = parse_url(f"{scheme}://root@127.0.0.1:{sshd.port}{tmp_path}", ALL)
        with pytest.raises(Refused, match="failed"):
            check_place(run, url, f"{sshd.options.partition(',')[0]},UserKnownHostsFile=none", 1, "OUTPUT_URL")


def test_a_server_that_is_gone_is_refused(run: Run) -> None:
    url = parse_url("http://127.0.0.1:9/tree", ALL)
    with pytest.raises(Refused, match="Connection refused"):
        check_place(run, url, "", 1, "OUTPUT_URL")


@pytest.mark.parametrize(
    "opener", [lambda *_: Path("/"), lambda *_: nullcontext("/"), lambda *_: nullcontext(Path("x"))]
)
def test_a_place_of_a_plugin_that_opens_to_nothing_is_named(run: Run, opener: Callable[..., Any]) -> None:
    acme = Scheme("acme", "acme://server/folder", is_folder=True)
    module = ModuleType("acme")

    @hookimpl
    def rear_places() -> list[PlaceKind]:
        return [PlaceKind(acme, folder=opener)]

    module.rear_places = rear_places  # type: ignore[attr-defined]
    run.plugins.take(Found("extra", "acme", "x", "rear-extra-acme", "1", module=module))
    with (
        pytest.raises(PluginError, match="the place acme:// is opened "),
        opened(run, Url("acme", "server", "/folder")),
    ):
        pass
