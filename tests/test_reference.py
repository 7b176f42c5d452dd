# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of docs/reference that are written by hand have all that the code has, and nothing else."""

from __future__ import annotations

import ast
import os
import re
import textwrap
from pathlib import Path

from rear_core import builtin
from rear_core.archive import external
from rear_core.builtin import pack
from rear_core.builtin.scripts import RESCUE_PHASES, environment
from rear_core.cli import COMMANDS
from rear_core.errors import ExitCode
from rear_core.finalize import summary
from rear_core.network import apply as network
from rear_core.network import parameter
from rear_core.network.identity import KERNEL_PARAMETER
from rear_core.plugins import HOOKS, Plugins, discover, load
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.settings.files import names_for
from rear_core.step import PHASES

ROOT = Path(__file__).parent.parent


def first_column(page: str, heading: str = "") -> list[str]:
    """The words in backquotes in the first column of the tables of a reference page, or below one of its headings."""
    text = (ROOT / "docs/reference" / page).read_text()
    if heading:
        text = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    columns = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    return [word for column in columns for word in re.findall(r"`([^`]+)`", column)]


def test_the_reference_has_every_command_and_no_other() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text()
    modules = [load(plugin).module for plugin in discover()]
    plugins = [command.name for module in modules for command in getattr(module, "rear_commands", list)()]
    described = {heading.split()[0] for heading in re.findall(r"^## rear (.+)$", page, re.MULTILINE)}
    assert described == {*COMMANDS, *plugins}


def test_the_reference_has_every_value_that_a_hook_yields_or_a_run_collects() -> None:
    """Of one that is only named, as `Room` was, nobody can write one from the pages alone."""
    pages = [(ROOT / f"docs/reference/{name}.md").read_text() for name in ("plugin-interface", "technologies")]
    headings = set(re.findall(r"^##+ (\w+)$", "\n".join(pages), re.MULTILINE))
    assert {*HOOKS.values(), "Kept", "Outcome", "Rebuilt", "Recovery", "System"} - headings == {
        "str",
        "bool",
    }


def test_the_reference_has_every_exit_status_and_no_other_each_with_its_test() -> None:
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == [str(code.value) for code in ExitCode]
    tests = "".join(path.read_text() for path in (*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/*.py")))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) == page.count("\n| ") - page.count("\n| --- ") - 2
    for name in named:
        assert f"\ndef {name}(" in tests


def test_every_command_that_ends_with_a_status_of_its_own_is_in_the_reference() -> None:
    described = set(first_column("exit-codes.md", "Commands with a meaning of their own"))
    found = set()
    for path in (*ROOT.glob("src/rear_core/cli/*.py"), *ROOT.glob("plugins/*/src/**/*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.decorator_list:
                ends = [ast.unparse(call.args[0]) for call in calls_of("sys.exit", function)]
                if [end for end in ends if end not in ("error.exit_code", "ExitCode.UNTOLD")]:
                    found.add(function.name)
    words = {"_".join(command.split()[1:]) for command in described}
    # The functions of these have names that are free in their modules.
    free = {"show_plugin": "plugins_show", "diff": "layout_diff", "import_configuration": "config_import"}
    assert {free.get(name, name) for name in found} == words


def calls_of(name: str, tree: ast.AST) -> list[ast.Call]:
    """Every call of a function by its full name."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == name]


def test_the_reference_has_every_kernel_parameter_and_no_other() -> None:
    skeleton = ROOT / "src/rear_core/skel/default"
    (words,) = re.findall(r"for word in .*?case \$word in(.*?)esac", (skeleton / "init").read_text(), re.DOTALL)
    read = {name.rstrip("=") for name in re.findall(r"^\s+([\w.]+=?)[^\n]*\)", words, re.MULTILINE)}
    assert parameter.find("quiet ip=dhcp") == ["dhcp"]
    described = first_column("kernel-parameters.md")
    assert {word.partition("=")[0] for word in described} == {*read, "ip", KERNEL_PARAMETER.rstrip("=")}
    menu = (skeleton / "usr/lib/rear/menu").read_text()
    (chosen,) = re.findall(r"case \$\(cat /run/rear/auto.*?\) in(.*?)esac", menu, re.DOTALL)
    choices = re.findall(r"^\s+(\w+)\)", chosen, re.MULTILINE)
    assert {word for word in described if word.startswith("rear.auto")} == {f"rear.auto={choice}" for choice in choices}
    page = (ROOT / "docs/reference/kernel-parameters.md").read_text()
    for name in pack.KEPT_PARAMETERS:
        assert f"`{name}`" in page


def test_the_reference_has_every_phase_in_its_order_and_where_it_runs() -> None:
    assert first_column("scripts.md", "Phases") == list(PHASES)
    page = (ROOT / "docs/reference/scripts.md").read_text()
    where = dict(re.findall(r"^\| `(\w+)` \| (on the machine|rescue system|both) \|", page, re.MULTILINE))
    assert [phase for phase in PHASES if where[phase] != "on the machine"] == list(RESCUE_PHASES)


def test_the_reference_has_every_variable_of_a_script_and_no_other(tmp_path: Path) -> None:
    settings = evaluate(Sources(), Plugins(builtin.modules()).settings(), {})
    run = Run(settings, Plugins([]), Options(config_dir=tmp_path))
    assert set(first_column("scripts.md", "What a script is given")) == set(environment(run, "prep", tmp_path))


def test_the_reference_has_every_environment_variable_and_no_other() -> None:
    read = {setting.name for setting in Plugins(builtin.modules()).settings() if setting.environment}
    for path in ROOT.glob("src/rear_core/**/*.py"):
        text = path.read_text()
        # The DHCP client's hook reads what dhclient hands to it (dhclient-script(8)), not what a user sets.
        if path != ROOT / "src/rear_core/network/lease.py":
            read |= set(re.findall(r'os\.environ(?:\.get\(|\[)"(\w+)"', text))
            for names in re.findall(r"os\.environ\[k\] for k in \(([^)]*)\)", text):
                read |= set(re.findall(r"\w+", names))
    assert set(first_column("environment.md")) == read


def test_the_reference_has_the_files_of_settings_in_their_order() -> None:
    described = first_column("files.md")
    names = ["default.conf", "<uname -s>-<uname -m>.conf", "GNU/Linux.conf", "<OS>.conf"]
    names += ["<OS>/<uname -m>.conf", "<OS>/<VER>.conf", "site.conf", "local.conf"]
    assert described[: len(names)] == [f"/etc/rear/{name}" for name in names]
    kernel = os.uname()
    real = {"<uname -s>": kernel.sysname, "<uname -m>": kernel.machine, "<OS>": "debian", "<VER>": "12"}
    for placeholder, value in real.items():
        names = [name.replace(placeholder, value) for name in names]
    assert tuple(names) == names_for("debian", "12")


def test_the_reference_has_every_file_of_the_description_and_the_places_of_the_settings() -> None:
    described = first_column("files.md")
    written = {external.NAME}
    for path in (*ROOT.glob("src/rear_core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")):
        written |= set(re.findall(r"recovery_dir / \"([\w.-]+)\"", path.read_text()))
    assert {Path(file).name for file in described if "/recovery/" in file} == written
    for setting in Plugins(builtin.modules()).settings():
        if setting.name.endswith("_DIR"):
            assert any(f"{file}".startswith(f"{setting.default}/") for file in described), setting.name
            assert f"`{setting.name}`" in (ROOT / "docs/reference/files.md").read_text()
    assert str(network.LOG) in described
    assert any(file.startswith(f"{summary.FOLDER}/recovery-") for file in described)


def test_examples_of_hooks_can_be_compiled() -> None:
    page = (ROOT / "docs/reference/hooks.md").read_text()
    for example in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        ast.parse("def hook(run):\n" + textwrap.indent(example, "    "))


def test_the_reference_has_every_template_and_no_other() -> None:
    page = (ROOT / "docs/reference/templates.md").read_text()
    described = re.findall(r"^\| `([^`]+)` \| (rear-[\w-]+) \|", page, re.MULTILINE)
    core = [(path.name, "rear-core") for path in ROOT.glob("src/rear_core/templates/*")]
    others = [(path.name, path.parents[3].name) for path in ROOT.glob("plugins/*/src/*/templates/*")]
    assert sorted(described) == sorted([*core, *others])
