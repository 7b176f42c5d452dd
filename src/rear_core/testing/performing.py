# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of the conformance suite share: steps that must succeed, and reasons why a check does not apply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from ..errors import ConfigurationError, ProgramMissing, Refused
from .harness import Ended, Harness, Subject, make_tree
from .watch import changes, differences, picture

# Of a message, so that it is one line of a terminal or a few.
LONGEST = 400


def performed(harness: Harness, *phases: str) -> Ended:
    """Run the plugin's steps of some phases, which must succeed."""
    if not harness.has_steps(*phases):
        skip(harness.subject, f"has no step in {', '.join(phases)}")
    can_run(harness)
    if not any(harness.tree.glob("*")):
        make_tree(harness.tree)
    return successful(harness, harness.go(*phases))


def recovery(harness: Harness) -> Ended:
    """Bring back what was saved, which must succeed."""
    return successful(harness, harness.recover())


def successful(harness: Harness, ended: Ended) -> Ended:
    """A run that came to a good end."""
    if isinstance(ended.error, (ConfigurationError, ProgramMissing, Refused)) and not harness.supplied:
        skip(harness.subject, f"{ended.error.message}, and no file test_conformance.py here has a fixture `supply`")
    if ended.error:
        hint = "does the fixture `supply` give all that the plugin needs?"
        pytest.fail(f"its steps fail: {ended.error} ({ended.error.hint}); {hint}")
    assert list(ended.left) == [], "its steps leave this process otherwise than they found it"
    return ended


def can_run(harness: Harness) -> None:
    """Skip the check where the plugin's author says that no step can be run."""
    if harness.supply.cannot_run:
        skip(harness.subject, harness.supply.cannot_run)


@contextmanager
def unchanged(harness: Harness, *besides: Path) -> Iterator[None]:
    """A block after which all is as it was before, `besides` a few places."""
    passing = (*harness.passing, *besides)
    before = picture(harness.folder, passing)
    with changes(passing) as changed:
        yield
    assert changed == []
    assert differences(before, picture(harness.folder, passing)) == []


def skip(subject: Subject, reason: str) -> NoReturn:
    """Say that a check does not apply, to what, and why."""
    pytest.skip(f"{subject}: {reason}")


def is_line(text: object) -> bool:
    """Whether that is one line of text, short enough to be read."""
    return isinstance(text, str) and 0 < len(text.strip()) <= LONGEST and "\n" not in text
