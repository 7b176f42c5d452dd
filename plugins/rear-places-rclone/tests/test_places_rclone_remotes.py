# SPDX-License-Identifier: GPL-3.0-or-later
"""Which section of rclone's configuration a URL means, and what is said where that is none or several."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import rear_places_rclone
from rear_core.places.url import ALL, parse_url, url_problem
from rear_core.plugins import Plugins
from rear_core.run import Run
from rear_core.settings import Sources, evaluate
from rear_places_rclone.remotes import SECRET, Remote, chosen

SCHEMES = [*ALL, *(kind.scheme for kind in rear_places_rclone.rear_places())]
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Cloud": {"type": "s3", "provider": "Minio", "endpoint": "https://s3.example.org"},
    "nas": {"type": "webdav", "url": "https://nas.example.org/dav", "user": "rear", "pass": "x"},
    "team": {"type": "webdav", "url": "https://NAS.example.org:443/dav/a%20team/", "bearer_token": "x"},
    "plain": {"type": "webdav", "url": "http://nas.example.org:8080"},
    "clear": {"type": "webdav", "url": "http://old.example.org/", "user": "rear", "pass": "x"},
    "six": {"type": "webdav", "url": "https://[fd00::5]:8443/"},
    "here": {"type": "local"},
    "box": {"type": "sftp", "host": "box.example.org"},
}


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("s3://bucket/", Remote("Cloud", "bucket")),
        ("s3://bucket/web/media/", Remote("Cloud", "bucket/web/media")),
        ("webdavs://nas.example.org/dav", Remote("nas", "")),
        ("webdavs://nas.example.org/dav/rear", Remote("nas", "rear")),
        ("webdavs://NAS.example.org:443/dav/rear/a", Remote("nas", "rear/a")),
        ("webdavs://nas.example.org/dav/a%20team/x", Remote("team", "x")),
        ("webdavs://nas.example.org/dav/a%20teams", Remote("nas", "a teams")),
        ("webdav://nas.example.org:8080/a", Remote("plain", "a")),
        ("webdavs://[fd00::5]:8443/a", Remote("six", "a")),
        ("rclone://cloud/Bucket/a", Remote("Cloud", "Bucket/a")),
        ("rclone://BOX/", Remote("box", "")),
    ],
)
def test_a_url_means_a_section(url: str, remote: Remote) -> None:
    assert chosen(parse_url(url, SCHEMES), SECTIONS) == remote


@pytest.mark.parametrize(
    ("url", "why", "hint"),
    [
        (
            "webdavs://nas.example.org/other",
            "no section of type webdav",
            "url https://nas.example.org/other and a login",
        ),
        ("webdavs://nas.example.org/davos", "no section of type webdav", "rclone config"),
        ("webdav://nas.example.org/dav", "no section of type webdav", "url http://nas.example.org/dav"),
        ("webdavs://nas.example.org:8443/dav", "no section of type webdav", ":8443"),
        ("webdav://old.example.org/", "unencrypted", "webdavs://"),
        ("rclone://clear/a", "unencrypted", "webdavs://"),
        ("rclone://here/a", "folder of this machine", "file:///folder"),
        ("rclone://nothing/a", r"has no section \[nothing\]; it has \[Cloud\], \[nas\]", "rclone config"),
    ],
)
def test_what_no_section_is_for_is_told(url: str, why: str, hint: str) -> None:
    with pytest.raises(LookupError, match=why) as caught:
        chosen(parse_url(url, SCHEMES), SECTIONS)
    assert hint in caught.value.args[1]


def test_several_that_fit_are_named() -> None:
    sections = {**SECTIONS, "other": {"type": "s3"}, "CLOUD": {"type": "s3"}}
    with pytest.raises(LookupError, match=r"has \[Cloud\] and \[other\] and \[CLOUD\]") as caught:
        chosen(parse_url("s3://bucket/a", SCHEMES), sections)
    assert caught.value.args[1] == "name one: rclone://Cloud/bucket/a"
    with pytest.raises(LookupError, match=r"has \[Cloud\] and \[CLOUD\]"):
        chosen(parse_url("rclone://cloud/bucket/a", SCHEMES), sections)


def test_an_empty_configuration_has_none() -> None:
    with pytest.raises(LookupError, match="type s3; it has none"):
        chosen(parse_url("s3://bucket/a", SCHEMES), {})


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://KEY@bucket/a", "has a user"),
        ("s3://KEY:geheim@bucket/a", "rclone.conf"),
        ("s3://bucket:9000/a", "has a port"),
        ("webdavs://rear@server/a", "has a user"),
        ("rclone://nas:22/a", "has a port"),
        ("rclone:///a", "names no server"),
    ],
)
def test_a_login_belongs_into_the_configuration(url: str, problem: str) -> None:
    told = url_problem(url, SCHEMES)
    assert problem in told and "geheim" not in told


def test_the_configuration_is_kept_off_the_media() -> None:
    (setting,) = rear_places_rclone.rear_settings()
    run = Run(evaluate(Sources(), [setting], {}), Plugins([]))
    assert rear_places_rclone.rear_rescue_contents(run).secrets == [rear_places_rclone.CONFIG]
    assert setting.check is not None and setting.check("rclone.conf") and not setting.check("/etc/rclone.conf")


def test_what_is_secret_in_a_section() -> None:
    secret = ["pass", "secret_access_key", "access_key_id", "token", "bearer_token", "client_secret", "key", "sas_url"]
    assert all(SECRET.search(key) for key in secret)
    assert not any(SECRET.search(key) for key in ("type", "user", "endpoint", "key_file", "vendor", "env_auth"))
