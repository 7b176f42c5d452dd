# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation says what the code says."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
import reference

from rear_core import builtin, hookspecs
from rear_core.cli import COMMANDS
from rear_core.errors import ExitCode

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/**/*.md"))
READMES = [ROOT / "README.md", *sorted(ROOT.glob("plugins/*/README.md"))]


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path: Path) -> None:
    assert path.read_text() == reference.pages()[path], "run `make docs`"


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


def test_every_command_and_exit_status_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text()
    for name in COMMANDS:
        assert f"## rear {name}" in page
    for code in ExitCode:
        assert f"- {code.value}: " in page


def test_every_kernel_parameter_of_the_init_is_documented() -> None:
    init = ROOT / "src/rear_core/skel/default"
    used = set(re.findall(r"\brear\.[a-z]+(?==|\b)", "".join(p.read_text() for p in init.rglob("*") if p.is_file())))
    page = (ROOT / "docs/reference/kernel-parameters.md").read_text()
    assert {"rear.auto", "rear.debug"} <= used
    for parameter in used:
        assert parameter in page


def test_every_template_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/templates.md").read_text()
    for path in (*ROOT.glob("src/rear_core/templates/*"), *ROOT.glob("plugins/*/src/*/templates/*")):
        assert f"| `{path.name}` | {path.parents[3].name if 'plugins' in path.parts else 'rear-core'} |" in page


@pytest.mark.parametrize("path", [*PAGES, *READMES], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{target} is not there"


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    for path in PAGES:
        if path.name != "index.md":
            assert str(path.relative_to(ROOT / "docs").with_suffix("")) in index
