# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of `rear status`: facts in, verdicts out; nothing here looks at the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from ..archive.progress import duration, size
from ..records import LeftOut, Record, Rehearsal
from ..system.kernel import version_key

DAY = 86400
# Names that are shown of a longer list.
SHOWN = 3
SAVING = ("mkbackup", "mkbackuponly")
MAKING_MEDIA = ("mkrescue", "mkbackup")


class State(IntEnum):
    """The verdict of a check, as the plugins of Nagios number it."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# From good to bad: what is unknown may be well, and is worse than that.
SEVERITY = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


@dataclass(frozen=True)
class Check:
    """A verdict: `text` says why in a line, `values` are the numbers behind it by the names of their metrics."""

    name: str
    state: State
    text: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What the checks are about.

    `hopeless` says why no recovery can bring the machine back, "" where one may. `now` is in seconds since 1970.
    `limits` are by check the days after which it is a warning, and critical; it may lack either. `methods` are those of
    BACKUP that save when rear runs them. `rehearses` says whether a rehearsal is possible here. `changes` are what is
    not as the media know it, None where nothing was ever described, and `problem` why nobody could look. `kernel` is
    the one that media would have now. `recoveries` were measured on the real machine. `exists` says whether a file is
    there.
    """

    now: float
    records: Sequence[Record]
    limits: Mapping[str, Sequence[int]]
    methods: Sequence[str] = ()
    rehearses: bool = False
    changes: Sequence[str] | None = ()
    problem: str = ""
    hopeless: str = ""
    kernel: str = ""
    recoveries: Sequence[Rehearsal] = ()
    exists: Callable[[str], bool] = lambda _path: True


def examine(facts: Facts) -> list[Check]:
    """All checks that this machine has, in the order in which they are shown."""
    # A clock that was ahead once would have a record count as the newest for years.
    known = [record for record in facts.records if record.ended <= facts.now + DAY]
    facts = Facts(**{**vars(facts), "records": known})
    checks = [_backup(facts), _verification(facts), _coverage(facts), _media(facts), _layout(facts)]
    if facts.rehearses or any(record.command == "drill" for record in known):
        checks.append(_drill(facts))
    return [*checks, _recovery_time(facts)]


def worst(checks: Sequence[Check]) -> State:
    """The verdict on all of them."""
    return max((check.state for check in checks), key=SEVERITY.index, default=State.OK)


def _newest(records: Sequence[Record], commands: Sequence[str]) -> Record | None:
    """The newest run of one of these commands that was done."""
    return next((record for record in reversed(records) if record.done and record.command in commands), None)


def _of_each_method(facts: Facts) -> list[Record | None]:
    """The newest backup that was done by each method, of those that nobody has removed since."""
    forgotten = {record.forgotten for record in facts.records}

    def is_left(record: Record, method: str) -> bool:
        names = {entry.name for entry in record.saved if entry.method.lower() == method.lower()}
        return not names or not names <= forgotten

    def newest(method: str) -> Record | None:
        known = of_methods(facts.records, [method])
        return _newest([record for record in known if is_left(record, method)], SAVING)

    return [newest(method) for method in facts.methods]


def of_methods(records: Sequence[Record], methods: Sequence[str]) -> Sequence[Record]:
    """The runs with one of these methods: what another one has saved, read or rehearsed, no recovery gets at now.

    Without methods all: another program than rear saves the files.
    """
    wanted = {method.lower() for method in methods}
    return [record for record in records if not wanted or _is_of(record, wanted)]


def _is_of(record: Record, wanted: set[str]) -> bool:
    """A record of an earlier rear has only the methods of what it saved; one without any may be of any."""
    had = {method.lower() for method in record.methods or [entry.method for entry in record.saved]}
    return record.only.lower() in wanted if record.only else not had or not had.isdisjoint(wanted)


def _failure(records: Sequence[Record], commands: Sequence[str]) -> str:
    """Why the newest run of these commands did not do what it is for, "" when it did."""
    tried = next((record for record in reversed(records) if record.command in commands), None)
    return "" if tried is None or tried.done else f"the last try {_said(tried)}"


def _said(record: Record) -> str:
    word = {"refused": "was refused", "interrupted": "was interrupted"}.get(record.result, "failed")
    return f"{word}: {record.error}" if record.error else word


def _aged(facts: Facts, name: str, ended: float) -> State:
    """The verdict on something by its age alone."""
    days = (facts.now - ended) / DAY
    passed = [days > limit > 0 for limit in facts.limits.get(name, ())]
    return State.CRITICAL if any(passed[1:]) else State.WARNING if any(passed) else State.OK


def _age(facts: Facts, ended: float) -> str:
    seconds = max(facts.now - ended, 0)
    return f"{seconds / DAY:.0f} days old" if seconds >= 2 * DAY else f"{seconds / 3600:.0f} hours old"


def _judged(state: State, *reasons: str) -> State:
    """At least a warning where there is a reason for one."""
    return max(state, State.WARNING) if any(reasons) else state


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _backup(facts: Facts) -> Check:
    if not facts.methods:
        return Check("backup", State.OK, "another program than rear saves the files of this machine")
    found, failure = _of_each_method(facts), _failure(of_methods(facts.records, facts.methods), SAVING)
    if lacking := [method for method, record in zip(facts.methods, found) if record is None]:
        return Check("backup", State.CRITICAL, _joined(f"there is no backup by {' '.join(lacking)}", failure))
    oldest = min((record for record in found if record), key=lambda record: record.ended)
    saved = [entry for record in found if record for entry in record.saved]
    told = f"{sum(e.files for e in saved)} files, {size(sum(e.bytes for e in saved))}, " if saved else ""
    values = {
        "backup_timestamp_seconds": oldest.ended,
        "backup_duration_seconds": oldest.seconds,
        "backup_files": sum(entry.files for entry in saved),
        "backup_bytes": sum(entry.bytes for entry in saved),
        "backup_stored_bytes": sum(entry.size for entry in saved),
    }
    text = f"{_age(facts, oldest.ended)}, {told}in {duration(oldest.seconds)}"
    state = _judged(_aged(facts, "backup", oldest.ended), failure)
    return Check("backup", state, _joined(text, failure), values)


def _verification(facts: Facts) -> Check:
    """A backup that was not as it was made is critical until one is."""
    records = of_methods(facts.records, facts.methods)
    read = next((record for record in reversed(records) if record.read or _checked(record)), None)
    tried = next((record for record in reversed(records) if record.command == "checkbackup"), None)
    if tried and not tried.done and (read is None or read.ended < tried.ended):
        return Check("verification", State.CRITICAL, f"the last check {_said(tried)}")
    if read is None:
        return Check("verification", State.WARNING, "no backup was read back: run `rear backup check`")
    text = f"{_age(facts, read.ended)}, as it was made"
    values = {"verification_timestamp_seconds": read.ended}
    return Check("verification", _aged(facts, "verification", read.ended), text, values)


def _checked(record: Record) -> bool:
    return record.command == "checkbackup" and record.done


def _coverage(facts: Facts) -> Check:
    records = [record for record in _of_each_method(facts) if record]
    entries = {entry.name: entry for record in records for entry in record.left_out}.values()
    missed = [entry for entry in entries if entry.missed]
    left_out = sum(entry.bytes for entry in entries)
    values = {"left_out_bytes": left_out, "missed": len(missed)} if records else {}
    if missed:
        return Check("coverage", State.WARNING, f"not saved: {_named(missed)}", values)
    wanted = f"{size(left_out)} are left out, as the settings say" if entries else "everything is saved"
    return Check("coverage", State.OK, wanted if records else "there is no backup to look at", values)


def _named(entries: Sequence[LeftOut]) -> str:
    more = f", and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return ", ".join(f"{entry.name} ({entry.reason})" for entry in entries[:SHOWN]) + more


def _media(facts: Facts) -> Check:
    made, failure = _newest(facts.records, MAKING_MEDIA), _failure(facts.records, MAKING_MEDIA)
    if made is None:
        return Check("media", State.CRITICAL, _joined("no rescue media were made: run `rear mkrescue`", failure))
    newer = facts.kernel if made.kernel and version_key(facts.kernel) > version_key(made.kernel) else ""
    outdated = f"they have the kernel {made.kernel}, but {newer} is here" if newer else ""
    gone = next((f"{m.path} is gone" for m in made.media if m.bytes and not facts.exists(m.path)), "")
    state = _judged(_aged(facts, "media", made.ended), failure, outdated, gone)
    values = {
        "media_timestamp_seconds": made.ended,
        "media_bytes": sum(medium.bytes for medium in made.media),
        "media_kernel_outdated": float(bool(newer)),
    }
    return Check("media", state, _joined(_age(facts, made.ended), outdated, gone, failure), values)


def _layout(facts: Facts) -> Check:
    if facts.problem:
        return Check("layout", State.UNKNOWN, facts.problem)
    if facts.changes is None:
        return Check("layout", State.CRITICAL, "this machine was never described: run `rear mkrescue`")
    values = {"layout_changes": len(facts.changes)}
    if facts.hopeless:
        return Check("layout", State.CRITICAL, f"no recovery can bring this machine back: {facts.hopeless}", values)
    if not facts.changes:
        return Check("layout", State.OK, "as the media know it", values)
    more = f", and {len(facts.changes) - SHOWN} more" if len(facts.changes) > SHOWN else ""
    text = f"changed since the media were made: {', '.join(facts.changes[:SHOWN])}{more}"
    return Check("layout", State.WARNING, text, values)


def _drill(facts: Facts) -> Check:
    records = of_methods(facts.records, facts.methods)
    last = next((record for record in reversed(records) if record.command == "drill"), None)
    worked = _newest(records, ["drill"])
    if last and last.result == "failed":
        return Check("drill", State.CRITICAL, f"the last rehearsal failed: {last.error}")
    failure = _failure(records, ["drill"])
    if worked is None:
        return Check("drill", State.WARNING, _joined("no recovery was rehearsed: run `rear drill`", failure))
    state = _judged(_aged(facts, "drill", worked.ended), failure)
    text = f"{_age(facts, worked.ended)}, the machine was recovered"
    return Check("drill", state, _joined(text, failure), {"drill_timestamp_seconds": worked.ended})


def _recovery_time(facts: Facts) -> Check:
    measured = next(iter([*_measured(facts, emulated=False), *_measured(facts, emulated=True)]), None)
    if measured is None:
        return Check("recovery-time", State.OK, "not known: `rear drill` measures it")
    now = sum(entry.bytes for record in _of_each_method(facts) if record for entry in record.saved)
    seconds = predicted(measured, now)
    emulated = "at most, as the processor was emulated" if measured.emulated else ""
    text = " ".join(filter(None, ["about", duration(seconds), emulated]))
    return Check("recovery-time", State.OK, text, {"recovery_predicted_seconds": round(seconds)})


def _measured(facts: Facts, *, emulated: bool) -> Iterator[Rehearsal]:
    """What was measured, the newest rehearsal first, and recoveries of the real machine before all."""
    rehearsed = (found for record in reversed(facts.records) for found in record.rehearsals)
    yield from (found for found in (*facts.recoveries, *rehearsed) if found.emulated is emulated)


def predicted(measured: Rehearsal, now: int) -> float:
    """Seconds that a recovery of so many bytes takes: only the restore grows with them.

    >>> predicted(Rehearsal(seconds=300, restore_seconds=200, bytes=10), 20)
    500.0
    """
    more = now / measured.bytes - 1 if now and measured.bytes else 0
    return measured.seconds + measured.restore_seconds * more
