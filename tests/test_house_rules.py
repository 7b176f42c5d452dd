# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src" / "rear_core"
MODULES = sorted([*CORE.rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
# The packages and modules of the core, one on each rung: imports only go down.
LADDER = (
    "testing",
    "cli",
    "new_plugin",
    "bundle",
    "doctor",
    "workflow",
    "builtin",
    "health",
    "pages",
    "finalize",
    "archive",
    "media",
    "boot",
    "storage",
    "network",
    "template",
    "schedule",
    "settings",
    "plugins",
    "packages",
    "places",
    "work_area",
    "run",
    "records",
    "system",
    "recovered",
    "rescue",
    "fstab",
    "methods",
    "removal",
    "mounts",
    "log_files",
    "trust",
    "trees",
    "patterns",
    "own_files",
    "recordings",
    "shell",
    "processes",
    "pipes",
    "interruption",
    "hookspecs",
    "step",
    "first_setup",
    "backup_access",
    "questions",
    "durable",
    "report",
    "contents",
    "encoding",
    "architectures",
    "errors",
)


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree, read once for all rules."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Full names of the modules that a file imports, those for the type checker apart."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    tree = parsed(path)
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    package = module_name(path.with_name("member.py")).split(".")[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            yield from (f"{name}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    """The full name of the module in a file, which for `__init__.py` is that of the package."""
    parts = path.with_suffix("").parts
    parts = parts[len(parts) - parts[::-1].index("src") :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rung(name: str) -> int | None:
    """The rung of a module of the core by its full name, lower numbers above; None for others and the package."""
    parts = name.split(".")
    if parts[0] != "rear_core" or len(parts) < 2 or parts[1].startswith("__"):
        return None
    return LADDER.index(parts[1])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_its_licence_and_a_sentence(path: Path) -> None:
    text = path.read_text()
    if text:
        assert text.startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n")
        assert ast.get_docstring(ast.parse(text))


@pytest.mark.slow
def test_only_the_shell_starts_programs() -> None:
    starters = {"subprocess", "pty", "multiprocessing", "os.system", "os.popen", "os.execv", "os.spawnv"}
    # The second one waits for those that the first one starts.
    for path in MODULES:
        if path not in (CORE / "shell.py", CORE / "processes.py"):
            assert not starters & set(imports(path)), path
    assert "Popen(" not in (CORE / "processes.py").read_text()


def test_only_one_module_asks() -> None:
    """Whether somebody is there, and what an answer means, is decided in one place."""
    for path in MODULES:
        calls = {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
        asking = {"input", "sys.stdin.isatty", "sys.stdin.readline", "getpass.getpass", "click.confirm", "click.prompt"}
        assert path == CORE / "questions.py" or not calls & asking, path


def test_urls_are_values_whose_text_nobody_tests() -> None:
    """A spelling that one module knows and another does not once got round the lock of a disk."""
    scheme = re.compile(r"""(startswith|partition|split|==|\bin)\W{0,3}["'](usb|nfs|file|https?|sftp|rsync\+ssh):""")
    for path in MODULES:
        assert not scheme.search(path.read_text()), path


def test_only_one_module_removes_trees() -> None:
    """That one never removes what is mounted below."""
    for path in [*MODULES, *CORE.rglob("*.j2")]:
        assert "rmtree" not in path.read_text(), path


def test_imports_go_down_the_ladder() -> None:
    """So no package imports another one that imports it."""
    for path in CORE.rglob("*.py"):
        own = rung(module_name(path))
        for name in imports(path):
            other = rung(name)
            if own is not None and other is not None:
                assert other >= own, f"{path.relative_to(ROOT)} imports {name}"


def test_no_modules_import_each_other() -> None:
    """Neither at their start nor inside functions."""
    files = {module_name(path): path for path in MODULES}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        # `from .errors import RearError` names a module and something in it.
        named = {name if name in files else name.rpartition(".")[0] for name in imports(path)}
        graph[module] = named & set(files) - {module}
    TopologicalSorter(graph).prepare()


# What knows a technology besides its own files, and why.
KNOWN_TO = {
    # The names by which the recovered system calls its disks are its configuration's.
    "multipath": {"rear_core.finalize.devices"},
}


@pytest.mark.parametrize("name", ["btrfs", "ext", "iscsi", "luks", "lvm", "md", "multipath", "swap", "vfat", "xfs"])
def test_only_its_own_files_know_a_technology(name: str) -> None:
    """Whoever names one knows it better than those that somebody else brings."""

    def is_own(module: str) -> bool:
        _, package, file, own = f"{module}...".split(".")[:4]
        if package == "storage":
            return (file, own) == ("technologies", name)
        return package in ("finalize", "builtin") and file.partition("_")[0] == name

    files = {module_name(path): path for path in MODULES}
    knowing = {module for module, path in files.items() if any(map(is_own, imports(path)))}
    others = {module for module in knowing if not is_own(module)} - {"rear_core.storage.technologies"}
    assert others == KNOWN_TO.get(name, set())


def test_only_the_list_of_loaders_knows_grub() -> None:
    """As a boot loader of machines; rescue media start by it, and so their room is its own."""

    def is_grub(module: str) -> bool:
        return module.rpartition(".")[2].startswith("grub")

    files = {module_name(path): path for path in CORE.rglob("*.py")}
    knowing = {
        module for module, path in files.items() if any(is_grub(name.rpartition(".")[0]) for name in imports(path))
    }
    assert {module for module in knowing if not is_grub(module) and ".media." not in module} == {
        "rear_core.builtin.system"
    }


# The types of items, and the files in which they are at home.
ITEMS = {
    "Array", "Btrfs", "Disk", "Ext", "Fat", "FileSystem", "IscsiUnit", "Journal", "LogicalVolume", "Luks", "Mount",
    "MultipathDisk", "Partition", "PartitionTable", "PartOfFileSystem", "PhysicalVolume", "Subvolume", "Swap",
    "SwapFile", "VolumeGroup", "Xfs",
}  # fmt: skip
HOMES = [CORE / "storage" / name for name in ("technologies", "disk.py", "filesystem.py", "mount.py")]


def test_the_core_asks_items_and_does_not_look_at_their_types() -> None:
    """Where it does, disks and file systems as such are meant, or what is kept with a mount."""
    looks = []
    for path in CORE.rglob("*.py"):
        if any(home in (path, *path.parents) for home in HOMES):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                named = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                looks += [f"{path.relative_to(CORE)}:{node.lineno}"] * bool(named & ITEMS)
    assert len(looks) <= 10, looks


def test_a_plugin_imports_no_other_plugin() -> None:
    packages = {path.name for path in ROOT.glob("plugins/*/src/*") if path.is_dir()}
    for path in ROOT.glob("plugins/*/src/**/*.py"):
        own = path.relative_to(ROOT).parts[3]
        assert not {name.split(".")[0] for name in imports(path)} & (packages - {own}), path


def test_commands_that_recover_import_little() -> None:
    """The rescue system runs on slow consoles and little memory."""
    # What Python itself has loaded by then depends on the distribution.
    code = (
        "import sys; first = {*sys.modules}; import rear_core.cli, rear_core.cli.make, rear_core.builtin as b;"
        " b.modules(); print(*{*sys.modules} - first)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"pyroute2", "blkinfo", "jinja2", "asyncio", "ssl", "sqlite3", "ctypes", "multiprocessing"}
    assert not heavy & set(loaded)
    assert len(loaded) < 250
