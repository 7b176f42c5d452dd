# SPDX-License-Identifier: GPL-3.0-or-later
"""After a backup by hand rear says what comes next, and nothing that is done already."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import rear_output_iso
import rear_output_usb
from rear_core import Run
from rear_core.builtin import core
from rear_core.cli import make
from rear_core.plugins import Found, Plugins
from rear_core.schedule import MARK
from rear_core.settings import Sources, evaluate, parse


def made(text: str = "", *names: str, output: ModuleType = rear_output_iso) -> Run:
    """A run that made media, with these extras active."""
    declared = [*core.rear_settings(), *output.rear_settings()]
    plugins = Plugins([])
    plugins.active += [Found("extra", name, f"rear_{name}", f"rear-{name}", "1") for name in names]
    run = Run(evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {}), plugins)
    run.results.append(Path("/var/lib/rear/output/rear-web1.iso"))
    return run


def test_each_line_is_left_out_where_it_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(make, "INSTALLED", tmp_path)
    assert [line.partition(" ")[0] for line in make.what_next(made("", "drill"))] == ["Next:", "Rehearse", "Save"]
    (tmp_path / "rear-backup.timer").write_text(MARK)
    assert [*make.what_next(made("OUTPUT_URL=file:///srv/media\n"))] == []


def test_a_stick_needs_no_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(make, "INSTALLED", tmp_path)
    assert [line.partition(" ")[0] for line in make.what_next(made(output=rear_output_usb))] == ["Save"]
