# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of the places where media and backups are kept."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rear_core.places.url import ALL, FOLDERS, Url, parse_url, url_problem, without_password
from rear_core.settings import Setting
from rear_core.settings.conversion import convert

NAMED = [*(scheme.name for scheme in ALL), "HTTPS", "smb"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///srv/rear", Url("file", "", "/srv/rear")),
        ("file://localhost/srv", Url("file", "", "/srv")),
        ("nfs://server/export/rear", Url("nfs", "server", "/export/rear")),
        ("nfs://[fd00::5]/export", Url("nfs", "[fd00::5]", "/export")),
        ("usb:///dev/disk/by-label/REAR-000", Url("usb", "", "/dev/disk/by-label/REAR-000")),
        ("nfs://server/with%20space", Url("nfs", "server", "/with space")),
        # The same place, spelled otherwise.
        ("USB:///dev/disk/by-label/REAR-000", Url("usb", "", "/dev/disk/by-label/REAR-000")),
        (" usb:///dev/disk/by-label/REAR-000\t", Url("usb", "", "/dev/disk/by-label/REAR-000")),
        ("usb:///dev//disk/./by%2Dlabel/REAR-000/", Url("usb", "", "/dev/disk/by-label/REAR-000")),
        ("File://LOCALHOST//srv/rear", Url("file", "", "/srv/rear")),
        ("NFS://Server/export/", Url("nfs", "server", "/export")),
        ("file:///gr%FF", Url("file", "", "/gr\udcff")),
    ],
)
def test_good_urls_are_taken_apart(text: str, expected: Url) -> None:
    assert parse_url(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://server/tftp", Url("https", "server", "/tftp")),
        ("http://[fd00::5]:8080/a%20b", Url("http", "[fd00::5]", "/a b", port=8080)),
        ("sftp://rear@server:2222/srv", Url("sftp", "server", "/srv", "rear", 2222)),
        ("rsync+ssh://rear%40site@server/srv", Url("rsync+ssh", "server", "/srv", "rear@site")),
        ("rsync://rear@server:8730/media/a", Url("rsync", "server", "/media/a", "rear", 8730)),
    ],
)
def test_servers_for_single_files_are_taken_apart_where_they_may_be_used(text: str, expected: Url) -> None:
    assert parse_url(text, ALL) == expected
    with pytest.raises(
        ValueError,
        match=r"is not supported, (only file://, nfs://, cifs://, sshfs:// and usb://|.*write sshfs://user@)",
    ):
        parse_url(text)


def test_a_file_behind_http_has_its_name_quoted() -> None:
    assert Url("http", "server", "/a b", port=81).http("c%d") == "http://server:81/a%20b/c%25d"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sftp://rear:secret@server/srv", "use a key"),
        ("https://rear@server/srv", "netrc"),
        ("sftp://-oProxyCommand=x@server/srv", "begins with -"),
        ("sftp://-oProxyCommand=x/srv", "begins with -"),
        ("rsync+ssh:///srv", "names no server"),
        ("rsync://server/", r"names no module of a daemon of rsync; write rsync://"),
        ("rsync:///srv", "names no server"),
        ("rsync://evil%2Fx@server/srv", "a user with one of / @ :"),
    ],
)
def test_what_ssh_and_http_servers_must_not_have(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_url(text, ALL)
    assert "secret" not in str(caught.value)


def test_an_nfs_source_is_written_as_mount_wants_it() -> None:
    assert parse_url("nfs://[fd00::5]/export").nfs_source == "[fd00::5]:/export"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/srv/rear", "no scheme"),
        ("smb://server/share", "smb:// is not supported, write cifs://server/share/folder"),
        ("iso://backup", "set BACKUP=CDROM"),
        ("tape:///dev/nst0", "set BACKUP=TAPE"),
        ("rsync://server/module", "a daemon of rsync cannot rename and lock: write sshfs://.*BACKUP=RSYNC"),
        ("s3://bucket/folder", "RESTIC_REPOSITORY=s3:https://"),
        ("webdavs://server/folder", "RESTIC_REPOSITORY=rclone:REMOTE:folder"),
        ("rclone://nas/folder", "RESTIC_REPOSITORY=rclone:REMOTE:folder"),
        ("afp://server/share", "afp:// is not supported, only file://"),
        ("cifs://server/", "names no share"),
        ("cifs://server:445/share", "port=4450"),
        ("cifs://[fd00::5]/share", "use the name of the server"),
        ("cifs://server/share/a,b", "comma"),
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
def test_what_is_wrong_with_a_url_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_url(text)


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_has_a_problem(text: str) -> None:
    if not url_problem(text, ALL):
        assert parse_url(text, ALL).path.startswith("/")
    if not url_problem(text):
        url = parse_url(text)
        assert url.path.startswith("/")
        assert url.scheme in ("file", "nfs", "cifs", "sshfs", "usb")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://user@host/x", "sftp://user@host/x"),
        ("sftp://user:geheim@host/x", "sftp://user:***@host/x"),
        ("nfs://root:ge/he#i?m@x@server/exp", "nfs://root:***@server/exp"),
        ("https://TOKEN@host/x", "https://***@host/x"),
        (" HTTP://TOKEN:x@host/x", " HTTP://***@host/x"),
        ("user:geheim@host/x", "user:***@host/x"),
        ("user:geheim://@host/x", "user:***@host/x"),
        ("sftp:/user:geheim@host/x", "sftp:***@host/x"),
        ("file:///srv/a:b", "file:///srv/a:b"),
    ],
)
def test_what_may_be_a_password_is_not_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown


SECRET = "Geheim7"


@pytest.mark.parametrize(
    "secret", [SECRET, f"/{SECRET}", f"#{SECRET}", f"?{SECRET}", f"{SECRET}@x", f"[{SECRET}", f"1/{SECRET}"]
)
@pytest.mark.parametrize("before", ["user", "", "u@s", "u:p"])
@pytest.mark.parametrize("scheme", NAMED)
def test_no_message_has_the_password(scheme: str, before: str, secret: str) -> None:
    check_no_message_has(f"{scheme}://{before}:", secret, "@host/x")


@given(
    head=st.sampled_from([f"{scheme}://user:" for scheme in NAMED] + ["user:", "https://", "file:/u:"]),
    before=st.text(":/@#?[]%. -a1\t\u2100", max_size=6),
    after=st.text(":/@#?[]%. -a1\t\u2100", max_size=6),
    tail=st.sampled_from(["@host/x", "@", "@host:port/x", "@[::1/x", "@h/../x", " @host"]),
)
def test_no_message_has_any_password(head: str, before: str, after: str, tail: str) -> None:
    check_no_message_has(head, f"{before}{SECRET}{after}", tail)


def check_no_message_has(head: str, secret: str, tail: str) -> None:
    text = f"{head}{secret}{tail}"
    for schemes in (ALL, FOLDERS):
        told, _ = convert(Setting("BACKUP_URL", Url, files=schemes == ALL), text)
        assert SECRET.lower() not in f"{url_problem(text, schemes)} {told}".lower(), text


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cc", "Cs"]), min_size=1)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1).map("/".join).map("/{}".format)


# What is before an @ may be a password, and is not looked at as an address.
@example(scheme="http", path="/@[", user="", port=0, upper=False)
@given(
    scheme=st.sampled_from([scheme.name for scheme in ALL]),
    path=PATHS,
    user=st.text("abc@:/%# ü", max_size=5),
    port=st.integers(0, 65535),
    upper=st.booleans(),
)
def test_what_is_written_is_read_as_the_same_place(scheme: str, path: str, user: str, port: int, upper: bool) -> None:
    """Settings go to the rescue system as text."""
    if scheme == "usb":
        path = f"/dev{path}"
    assume(scheme != "cifs" or "," not in path)
    assume(scheme != "rsync" or not {*user} & {*"/@:"})
    local, named = scheme in ("file", "usb"), scheme in ("sftp", "rsync+ssh", "rsync", "cifs", "sshfs")
    host, no_port = "" if local else "server", local or scheme in ("nfs", "cifs")
    url = Url(scheme, host, path, user if named else "", 0 if no_port else port)
    text = str(url)
    assert parse_url(text, ALL) == url
    assert parse_url(f" {text.replace(scheme, scheme.upper(), 1) if upper else text}\n", ALL) == url
