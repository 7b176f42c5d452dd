# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages rear(8), rear-COMMAND(8) and rear.conf(5), and shell completion: made from what they are about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from .. import __version__
from .paths import GivenPath, GivenText


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    Bash reads it from /usr/share/bash-completion/completions/rear.
    """
    from . import rear

    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(rear, {}, "rear", "_REAR_COMPLETE").source())


@click.command()
@click.argument("name", type=GivenText(), metavar="[PAGE]", default="rear")
@click.option("--write", type=GivenPath(file_okay=False), metavar="DIR", help="Write all pages into DIR instead.")
@click.pass_context
def manual(ctx: click.Context, name: str, write: Path | None) -> None:
    """Print a manual page in the format of man(7).

    PAGE is rear, that of a command, such as rear-mkrescue or mkrescue, or rear.conf for the settings.
    """
    assert ctx.parent is not None
    made = pages(ctx.parent)
    if write:
        write.mkdir(parents=True, exist_ok=True)
        for (title, section), lines in made.items():
            (write / f"{title}.{section}").write_text("\n".join(lines()) + "\n")
        return
    titles = {title: lines for (title, _), lines in made.items()}
    lines_of = titles.get(name) or titles.get(f"rear-{name}")
    if lines_of is None:
        raise click.UsageError(f"there is no page {name}; there are {', '.join(titles)}")
    click.echo("\n".join(lines_of()))


def pages(ctx: click.Context) -> dict[tuple[str, int], Callable[[], Iterator[str]]]:
    """What gives the lines of each page, by its name and section."""
    group = ctx.command
    assert isinstance(group, click.Group)
    made: dict[tuple[str, int], Callable[[], Iterator[str]]] = {("rear", 8): partial(page, ctx)}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None and not command.hidden:
            made[f"rear-{name}", 8] = partial(_command_page, _inner(ctx, name, command))
    return {**made, ("rear.conf", 5): _settings_page}


def _heading(name: str, section: int, summary: str) -> str:
    return (
        f'.TH {name.upper()} {section} "" "rear {__version__}" "rear"\n.SH NAME\n{_escape(name)} \\- {_escape(summary)}'
    )


def page(ctx: click.Context) -> Iterator[str]:
    yield _heading("rear", 8, "bare-metal disaster recovery")
    yield ".SH SYNOPSIS\n.B rear\n[OPTIONS] COMMAND [ARGUMENTS]"
    yield ".SH DESCRIPTION"
    yield _text(ctx.command.help or "")
    yield ".SH OPTIONS"
    yield from _options(ctx)
    yield ".SH COMMANDS"
    yield from _commands(ctx, "")
    yield ".SH FILES"
    for path, what in FILES.items():
        yield f".TP\n.I {path}\n{what}"
    yield ".SH SEE ALSO\n.BR rear.conf (5)"


def _command_page(ctx: click.Context) -> Iterator[str]:
    command, name = ctx.command, f"rear-{ctx.info_name}"
    yield _heading(name, 8, command.get_short_help_str(72).rstrip("."))
    yield f".SH SYNOPSIS\n.B rear {ctx.info_name}\n{_escape(' '.join(command.collect_usage_pieces(ctx)))}"
    yield ".SH DESCRIPTION"
    yield _text(command.help or "")
    if options := [*_options(ctx)]:
        yield ".SH OPTIONS"
        yield from options
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        yield from _commands(ctx, f"{ctx.info_name} ")
    yield ".SH SEE ALSO\n.BR rear (8),\n.BR rear.conf (5)"


def _settings_page() -> Iterator[str]:
    """rear.conf(5): every setting of the core and of the installed plugins."""
    from ..settings import quote
    from .configuration import declared_settings

    yield _heading("rear.conf", 5, "settings of rear")
    yield f".SH DESCRIPTION\n{_text(SYNTAX)}"
    for distribution, settings in declared_settings().items():
        yield f".SH SETTINGS OF {_escape(distribution.upper())}"
        for setting in settings:
            default = f" Default: {quote(setting.default)}." if setting.default else ""
            choices = f" One of: {', '.join(filter(None, setting.choices))}." if setting.choices else ""
            yield f".TP\n.B {setting.name}\n{_text(setting.help + choices + default)}"
    yield ".SH SEE ALSO\n.BR rear (8)"


SYNTAX = """\
The files have assignments in the syntax of the shell, NAME=value, NAME=( a list ) and NAME+=( more ), and comments.
rear parses them and never executes them. It reads default.conf, the files of the architecture, of the operating system
and of its version, site.conf, and local.conf, all in /etc/rear; a later assignment wins. The command
`rear config check` names every error, and `rear dump` each value with the line it comes from.
"""


FILES = {
    "/etc/rear/local.conf": "Settings of this machine; rear config default prints all there are.",
    "/etc/rear/site.conf": "Settings of the site.",
    "/etc/rear/recovery/": "Description of this machine for its recovery.",
    "/var/lib/rear/output/": "Finished rescue media.",
    "/var/log/rear/": "Logs of the last runs.",
}


def _commands(ctx: click.Context, prefix: str) -> Iterator[str]:
    group = ctx.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        inner = _inner(ctx, name, command)
        if isinstance(command, click.Group):
            yield from _commands(inner, f"{prefix}{name} ")
            continue
        usage = " ".join(command.collect_usage_pieces(inner))
        yield f".SS {_escape(f'{prefix}{name}')} {_escape(usage)}"
        yield _text(command.help or "")
        yield from _options(inner)


def _inner(ctx: click.Context, name: str, command: click.Command) -> click.Context:
    inner = click.Context(command, info_name=name, parent=ctx)
    inner.obj = ctx.obj
    return inner


def _options(ctx: click.Context) -> Iterator[str]:
    for parameter in ctx.command.get_params(ctx):
        # Arguments are in the usage line; not every version of click describes them.
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record:
            yield f".TP\n.B {_escape(record[0])}\n{_text(record[1])}"


def _text(help_text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in help_text.replace("\b", "").split("\n\n")]
    return f"{os.linesep}.PP{os.linesep}".join(_escape(paragraph) for paragraph in paragraphs if paragraph)


def _escape(text: str) -> str:
    """Text that man(7) prints as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped
