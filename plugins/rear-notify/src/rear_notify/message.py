# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a run, and whether anything is."""

from __future__ import annotations

from collections.abc import Iterator

from rear_core.archive.progress import duration, size
from rear_core.records import Record

BACKUPS = ("mkbackup", "mkbackuponly")
# What runs at night; whoever lists, restores or recovers sits in front of it.
TOLD = (*BACKUPS, "mkrescue", "checkbackup", "drill", "savelayout")


def matters(record: Record, when: str) -> bool:
    """Whether to tell of a run: of one with a problem, or "always"."""
    return record.command in TOLD and (when == "always" or not record.done or bool(record.warnings))


def title(record: Record) -> str:
    """A line without anything but what it is about."""
    warnings = f", {len(record.warnings)} warnings" if record.warnings else ""
    return f"rear {record.command} on {record.hostname}: {record.result}{warnings}"


def text(record: Record) -> str:
    """The run for people, in a few lines."""
    return "".join(f"{line}\n" for line in _lines(record))


def _lines(record: Record) -> Iterator[str]:
    yield title(record)
    yield f"It began {record.began} and took {duration(record.seconds)}."
    if record.error:
        yield f"ERROR: {record.error}"
    if record.hint:
        yield f"  What to do: {record.hint}"
    yield from (f"WARNING: {warning}" for warning in record.warnings)
    for saved in record.saved:
        yield f"Saved as {saved.name} by {saved.method}: {saved.files} files, {size(saved.bytes)}"
    for medium in record.media:
        yield f"Created {medium.path} ({size(medium.bytes)})" if medium.bytes else f"Created {medium.path}"
    if record.log:
        yield f"Log: {record.log}"
