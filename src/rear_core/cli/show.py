# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that only show: settings and system, plugins."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .. import builtin
from ..errors import ExitCode, PluginError, RearError
from ..packages import OURS, how_to_install, package_of
from ..plugins import CORE, Found, Plugins, discover, load
from ..report import MASK, visible, without_passwords
from ..run import Options
from ..system.os_release import read_os_release
from .groups import Group
from .paths import GivenPath, GivenText
from .session import first_look, open_run, read_sources, settings_of


@click.command()
@click.option("--expose-secrets", is_flag=True, help="Show the values of secret settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@click.pass_obj
def dump(options: Options, expose_secrets: bool, as_json: bool) -> None:
    """Print facts of this system, and every setting with its value and where it was set."""
    run = open_run(options)
    settings = {}
    for name, setting in sorted(run.settings.declared.items()):
        value: Any = run.settings[name]
        if setting.secret and value and not expose_secrets:
            value = MASK
        elif not expose_secrets:
            value = _without_secrets(value)
        settings[name] = {"value": value, "origin": run.settings.origin(name)}
    facts = asdict(run.system)
    active = [plugin for plugin in run.plugins.active if plugin.kind != CORE]
    plugins = [f"{plugin.label} ({plugin.distribution} {plugin.version})" for plugin in active]
    if as_json or options.json:
        click.echo(json.dumps({"system": facts, "plugins": plugins, "settings": settings}, indent=2, default=str))
        return
    click.echo("# System")
    for name, fact in _flat(facts):
        click.echo(visible(f"{name}: {fact}"))
    click.echo("\n# Plugins")
    for line in plugins:
        click.echo(line)
    click.echo("\n# Settings")
    from ..settings import quote

    for name, entry in settings.items():
        click.echo(f"{name}={quote(entry['value'])}  # {visible(entry['origin'])}")


def _without_secrets(value: Any) -> Any:
    """A value without what may be a password: a list as a whole, whose words may be an option and its value."""
    from ..bundle.masking import without_secrets
    from ..settings import quote

    if isinstance(value, str):
        return without_secrets(without_passwords(value))
    masked = without_secrets(text := quote(value)) if isinstance(value, tuple) else ""
    if not masked or masked == text:
        return value
    try:
        return tuple(shlex.split(masked)[1:-1])
    except ValueError:
        # A quotation mark went with a secret.
        return (MASK,)


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, fact in facts.items():
        if isinstance(fact, dict):
            rows += _flat(fact, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, ", ".join(map(str, fact)) if isinstance(fact, (list, tuple)) else fact))
    return rows


@click.group(cls=Group)
def plugins() -> None:
    """List plugins, show what one of them adds, and start a new one."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@click.pass_obj
def list_plugins(options: Options, as_json: bool) -> None:
    """List the installed plugins and what is missing.

    State: active (this configuration uses it), available, broken (with the reason), missing (configured but not
    installed).
    """
    rows = plugin_rows(options)
    if as_json or options.json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = ("kind", "name", "distribution", "version", "state")
    widths = [max(len(row[column]) for row in [*rows, {c: c for c in columns}]) for column in columns]
    for row in [{c: c.upper() for c in (*columns, "reason")} | {"reason": ""}, *rows]:
        line = "  ".join(row[column].ljust(width) for column, width in zip(columns, widths)).rstrip()
        click.echo(visible(line + (f": {row['reason']}" if row["reason"] else "")))


def plugin_rows(options: Options) -> list[dict[str, str]]:
    """A row for each installed plugin, and one for each configured method that is not installed."""
    found = [load(plugin) for plugin in discover()]
    wanted = configured(options)
    failures = {plugin: reason for plugin in found if (reason := plugin.problem or _failure(plugin))}
    chosen = {(kind, _chosen(found, kind, names)) for kind, names in wanted}
    selected = [plugin for plugin in found if plugin.kind == "extra" or (plugin.kind, plugin.name.lower()) in chosen]
    failures |= _clashes([plugin for plugin in selected if plugin not in failures])
    rows = []
    for plugin in found:
        reason = failures.get(plugin, "")
        state = "broken" if reason else "active" if plugin in selected else "available"
        rows.append(_row(plugin.kind, plugin.name, plugin.distribution, plugin.version, state, reason))
    for kind, names in wanted:
        if not _chosen(found, kind, names):
            package = package_of(kind, names[0])
            reason = how_to_install(package) if package else f"rear has no {kind.upper()} method of this name"
            rows.append(_row(kind, names[0], package, "", "missing", reason))
    return rows


def _failure(plugin: Found) -> str:
    """Why a plugin fails as soon as it is asked for its settings, "" for one that does not."""
    try:
        settings_of(plugin)
    except PluginError as error:
        return error.message
    return ""


def _clashes(selected: Sequence[Found]) -> dict[Found, str]:
    """Those that no run takes besides the others, with the reason. Ours, which fit together, come first."""
    found, taken = dict[Found, str](), Plugins(builtin.modules())
    for plugin in sorted(selected, key=lambda one: one.distribution not in OURS):
        taken.take(plugin)
        if plugin.distribution in OURS:
            continue
        try:
            taken.settings()
            taken.schemes()
            for hook in ("rear_storage_kinds", "rear_boot_loaders", "rear_commands"):
                taken.call(hook)
        except PluginError as error:
            taken.leave(plugin)
            found[plugin] = error.message
    return found


def configured(options: Options) -> list[tuple[str, list[str]]]:
    """The names that the configuration asks for, with their kinds; those of the defaults when it cannot be read.

    Of several names for one kind of plugin the first that is installed will do.
    """
    os_release = read_os_release()
    core = Plugins(builtin.modules())
    try:
        settings = first_look(read_sources(options, os_release), core)
        methods, output, family = settings["BACKUP"], settings["OUTPUT"], settings["OS_FAMILY"]
    except RearError as error:
        click.echo(visible(f"Cannot read the configuration, using defaults: {error.message}"), err=True)
        defaults = {setting.name: setting.default for setting in core.call("rear_settings")}
        methods, output, family = defaults["BACKUP"], defaults["OUTPUT"], ""
    families = [family] if family else [os_release.id, *os_release.id_like]
    return [("os", families), ("output", [output]), *(("backup", [method]) for method in methods)]


def _chosen(found: Sequence[Found], kind: str, names: Sequence[str]) -> str:
    """The first of these names for a kind that is installed, or "" when none is."""
    installed = {plugin.name.lower() for plugin in found if plugin.kind == kind}
    return next((name.lower() for name in names if name.lower() in installed), "")


def _row(kind: str, name: str, distribution: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {
        "kind": kind,
        "name": name,
        "distribution": distribution,
        "version": version,
        "state": state,
        "reason": reason,
    }


@plugins.command("show")
@click.argument("name", type=GivenText())
@click.pass_obj
def show_plugin(options: Options, name: str) -> None:
    """Show what the plugin NAME, as in `rear plugins list`, brings: settings, hooks, commands, required programs ..."""
    matching = [plugin for plugin in discover() if name.lower() in (plugin.name.lower(), plugin.distribution.lower())]
    if not matching:
        click.echo(f"No plugin {visible(name)} is installed; `rear plugins list` names those that are", err=True)
        sys.exit(ExitCode.FAILED)
    for plugin in matching:
        show(load(plugin), options)


def show(plugin: Found, options: Options) -> None:
    """Print what a plugin adds."""
    click.echo(f"{plugin.label}: {plugin.distribution} {plugin.version}, module {plugin.target}")
    if plugin.problem or plugin.module is None:
        click.echo(visible(f"  broken: {plugin.problem}"))
        return
    if text := (plugin.module.__doc__ or "").strip():
        click.echo(f"  {text.splitlines()[0]}")
    alone = Plugins([])
    alone.take(plugin)
    callers = alone.manager.get_hookcallers(plugin.module) or []
    click.echo("  hooks: " + ", ".join(sorted(caller.name for caller in callers)))
    if plugin.unknown:
        click.echo(f"  optional hooks of a newer rear-core: {', '.join(plugin.unknown)}")
    for setting in settings_of(plugin):
        click.echo(f"  setting {setting.name} ({setting.type.__name__}): {setting.help}")
    for command in alone.call("rear_commands"):
        click.echo(f"  command rear {command.name}")
    for place in alone.call("rear_places"):
        click.echo(f"  place {place.scheme.example}")
    for kind in alone.call("rear_storage_kinds"):
        click.echo(f"  storage technology {kind.name}")
    for loader in alone.call("rear_boot_loaders"):
        click.echo(f"  boot loader {loader.name}")
    try:
        run = open_run(options)
    except RearError as error:
        click.echo(visible(f"  programs: unknown, because the configuration cannot be used: {error.message}"))
        return
    run.plugins = alone
    for contents in alone.call("rear_rescue_contents", run=run):
        if contents.programs:
            click.echo("  programs: " + " ".join(contents.programs))


@plugins.command("new")
@click.argument("kind", type=click.Choice(["backup", "output", "os", "storage", "boot", "extra"]))
@click.argument("name", type=GivenText())
@click.option("--client", is_flag=True, help="Of a backup: save and restore by the client program of a vendor.")
@click.option(
    "--directory",
    type=GivenPath(exists=True, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Create the package in DIR instead of the current folder.",
)
def new_plugin(kind: str, name: str, client: bool, directory: Path) -> None:
    """Write the package rear-KIND-NAME of a new plugin: small, working, with tests, ready to be changed.

    NAME is what the configuration will say, as in BACKUP=NAME; for an os it is ID in /etc/os-release. Storage
    technologies, boot loaders and extras are always active, and are only called so.
    """
    from ..new_plugin import write

    found = discover()
    settings = {setting.name for module in builtin.modules() for setting in getattr(module, "rear_settings", list)()}
    settings |= {setting.name for plugin in found for setting in settings_of(plugin)}
    folder = write(kind, name, directory, found, sorted(settings), client, known(kind, found))
    where = shlex.quote(os.fspath(folder))
    click.echo(f"Created {folder}. Next: cd {where} && pip install --editable '.[test]' && pytest")


def known(kind: str, found: Sequence[Found]) -> list[str]:
    """The names of all storage technologies, or boot loaders: of the core, and of the plugins that are installed."""
    hook = {"storage": "rear_storage_kinds", "boot": "rear_boot_loaders"}.get(kind)
    active = Plugins(builtin.modules())
    active.add_extras(found)
    return [one.name for one in active.call(hook)] if hook else []
