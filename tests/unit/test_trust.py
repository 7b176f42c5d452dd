# SPDX-License-Identifier: GPL-3.0-or-later
"""What root reads and runs is root's alone, with every folder above it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_core.errors import ConfigurationError
from rear_core.settings.files import load
from rear_core.trust import changeable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "a/etc"
    folder.mkdir(parents=True)
    (folder / "local.conf").write_text("OUTPUT=ISO\n")
    return folder


def test_what_is_roots_alone_is_none_of_anybodys_business(etc: Path) -> None:
    assert changeable(etc / "local.conf") == ""
    etc.parent.chmod(0o1777)
    assert changeable(etc / "local.conf") == ""
    assert load(etc, ["local.conf"]).files


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_that_others_can_write_is_refused(etc: Path, mode: int, above: bool) -> None:
    folder = etc.parent if above else etc
    os.chown(folder, 0, 65534)
    folder.chmod(mode)
    assert changeable(etc / "local.conf") == f"others than root can write {folder}"
    with pytest.raises(ConfigurationError, match="is not root's alone"):
        load(etc, ["local.conf"])


def test_a_folder_of_another_user_is_refused(etc: Path) -> None:
    os.chown(etc.parent, 65534, 0)
    assert changeable(etc) == f"{etc.parent} belongs to another user than root"
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        load(etc, ["local.conf"])
