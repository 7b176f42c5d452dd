# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of the places where media and backups are kept."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.media.url import Url, parse_url, url_problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///srv/rear", Url("file", "", "/srv/rear")),
        ("file://localhost/srv", Url("file", "", "/srv")),
        ("nfs://server/export/rear", Url("nfs", "server", "/export/rear")),
        ("nfs://[fd00::5]/export", Url("nfs", "[fd00::5]", "/export")),
        ("usb:///dev/disk/by-label/REAR-000", Url("usb", "", "/dev/disk/by-label/REAR-000")),
        ("nfs://server/with%20space", Url("nfs", "server", "/with space")),
    ],
)
def test_good_urls_are_taken_apart(text: str, expected: Url) -> None:
    assert parse_url(text, "OUTPUT_URL") == expected


def test_an_nfs_source_is_written_as_mount_wants_it() -> None:
    assert parse_url("nfs://[fd00::5]/export", "BACKUP_URL").nfs_source == "[fd00::5]:/export"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/srv/rear", "no scheme"),
        ("cifs://server/share", "cifs:// is not supported"),
        ("file://srv/rear", "three slashes, file:///srv/rear"),
        ("usb://REAR-000", "names no device"),
        ("usb://dev/sdx1", "names no device"),
        ("usb:///mnt/stick", "names no device"),
        ("nfs:///export", "names no server"),
        ("nfs://server", "no absolute path"),
        ("nfs://server:2050/export", "port"),
        ("nfs://root@server/export", "user"),
        ("nfs://server/a/../b", r"\.\."),
        ("file:///a?b", r"\? or #"),
        ("nfs://server/a%0Ab", "control characters"),
        ("nfs://[fd00::5/export", "no URL"),
    ],
)
def test_bad_urls_are_named_with_the_setting(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        parse_url(text, "OUTPUT_URL")
    assert caught.value.message.startswith(f"OUTPUT_URL={text}: ")
    assert "nfs://server/export" in caught.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_has_a_problem(text: str) -> None:
    if not url_problem(text):
        url = parse_url(text, "OUTPUT_URL")
        assert url.path.startswith("/")
        assert url.scheme in ("file", "nfs", "usb")
