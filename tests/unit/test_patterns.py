# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns leave out what GNU tar leaves out by them, which is asked itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rear_core import patterns
from rear_core.archive.stream import CREATE, exclusion

# Of letters that are several bytes tar itself is of two minds.
NAMES = ("a", "b", "ab", ".a", "A", "-", "[a]", "a\\b", "a b", "^", "0", "*")
SIGNS = (
    "/", "a", "b", "A", ".", "*", "?", "[", "]", "!", "^", "\\", "-", " ", "0", "[ab]", "[!a]", "[^a]", "[[:alpha:]]",
    "[a[.]", "[[.a.]b]", "[![=b=]]", "[.", ".]", "[b-a]", "[[:no:]]",
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders two deep, with files of all names."""
    root = tmp_path_factory.mktemp("tree")
    for name in NAMES[:6]:
        for inner in NAMES:
            (root / name).mkdir(exist_ok=True)
            (root / name / inner).touch()
    for name in NAMES[6:]:
        (root / name).touch()
    return root


def everything(tree: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            yield "/" + os.path.relpath(os.path.join(folder, name), tree)


def saved(tree: Path, pattern: str) -> set[str]:
    """The paths that tar takes, as it takes them for a backup."""
    argv = [*CREATE, "--quoting-style=literal", f"--directory={tree}", exclusion(pattern), "--", "."]
    argv[argv.index("--file=-")] = "--file=/dev/null"
    said = subprocess.run(argv, capture_output=True, check=True).stdout.decode()
    names = (line.partition(" ./")[2].rstrip("/") for line in said.splitlines())
    return {f"/{name}" for name in names if name}


@pytest.mark.slow
@example(pattern="/[a[.]")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pattern=st.lists(st.sampled_from(SIGNS), min_size=1, max_size=6).map("".join))
def test_a_pattern_leaves_out_what_tar_leaves_out(tree: Path, pattern: str) -> None:
    pattern = f"/{pattern.lstrip('/')}"
    expected = {path for path in everything(tree) if not patterns.leaving_out(path, [pattern])}
    assert expected == saved(tree, pattern.rstrip("/"))


@pytest.mark.parametrize(
    ("pattern", "emptied"),
    [
        ("/srv", True), ("/srv/", True), ("/srv/*", True), ("/srv/data", True), ("/srv/data/*", True), ("/s*", True),
        ("/srv/data/**", True), ("/srv/data/?*", True), ("/srv/data/[!.]*", True), ("/srv/data/[^.]*", True),
        ("/srv/da?a", True), (r"/srv/\data", True), ("*", True),
        ("/srv/dat", False), ("/srv/data/*.tmp", False), ("/srv/data/x", False), ("/srv/data2", False),
        ("srv/data", False), ("/srv/data/[!s]*", False), ("/srv/data/[a-z]*", False),
        (r"/srv/data/\*", False), ("/srv/data/*/*", False), ("/srv/data/.*", False),
    ],
)  # fmt: skip
def test_a_folder_of_which_nothing_is_saved_is_known(pattern: str, emptied: bool) -> None:
    assert bool(patterns.emptying("/srv/data", [pattern])) == emptied
