# SPDX-License-Identifier: GPL-3.0-or-later
"""Media are put to a real daemon of rsync, and each way in which it takes nothing is told in a line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lab import servers
from rear_core import ConfigurationError, RearError, Refused, Run
from rear_core.builtin import core
from rear_core.places import rsync
from rear_core.places.delivery import checksum
from rear_core.places.opening import check_place, opened_place
from rear_core.places.url import ALL, Url, parse_url
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse

pytestmark = pytest.mark.root

MIB = 1 << 20
# Of these names every character means something to a pattern of rsync.
HOSTILE = ("web[1].iso", "*", "a?b", "back\\slash", "- include", "--delete", "x y'$(id)\"", "..data")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A daemon whose modules are the folder `tree`."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "build").mkdir()
    with servers.rsyncd(tmp_path, tmp_path / "tree") as daemon:
        yield daemon.port


def make_run(tmp_path: Path, password: str = "password") -> Run:
    text = f"RSYNC_PASSWORD_FILE={tmp_path / password if password else ''}"
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), [*core.rear_settings()], {})
    return Run(settings, Plugins([]), build_dir=tmp_path / "build")


def url(port: int, path: str = "media", user: str = "rear@") -> Url:
    return parse_url(f"rsync://{user}127.0.0.1:{port}/{path}", ALL)


def refusal(run: Run, place: Url) -> Refused:
    """What a check of the place ends with, which names it, is a line, and says what to do."""
    with pytest.raises(Refused) as caught:
        check_place(run, place, "", 1, "OUTPUT_URL")
    assert str(place) in caught.value.message and "\n" not in caught.value.message and caught.value.hint
    assert servers.LOGIN.partition(":")[2] not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def test_hostile_names_are_names(tmp_path: Path, port: int) -> None:
    source = tmp_path / "source"
    with opened_place(make_run(tmp_path), url(port)) as place:
        for name in HOSTILE:
            source.write_text(name)
            place.put(source, f"web1/{name}", checksum(source))
        for name in HOSTILE:
            assert place.read(f"web1/{name}") == name.encode()
        assert sorted(path.name for path in (tmp_path / "tree/web1").iterdir()) == sorted(HOSTILE)
        for number, name in enumerate(HOSTILE):
            place.remove("web1", [name])
            assert (tmp_path / "tree/web1").exists() == (number + 1 < len(HOSTILE)), name
            if number + 1 < len(HOSTILE):
                assert sorted(path.name for path in (tmp_path / "tree/web1").iterdir()) == sorted(HOSTILE[number + 1 :])


def test_the_password_is_neither_in_arguments_nor_in_the_log(tmp_path: Path, port: int) -> None:
    run, lines = make_run(tmp_path), list[str]()
    run.sh.log = lines.append
    check_place(run, url(port), "", 1, "OUTPUT_URL")
    assert lines and servers.LOGIN.partition(":")[2] not in "\n".join(lines)


@pytest.mark.parametrize(
    ("password", "path", "user", "told", "hint"),
    [
        ("wrong", "media", "rear@", "auth failed on module media", "RSYNC_PASSWORD_FILE"),
        ("password", "media", "other@", "auth failed on module media", "user in the URL"),
        ("", "media", "rear@", "auth failed on module media", "RSYNC_PASSWORD_FILE"),
        ("empty", "media", "rear@", "password", "first line"),
        ("password", "nothing", "rear@", "Unknown module 'nothing'", "lists them"),
        ("password", "readonly", "", "module is read only", "read only = no"),
        ("password", "picky", "", "refuse --checksum", "allow --checksum"),
        ("password", "media/no/folder", "rear@", "No such file or directory", "create that folder"),
    ],
)
def test_what_a_daemon_refuses_is_told(
    tmp_path: Path, port: int, password: str, path: str, user: str, told: str, hint: str
) -> None:
    for name, text in (("wrong", "not this one\n"), ("empty", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    error = refusal(make_run(tmp_path, password), url(port, path, user))
    assert told in error.message and hint in error.hint, (error.message, error.hint)


def test_a_password_that_others_can_read_is_refused(tmp_path: Path, port: int) -> None:
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"RSYNC_PASSWORD_FILE .* can be read by others"):
        opened_place(make_run(tmp_path), url(port)).__enter__()


def test_files_of_passwords_are_kept_off_the_media(tmp_path: Path) -> None:
    assert core.rear_rescue_contents(make_run(tmp_path)).secrets == [f"{tmp_path}/password"]
    assert core.rear_rescue_contents(make_run(tmp_path, "")).secrets == []


def test_options_of_ssh_are_refused_for_a_daemon(tmp_path: Path, port: int) -> None:
    with pytest.raises(Refused, match="takes no options"):
        check_place(make_run(tmp_path), url(port), "Compression=yes", 1, "OUTPUT_URL")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, port: int) -> None:
    tree, source = tmp_path / "tree", tmp_path / "source"
    subprocess.run(["mount", "--types", "tmpfs", "--options", "size=1m", "tmpfs", tree], check=True)
    try:
        with opened_place(make_run(tmp_path), url(port)) as place:
            source.write_bytes(b"old")
            place.put(source, "file", checksum(source))
            source.write_bytes(b"new" * MIB)
            with pytest.raises(RearError, match="No space left on device") as caught:
                place.put(source, "file", checksum(source))
        assert "make room" in caught.value.hint
        assert [(path.name, path.read_bytes()) for path in tree.iterdir()] == [("file", b"old")]
    finally:
        subprocess.run(["umount", tree], check=True)


def test_a_daemon_that_falls_silent_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsync, "SILENCE_SECONDS", 2)
    (tmp_path / "build").mkdir()
    with servers.silent() as port:
        began = time.monotonic()
        error = refusal(make_run(tmp_path, ""), url(port))
    assert "timeout" in error.message and time.monotonic() - began < 30


def test_a_daemon_that_is_not_there_may_be_reached_by_ssh(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    error = refusal(make_run(tmp_path, ""), url(9))
    assert "Connection refused" in error.message and "rsync+ssh://" in error.hint


def test_a_connection_that_is_lost_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    tree, source = tmp_path / "tree", tmp_path / "source"
    tree.mkdir()
    source.write_bytes(b"old")
    run = make_run(tmp_path)
    with servers.rsyncd(tmp_path, tree) as daemon, opened_place(run, url(daemon.port)) as place:
        place.put(source, "file", checksum(source))
        source.write_bytes(bytes(300 * MIB))
        sha256 = checksum(source)
        cutting = Thread(target=cut, args=[daemon, tree])
        cutting.start()
        with pytest.raises(RearError, match=r"rsync://.* failed: ") as caught:
            place.put(source, "file", sha256)
        cutting.join()
    assert "\n" not in caught.value.message
    assert (tree / "file").read_bytes() == b"old"


def cut(daemon: servers.Rsyncd, tree: Path) -> None:
    """End the connection once a part of the file has arrived."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(path.stat().st_size for path in tree.glob(".file*")):
        time.sleep(0.002)
    daemon.drop()
