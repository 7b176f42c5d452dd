# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates: where they are looked for, and what is said of a bad one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_core import ConfigurationError, Run
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Setting, Sources, evaluate
from rear_core.template import render

NAME = "grub-find.cfg.j2"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    settings = evaluate(Sources(), [Setting("SHARE_DIR", default=f"{tmp_path}/share")], {})
    return Run(settings, Plugins([]), Options(config_dir=tmp_path / "etc"))


def put(folder: Path, text: str, name: str = NAME) -> Path:
    path = folder / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_ours_serves_where_there_is_no_other(run: Run) -> None:
    assert "--file /rear/0123\n" in render(run, NAME, marker="/rear/0123")


def test_the_site_goes_before_ours_and_the_machine_before_the_site(run: Run) -> None:
    put(run.share_dir, "site {{ marker }}\n")
    assert render(run, NAME, marker="/a") == "site /a\n"
    put(run.config_dir, "machine {{ marker }}\n")
    assert render(run, NAME, marker="/a") == "machine /a\n"


def test_a_template_includes_others_by_name(run: Run) -> None:
    put(run.config_dir, "{% include 'ours' %}!\n")
    put(run.share_dir, "of the site", "ours")
    assert render(run, NAME) == "of the site!\n"


@pytest.mark.parametrize("link", ["templates", f"templates/{NAME}"])
def test_a_link_that_leads_nowhere_is_not_passed_over(run: Run, link: str) -> None:
    path = run.config_dir / link
    path.parent.mkdir(parents=True)
    path.symlink_to("/mnt/gone")
    with pytest.raises(ConfigurationError, match="links to /mnt/gone, which is not there"):
        render(run, NAME, marker="/a")


def test_files_of_relax_and_recover_are_no_templates_of_ours(run: Run) -> None:
    put(run.share_dir, "theirs\n")
    (run.share_dir / "lib").mkdir()
    (run.share_dir / "lib/framework-functions.sh").touch()
    assert "search" in render(run, NAME, marker="/a")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("one\n{{ marker }}\n{{ kernle }}\n", 3, "'kernle' is undefined"),
        ("{{ marker.missing }}", 1, "no attribute 'missing'"),
        ("one\n{% for x in %}\n", 2, "got 'end of statement block'"),
        ("one\n\n{{ 1 // 0 }}", 3, "zero"),
        ("{{ marker.__class__.__mro__ }}", 1, "unsafe"),
    ],
)
def test_what_is_wrong_in_a_template_is_named_with_file_and_line(run: Run, text: str, line: int, problem: str) -> None:
    path = put(run.config_dir, text)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        render(run, NAME, marker="/a")
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert "marker" in caught.value.hint


def test_what_is_wrong_in_an_included_template_is_found_there(run: Run) -> None:
    put(run.config_dir, "{% include 'inner' %}")
    path = put(run.config_dir, "\n{{ lost }}", "inner")
    with pytest.raises(ConfigurationError, match="'lost' is undefined") as caught:
        render(run, NAME, marker="/a")
    assert caught.value.message.startswith(f"{path}:2: ")


def test_a_template_that_is_not_there_is_named(run: Run) -> None:
    put(run.config_dir, "{% include 'absent' %}")
    with pytest.raises(ConfigurationError, match="no template absent"):
        render(run, NAME)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_template_that_others_can_write_is_refused(run: Run) -> None:
    put(run.config_dir, "text").chmod(0o666)
    with pytest.raises(ConfigurationError, match="users other than root"):
        render(run, NAME)
