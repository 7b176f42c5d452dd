# SPDX-License-Identifier: GPL-3.0-or-later
"""What is no file in the place of one of rear's own is named: nobody waits for it, or reads it for ever."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core import own_files, work_area
from rear_core.archive import described, encryption, external, repository
from rear_core.builtin import choice
from rear_core.errors import RearError
from rear_core.finalize import recorded
from rear_core.network import model as network
from rear_core.own_files import NoFile
from rear_core.places.folder import Folder
from rear_core.rescue import initramfs
from rear_core.run import Run
from rear_core.storage import layout
from rear_core.storage.execute import Journal
from rear_core.system import file_attributes, identity


def a_run(path: Path) -> Run:
    return cast(Run, SimpleNamespace(recovery_dir=path.parent, var_dir=path.parent, phases=["verify"], portion=None))


def lock(path: Path) -> None:
    with ExitStack() as undo:
        work_area.lock(path.parent, undo, "test")


# The files, and who reads them.
READERS: dict[str, list[Callable[[Path], Any]]] = {
    "identity.json": [lambda path: identity.known(path.parent, "here")],
    "lock": [lock],
    "journal": [lambda path: Journal(path).built(), lambda path: Journal(path).note(state="begun")],
    "system.json": [
        lambda path: described.signers(a_run(path)), lambda path: repository.identity(a_run(path)),
        lambda path: repository.hostname(a_run(path)), lambda path: recorded.description(a_run(path)),
    ],
    "layout.json": [lambda path: layout.load(path, {})],
    "network.json": [network.load],
    "usage.json": [lambda path: choice.usage(a_run(path))],
    "attributes.json": [file_attributes.load],
    "files.json": [lambda path: external.recorded(a_run(path))],
    "versions": [lambda path: Folder(path.parent).read(path.name)],
    "key": [encryption.read_passphrase],
}  # fmt: skip
CASES = [(name, number) for name, readers in READERS.items() for number in range(len(readers))]
KINDS = {
    "pipe": "a named pipe", "folder": "a folder", "endless": "a device", "loop": "a loop of links",
    "socket": "a socket", "huge": r"has \d+ bytes",
}  # fmt: skip


def put(path: Path, kind: str) -> None:
    """Put what is no file in the place of one."""
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir(mode=0o700)
    elif kind == "huge":
        path.touch(0o600)
        os.truncate(path, own_files.LARGEST + 1)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fspath(path))
        path.chmod(0o600)
    else:
        path.symlink_to("/dev/zero" if kind == "endless" else path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "number"), CASES)
def test_what_is_no_file_is_named_by_whoever_reads_it(tmp_path: Path, name: str, number: int, kind: str) -> None:
    if kind == "huge" and (name, number) in (("lock", 0), ("journal", 1)):
        pytest.skip("it is not read")
    put(tmp_path / name, kind)
    with pytest.raises((RearError, OSError)) as caught:
        READERS[name][number](tmp_path / name)
    assert os.fspath(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(("kind", "said"), KINDS.items())
def test_what_it_is_is_said(tmp_path: Path, kind: str, said: str) -> None:
    put(tmp_path / "file", kind)
    with pytest.raises(NoFile, match=said):
        own_files.read(tmp_path / "file")


def test_a_link_to_a_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert own_files.read_text(tmp_path / "link") == "text"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["programs-key.cpio", "programs-key.sha256"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
def test_what_is_no_file_in_the_cache_is_named(tmp_path: Path, name: str, kind: str) -> None:
    put(tmp_path / name, kind)
    with pytest.raises(NoFile, match=name):
        initramfs.cached_segment(tmp_path, "programs", "key", lambda path: path.write_text("made"))
