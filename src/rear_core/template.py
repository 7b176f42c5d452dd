# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of boot menus and alike, rendered by jinja2; administrators may put their own in place of ours."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import own_files
from .errors import ConfigurationError
from .settings.files import read_trusted

if TYPE_CHECKING:
    from .run import Run

OWN = Path(__file__).parent / "templates"


def render(run: Run, name: str, **values: object) -> str:
    """The template of this name, filled with values.

    The first is taken of CONFIG_DIR/templates, SHARE_DIR/templates, `templates/` in the packages of active plugins and
    of the core. Raises `ConfigurationError` with file and line for whatever is wrong in it, such as a variable that
    `values` does not have.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    theirs = [run.config_dir / "templates", *run.shared("templates")]
    ours = [*run.plugins.folders("templates"), OWN]
    loaded: list[str] = []

    def load(wanted: str) -> tuple[str, str, None] | None:
        for path in (folder / wanted for folder in (*theirs, *ours)):
            own_files.check_links(path)
            if path.is_file():
                loaded.append(os.fspath(path))
                # What an administrator wrote nobody else may have changed.
                text = read_trusted(path) if path.parent in theirs else path.read_bytes()
                return text.decode(errors="replace"), os.fspath(path), None
        return None

    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    known = f"it can use the variables {', '.join(sorted(values))}"
    try:
        return environment.get_template(name).render(**values)
    except jinja2.TemplateNotFound as error:
        raise ConfigurationError(f"there is no template {error.name}", "install its plugin again") from error
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"{error.filename}:{error.lineno}: {error.message}", known) from error
    except ConfigurationError:
        raise
    except Exception as error:  # What is written in a template decides what can go wrong in it.
        raise ConfigurationError(f"{_place(error, loaded)}: {error}", known) from error


def _place(error: Exception, templates: Sequence[str]) -> str:
    """File and line in a template: jinja2 puts both into the traceback, as if templates were Python."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in templates]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else templates[0]
