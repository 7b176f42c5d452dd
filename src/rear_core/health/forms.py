# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of a status: for people, as JSON, for Nagios, and for Prometheus by its node_exporter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from .checks import Check, State, worst

# Of the JSON, which `health.fleet` reads from many machines.
VERSION = 1

# What each metric says, by its name without `rear_`; all are gauges.
METRICS = {
    "check_state": "Verdict of each check of rear status: 0 ok, 1 warning, 2 critical, 3 unknown.",
    "status_timestamp_seconds": "When rear status wrote this file.",
    "backup_timestamp_seconds": "When the last good backup ended; of several methods the oldest of their last ones.",
    "backup_duration_seconds": "How long the last good backup took.",
    "backup_files": "Files in the last good backup.",
    "backup_bytes": "Bytes of the files in the last good backup.",
    "backup_stored_bytes": "Bytes that the last good backup added to its place.",
    "verification_timestamp_seconds": "When a backup was read from beginning to end last and was as it was made.",
    "left_out_bytes": "Bytes that are not in the last good backup.",
    "missed": "What the last good backup lacks although no setting says so.",
    "media_timestamp_seconds": "When rescue media were made last.",
    "media_bytes": "Bytes of the last rescue media.",
    "media_kernel_outdated": "Whether this machine has a newer kernel than its rescue media.",
    "layout_changes": "Differences between this machine and what its rescue media know of it.",
    "drill_timestamp_seconds": "When a rehearsal of the recovery succeeded last.",
    "recovery_predicted_seconds": "How long a recovery will take, by those that were measured.",
}


def lines(checks: Sequence[Check], *, quiet: bool = False) -> Iterator[str]:
    """A line for each check; when `quiet`, only for those that are not well."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        if check.state or not quiet:
            yield f"{check.name.ljust(width)}  {check.state.name.lower():8}  {check.text}"


def as_json(checks: Sequence[Check], host: str, now: float) -> str:
    """One object on one line: whose status it is, of when in seconds since 1970, and the checks."""
    found = {c.name: {"state": c.state.name.lower(), "text": c.text, **c.values} for c in checks}
    return json.dumps(
        {"version": VERSION, "host": host, "time": round(now), "state": worst(checks).name.lower(), "checks": found}
    )


def summary(checks: Sequence[Check]) -> str:
    """What is not well, in a line."""
    return "; ".join(f"{check.name}: {check.text}" for check in checks if check.state) or "all is well"


def nagios(checks: Sequence[Check]) -> str:
    """What a plugin of Nagios prints (Monitoring Plugins guidelines): what is not well, then a bar and the numbers."""
    state = worst(checks)
    numbers = [f"{name}={round(value)}" for check in checks for name, value in check.values.items()]
    # A bar would begin the numbers.
    text = summary(checks).replace("|", "/")
    return f"REAR {state.name} - {text}" + (f" | {' '.join(numbers)}" if numbers else "")


def prometheus(checks: Sequence[Check], now: float) -> str:
    """Metrics in the text format of Prometheus, version 0.0.4."""
    values = {name: [(f"rear_{name}", value)] for check in checks for name, value in check.values.items()}
    states = [(f'rear_check_state{{check="{check.name}"}}', float(check.state)) for check in checks]
    values = {"check_state": states, "status_timestamp_seconds": [("rear_status_timestamp_seconds", now)], **values}
    found = []
    for name, samples in values.items():
        found += [f"# HELP rear_{name} {METRICS[name]}", f"# TYPE rear_{name} gauge"]
        found += [f"{sample} {value:.15g}" for sample, value in samples]
    return "\n".join(found) + "\n"


def unknown(text: str) -> list[Check]:
    """What to show where nobody could look: one check that says why."""
    return [Check("status", State.UNKNOWN, text)]
