# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests on real file systems and loop devices share."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.archives import MakeRun
from lab.loops import attached
from lab.recovery import Machine, machine_below
from rear_core import builtin
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import evaluate
from rear_core.settings.files import load
from rear_core.shell import Shell
from rear_core.workflow import WORKFLOWS


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def loop(tmp_path: Path, undo: ExitStack) -> Callable[..., str]:
    """Makes a loop device of so many MiB."""

    def make(name: str, size: int, *options: str) -> str:
        image = tmp_path / name
        with image.open("ab") as file:
            file.truncate(max(size << 20, file.tell()))
        return attached(undo, image, *options)

    return make


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Its disk of 64 MiB was described and saved, another of that size is there."""
    with machine_below(tmp_path) as here:
        yield here


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Makes runs with settings given as lines of local.conf, and options."""
    config = tmp_path / "etc"
    config.mkdir()

    def make(conf: str = "", **options: object) -> Run:
        (config / "local.conf").write_text(f"BACKUP_PREFIX=web1\nVAR_DIR={tmp_path}/var\n{conf}")
        settings = evaluate(load(config, ["local.conf"]), Plugins(builtin.modules()).call("rear_settings"), {})
        target = options.pop("target", tmp_path / "restored")
        report = Report(terminal=io.StringIO())
        lines: list[str] = []
        chosen = Options(config_dir=config, target=target, unattended=True, **options)  # type: ignore[arg-type]
        run = Run(settings, Plugins([]), chosen, report, Shell(lines.append))
        run.log_lines = lines  # type: ignore[attr-defined]
        run.build_dir = tmp_path / "work"
        run.build_dir.mkdir(exist_ok=True)
        run.phases = WORKFLOWS["restoreonly"]
        return run

    yield make


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree."""
    path = tmp_path / "tree"
    (path / "folder").mkdir(parents=True)
    (path / "folder" / "file").write_text("text")
    (path / "noise").write_bytes(os.urandom(3_000_000))
    return path
