# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation says what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import reference
import screenshots

from lab import designs
from rear_core import builtin, hookspecs
from rear_core.packages import PACKAGES
from rear_core.testing import conformance
from rear_core.testing.harness import Supply

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/**/*.md"))
# What pages say in brackets behind the name of a test: the machines that tests are run on.
RECORDED = ROOT.glob("tests/machines/*/commands")
CASES = {*(design.name for design in designs.ALL), *(path.parent.name for path in RECORDED)}
READMES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]


def test_generated_pages_are_up_to_date() -> None:
    for path, text in reference.pages().items():
        assert path.read_text() == text, f"{path.name} is out of date: run `make docs`"


def test_pictures_of_terminals_are_those_of_their_recordings() -> None:
    made = screenshots.pictures()
    assert made
    for path, text in made.items():
        assert path.read_text() == text, f"{path.name} is out of date: run `make docs`"
        assert any(f"images/{path.name}" in page.read_text() for page in PAGES), f"no page shows {path.name}"


def test_every_hook_is_documented_with_an_example() -> None:
    page = (ROOT / "docs/reference/hooks.md").read_text()
    for name in vars(hookspecs):
        if name.startswith("rear_"):
            section = page.partition(f"## {name}(")[2].partition("\n## ")[0]
            assert "```python" in section, f"{name} has no example"


def test_every_setting_of_the_core_is_explained() -> None:
    for module in builtin.modules():
        for setting in getattr(module, "rear_settings", list)():
            assert len(setting.help) > 20, f"{setting.name} is not explained"
            assert setting.help.endswith("."), f"the help of {setting.name} is no sentence"


@pytest.mark.parametrize("path", [*PAGES, *READMES], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            page = path.parent / target if target else path
            assert page.exists(), f"{target} is not there"
            assert not anchor or anchor in anchors(page), f"{target} has no {anchor}"


def anchors(page: Path) -> list[str]:
    """The links to the headings of a page, as GitHub and myst make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return ["#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


@pytest.mark.slow
def test_the_pages_become_html_without_a_warning(tmp_path: Path) -> None:
    sphinx = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", tmp_path / "doctrees")
    built = subprocess.run((*sphinx, ROOT / "docs", tmp_path / "html"), capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "html/reference/exit-codes.html").exists()


def test_every_output_and_backup_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for package, names in PACKAGES.items():
        kind = package.split("-")[1]
        if kind in ("output", "backup"):
            (row,) = re.findall(rf"^\| .*plugins/{package}/README.md.*$", text, re.MULTILINE)
            assert {*re.findall(r"`(?:\w+=)?([A-Z]+)`", row)} == {*names.upper().split()}
            assert f"`{kind.upper()}=" in row


def test_every_file_to_touch_is_there() -> None:
    """What CONTRIBUTING names, with NAME and KIND for what is not there yet."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"[` ]((?:docs|plugins|src|tests|tools)/[\w/.*-]+)", text)
    assert len(paths) > 30
    for path in paths:
        assert [*ROOT.glob(re.sub("NAME|KIND", "*", path))], path
    for word, path in re.findall(r"`(\w+)` of `([\w/.-]+\.py)`", text):
        assert word in (ROOT / path).read_text(), f"{path} has no {word}"


def test_every_test_that_a_page_names_is_there() -> None:
    """By file and name, and with its case where the page names one."""
    for page in (ROOT / "docs/explanation").glob("*.md"):
        for file, name, case in re.findall(r"`([\w/.-]+\.py)::(\w+)(?:\[(.+?)\])?`", page.read_text()):
            assert f"\ndef {name}(" in (ROOT / file).read_text(), f"{page.name} names {file}::{name}"
            assert not case or case in CASES, f"{page.name} names the case {case}"


@pytest.mark.slow
def test_what_was_tried_against_backups_is_counted() -> None:
    text = (ROOT / "docs/explanation/attacks.md").read_text()
    rows = re.findall(r"^\| ([A-Z].+) \| (\w+) \| (`.+`) \|$", text, re.MULTILINE)
    files = {test.partition("::")[0] for *_, tests in rows for test in re.findall("`(.+?)`", tests)}
    collect = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files)
    there = subprocess.run(collect, capture_output=True, text=True, cwd=ROOT, check=True).stdout.splitlines()
    assert len(rows) > 15
    for kind, tried, tests in rows:
        names = [test + ("[", "::")[test.endswith(".py")] for test in re.findall("`(.+?)`", tests)]
        found = sum(line.startswith(name) or line == name[:-1] for line in there for name in names)
        assert tried == str(found), f"{kind}: {found} are there"


def test_every_pain_has_a_verdict_and_its_tests() -> None:
    rows = [line.split(" | ") for line in (ROOT / "docs/explanation/pains.md").read_text().splitlines() if "(#" in line]
    assert len(rows) >= 30
    for pain, verdict, does, tests in rows:
        assert verdict in ("yes", "partly", "no") and does.endswith("."), pain
        assert verdict == "no" or "::test_" in tests, f"{pain}: nothing shows it"


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    for path in PAGES:
        if path.name != "index.md":
            assert str(path.relative_to(ROOT / "docs").with_suffix("")) in index


def test_every_conformance_check_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/conformance.md").read_text()
    assert [name for name in conformance.__all__ if name.startswith("test_") and f"`{name}`" not in page] == []
    for field in fields(Supply):
        assert f"| `{field.name}` |" in page
