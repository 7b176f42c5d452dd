# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation has readers type can be typed, and each block of it says who runs it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from functools import cache

import click
import pytest

from lab import docs
from lab.docs import ROOT, Block
from rear_core import builtin, cli
from rear_core.packages import PACKAGES
from rear_core.places.url import Scheme
from rear_core.plugins import Plugins, discover, load
from rear_core.settings import Setting, Sources, evaluate, parse

BLOCKS = {str(page.relative_to(ROOT)): docs.blocks(page) for page in sorted(docs.every())}
OF_PAGES = pytest.mark.parametrize("page", BLOCKS)
# What readers start beside rear. Whoever adds a program asks first whether the page's readers have it.
PROGRAMS = """
ansible-playbook
apt-get base64 bash bconsole borg cat cd chmod chown cp dd dnf echo exit export git head ip iscsiadm jq less ln ls make
mkdir mkfs.ext4 mount mt pip poweroff pytest python3 qemu-system-x86_64 rclone rear-network restic rm sha256sum ssh tar
truncate umask umount vi wpa_passphrase xorriso zstd zypper
.venv/bin/python /opt/rear/bin/pip rear-*/install.sh
"""
REAR = re.compile(r"(\S*/)?rear(\.pyz)?")
# A command that the reader of a page has written there, and those of Relax-and-Recover.
NOT_HERE = {"acme-status", "mkopalpba", "validate"}
# Where packages are named that tests install, or that rear advises.
NAMED = [ROOT / "tools/install", *ROOT.glob("plugins/rear-os-*/src/**/*.py"), *ROOT.glob("packaging/*.py")]


@cache
def commands() -> dict[str, click.Command]:
    """Those of the core and of all plugins of this tree."""
    found = [cli.rear.get_command(root(), name) for name in cli.COMMANDS]
    found += [command for plugin in discover() for command in getattr(load(plugin).module, "rear_commands", list)()]
    return {str(command.name): command for command in found if command}


@cache
def declared() -> dict[str, Setting]:
    """The settings of the core and of all plugins of this tree."""
    modules = [*builtin.modules(), *(load(plugin).module for plugin in discover())]
    found = [setting for module in modules for setting in getattr(module, "rear_settings", list)()]
    return {setting.name: setting for setting in found}


@cache
def schemes() -> tuple[Scheme, ...]:
    """Of all places that URLs may name."""
    plugins = Plugins(builtin.modules())
    plugins.add_extras(discover())
    return tuple(plugins.schemes())


def root() -> click.Context:
    """That of `rear` itself; what a command is asked in another one, it remembers."""
    return click.Context(cli.rear, info_name="rear", **cli.rear.context_settings)


def check_rear(words: list[str], *, whole: bool = True) -> None:
    """Raise a `UsageError` where rear would not understand these words; without `whole` some may still be missing."""
    context = root()
    known: Mapping[str, click.Command] = commands()
    _, rest, _ = cli.rear.make_parser(context).parse_args([*words])
    while rest and rest[0] not in NOT_HERE:
        name, *rest = rest
        if name not in known:
            raise click.UsageError(f"no such command '{name}'", context)
        command = known[name]
        context = click.Context(command, parent=context, info_name=name)
        if not isinstance(command, click.Group):
            if whole:
                command.make_context(name, rest, parent=context.parent)
            else:
                command.make_parser(context).parse_args(rest)
            return
        known = command.commands
        _, rest, _ = command.make_parser(context).parse_args(rest)


@OF_PAGES
def test_each_command_is_understood(page: str) -> None:
    for block in BLOCKS[page]:
        if block.file:
            assert block.text.startswith("#!/"), f"{block.where}: rear refuses a script that names no program"
            subprocess.run(["sh", "-n"], input=block.text, text=True, check=True)
        elif not block.settings:
            for program, *arguments in block.commands():
                if REAR.fullmatch(program):
                    check_rear(arguments)
                else:
                    assert program in PROGRAMS.split(), f"{block.where}: is {program} there?"


@OF_PAGES
def test_each_example_of_settings_is_read(page: str) -> None:
    for block in BLOCKS[page]:
        if block.settings:
            sources = Sources(assignments=tuple(parse(block.text, block.where)))
            evaluate(sources, declared().values(), {}, schemes=schemes())


@OF_PAGES
def test_each_command_in_a_sentence_is_understood(page: str) -> None:
    """It may lack what follows: `rear recover --backup` needs a date. Words in capitals are the reader's."""
    for code in re.findall(r"`rear ([^`]+)`", without_blocks(page)):
        words = [re.sub(r"[][]|\|.*", "", word) for word in next(docs.programs(code.replace("\\|", ";")))]
        if not any(word in ("COMMAND", "...") for word in words):
            try:
                check_rear(words, whole=False)
            except click.BadOptionUsage:
                pass
            except click.UsageError as error:
                raise AssertionError(f"`rear {code}`: {error.message}") from error


@OF_PAGES
def test_each_block_says_who_runs_it(page: str) -> None:
    for block in BLOCKS[page]:
        if not (block.settings or block.mark.startswith("needs ") or only_installs(block)):
            assert block.mark, f"{block.where}: nobody runs this; CONTRIBUTING.md says how to mark it"
            file, _, test = block.mark[len("run by ") :].partition("::")
            words = f"\ndef {test}(" if test else page.rpartition("/")[2]
            assert words in (ROOT / file).read_text(), f"{block.where}: {file} does not run it"


def only_installs(block: Block) -> bool:
    """Whether a block only installs packages; these are ours, or those that tests install or that rear advises."""
    for program, *words in block.commands():
        if program not in ("apt-get", "dnf", "zypper") or words[0] != "install":
            return False
        for package in words[1:]:
            ours = re.fullmatch(r"\./(.+?)[-_]\*\.(deb|rpm)", package)
            known = ours[1] in (*PACKAGES, "rear-core", "python3-blkinfo") if ours else is_named(package)
            assert known, f"{block.where}: there is no package {package}"
    return True


def is_named(package: str) -> bool:
    return any(re.search(rf"\b{re.escape(package)}\b", path.read_text()) for path in NAMED)


@OF_PAGES
def test_nothing_to_type_is_in_a_block_that_has_no_language(page: str) -> None:
    """What is indented by four blanks is not looked at by the other tests."""
    for line in re.findall(r"^    (\S.*)$", without_blocks(page), re.MULTILINE):
        word, name = line.split()[0], line.partition("=")[0].rstrip("+")
        assert word not in ("rear", *PROGRAMS.split()) and name not in declared(), f"{page}: put ```sh around: {line}"


def without_blocks(page: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
