# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot menu of rescue media, rendered from templates/."""
from __future__ import annotations

from pathlib import Path

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str, **values: object) -> str:
    """A template filled with values; one that is missing is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(template).render(**values)


def grub_menu(*, title: str, kernel: str, initramfs: str, command_line: str, timeout: int) -> str:
    """The GRUB menu: `kernel` and `initramfs` are paths on the medium, `title` names the machine."""
    return render(
        "grub.cfg.j2",
        title=_quoted(title),
        kernel=kernel,
        initramfs=initramfs,
        command_line=command_line,
        timeout=timeout,
    )


def _quoted(text: str) -> str:
    """Text that is safe between double quotes of GRUB's script language."""
    return "".join(character for character in text if character.isprintable() and character not in '"\\$`')
