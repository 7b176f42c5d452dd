# SPDX-License-Identifier: GPL-3.0-or-later
"""Files whose change makes rescue media outdated are looked at again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from rear_core import Run
from rear_core.builtin import storage, system
from rear_core.contents import Contents
from rear_core.errors import ConfigurationError
from rear_core.run import Options
from rear_core.step import Step
from rear_core.storage import disk
from rear_core.storage.layout import Layout, save
from rear_core.system import watched
from rear_core.workflow import WORKFLOWS


def test_what_changed_came_and_went_is_named(tmp_path: Path) -> None:
    folder, file, glob = tmp_path / "folder", tmp_path / "dsm.sys", tmp_path / "x*"
    (folder / "inner").mkdir(parents=True)
    for path in (file, folder / "inner/same", folder / "gone"):
        path.write_text("old")
    os.mkfifo(folder / "pipe")
    patterns = [f"{file}", f"{folder}", f"{glob}", f"{tmp_path}/nothing"]
    was = watched.look(patterns)
    assert [*was] == [f"{file}", f"{folder}/gone", f"{folder}/inner/same"]
    with ExitStack() as undo:
        watched.save(tmp_path, was, undo)
    assert watched.load(tmp_path) == was
    file.write_text("new")
    (folder / "gone").unlink()
    (tmp_path / "xnew").write_text("")
    assert watched.compare(was, watched.look(patterns)) == [
        f"file {file} changed", f"file {folder}/gone is gone", f"file {tmp_path}/xnew is new",
    ]  # fmt: skip


def test_nothing_of_a_password_can_be_guessed_from_it(tmp_path: Path) -> None:
    own, secret = tmp_path / "own", tmp_path / "secret"
    for path in (own, secret):
        path.write_text("hunter2")
    own.chmod(0o600)
    found = watched.look([f"{own}", f"{secret}"], lambda path: path == f"{secret}")
    assert found == {f"{own}": f"7 bytes of {own.stat().st_mtime_ns}"}


def test_a_machine_that_was_described_by_an_older_rear_has_none(tmp_path: Path) -> None:
    assert watched.load(tmp_path) is None
    for text in ("", "[]", '{"version": 2}', '{"version": 1, "files": []}'):
        (tmp_path / watched.NAME).write_text(text)
        with pytest.raises(ConfigurationError, match="cannot read"):
            watched.load(tmp_path)


def test_files_that_only_some_storage_has_are_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "initiatorname").write_text("iqn.2026-11.example:web1")
    settings: Any = {"CHECK_CONFIG_FILES": []}

    def call(hook: str, run: Run) -> list[Any]:
        assert hook == "rear_rescue_contents"
        return [Contents(watched=[f"{tmp_path}/initiatorname"] if run.layout else [])]

    monkeypatch.setattr(storage, "kinds", lambda _run: [disk.KIND])
    run = Run(settings, cast(Any, SimpleNamespace(call=call)), Options(config_dir=tmp_path))
    run.recovery_dir.mkdir()
    unit = Layout((disk.Disk("disk:S1", (), 1 << 30, "/dev/sda", serial="S1"),))
    save(unit, run.recovery_dir / "media-layout.json")
    run.layout = unit
    system.record_watched(run)
    run.layout = None
    assert system.changed_files(run) == []
    (tmp_path / "initiatorname").write_text("iqn.2026-11.example:web2")
    assert system.changed_files(run) == [f"file {tmp_path}/initiatorname changed"]


@pytest.mark.parametrize(
    ("module", "action"), [(system, system.record_watched), (storage, storage.record_media_layout)]
)
def test_only_making_media_records_what_they_know(module: ModuleType, action: Callable[[Run], None]) -> None:
    def records(phase: str) -> bool:
        steps: list[Step] = list(getattr(module, f"rear_{phase}", list)())
        return any(step.action is action for step in steps)

    making = {name for name, phases in WORKFLOWS.items() if any(records(phase) for phase in phases)}
    assert making == {name for name, phases in WORKFLOWS.items() if "build" in phases}
