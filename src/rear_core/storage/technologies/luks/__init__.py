# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS1 and LUKS2: encrypted volumes."""

from __future__ import annotations

from rear_core.storage.kinds import StorageKind

from . import header, recreate, references
from .capture import Luks, Slot, capture, contents
from .tokens import Token

KIND = StorageKind(
    "luks", (Luks,), capture, contents, recreate=recreate.recreate, refuses=recreate.refuses, notes=recreate.notes,
    start=recreate.start, stop=recreate.stop, naming_files=references.FILES, words=references.words,
    keeps_from_starting=references.missing_key_files, signatures=("crypto_LUKS",), header=header.KEEPER,
)  # fmt: skip

__all__ = ["KIND", "Luks", "Slot", "Token"]
