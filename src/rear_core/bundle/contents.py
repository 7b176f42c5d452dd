# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the files of a bundle, each part by itself: one that fails is named in it, and the others are there."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__, log_files, own_files, records
from ..doctor.examination import Finding, as_json
from ..errors import Interrupted, RearError
from ..plugins import CORE
from ..report import MASK, visible
from ..storage.layout import Layout, dumps
from . import machine
from .anonymous import Anonymizer
from .cleaning import Cleaner, as_document
from .machine import Recording
from .masking import Masking
from .names import names, of_this_machine
from .words import texts

if TYPE_CHECKING:
    from ..run import Run

# The newest logs and records, and how much of the end of each log, in letters.
LOGS, RECORDS, LONGEST = 8, 100, 1 << 20
ABOUT = """\
This file was made by `rear report` for a report of a fault of rear.

machine/           what programs print of the storage, and the layout that rear makes of it
recovery/          the description of this machine that rear keeps
network.json       the network as rear describes it now
configuration.txt  settings that are not at their default
doctor.json        what `rear doctor` finds
runs.jsonl         records of runs, logs/ their logs
versions.json      versions of rear, its plugins and the system
problems.txt       what could not be collected

Secrets are masked.{anonymized} Look at it before you hand it to somebody.

To replay the storage of this machine, in a checkout of rear:

    .venv/bin/python -m rear_core.testing.bundle FILE tests/machines/NAME
"""
ANONYMIZED = """ Names, addresses and identifiers are replaced by pseudonyms of the same form, the same
ones in all files. Names that say nothing of their owner stay, as root, data and sda1."""
FIELD = re.compile(r'"([\w-]+)":\s*("(?:[^"\\\n]|\\.)*")')


@dataclass
class Bundle:
    """The files by name; `problems` are what could not be collected, `cleaner` knows what it has replaced."""

    cleaner: Cleaner
    files: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        """A file with a text that is clean; what is left of names in it, its fields apart, keeps it out."""
        document = as_document(text if name.endswith(".json") else text.partition("\n\n")[2])
        shown = text if document is None else "\n".join(texts(document))
        if self.cleaner.anonymizer and (left := self.cleaner.anonymizer.left(shown)):
            self.problems.append(f"{name} is left out: {len(left)} names in it could not be replaced")
            return
        self.files[name] = text.encode(errors="surrogateescape")

    def add_document(self, name: str, document: Any, *, machine: bool = False) -> None:
        """A file with a JSON document, which is cleaned; of rear's own, or of the `machine`."""
        self.add(name, _json(self.cleaner.document(document, machine=machine)))

    def attempt(self, what: str, collect: Callable[[], object]) -> None:
        """Do a part, or note why it could not be done."""
        try:
            collect()
        except Interrupted:
            raise
        except RearError as error:
            self.problems.append(f"{what}: {self.cleaner.text(error.message)}")
        except Exception as error:
            self.problems.append(f"{what}: {self.cleaner.text(f'{type(error).__name__}: {error}')}")


@dataclass
class Seen:
    """What was looked at, as far as that could be: the recording with its layout, and JSON documents by name."""

    storage: tuple[Recording, Layout] | None = None
    documents: dict[str, Any] = field(default_factory=dict)


def collect(
    run: Run,
    findings: Sequence[Finding],
    *,
    anonymize: bool,
    problems: Sequence[str] = (),
    logs: Path = log_files.FOLDER,
    here: Iterable[str] | None = None,
) -> Bundle:
    """The bundle of this machine; `problems` are those of its configuration, `here` the names of it and its people."""
    bundle, seen = Bundle(Cleaner(Masking(run))), Seen()
    bundle.attempt("machine", lambda: _record(run, seen))
    bundle.attempt("network.json", lambda: seen.documents.update({"network.json": _network(run)}))
    _read_described(run, bundle, seen)
    if anonymize:
        known = of_this_machine() if here is None else here
        bundle.cleaner = Cleaner(bundle.cleaner.masking, _anonymizer(run, seen, known, logs))
    bundle.attempt("machine", lambda: _add_machine(bundle, run, seen))
    for name, document in seen.documents.items():
        bundle.add_document(name, document, machine=True)
    bundle.attempt("versions.json", lambda: bundle.add_document("versions.json", _versions(run)))
    bundle.attempt("doctor.json", lambda: bundle.add_document("doctor.json", json.loads(as_json(findings))))
    settings = "configuration.txt"
    bundle.attempt(settings, lambda: bundle.add(settings, bundle.cleaner.text(_settings(run, problems))))
    bundle.attempt("runs.jsonl", lambda: _add_records(bundle, run))
    bundle.attempt("logs", lambda: _add_logs(bundle, run, logs))
    bundle.files["README.txt"] = ABOUT.format(anonymized=ANONYMIZED if anonymize else "").encode()
    if bundle.problems:
        bundle.files["problems.txt"] = "".join(f"{visible(line)}\n" for line in bundle.problems).encode()
    return bundle


def _record(run: Run, seen: Seen) -> None:
    seen.storage = machine.record(run.sh, run.plugins.call("rear_storage_kinds"), _included(run))


def _anonymizer(run: Run, seen: Seen, here: Iterable[str], logs: Path) -> Anonymizer:
    """One that knows all names that this machine has, and had when the logs were written."""
    known = [*seen.documents.values(), *(one for path in _logs(run, logs) for one in _fields(path))]
    # It may have had another name then.
    known += [{"hostname": record.hostname} for record in records.load(run.var_dir)[-RECORDS:]]
    plain: set[str] = set()
    if seen.storage:
        recording, layout = seen.storage
        known += [*machine.documents(recording, as_document), json.loads(dumps(layout))]
        plain = machine.of_programs(recording, run.plugins.call("rear_storage_kinds"))
    anonymizer = Anonymizer(names(run.settings, known, here), plain)
    # So that it knows the addresses before it meets them in other forms.
    for document in seen.documents.values():
        anonymizer.document(document)
    return anonymizer


def _included(run: Run) -> Sequence[str]:
    included: Sequence[str] = run.settings["INCLUDE_DEVICES"]
    return included


def _network(run: Run) -> Any:
    from ..encoding import encode
    from ..network.capture import capture

    return encode(capture(run.sh))


def _read_described(run: Run, bundle: Bundle, seen: Seen) -> None:
    """The JSON files of the description that rear keeps."""
    for path in sorted(run.recovery_dir.glob("*.json")) if run.recovery_dir.is_dir() else ():

        def read(path: Path = path) -> None:
            seen.documents[f"recovery/{_plain(path.name)}"] = json.loads(own_files.read_text(path))

        bundle.attempt(f"recovery/{_plain(path.name)}", read)


def _add_machine(bundle: Bundle, run: Run, seen: Seen) -> None:
    """What can be replayed, or nothing of it."""
    if seen.storage is None:
        return
    recording, layout = seen.storage
    clean, before = bundle.cleaner, len(bundle.problems)
    recorded = machine.cleaned(recording, clean.text, clean.outcome)
    kinds, included = run.plugins.call("rear_storage_kinds"), [clean.text(name) for name in _included(run)]
    for name, text in machine.as_files(recorded, layout, kinds, included).items():
        bundle.add(f"machine/{name}", text)
    if len(bundle.problems) > before:
        bundle.files = {name: data for name, data in bundle.files.items() if not name.startswith("machine/")}


def _versions(run: Run) -> dict[str, Any]:
    system = run.system
    return {
        "rear": __version__,
        "python": platform.python_version(),
        "system": {"os": asdict(system.os), "machine": system.machine, "kernel": system.running_kernel,
                   "firmware": asdict(system.firmware), "virtualization": system.virtualization,
                   "selinux": system.selinux},
        "plugins": [
            {"kind": plugin.kind, "plugin": plugin.label, "distribution": plugin.distribution,
             "version": plugin.version, "problem": plugin.problem}
            for plugin in (*run.plugins.active, *run.plugins.broken) if plugin.kind != CORE
        ],
    }  # fmt: skip


def _settings(run: Run, problems: Sequence[str]) -> str:
    """A line for each setting that is not at its default, with where it was set; secret ones without their value."""
    from ..settings import quote

    lines = [f"# not valid: {problem}" for problem in problems]
    for name, setting in sorted(run.settings.declared.items()):
        if run.settings[name] != setting.default:
            value = MASK if setting.secret else run.settings[name]
            lines.append(f"{name}={quote(value)}  # {run.settings.origin(name)}")
    return "".join(f"{line}\n" for line in lines)


def _add_records(bundle: Bundle, run: Run) -> None:
    """Records on a line each, the oldest first."""
    found = [json.loads(records.dumps(record)) for record in records.load(run.var_dir)[-RECORDS:]]
    clean = [json.dumps(bundle.cleaner.document(record, machine=False)) for record in found]
    bundle.add("runs.jsonl", "".join(f"{line}\n" for line in clean))


def _add_logs(bundle: Bundle, run: Run, folder: Path) -> None:
    """The ends of the newest logs."""
    for path in _logs(run, folder):

        def add(path: Path = path) -> None:
            text = _end(own_files.read(path).decode(errors="replace"))
            bundle.add(f"logs/{_plain(path.name)}", bundle.cleaner.text(text))

        bundle.attempt(f"logs/{_plain(path.name)}", add)


def _end(text: str) -> str:
    """The last lines of a log; what is left of a private key that was cut is no key for those who look for one."""
    if len(text) <= LONGEST:
        return text
    last = text[-LONGEST:].partition("\n")[2]
    end, begin = last.find("-----END "), last.find("-----BEGIN ")
    last = last[end:] if end >= 0 and not 0 <= begin < end else last
    return f"... {len(text) - len(last)} letters before this are left out\n{last}"


def _logs(run: Run, folder: Path) -> list[Path]:
    named = [Path(run.settings["LOGFILE"])] if run.settings["LOGFILE"] else []
    there = [path for path in folder.glob("*.log") if log_files.NAME.fullmatch(path.name)] if folder.is_dir() else []
    return [*sorted(there, key=lambda path: path.name)[-LOGS:], *filter(os.path.lexists, named)]


def _fields(path: Path) -> Iterator[dict[str, Any]]:
    """Fields of JSON that programs printed into a log: of a disk that is gone by now, nothing else tells the names."""
    with suppress(OSError, RearError):
        for name, value in FIELD.findall(own_files.read(path).decode(errors="replace")):
            with suppress(ValueError):
                yield {name: json.loads(value)}


def _plain(name: str) -> str:
    """A name that every program takes for a file."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100].lstrip(".-") or "_"


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, default=str) + "\n"
