# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages for people: one HTML file each that needs nothing else, for a screen, a phone or paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Interrupted
from ..report import Report, visible

if TYPE_CHECKING:
    import jinja2

OWN = Path(__file__).parent


def render(name: str, folders: Sequence[Path] = (), **values: object) -> str:
    """The page of this name, filled with values; `folders` are searched before the own one.

    Every value is shown as on the terminal, by `visible`, and cannot become a tag. The page is ASCII, so that it is
    the same wherever it is written to.
    """
    text = _environment(tuple(folders)).get_template(name).render(**values)
    return text.encode("ascii", "xmlcharrefreplace").decode()


def drawn(report: Report, draw: Callable[[], str]) -> str:
    """The page that `draw` makes, "" with a warning where it cannot: no run fails for that."""
    try:
        return draw()
    except Interrupted:
        raise
    except Exception as error:  # Whatever it is, the same is told as text.
        report.warn(f"the report has no HTML page: {type(error).__name__}: {error}")
        return ""


@cache
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    # Only who makes a page needs all this.
    import jinja2

    from ..finalize.summary import duration
    from ..storage.compare import human_size

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, OWN]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"duration": duration, "size": lambda size: human_size(size).partition(" (")[0]}
    return environment


def _shown(value: object) -> object:
    # What a macro has made is shown already.
    return value if hasattr(value, "__html__") else visible(str(value))
