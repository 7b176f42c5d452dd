# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of files that others change while it is made: what is missing is told, and only a disk ends it."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rear_core.archive import diagnostics, stream
from rear_core.errors import ProgramFailed
from rear_core.shell import Shell


@contextmanager
def leased(path: Path) -> Iterator[None]:
    """A block in which a file is held by a lease (fcntl(2)), so that it cannot be opened at once."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def packed(root: Path, *starts: str) -> stream.Streamed:
    return stream.pack(Shell(), starts, [], "none", None, lambda _: None, root=root)


def test_a_file_that_somebody_holds_is_missing_and_all_else_is_saved(tmp_path: Path) -> None:
    for name in ("a: held", "b"):
        (tmp_path / name).write_bytes(b"data")
    with leased(tmp_path / "a: held"):
        saved = packed(tmp_path, ".")
    assert saved.lost == {"./a: held": "Cannot open: Resource temporarily unavailable"}
    assert (saved.members, saved.complaints) == (2, {})


def test_what_was_to_be_saved_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(ProgramFailed):
        packed(tmp_path, "./there", "./gone")


def test_what_was_to_be_saved_and_is_not_in_the_archive_is_named(tmp_path: Path) -> None:
    for name in ("a", "größe", "back\\slash", "file"):
        (tmp_path / name).mkdir() if name != "file" else (tmp_path / name).touch()
    starts = [".", "./a", "./größe", "./back\\slash", "./file"]
    for excluded in (["/a"], ["/?"]):
        saved = stream.pack(Shell(), starts, excluded, "none", None, lambda _: None, root=tmp_path)
        assert saved.unseen == ("./a",)


@pytest.mark.slow
def test_deep_folders_of_a_user_do_not_take_longer_for_what_is_left_out(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1200):
        deep = deep / "a"
        deep.mkdir()
    for number in range(200):
        (deep / f"{number:03}").touch()
    took = []
    for excluded in ([], ["/b"]):
        began = time.monotonic()
        assert stream.pack(Shell(), ["."], excluded, "none", None, lambda _: None, root=tmp_path).members == 1401
        took.append(time.monotonic() - began)
    # Measured: 0.1 and 5 seconds.
    assert took[1] < 5 * took[0] + 1
    subprocess.run(["rm", "--recursive", tmp_path / "a"], check=True)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("/a", {"./", "./a b", "./[x]", "./^", "./é"}),
        ("/\\[x\\]", {"./", "./a/", "./a/f", "./a b", "./^", "./é"}),
        ("/^", {"./", "./a/", "./a/f", "./a b", "./[x]", "./é"}),
        ("/é", {"./", "./a/", "./a/f", "./a b", "./[x]", "./^"}),
        ("/*", {"./"}),
        ("/a/*", {"./", "./a/", "./a b", "./[x]", "./^", "./é"}),
    ],
)
def test_a_pattern_leaves_out_what_it_names_and_all_that_is_in_it(tmp_path: Path, pattern: str, left: set[str]) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/f", "a b", "[x]", "^", "é"):
        (tmp_path / name).touch()
    data = bytearray()
    stream.pack(Shell(), ["."], [pattern], "none", None, data.extend, root=tmp_path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {f"{member.name}/" if member.isdir() else member.name for member in archive}
    assert found == left


def test_of_what_a_user_makes_by_the_million_the_first_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    for number in range(diagnostics.FIRST + 200):
        os.mknod(tmp_path / f"{number}", stat.S_IFSOCK | 0o600)
    lines: list[str] = []
    saved = stream.pack(Shell(lines.append), ["."], [], "none", None, lambda _: None, root=tmp_path)
    assert saved.complaints == {"sockets": diagnostics.FIRST + 200} and saved.more == {"sockets": 200}
    assert sum("socket ignored" in line for line in lines) == diagnostics.FIRST


def sparse_file(path: Path) -> None:
    """40 MB, of which every other 64 KiB are a hole."""
    with path.open("wb") as file:
        for number in range(300):
            file.seek(number << 17)
            file.write(b"x" * (1 << 16))
        file.truncate(300 << 17)


def cut_while_saved(root: Path, size: int) -> stream.Streamed:
    """Save a sparse file that is cut to a size when the first bytes of it have come, and a few files after it."""
    sparse_file(root / "sparse")
    for number in range(10):
        (root / f"later {number}").write_bytes(b"y" * 20_000)
    names = ["./sparse", *(f"./{path.name}" for path in root.iterdir() if path.name != "sparse")]
    return stream.pack(
        Shell(), names, [], "none", None, lambda _: os.truncate(root / "sparse", size), root=root
    )  # fmt: skip


def test_an_archive_that_tar_cannot_read_again_does_not_count_and_names_the_file(tmp_path: Path) -> None:
    """GNU tar 1.34 writes a block too many for the sparse file; later ones may not."""
    try:
        saved = cut_while_saved(tmp_path, (100 << 17) + 30_001)
    except stream.Unreadable as error:
        assert error.files == ("./sparse",) and "/sparse" in error.message
    else:
        assert saved.members == 11


def test_a_sparse_file_that_is_cut_where_no_harm_is_done_only_shrank(tmp_path: Path) -> None:
    saved = cut_while_saved(tmp_path, 100 << 17)
    assert (saved.members, saved.complaints) == (11, {"shrank": 1})


@pytest.mark.parametrize("locale", ["", "?"])
def test_names_of_any_bytes_are_found_again_in_the_archive(tmp_path: Path, locale: str) -> None:
    for name in (b"line\nend", b"\xff\xfe", b"back\\slash", "größe".encode(), b"a" * 255, b" ", b"*?[x]", b"-dash"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"data")
    os.link(tmp_path / " ", tmp_path / "hard")
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    excluded = [f"/{locale}none"]
    assert stream.pack(Shell(), ["."], excluded, "zstd", None, lambda _: None, root=tmp_path).members > 10


def test_where_tar_takes_an_archive_to_end_too_early_no_other_program_is_blamed(tmp_path: Path) -> None:
    data = bytearray()
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    for number in range(3):
        (tmp_path / "from" / f"{number}").write_bytes(os.urandom(4 << 20))
    saved = stream.pack(Shell(), ["."], [], "none", None, data.extend, root=tmp_path / "from")
    at = data.index(b"./PaxHeaders", 1000)
    damaged = subprocess.run(["zstd", "-c"], input=bytes(data[:at] + bytes(512) + data[at:]), capture_output=True)
    blocks = [memoryview(damaged.stdout)]
    assert stream.unpack(Shell(), blocks, "zstd", None, tmp_path / "to").members < saved.members
