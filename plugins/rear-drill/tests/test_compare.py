# SPDX-License-Identifier: GPL-3.0-or-later
"""Restored files are compared with a real archive."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rear_core.archive import encryption, manifest, stream
from rear_core.shell import Shell
from rear_drill import compare

SECRET = "correct horse battery"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of several kinds."""
    folder = tmp_path / "tree"
    (folder / "etc").mkdir(parents=True)
    (folder / "odd: ü\n folder").mkdir()
    for name in ("same", "changed", "gone", "touched", "opened", "odd: name"):
        (folder / "etc" / name).write_text(name)
    (folder / "etc/link").symlink_to("same")
    return folder


def save(tree: Path, secret: str = "", compression: str = "zstd") -> Path:
    """A generation with the files of the tree."""
    generation = tree.parent / "2026-11-22T183000Z"
    generation.mkdir()
    secured, keys = encryption.new(secret, 1 << 10) if secret else (None, None)
    data = bytearray()
    saved = stream.pack(Shell(), ["./"], [], compression, keys, data.extend, root=tree)
    (generation / "archive").write_bytes(data)
    about = manifest.Manifest(
        created=generation.name, hostname="web1", archive="archive", size=len(data),
        sha256=hashlib.sha256(data).hexdigest(), compression=compression, members=saved.members, bytes=saved.bytes,
        encryption=secured,
    )  # fmt: skip
    (generation / "manifest.json").write_text(manifest.dumps(about, keys))
    return generation


@pytest.mark.parametrize(("secret", "compression"), [("", "zstd"), (SECRET, "gzip"), ("", "none")])
def test_files_that_came_back_whole_have_no_differences(tree: Path, secret: str, compression: str) -> None:
    members, different = compare.compare(save(tree, secret, compression), tree, secret)
    assert (members, different) == (10, [])


def test_every_kind_of_difference_is_told(tree: Path) -> None:
    generation = save(tree)
    before = (tree / "etc/changed").stat()
    (tree / "etc/changed").write_text("Changed")
    os.utime(tree / "etc/changed", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tree / "etc/gone").unlink()
    os.utime(tree / "etc/touched", (1, 1))
    os.utime(tree / "odd: ü\n folder", (1, 1))
    os.chmod(tree / "etc/opened", 0o777)
    (tree / "etc/odd: name").write_text("other size")
    (tree / "etc/link").unlink()
    (tree / "etc/link").symlink_to("changed")
    _, different = compare.compare(generation, tree)
    said = "\n".join(different)
    for line in ("/etc/changed: Contents differ", "/etc/touched: Mod time differs", "/etc/opened: Mode differs"):
        assert line in different
    assert "/etc/gone: Cannot stat: No such file or directory" in different
    assert r"/etc/odd\: name: Size differs" in different
    assert "/etc/link: Symlink differs" in different
    assert "/etc/same" not in said
    assert "/etc: " not in said and "folder" not in said


def test_it_runs_by_itself_and_prints_json(tree: Path) -> None:
    argv = [sys.executable, compare.__file__, str(save(tree, SECRET)), str(tree)]
    done = subprocess.run(argv, input=f"{SECRET}\n", capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"members": 10, "different": []}
