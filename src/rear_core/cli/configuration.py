# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands for the configuration: its defaults, its errors, and what becomes of one of Relax-and-Recover."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from .. import builtin, durable, own_files
from ..errors import ConfigurationError, PluginError, Refused
from ..plugins import Plugins, discover
from ..report import visible
from ..run import Options
from ..settings import Setting
from .paths import GivenPath
from .session import open_run, settings_of


@click.group()
def config() -> None:
    """Print, check and carry over the configuration."""


@config.command("default")
@click.pass_obj
def default_configuration(options: Options) -> None:
    """Print default.conf: every setting of the core and of the installed plugins, explained."""
    from ..settings import render

    groups = {"rear-core": [s for module in builtin.modules() for s in getattr(module, "rear_settings", list)()]}
    for plugin in discover():
        groups.setdefault(plugin.distribution, [])
        groups[plugin.distribution] += [s for s in settings_of(plugin) if s not in groups[plugin.distribution]]
    click.echo(render({name: settings for name, settings in groups.items() if settings}))


@config.command("check")
@click.pass_obj
def check_configuration(options: Options) -> None:
    """Read the configuration as a run would, and report its errors."""
    run = open_run(options)
    for warning in run.settings.warnings:
        click.echo(visible(warning), err=True)
    for name, setting in run.settings.declared.items():
        if setting.changed and run.settings[name] != setting.default:
            click.echo(visible(f"{run.settings.origin(name)}: {name}: {setting.changed}"), err=True)
    if run.plugins.without_family:
        raise run.plugins.without_family
    click.echo(f"The configuration in {visible(os.fspath(options.config_dir))} is valid")


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
    from ..settings.importing import ATTENTION, Outcome, carried_over

    given = files or [path for name in ("site.conf", "local.conf") if (path := options.config_dir / name).exists()]
    if not given:
        raise Refused(f"{options.config_dir} has no site.conf and no local.conf", "name the files to carry over")
    plugins = Plugins(builtin.modules())
    plugins.add_extras(discover())
    texts = {os.fspath(path): _text(path) for path in given}
    written, counts = dict[str, str](), Counter[Outcome]()
    for source, imported in carried_over(texts, _declared(), plugins.schemes()).items():
        counts.update(answer.outcome for answer in imported.answers)
        written |= {os.path.basename(source): imported.text(), **imported.scripts}
    if folder:
        _write(folder, written)
    else:
        for name, text in written.items():
            click.echo(visible(f"### {name}\n") * (len(written) > 1) + text, nl=False)
    for outcome, count in counts.items():
        click.echo(f"{count} {outcome.value}", err=True)
    sys.exit(1 if any(counts[outcome] for outcome in ATTENTION) else 0)


def _declared() -> Iterator[Setting]:
    """All settings, of the core and of all installed plugins that can be loaded."""
    for module in builtin.modules():
        yield from getattr(module, "rear_settings", list)()
    for plugin in discover():
        with suppress(PluginError):
            yield from settings_of(plugin)


def _text(path: Path) -> str:
    try:
        return own_files.read(path).decode()
    except (OSError, ValueError, ConfigurationError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", "name a text file in UTF-8") from error


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write configuration files, and scripts as programs, for root alone."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise Refused(f"{folder} is no empty folder", "name a new folder; rear overwrites no configuration")
    for name, text in files.items():
        path = folder / name
        durable.write(path, text)
        if text.startswith("#!"):
            path.chmod(0o700)
        click.echo(visible(os.fspath(path)))
