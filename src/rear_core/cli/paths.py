# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and paths of the command line, and files that commands write where they are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .. import durable
from ..errors import ConfigurationError, Refused


class GivenText(click.types.StringParamType):
    """A word that is not empty where it is given: with an empty variable of a script rear would do without it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word; the error of a bad parameter for an empty one that is no default."""
        default = ctx and param and param.name and ctx.get_parameter_source(param.name) == ParameterSource.DEFAULT
        if not value and not default:
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


class GivenPath(click.Path):
    """A path that is not empty: an empty variable of a script would mean the folder where rear happens to run."""

    def __init__(self, **checks: Any) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As `click.Path` has it; the error of a bad parameter for an empty one."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


# Without FILE it is the standard output.
html_option = click.option(
    "--html", type=GivenPath(dir_okay=False), is_flag=False, flag_value="-", metavar="[FILE]",
    help="Draw it as one HTML page instead, in FILE (.html), or on the standard output.",
)  # fmt: skip


def give_page(path: Path, text: str) -> None:
    """Write a page to a file, for its owner alone, or to the standard output for `-`.

    Only names that are those of pages are taken: a file that was there before is replaced.
    """
    if os.fspath(path) == "-":
        click.echo(text, nl=False)
        return
    if path.suffix not in (".html", ".htm"):
        raise ConfigurationError(f"{path} does not end in .html: no browser would show it", f"name it {path}.html")
    if not path.parent.is_dir():
        raise Refused(f"there is no folder {path.parent}", "create it, or name another one")
    durable.write(path.absolute(), text)
