# SPDX-License-Identifier: GPL-3.0-or-later
"""What tar complains of is counted, and what went wrong is found among it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from rear_core.archive import diagnostics


def test_complaints_of_tar_are_counted_by_kind() -> None:
    text = """\
tar: ./var/log/syslog: file changed as we read it
tar: ./var/log/auth.log: file changed as we read it
/usr/bin/tar: ./run/x: socket ignored
tar: ./tmp/y: File removed before we read it
tar: ./z: File shrank by 4096 bytes; padding with zeros
tar: ./odd: Warning: Cannot flistxattr: Operation not supported
Total bytes written: 10240 (10KiB, 1.3MiB/s)
"""
    assert diagnostics.complaints(text) == {"changed": 2, "sockets": 1, "vanished": 1, "shrank": 1, "other": 1}


def test_what_went_wrong_is_found_among_warnings() -> None:
    text = """\
/usr/bin/tar: ./a: file changed as we read it
/usr/bin/tar: ./b: Read error at byte 0, while reading 512 bytes: Input/output error
Total bytes written: 10240 (10KiB, 1.3MiB/s)
/usr/bin/tar: Exiting with failure status due to previous errors
"""
    assert diagnostics.first_error(text) == "./b: Read error at byte 0, while reading 512 bytes: Input/output error"
    assert diagnostics.first_error("") == ""


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        (
            "tar: ./home/a: Cannot mkdir: File name too long\n/usr/bin/tar: ./b\\: c: Cannot open: Invalid argument\n"
            "tar: ./x: file changed as we read it\nTotal bytes read: 10\n"
            "tar: Exiting with failure status due to previous errors\n",
            {"./home/a": "Cannot mkdir: File name too long", "./b: c": "Cannot open: Invalid argument"},
        ),
        ("tar: ./a: Cannot write: No space left on device\n", None),
        ("tar: ./a: Cannot open: File exists\ntar: ./b: Cannot open: Input/output error\n", None),
        ("tar: Unexpected EOF in archive\ntar: Error is not recoverable: exiting now\n", None),
        ("tar: Exiting with failure status due to previous errors\n", None),
        ("", None),
    ],
)
def test_a_file_that_cannot_be_here_is_told_from_a_disk_that_fails(said: str, lost: Mapping[str, str] | None) -> None:
    assert diagnostics.not_restored(said) == lost


EVIL = [
    "socket ignored", "x: File removed before we read it", "a: b\ntar: c: Cannot open: Input\\/output error",
    "Warning: x", "\\: Cannot open", "größe\u2028tar: x: socket ignored", "\x85\x1c\x7f",
]  # fmt: skip


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_no_name_passes_for_a_message(tmp_path: Path, locale: str) -> None:
    """What tar really says of them, each of which is a folder that holds a socket."""
    names = {f"./{name.replace('/', '')}/s: t" for name in EVIL}
    for name in names:
        (tmp_path / name).parent.mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            # Its own path is too short for some.
            server.bind(os.fspath(tmp_path / "s"))
        (tmp_path / "s").rename(tmp_path / name)
    said = subprocess.run(
        ["tar", "--create", "--file=-", f"--directory={tmp_path}", "."],
        env={**os.environ, "LC_ALL": locale}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
    )  # fmt: skip
    text = os.fsdecode(said.stderr)
    assert diagnostics.complaints(text) == {"sockets": len(names)}
    assert {diagnostics.path_of(name) for name, _ in diagnostics.said(text)} == names
    assert diagnostics.first_error(text) == ""
    shrank = text.replace(": socket ignored\n", ": File shrank by 1 byte; padding with zeros\n")
    assert set(diagnostics.told(shrank, "shrank")) == names
    lost = text.replace(": socket ignored\n", ": Cannot mkdir: File name too long\n")
    assert set(diagnostics.not_restored(lost) or ()) == names
    failed = text.replace(": socket ignored\n", ": Cannot open: Input/output error\n")
    assert diagnostics.not_restored(failed) is None and diagnostics.first_error(failed).endswith("Input/output error")


END = "tar: Exiting with failure status due to previous errors\n"


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("tar: ./home/a: Cannot open: Too many levels of symbolic links\n", ["./home/a"]),
        ("tar: ./home/a: Cannot readlink: Invalid argument\ntar: ./x: socket ignored\n", ["./home/a"]),
        ("tar: ./home/a\\: b: Cannot open: Not a directory\n", ["./home/a: b"]),
        ("tar: ./home/a: Cannot stat: No such file or directory\n", ["./home/a"]),
        ("tar: ./home/a: Cannot open: No such device or address\n", ["./home/a"]),
        ("tar: ./home/a: Cannot open: Resource temporarily unavailable\n", ["./home/a"]),
        ("tar: ./home/fuse: Cannot stat: Permission denied\n", ["./home/fuse"]),
        ("tar: ./home/other: Cannot stat: Permission denied\n", None),
        ("tar: ./home/a: Cannot open: Not a directory\ntar: ./b: Cannot open: Input/output error\n", None),
        ("tar: ./home/a: Read error at byte 0, while reading 512 bytes: Input/output error\n", None),
        ("tar: ./home/a: Cannot open: Required key not available\n", ["./home/a"]),
        ("tar: ./home/fuse: Cannot open: Transport endpoint is not connected\n", ["./home/fuse"]),
        ("tar: ./home/a: Cannot open: Too many open files\n", None),
        ("tar: ./home: Cannot stat: No such file or directory\n", None),
        ("tar: ./home/: Cannot open: Not a directory\n", None),
        ("tar: -: Cannot write: No space left on device\ntar: Error is not recoverable: exiting now\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_was_exchanged_is_told_from_what_cannot_be_read(said: str, lost: list[str] | None) -> None:
    found = diagnostics.not_saved(said + END, ["./home"], lambda path: path == "./home/fuse")
    assert (found and list(found)) == lost


def test_a_full_disk_is_told_by_tar_and_not_by_a_name() -> None:
    assert diagnostics.says_full("tar: ./a\\: b: Cannot mkdir: No space left on device\n")
    assert diagnostics.says_full("/usr/bin/tar: ./a: Wrote only 4096 of 10240 bytes\n")
    assert not diagnostics.says_full("tar: ./Wrote only 1 of 2 bytes/a: Cannot open: Input/output error\n")


def test_what_is_named_is_not_counted_among_the_complaints() -> None:
    text = f"tar: ./a: Cannot open: Not a directory\ntar: ./b: Warning: Cannot fgetxattr: No data available\n{END}"
    assert diagnostics.complaints(text, ["./a"]) == {"other": 1}


ATTRIBUTES = """\
/usr/bin/tar: setxattrat: Cannot set 'security.capability' extended attribute for file './bin/ping': Invalid argument
tar: setxattrat: Cannot set 'user.x' extended attribute for file './a: b's': No space left on device
tar: lsetxattrat: Cannot set 'trusted.y' extended attribute for file './link': Operation not supported
tar: setxattrat: Cannot set 'security.selinux' extended attribute for file './boot/efi/x': Operation not supported
"""


def test_a_file_without_an_attribute_is_named_unless_its_file_system_has_none() -> None:
    lost = {"./bin/ping": "security.capability", "./a: b's": "user.x", "./link": "trusted.y"}
    found = diagnostics.without_attributes(ATTRIBUTES)
    assert list(found) == list(lost) and all(lost[name] in reason for name, reason in found.items())
    assert diagnostics.complaints(ATTRIBUTES) == {"other": 1}


def test_an_attribute_is_not_taken_for_a_file_that_is_lost() -> None:
    text = f"{ATTRIBUTES}tar: ./c: Cannot mkdir: File name too long\n{END}"
    assert list(diagnostics.not_restored(text) or ()) == ["./c"]


def test_only_what_tar_goes_on_after_is_not_kept_beyond_the_first() -> None:
    heard = diagnostics.Heard(lambda name, words: diagnostics.is_exchanged(name, words, ["./home"]))
    many = diagnostics.FIRST + 5

    def kept(line: str) -> int:
        return sum(heard(f"tar: {line}\n") for _ in range(many))

    assert kept("./a: socket ignored") == kept("./a: Cannot open: Not a directory") == diagnostics.FIRST
    assert kept("./a: Cannot open: Input/output error") == kept("./home: Cannot open: Not a directory") == many
    # Each of these is read once more.
    assert kept("./a: File shrank by 1 byte; padding with zeros") == kept("Error is not recoverable") == many
    assert heard.more == {"sockets": 5, "lost": 5}
