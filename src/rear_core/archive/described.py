# SPDX-License-Identifier: GPL-3.0-or-later
"""What the description of the machine, which is on its rescue media, says about its backups."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from .. import own_files
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..run import Run


def recorded(run: Run, fact: str) -> object:
    """A fact about the machine from its description, None when it is not there.

    A damaged description is an error where files are restored: it would believe every backup. It is made anew where
    they are saved.
    """
    path = run.recovery_dir / "system.json"
    try:
        return _facts(own_files.read_text(path)).get(fact)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if "verify" not in run.phases:
            return None
        raise ConfigurationError(
            f"cannot read {path}, which says whose backups to believe: {error}",
            "restore the file, use other rescue media, or run `rear savelayout` on the machine",
        ) from error


def _facts(text: str) -> dict[str, object]:
    """The facts of a description; `ValueError` when it is damaged."""
    try:
        facts = json.loads(text)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if not facts or not isinstance(facts, dict) or not isinstance(facts.get("signers", []), list):
        raise ValueError("it is not the description of a system")
    return facts


def signers(run: Run) -> list[str]:
    """The public keys that have signed backups of the machine, as far as it was described with some."""
    found = recorded(run, "signers")
    return [str(key) for key in found] if isinstance(found, list) else []


def _digits(name: str) -> str:
    return re.sub(r"\D", "", name)


def check_newest(run: Run, name: str, place: str) -> None:
    """Warn where the newest backup in a place is older than one that was there when the machine was described."""
    found = recorded(run, "backups")
    newest = max(map(str, found), key=_digits, default="") if isinstance(found, list) else ""
    if _digits(newest) > _digits(name) and not run.options.backup:
        run.report.warn(
            f"the newest backup in {place} is {name}, but these rescue media know of a newer one, {newest}:"
            " it was removed, is in another place, or cannot be seen"
        )
