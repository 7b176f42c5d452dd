# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the package of a new plugin, complete and working: `rear plugins new`.

The files are templates in the folders beside this module: those of `any`, and those of the plugin's kind.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from ..errors import RearError, Refused
from ..packages import package_of
from ..plugins import Found
from ..removal import discard

TEMPLATES = Path(__file__).parent
# What `rear plugins new` writes, and the kind of entry point that finds it. The templates of `client` are those of a
# backup by a vendor's program.
KINDS = {"backup": "backup", "output": "output", "os": "os", "storage": "extra", "boot": "extra", "extra": "extra"}
# What becomes part of a distribution's name (PEP 503), of a module and of a setting.
NAME = re.compile(r"(?=.{1,30}$)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")


def write(
    kind: str,
    name: str,
    directory: Path,
    installed: Collection[Found],
    settings: Collection[str],
    client: bool = False,
    known: Collection[str] = (),
) -> Path:
    """Write the package of a plugin to a new folder in `directory`, all of it or nothing; the folder.

    Raises `Refused` for a name that is none or is taken: by an installed plugin, by one of the known `settings`, by a
    technology or boot loader that is `known`, by a folder that is there. A backup is that of a vendor's `client`, or of
    archives in a folder.
    """
    if client and kind != "backup":
        raise Refused(f"--client is for a backup, and not for {kind}", "leave --client off")
    if not NAME.fullmatch(name):
        raise Refused(f"{name!r} cannot name a plugin", "use 1 to 30 letters, digits, and hyphens between them: acme")
    if name.lower() in {other.lower().replace(" ", "-") for other in known}:
        raise Refused(f"rear knows {name} already", "choose another name")
    words = describe(kind, name, client)
    _refuse_taken(KINDS[kind], words, installed, settings)
    folder = directory / words["distribution"]
    if os.path.lexists(folder):
        raise Refused(f"{folder} is there already", "choose another name or --directory")
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=directory))
        try:
            for path, text in files(words).items():
                (part / path).parent.mkdir(parents=True, exist_ok=True)
                (part / path).write_text(text)
            part.chmod(0o755)
            part.rename(folder)
        except BaseException:
            discard(part)
            raise
    except OSError as error:
        raise RearError(f"cannot write {folder}: {error.strerror}", "choose another --directory") from error
    return folder


def describe(kind: str, name: str, client: bool = False) -> dict[str, str]:
    """What the templates know of a plugin: its names in the configuration, on PyPI, in Python and in settings."""
    distribution = f"rear-{kind}-{name.lower()}"
    return {
        "kind": KINDS[kind],
        "template": "client" if client else kind,
        # As it stands in BACKUP= and OUTPUT=, and in lower case as ID of /etc/os-release.
        "name": name.upper() if kind in ("backup", "output") else name.lower(),
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "prefix": name.upper().replace("-", "_"),
        # What the made-up program of a vendor is called.
        "program": name.lower(),
    }


def _refuse_taken(kind: str, words: dict[str, str], installed: Collection[Found], settings: Collection[str]) -> None:
    for plugin in installed:
        if (plugin.kind, plugin.name.lower()) == (kind, words["name"].lower()):
            raise Refused(f"{plugin.distribution} has the plugin {plugin.label} already", "choose another name")
    if other := package_of(kind, words["name"]):
        raise Refused(f"{other} of this project has a plugin of this name", "choose another name")
    for plugin in installed:
        if plugin.distribution.lower() == words["distribution"]:
            raise Refused(f"{plugin.distribution} is installed already", "choose another name")
    taken = [name for name in settings if name.startswith(f"{words['prefix']}_")]
    if taken:
        raise Refused(f"settings that begin with {words['prefix']}_ are taken, as {taken[0]}", "choose another name")


def files(words: dict[str, str]) -> dict[str, str]:
    """The text of every file of the package by its path."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    found = {}
    for folder in (TEMPLATES / "any", TEMPLATES / words["template"]):
        for path in sorted(path for path in folder.rglob("*.j2") if path.is_file()):
            target = os.fspath(path.relative_to(folder).with_suffix("")).replace("PACKAGE", words["package"])
            found[target] = environment.from_string(path.read_text()).render(words)
    return found
