# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to every text of a bundle: secrets are masked, and names replaced where that is wanted."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from ..shell import Outcome
from .anonymous import Anonymizer
from .masking import Masking


@dataclass(frozen=True)
class Cleaner:
    """Masks always, anonymizes with an `anonymizer`."""

    masking: Masking
    anonymizer: Anonymizer | None = None

    def text(self, text: str) -> str:
        """A clean text."""
        masked = self.masking.text(text)
        return self.anonymizer.text(masked) if self.anonymizer else masked

    def document(self, document: Any, *, machine: bool = True) -> Any:
        """A clean JSON document; in one that describes the `machine`, names are known by their fields."""
        masked = self.masking.document(document)
        return self.anonymizer.document(masked, machine=machine) if self.anonymizer else masked

    def outcome(self, outcome: Outcome) -> Outcome:
        """What a program printed; JSON keeps its form whatever is in a text of it."""
        document = as_document(outcome.stdout)
        if document is None:
            printed = self.text(outcome.stdout)
        else:
            clean = self.document(document)
            printed = outcome.stdout if clean == document else json.dumps(clean, indent=3) + "\n"
        return replace(outcome, stdout=printed, stderr=self.text(outcome.stderr))


def as_document(text: str) -> Any:
    """The JSON document in a text, None where it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
