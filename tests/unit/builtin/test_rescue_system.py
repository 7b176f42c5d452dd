# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a recovery may run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core.builtin import core
from rear_core.errors import Refused
from rear_core.run import Run
from rear_core.testing.fake_shell import FakeShell

ASKED = "findmnt --noheadings --output FSTYPE /"


@pytest.fixture(autouse=True)
def no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may run in one."""
    monkeypatch.setattr(core, "CONTAINER_MARKS", ())


def run(root: str, allowed: bool = False) -> Run:
    fields: dict[str, Any] = {"sh": FakeShell({ASKED: root}), "settings": {"ALLOW_LIVE_SYSTEM": allowed}}
    return cast(Run, SimpleNamespace(**fields))


@pytest.mark.parametrize("root", ["ext4\n", "overlay\n", "tmpfs\next4\n", ""])
def test_a_root_file_system_on_disk_is_refused_whatever_is_said(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "RESCUE_MARK", tmp_path)
    with pytest.raises(Refused, match="not in memory"):
        core.check_rescue_system(run(root, allowed=True))


def test_a_root_in_memory_without_the_mark_is_a_container_for_all_we_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "RESCUE_MARK", tmp_path / "none")
    with pytest.raises(Refused, match="rear did not start it") as caught:
        core.check_rescue_system(run("tmpfs\n"))
    assert "ALLOW_LIVE_SYSTEM=yes" in caught.value.hint
    core.check_rescue_system(run("tmpfs\n", allowed=True))


@pytest.mark.parametrize("root", ["tmpfs\n", "overlay\n"])
def test_a_live_system_is_allowed_by_the_word_and_a_container_by_nothing(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "RESCUE_MARK", tmp_path / "none")
    monkeypatch.setattr(core, "CONTAINER_MARKS", [tmp_path / "container"])
    core.check_rescue_system(run(root, allowed=True))
    with pytest.raises(Refused):
        core.check_rescue_system(run(root))
    (tmp_path / "container").touch()
    with pytest.raises(Refused, match="this is a container"):
        core.check_rescue_system(run(root, allowed=True))


def test_the_rescue_system_is_known_by_the_mark_of_its_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "RESCUE_MARK", tmp_path)
    core.check_rescue_system(run("rootfs\n"))


def test_the_init_makes_the_mark() -> None:
    init = (Path(core.__file__).parents[1] / "skel/default/init").read_text()
    assert "\nstate=/run/rear\n" in init and "\n: > $state/rescue-system\n" in init
    assert str(core.RESCUE_MARK) == "/run/rear/rescue-system"
