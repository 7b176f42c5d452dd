# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page rear(8) and shell completion, both generated from the commands themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click
from click.shell_completion import get_completion_class

from .. import __version__


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
@click.pass_context
def manual(ctx: click.Context) -> None:
    """Print the manual page rear(8) in the format of man(7)."""
    assert ctx.parent is not None
    click.echo("\n".join(page(ctx.parent)))


def page(ctx: click.Context) -> Iterator[str]:
    """The lines of the manual page."""
    yield f'.TH REAR 8 "" "rear {__version__}" "System Administration"'
    yield ".SH NAME\nrear \\- bare-metal disaster recovery"
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
        inner = click.Context(command, info_name=name, parent=ctx)
        inner.obj = ctx.obj
        if isinstance(command, click.Group):
            yield from _commands(inner, f"{prefix}{name} ")
            continue
        usage = " ".join(command.collect_usage_pieces(inner))
        yield f".SS {prefix}{name} {_escape(usage)}"
        yield _text(command.help or "")
        yield from _options(inner)


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
