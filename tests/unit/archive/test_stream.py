# SPDX-License-Identifier: GPL-3.0-or-later
"""What tar complains of is counted, and what went wrong is found among it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rear_core.archive import stream


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
    assert stream.complaints(text) == {"changed": 2, "sockets": 1, "vanished": 1, "shrank": 1, "other": 1}


def test_what_went_wrong_is_found_among_warnings() -> None:
    text = """\
/usr/bin/tar: ./a: file changed as we read it
/usr/bin/tar: ./b: Read error at byte 0, while reading 512 bytes: Input/output error
Total bytes written: 10240 (10KiB, 1.3MiB/s)
/usr/bin/tar: Exiting with failure status due to previous errors
"""
    assert stream.first_error(text) == "./b: Read error at byte 0, while reading 512 bytes: Input/output error"
    assert stream.first_error("") == ""


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        (
            "tar: ./home/a: Cannot mkdir: File name too long\n/usr/bin/tar: ./b: c: Cannot open: Invalid argument\n"
            "tar: ./x: file changed as we read it\nTotal bytes read: 10\n"
            "tar: Exiting with failure status due to previous errors\n",
            {"./home/a": "Cannot mkdir: File name too long", "./b: c": "Cannot open: Invalid argument"},
        ),
        ("tar: ./a: Cannot write: No space left on device\ntar: Exiting with failure status ...\n", None),
        ("tar: ./a: Cannot open: File exists\ntar: ./b: Cannot open: Input/output error\n", None),
        ("tar: Unexpected EOF in archive\ntar: Error is not recoverable: exiting now\n", None),
        ("tar: Exiting with failure status due to previous errors\n", None),
        ("", None),
    ],
)
def test_a_file_that_cannot_be_here_is_told_from_a_disk_that_fails(said: str, lost: Mapping[str, str] | None) -> None:
    assert stream.not_restored(said) == lost
