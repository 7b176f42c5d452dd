# SPDX-License-Identifier: GPL-3.0-or-later
"""How long recoveries of this machine took: a recovered system has the reports of them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from .. import own_files
from ..errors import RearError
from ..finalize.summary import FOLDER
from ..records import Rehearsal


def recoveries(folder: Path = Path(FOLDER)) -> list[Rehearsal]:
    """Those that reports tell of, the newest first; one that cannot be read tells nothing.

    How much each restored is not in its report; the start of the rescue system is not in its time.
    """
    found = []
    for path in sorted(folder.glob("recovery-*.json"), reverse=True):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RearError):
            report = json.loads(own_files.read_text(path))
            seconds = {str(name): float(spent) for name, spent in report["seconds"].items()}
            found.append(Rehearsal(round(sum(seconds.values())), round(seconds.get("restore", 0)), 0))
    return found
