# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins bring kinds of places that the core does not know: settings accept their URLs, and media are put there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from rear_core.contents import Contents
from rear_core.errors import ConfigurationError, PluginError
from rear_core.hookspecs import hookimpl
from rear_core.places.opening import check_place, missing_programs, opened, opened_place
from rear_core.places.place import PlaceKind, publish
from rear_core.places.url import NFS, Scheme, Url
from rear_core.plugins import Found, Plugins
from rear_core.run import Run
from rear_core.settings import Setting, Settings, Sources, evaluate, parse

BUCKET = Scheme("acme", "acme://server/bucket")
SHARE = Scheme("acmefs", "acmefs://server/share", is_folder=True)
DECLARED = [Setting("OUTPUT_URL", Url, files=True), Setting("BACKUP_URL", Url)]


class Bucket:
    """A place that keeps what it is given in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, source: Path, name: str, sha256: str) -> None:
        assert hashlib.sha256(source.read_bytes()).hexdigest() == sha256
        self.kept[name] = source.read_bytes()

    def read(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def remove(self, folder: str, names: Sequence[str]) -> None:
        for name in names:
            del self.kept[f"{folder}/{name}".lstrip("/")]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def plugins(bucket: Bucket, tmp_path: Path) -> Plugins:
    """The core alone with a plugin of somebody else, that brings a bucket and a share."""

    @contextmanager
    def mounted(_run: Run, url: Url, _options: str, _patience: float) -> Iterator[Path]:
        folder = tmp_path / url.path[1:]
        folder.mkdir()
        yield folder
        folder.rename(tmp_path / "unmounted")

    client = Contents(programs=["acme-client-that-nobody-has"])
    return with_places(
        PlaceKind(BUCKET, files=lambda _run, _url, _options, _mode: bucket, contents=client),
        PlaceKind(SHARE, folder=mounted),
    )


def with_places(*kinds: PlaceKind) -> Plugins:
    module = ModuleType("rear_acme")
    module.rear_places = hookimpl(lambda: kinds)  # type: ignore[attr-defined]
    plugins = Plugins([])
    plugins.take(Found("extra", "acme", "rear_acme", "rear-acme", "1.0", module=module))
    return plugins


def read(plugins: Plugins, text: str) -> Settings:
    return evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), DECLARED, {}, schemes=plugins.schemes())


def test_settings_accept_the_places_of_plugins(plugins: Plugins) -> None:
    settings = read(plugins, "OUTPUT_URL=acme://Server/bucket/\nBACKUP_URL=acmefs://server/share")
    assert settings["OUTPUT_URL"] == Url("acme", "server", "/bucket")
    assert settings["BACKUP_URL"] == Url("acmefs", "server", "/share")


def test_a_backup_needs_a_place_that_is_a_folder(plugins: Plugins) -> None:
    with pytest.raises(ConfigurationError, match=r"acme:// is not supported") as caught:
        read(plugins, "BACKUP_URL=acme://server/bucket")
    assert SHARE.example in caught.value.hint
    assert BUCKET.example not in caught.value.hint


def test_media_are_put_to_the_place_of_a_plugin(plugins: Plugins, bucket: Bucket, tmp_path: Path) -> None:
    run = Run(read(plugins, "OUTPUT_URL=acme://server/bucket"), plugins, build_dir=tmp_path)
    url = run.settings["OUTPUT_URL"]
    assert missing_programs(run, url) == ["acme-client-that-nobody-has"]
    check_place(run, url, "", 1, "OUTPUT_URL")
    assert bucket.kept == {}
    (tmp_path / "rear.iso").write_bytes(b"iso")
    checksum = hashlib.sha256(b"iso").hexdigest()
    with opened_place(run, url) as place:
        publish(place, tmp_path / "rear.iso", checksum)
    assert bucket.kept == {"rear.iso": b"iso", "rear.iso.sha256": f"{checksum}  rear.iso\n".encode()}


def test_a_folder_of_a_plugin_is_open_as_long_as_it_is_needed(plugins: Plugins, tmp_path: Path) -> None:
    run = Run(read(plugins, "BACKUP_URL=acmefs://server/share"), plugins, build_dir=tmp_path)
    with opened(run, run.settings["BACKUP_URL"]) as folder:
        (folder / "kept").touch()
    assert [path.name for path in (tmp_path / "unmounted").iterdir()] == ["kept"]


def test_two_cannot_have_the_same_scheme() -> None:
    with pytest.raises(PluginError, match=r"rear-acme.*nfs://"):
        with_places(PlaceKind(Scheme("nfs", NFS.example), files=lambda *_: Bucket())).schemes()


def test_a_place_is_opened_in_one_way() -> None:
    with pytest.raises(TypeError, match="acme"):
        PlaceKind(BUCKET)
    with pytest.raises(TypeError, match="acmefs"):
        PlaceKind(SHARE, files=lambda *_: Bucket())
