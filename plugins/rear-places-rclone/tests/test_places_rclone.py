# SPDX-License-Identifier: GPL-3.0-or-later
"""Media are put by the real rclone to servers of S3 and WebDAV, which also fail in every way."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

import rear_output_iso
import rear_places_rclone
from lab import bucket, servers
from rear_core import ConfigurationError, RearError, Refused, Run
from rear_core.builtin import core
from rear_core.places.delivery import checksum
from rear_core.places.opening import check_place, missing_programs, opened_place
from rear_core.places.place import publish
from rear_core.places.url import Url, parse_url
from rear_core.plugins import Found, Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_places_rclone import place as by_rclone

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed: tools/install test does that"),
]

MIB = 1 << 20
PASSWORD = servers.LOGIN.partition(":")[2]
HOSTILE = ("web[1].iso", "*", "a?b", "back\\slash", "--config=x", "x y'$(id)\"", "..data", "{{.*}}", "ü %41 #;", "a:b")


@dataclass
class Lab:
    """A work area, a configuration of rclone, and what is in the place that `url` names."""

    top: Path
    url: str = ""

    def configure(self, *sections: str) -> None:
        """Write rclone's configuration."""
        path = self.top / "rclone.conf"
        path.write_text("".join(sections))
        path.chmod(0o600)

    def run(self, text: str = "", *modules: ModuleType) -> Run:
        """A run with settings of its own, and of other plugins."""
        plugins = Plugins([])
        plugins.take(Found("extra", "rclone", "x", "rear-places-rclone", "1", module=rear_places_rclone))
        declared = [setting for each in (core, rear_places_rclone, *modules) for setting in each.rear_settings()]
        sources = Sources(assignments=tuple(parse(f"{text}RCLONE_CONFIG={self.top}/rclone.conf", "local.conf")))
        settings = evaluate(sources, declared, {}, schemes=plugins.schemes())
        run = Run(settings, plugins, build_dir=self.top / "build")
        run.sh.environment = {k: os.environ[k] for k in ("SSL_CERT_FILE",) if k in os.environ}
        return run

    def place(self, url: str = "") -> Url:
        """The place as settings have it."""
        return parse_url(url or self.url, self.run().plugins.schemes())

    def put(self, name: str, content: bytes) -> None:
        """Put a file there."""
        source = self.top / "source"
        source.write_bytes(content)
        with opened_place(self.run(), self.place()) as place:
            place.put(source, name, checksum(source))

    def fails(self, name: str, content: bytes) -> RearError:
        """What it ends with to put a file there: a line, with what to do, and without passwords."""
        with pytest.raises(RearError) as caught:
            self.put(name, content)
        error = caught.value
        assert "\n" not in error.message and error.hint
        assert not any(word in f"{error.message} {error.hint}" for word in (PASSWORD, bucket.SECRET))
        return error

    def refusal(self, url: str = "") -> Refused:
        """What a check of a place ends with."""
        with pytest.raises(Refused) as caught:
            check_place(self.run(), self.place(url), "", 1, "OUTPUT_URL")
        assert "\n" not in caught.value.message and caught.value.hint
        return caught.value


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    for name in ("build", "tree"):
        (tmp_path / name).mkdir()
    return Lab(tmp_path)


@pytest.fixture
def store(lab: Lab) -> Iterator[bucket.Store]:
    """A bucket."""
    with bucket.server() as store:
        lab.url = "s3://media/web"
        lab.configure(store.section())
        yield store


@contextmanager
def webdav(lab: Lab, *options: str) -> Iterator[servers.WebDav]:
    """A server of WebDAV for the folder `tree`, without a login."""
    with servers.webdav(lab.top / "tree", lab.top, *options) as server:
        lab.url = server.url
        lab.configure(server.section())
        yield server


@pytest.fixture(params=["s3", "rclone", "webdav", "webdavs"])
def contents(request: pytest.FixtureRequest, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A place of each kind; `found` tells what is there."""
    odd = 'odd%20name*%5B1%5D"$HOME'
    with ExitStack() as stack:
        if request.param in ("s3", "rclone"):
            store = stack.enter_context(bucket.server())
            lab.configure(store.section("Cloud"))
            lab.url = f"s3://media/{odd}" if request.param == "s3" else f"rclone://cloud/media/{odd}"
        else:
            certificate = servers.certificate(lab.top / "lab.pem") if request.param == "webdavs" else None
            if certificate:
                monkeypatch.setenv("SSL_CERT_FILE", str(lab.top / "lab.crt"))
            server = stack.enter_context(servers.webdav(lab.top / "tree", lab.top, certificate=certificate))
            login = {"user": "rear", "pass": servers.obscured(PASSWORD)} if certificate else {}
            lab.configure(server.section(path="/top", **login))
            (lab.top / 'tree/top/odd name*[1]"$HOME').mkdir(parents=True)
            lab.url = f"{server.url}top/{odd}"
        yield lab


def test_files_are_put_read_replaced_and_removed(contents: Lab) -> None:
    lab = contents
    run, url, source = lab.run(), lab.place(), lab.top / "source"
    assert missing_programs(run, url) == []
    check_place(run, url, "", 1 << 20, "OUTPUT_URL")
    with opened_place(run, url) as place:
        assert place.read("deep/er/file") is None
        # Those of the same size and time differ as well.
        for content in (b"first" * 100_000, b"second", b"SECOND", b""):
            source.write_bytes(content)
            os.utime(source, (1e9, 1e9))
            place.put(source, "deep/er/file", checksum(source))
            assert place.read("deep/er/file") == content
            assert place.read("deep/er/.file.part") is None
        place.put(source, "deep/other", checksum(source))
        place.remove("deep/er", ["file", "absent"])
        assert place.read("deep/er/file") is None and place.read("deep/other") == b""
        publish(place, source, checksum(source))
        assert (place.read("source.sha256") or b"").decode() == f"{checksum(source)}  source\n"
    assert list(run.build_dir.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("contents", ["s3", "webdav"], indirect=True)
def test_hostile_names_are_names(contents: Lab) -> None:
    lab = contents
    source = lab.top / "source"
    with opened_place(lab.run(), lab.place()) as place:
        for name in HOSTILE:
            source.write_text(name)
            place.put(source, f"web1/{name}", checksum(source))
        for number, name in enumerate(HOSTILE):
            assert place.read(f"web1/{name}") == name.encode()
            if number % 2:
                place.remove("web1", [name])
        assert [place.read(f"web1/{name}") is None for name in HOSTILE] == [bool(n % 2) for n in range(len(HOSTILE))]


def test_a_source_that_differs_leaves_the_old_file(contents: Lab) -> None:
    contents.put("file", b"old")
    with opened_place(contents.run(), contents.place()) as place:
        with pytest.raises(RearError, match="has changed"):
            place.put(contents.top / "source", "file", "0" * 64)
        assert place.read("file") == b"old"


def test_no_password_is_in_arguments_or_the_log(contents: Lab) -> None:
    run, lines = contents.run(), list[str]()
    run.sh.log = lines.append
    check_place(run, contents.place(), "", 1, "OUTPUT_URL")
    text, config = "\n".join(lines), (contents.top / "rclone.conf").read_text()
    assert text and PASSWORD not in text and bucket.SECRET not in text
    for secret in re.findall(r"^(?:pass|secret_access_key) = (.+)", config, re.M):
        assert secret not in text and secret not in run.report.masked(secret)


@pytest.mark.long
def test_an_iso_image_is_copied_there(contents: Lab) -> None:
    (contents.top / "output").mkdir()
    (contents.top / "output/rescue.iso").write_bytes(b"image" * 1000)
    text = f"ISO_DIR={contents.top}/output\nISO_PREFIX=rescue\nOUTPUT_URL='{contents.url}'\n"
    run = contents.run(text, rear_output_iso)
    for _ in range(2):
        rear_output_iso.check_places(run)
        rear_output_iso.copy_image(run)
    with opened_place(run, contents.place()) as place:
        assert place.read("rescue.iso") == b"image" * 1000
        assert checksum(contents.top / "output/rescue.iso").encode() in (place.read("rescue.iso.sha256") or b"")


def test_what_a_store_keeps_is_compared_and_not_its_sum(lab: Lab, store: bucket.Store) -> None:
    store.spoiled = "rear.iso"
    assert "differs" in lab.fails("rear.iso", b"image").message


def test_another_key_is_refused(lab: Lab, store: bucket.Store) -> None:
    lab.configure(store.section().replace(bucket.KEY, "AKIA0000000000000000"))
    error = lab.refusal()
    assert "403" in error.message and "check the login" in error.hint


def test_a_missing_bucket_is_not_made(lab: Lab, store: bucket.Store) -> None:
    error = lab.refusal("s3://mistyped/web")
    assert "there is no bucket s3://mistyped/web" in error.message and "mkdir store:mistyped/web" in error.hint
    assert set(store.buckets) == {"media"}


def test_a_store_that_is_full_keeps_the_old_object(lab: Lab, store: bucket.Store) -> None:
    lab.put("file", b"old")
    store.limit = MIB
    error = lab.fails("file", bytes(2 * MIB))
    assert "XMinioStorageFull" in error.message and "make room" in error.hint
    assert store.buckets["media"] == {"web/file": b"old"}


def test_a_connection_that_is_lost_keeps_the_old_object(lab: Lab, store: bucket.Store) -> None:
    lab.put("file", b"old")
    store.cut = MIB
    lab.fails("file", bytes(8 * MIB))
    assert store.buckets["media"] == {"web/file": b"old"}


def test_a_store_that_may_not_be_read_is_refused(lab: Lab, store: bucket.Store) -> None:
    store.readable = False
    assert "list, read, write, remove" in lab.refusal().hint


@pytest.mark.long
@pytest.mark.parametrize("kind", ["s3", "webdav"])
def test_a_server_that_falls_silent_is_an_error(lab: Lab, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_rclone, "CONTACT_SECONDS", 5)
    with servers.silent() as port:
        address = f"http://127.0.0.1:{port}"
        lab.configure(f"[dav]\ntype = webdav\nurl = {address}\n", bucket.Store(port=port).section())
        began = time.monotonic()
        error = lab.refusal("s3://media/web" if kind == "s3" else f"webdav://127.0.0.1:{port}/web")
    assert "not finished after 5 seconds" in error.message and "check that server" in error.hint
    assert time.monotonic() - began < 30


@pytest.mark.long
def test_a_store_that_falls_silent_in_an_upload_is_an_error(
    lab: Lab, store: bucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_rclone, "SILENCE_SECONDS", 2)
    store.cut, store.hangs = MIB, True
    began = time.monotonic()
    error = lab.fails("file", bytes(32 * MIB))
    assert "check that server" in error.hint and time.monotonic() - began < 100


def test_a_server_that_is_not_there_is_refused(lab: Lab) -> None:
    lab.configure(bucket.Store(port=9).section())
    assert "connection refused" in lab.refusal("s3://media/web").message


def test_a_wrong_password_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = servers.certificate(lab.top / "lab.pem")
    with servers.webdav(lab.top / "tree", lab.top, certificate=certificate) as server:
        lab.configure(server.section(user="rear", **{"pass": servers.obscured("wrong")}))
        error = lab.refusal(server.url)
        assert "certificate" in error.message and "authority" in error.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(lab.top / "lab.crt"))
        error = lab.refusal(server.url)
        assert "401" in error.message and "check the login" in error.hint


def test_a_missing_folder_is_not_made(lab: Lab) -> None:
    with webdav(lab) as server:
        error = lab.refusal(f"{server.url}no/folder")
    assert "there is no folder" in error.message and "mkdir dav:no/folder" in error.hint
    assert list((lab.top / "tree").iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(lab: Lab) -> None:
    (lab.top / "tree/file").touch()
    with webdav(lab) as server:
        assert "there is no folder" in lab.refusal(f"{server.url}file").message


def test_a_folder_that_is_not_empty_stays(lab: Lab) -> None:
    with webdav(lab), opened_place(lab.run(), lab.place()) as place:
        for name in ("one", "two"):
            lab.put(f"web1/{name}", b"")
        place.remove("web1", ["one"])
        assert [path.name for path in (lab.top / "tree/web1").iterdir()] == ["two"]
        place.remove("web1", ["two"])
        assert not (lab.top / "tree/web1").exists()


def test_a_server_that_only_reads_is_refused(lab: Lab) -> None:
    with webdav(lab, "--read-only"):
        lab.refusal()


def test_a_full_server_keeps_the_old_file(lab: Lab) -> None:
    tree = lab.top / "tree"
    subprocess.run(["mount", "--types", "tmpfs", "--options", "size=2m", "tmpfs", tree], check=True)
    try:
        with webdav(lab):
            lab.put("file", b"old")
            lab.fails("file", os.urandom(4 * MIB))
            assert (tree / "file").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", tree], check=True)


def test_a_server_that_dies_in_an_upload_keeps_the_old_file(lab: Lab) -> None:
    with webdav(lab, "--bwlimit=8M") as server:
        lab.put("file", b"old")
        killing = Thread(target=kill_in_upload, args=[server, lab.top / "tree"])
        killing.start()
        error = lab.fails("file", os.urandom(64 * MIB))
        killing.join()
    assert "check that server" in error.hint
    assert (lab.top / "tree/file").read_bytes() == b"old"


def kill_in_upload(server: servers.WebDav, tree: Path) -> None:
    """Kill a server once a part of a file has arrived."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(path.stat().st_size for path in tree.glob("*part*")):
        time.sleep(0.01)
    server.process.kill()


def test_a_configuration_that_others_can_read_is_refused(lab: Lab, store: bucket.Store) -> None:
    (lab.top / "rclone.conf").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"RCLONE_CONFIG .* can be read by others"):
        opened_place(lab.run(), lab.place()).__enter__()
    (lab.top / "rclone.conf").unlink()
    with pytest.raises(ConfigurationError, match="cannot read RCLONE_CONFIG"):
        opened_place(lab.run(), lab.place()).__enter__()


@pytest.mark.parametrize(
    "text", ["# x\nRCLONE_ENCRYPT_V0:\nabc\n", "pass = geheim\n", "[a]\npass\n\0geheim\n", b"\xff"]
)
def test_a_configuration_that_cannot_be_read_is_named_without_its_lines(lab: Lab, text: str | bytes) -> None:
    lab.configure()
    (lab.top / "rclone.conf").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        opened_place(lab.run(), lab.place("s3://media/x")).__enter__()
    assert "RCLONE_CONFIG" in caught.value.message and "geheim" not in f"{caught.value.message}{caught.value.hint}"


def test_options_are_refused(lab: Lab, store: bucket.Store) -> None:
    with pytest.raises(Refused, match="takes no options"):
        check_place(lab.run(), lab.place(), "rw", 1, "OUTPUT_URL")


@pytest.mark.skipif(importlib.util.find_spec("moto") is None, reason="moto is not installed: make test-vm does that")
def test_a_large_object_in_several_parts(lab: Lab) -> None:
    from lab import s3

    with s3.server(None) as address:
        lab.configure(bucket.Store(port=int(address.rpartition(":")[2])).section(), "upload_cutoff = 5Mi\n")
        lab.url = "s3://media/web"
        assert "there is no bucket" in lab.refusal().message
        make = ["rclone", f"--config={lab.top}/rclone.conf", "mkdir", "store:media"]
        subprocess.run(make, check=True, env={"PATH": os.environ["PATH"], "HOME": str(lab.top)})
        content = os.urandom(12 * MIB)
        lab.put("rear.iso", content)
        with opened_place(lab.run(), lab.place()) as place:
            is_same = place.read("rear.iso") == content
            assert is_same
            place.remove("", ["rear.iso"])
            assert place.read("rear.iso") is None
