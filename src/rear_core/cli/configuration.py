# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands for the configuration: its defaults, its errors, and what becomes of one of Relax-and-Recover."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from shutil import get_terminal_size

import click

from .. import builtin, durable, own_files
from ..errors import ConfigurationError, ConfigurationProblems, PluginError, Refused
from ..plugins import Plugins, discover
from ..report import visible
from ..run import Options, Run
from ..settings import Setting, Sources
from ..settings.files import load_what_can_be_read, names_for
from ..settings.reader import decode
from ..system.os_release import read_os_release
from ..workflow import WORKFLOWS, plan
from .groups import Group
from .paths import GivenPath
from .session import open_run, settings_of

# These settings choose plugins.
CHOOSING = ("BACKUP", "OUTPUT", "OS_FAMILY")


@click.group(cls=Group)
def config() -> None:
    """Print, check and carry over the configuration."""


@config.command("default")
@click.pass_obj
def default_configuration(options: Options) -> None:
    """Print default.conf: every setting of the core and of the installed plugins, explained."""
    from ..settings import render

    click.echo(render(declared_settings()))


def declared_settings() -> dict[str, list[Setting]]:
    """The settings of the core and of all installed plugins, by distribution."""
    groups = {"rear-core": [s for module in builtin.modules() for s in getattr(module, "rear_settings", list)()]}
    for plugin in discover():
        groups.setdefault(plugin.distribution, [])
        groups[plugin.distribution] += [s for s in settings_of(plugin) if s not in groups[plugin.distribution]]
    return {name: settings for name, settings in groups.items() if settings}


@config.command("check")
@click.pass_obj
def check_configuration(options: Options) -> None:
    """Read the configuration as a run would, and report all of its errors, and the files that it names in vain."""
    refuse_wrong(options, *_read(options))
    click.echo(f"The configuration in {visible(os.fspath(options.config_dir))} is valid")


def refuse_wrong(
    options: Options, sources: Sources, problems: Sequence[ConfigurationError] = (), *, is_written: bool = True
) -> None:
    """Raise all that is wrong with a configuration that was read, besides what was found so far; print remarks.

    Who can read its files counts once it `is_written`.
    """
    run, problems = _tried(options, sources, problems)
    for remark in (*remarks(run), *(exposed(run) if is_written else ())) if run else ():
        click.echo(visible(remark), err=True)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ConfigurationProblems(problems)


def examined(options: Options) -> tuple[Run | None, list[ConfigurationError]]:
    """A run with what is good of the configuration, None where that is nothing, and all its errors."""
    return _tried(options, *_read(options))


def _read(options: Options) -> tuple[Sources, list[ConfigurationError]]:
    """What can be read of the configuration, and what is wrong with the rest; an error where there is none at all."""
    system = read_os_release()
    names = names_for(system.id, system.version_id)
    sources, problems = load_what_can_be_read(options.config_dir, names, options.config_files)
    if not sources.files:
        raise ConfigurationError(
            f"there is no configuration in {options.config_dir}",
            f"run `rear setup`, or write {options.config_dir}/local.conf; `rear config default` prints all settings",
        )
    return sources, problems


def _tried(
    options: Options, sources: Sources, problems: Sequence[ConfigurationError]
) -> tuple[Run | None, list[ConfigurationError]]:
    """A run without what is wrong, None where nothing is left, and all that is wrong."""
    problems = [*problems]
    run, referred = None, _referred(sources)
    while not run:
        try:
            run = open_run(options, sources)
        except ConfigurationError as error:
            smaller = _without(sources, error)
            left_out = [each.name for each in sources.assignments if each not in smaller.assignments]
            # What only a statement without effect refers to now is no error of its own.
            if not left_out or not (referred - _referred(sources)).issuperset(left_out):
                problems.append(error)
            if not left_out:
                break
            sources = smaller
    if run:
        problems += filter(None, [run.plugins.without_family, *_contradictions(run)])
    # A plugin that is broken is so whatever the settings say.
    return run, list({problem.message: problem for problem in problems}.values())


def _referred(sources: Sources) -> set[str]:
    """The names that others than themselves refer to."""
    return {one.name for each in sources.assignments for one in each.references if one.name != each.name}


def _contradictions(run: Run) -> Iterator[ConfigurationError]:
    """What a run would refuse on its settings and files alone, before it looks at the machine."""
    phases, run.phases = run.phases, WORKFLOWS["mkbackup"]
    try:
        yield from _refused(run)
    finally:
        run.phases = phases


def _refused(run: Run) -> Iterator[ConfigurationError]:
    try:
        steps = [planned.step for planned in plan(run, ["prep"]) if planned.step.by_settings]
    except ConfigurationError as error:
        yield error
        return
    for step in steps:
        try:
            step.action(run)
        except (ConfigurationError, Refused) as error:
            yield ConfigurationError(error.message, error.hint)


def _without(sources: Sources, error: ConfigurationError) -> Sources:
    """What was read without the assignment that an error names; without all plugins where one is missing."""
    if isinstance(error, PluginError):
        meant = [name for name in CHOOSING if f"{name}=" in error.message] or CHOOSING
        return replace(sources, assignments=tuple(each for each in sources.assignments if each.name not in meant))
    place = re.match(r"(.+?):(\d+):\d+: ", error.message, re.DOTALL)
    before = [each for each in sources.assignments if place and each.source == place[1] and each.line <= int(place[2])]
    return replace(sources, assignments=tuple(each for each in sources.assignments if each not in before[-1:]))


def remarks(run: Run) -> Iterator[str]:
    """What is no error, and yet not what somebody may expect."""
    yield from run.settings.warnings
    for name, setting in run.settings.declared.items():
        value, origin = run.settings[name], run.settings.origin(name)
        if setting.existing and value != setting.default:
            for path in dict.fromkeys(value) if isinstance(value, tuple) else (value,):
                if not glob.glob(os.path.join("/", path)):
                    yield f"{origin}: {name}: {path} is not there"


def exposed(run: Run) -> Iterator[str]:
    """The secrets in files of the configuration that others can read."""
    for name, setting in run.settings.declared.items():
        places = run.settings.origins[name] if setting.secret and run.settings[name] != setting.default else ()
        for file in sorted({place.rpartition(":")[0] for place in places}):
            if _others_read(Path(file)):
                yield f"{file}: others can read {name}, which is a secret: chmod 600 {quote(file)}"


def _others_read(path: Path) -> bool:
    """Whether users other than root can read a file of the configuration; the environment is none."""
    return path.is_file() and bool(path.stat().st_mode & 0o044 and path.parent.stat().st_mode & 0o011)


@config.command("import")
@click.argument("files", nargs=-1, type=GivenPath())
@click.option(
    "--to", "folder", type=GivenPath(), help="Write the files into DIR, a new or empty folder.", metavar="DIR"
)
@click.pass_obj
def import_configuration(options: Options, files: tuple[Path, ...], folder: Path | None) -> None:
    """Carry configuration files of Relax-and-Recover over, a remark for each line; by default its site and local.conf.

    Nothing in the files is run. Exit status: 0 all carried over, 1 some lines need you.
    """
    from ..settings.answers import ATTENTION, WIDTH, Outcome
    from ..settings.importing import carried_over

    usual = [options.config_dir / name for name in ("site.conf", "local.conf")]
    given = files or [path for path in usual if path.exists() or own_files.lost_link(path)]
    if not given:
        raise Refused(f"{options.config_dir} has no site.conf and no local.conf", "name the files to carry over")
    if len({path.name for path in given}) < len(given):
        raise Refused("several of these files have one name", "carry them over one after the other")
    plugins = Plugins(builtin.modules())
    plugins.add_extras(discover())
    texts = {os.fspath(path): _text(path) for path in given}
    width = min(WIDTH, get_terminal_size().columns) if sys.stdout.isatty() and not folder else WIDTH
    written, counts = dict[str, str](), Counter[Outcome]()
    for source, imported in carried_over(texts, _declared(), plugins.schemes()).items():
        counts.update(answer.outcome for answer in imported.answers)
        written |= {os.path.basename(source): imported.text(width), **imported.scripts}
    if folder:
        _write(folder, written)
    else:
        for name, text in written.items():
            if len(written) > 1:
                click.echo(visible(f"### {name}"))
            click.echo(_on_terminal(text) if sys.stdout.isatty() else text, nl=False)
    for outcome, count in counts.items():
        click.echo(f"{count} {outcome.value}", err=True)
    sys.exit(1 if any(counts[outcome] for outcome in ATTENTION) else 0)


def _on_terminal(text: str) -> str:
    """A text without what moves a terminal; a file gets it as it is."""
    return "".join(f"{visible(line)}\n" for line in text.removesuffix("\n").split("\n"))


def _declared() -> Iterator[Setting]:
    """All settings, of the core and of all installed plugins that can be loaded."""
    for module in builtin.modules():
        yield from getattr(module, "rear_settings", list)()
    for plugin in discover():
        with suppress(PluginError):
            yield from settings_of(plugin)


def _text(path: Path) -> str:
    own_files.check_links(path)
    try:
        return decode(own_files.read(path), os.fspath(path))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "name a file of the configuration") from error


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write configuration files, and scripts as programs, for root alone."""
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise Refused(
            f"cannot look into {folder}: {error.strerror}", "name a folder of your own, or use sudo"
        ) from error
    if not is_free:
        raise Refused(f"{folder} is no empty folder", "name a new folder; rear overwrites no configuration")
    for name, text in files.items():
        path = folder / name
        durable.write(path, text)
        if text.startswith("#!"):
            path.chmod(0o700)
        click.echo(visible(os.fspath(path)))
