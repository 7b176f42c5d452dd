# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal came to: as text, JSON, JUnit XML and HTML, kept with what the consoles printed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from rear_core.archive.progress import size
from rear_core.finalize.summary import duration
from rear_core.pages import render
from rear_core.pages.times import rehearsals, spans
from rear_core.records import Record, Rehearsal
from rear_core.removal import remove_tree
from rear_core.report import visible
from rear_core.storage.same_plan import SHOWN as SHOWN_OF_ID

VERSION = 1
KEPT = 20
SHOWN = 20


@dataclass
class Verdict:
    """A rehearsal as far as it got. Times are seconds: `stages` of the rehearsal, `phases` of the recovery in it.

    `problem` is what made it fail, "" when it did not; `differences` is what the recovery itself says is not as it was,
    `files_different` the restored files that are not as the backup has them, `unproven` what no virtual machine can
    show. `plan` is the id of the plan by which the recovery made the storage, and `steps` are its lines.
    """

    date: str
    hostname: str
    image: str
    backup: str
    backup_bytes: int
    firmware: str
    memory: int
    cpus: int
    emulated: bool
    disks: list[str]
    unproven: list[str]
    notes: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    files_compared: int = 0
    files_different: list[str] = field(default_factory=list)
    problem: str = "it was not finished"
    plan: str = ""
    steps: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether the machine came back."""
        return not self.problem


def dumps(verdict: Verdict) -> str:
    """The verdict as JSON."""
    return json.dumps({"version": VERSION, "succeeded": verdict.succeeded, **asdict(verdict)}, indent=2) + "\n"


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict as text."""
    yield f"Rehearsal of the recovery of {verdict.hostname}, {verdict.date}"
    yield f"  Rescue image: {verdict.image}"
    yield f"  Backup: {verdict.backup} ({size(verdict.backup_bytes)} of files)"
    way = "emulated" if verdict.emulated else "KVM"
    yield f"  Machine: {verdict.firmware}, {verdict.memory} MiB of memory, {verdict.cpus} processors, {way}"
    yield from (f"  {disk}" for disk in verdict.disks)
    yield from (f"  Note: {note}" for note in verdict.notes)
    yield (
        f"FAILED: {verdict.problem}"
        if verdict.problem
        else "SUCCEEDED: the machine was recovered and started by itself"
    )
    if verdict.plan and verdict.succeeded:
        id = verdict.plan[:SHOWN_OF_ID]
        yield f"  Plan {id}: `rear recover --plan {id}` recovers by this plan and no other"
    if verdict.files_compared:
        different = len(verdict.files_different)
        yield f"  {verdict.files_compared} files compared with the backup, {different or 'none'} differ"
        yield from _some(verdict.files_different)
    if verdict.differences:
        yield "Differs from before:"
        yield from _some(verdict.differences)
    if verdict.stages:
        yield f"Recovery time: {duration(recovery_time(verdict))}" if verdict.succeeded else "Times:"
        for stage, seconds in verdict.stages.items():
            yield f"  {stage}: {duration(seconds)}{_phases(verdict) if stage == RECOVER else ''}"
        if verdict.emulated:
            yield "  The processor was emulated, which takes many times longer than the real machine will."
    yield "Not proven by this:"
    yield from (f"  {line}" for line in verdict.unproven)


# The first two and the last are also a part of a real recovery.
BOOT = "Boot the rescue image"
RECOVER = "Recover"
COMPARE = "Compare the files with the backup"
START = "Start the recovered system"
STAGES = (BOOT, RECOVER, COMPARE, START)


def recovery_time(verdict: Verdict) -> float:
    """Seconds from the start of the rescue image to the recovered system."""
    return sum(verdict.stages.get(stage, 0) for stage in (BOOT, RECOVER, START))


def measured(verdict: Verdict, folder: Path) -> Rehearsal | None:
    """What the rehearsal says about the time that a recovery takes; nothing when it failed."""
    if not verdict.succeeded:
        return None
    restoring = round(verdict.phases.get("restore", 0))
    return Rehearsal(
        round(recovery_time(verdict)), restoring, verdict.backup_bytes, verdict.emulated, os.fspath(folder),
        verdict.plan,
    )  # fmt: skip


def _phases(verdict: Verdict) -> str:
    listed = ", ".join(f"{phase} {duration(seconds)}" for phase, seconds in verdict.phases.items())
    return f" ({listed})" if listed else ""


def _some(listed: list[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in listed[:SHOWN])
    if len(listed) > SHOWN:
        yield f"  and {len(listed) - SHOWN} more, in the report as JSON"


def junit(verdict: Verdict) -> str:
    """The verdict for the server of a CI: a suite with a case for each stage, as JUnit of Ant writes it.

    What failed is the last stage that was begun; those after it were skipped.
    """
    begun = [stage for stage in STAGES if stage in verdict.stages] or [BOOT]
    failed = "" if verdict.succeeded else begun[-1]
    suite = ElementTree.Element(
        "testsuite",
        name=f"rear drill of {visible(verdict.hostname)}",
        tests=f"{len(STAGES)}",
        failures=f"{int(bool(failed))}",
        errors="0",
        skipped=f"{len(STAGES) - len(begun)}",
        time=f"{sum(verdict.stages.values()):.3f}",
    )
    for stage in STAGES:
        seconds = f"{verdict.stages.get(stage, 0):.3f}"
        case = ElementTree.SubElement(suite, "testcase", classname="rear.drill", name=stage, time=seconds)
        if stage == failed:
            failure = ElementTree.SubElement(case, "failure", message=visible(verdict.problem))
            failure.text = "\n".join(map(visible, lines(verdict)))
        elif stage not in begun:
            ElementTree.SubElement(case, "skipped")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def page(verdict: Verdict, earlier: Sequence[Record]) -> str:
    """The verdict as HTML, with a plot of it and of the rehearsals among the records of earlier runs."""
    own = Record(
        "drill", verdict.date, round(sum(verdict.stages.values())), "done" if verdict.succeeded else "failed",
        int(not verdict.succeeded), error=verdict.problem,
        rehearsals=tuple(filter(None, [measured(verdict, Path())])),
    )  # fmt: skip
    return render(
        "drill.html.j2",
        [Path(__file__).parent],
        verdict=verdict,
        stages=spans(verdict.stages),
        phases=spans(verdict.phases),
        recovery_time=recovery_time(verdict),
        plan=verdict.plan[:SHOWN_OF_ID] if verdict.succeeded else "",
        plot=rehearsals([*earlier, own]),
        most=SHOWN,
    )


def keep(verdict: Verdict, folder: Path, html: Callable[[], str]) -> None:
    """Write report.txt, .json and .xml for root alone, and .html once these are safe, if it can be drawn.

    Of older rehearsals the last ones are kept.
    """
    plain = "\n".join(map(visible, lines(verdict))) + "\n"
    for suffix, text in (("json", dumps(verdict)), ("txt", plain), ("xml", junit(verdict))):
        _write(folder / f"report.{suffix}", text)
    if drawn := html():
        _write(folder / "report.html", drawn)
    for old in sorted(path for path in folder.parent.iterdir() if path.is_dir())[:-KEPT]:
        remove_tree(old)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
