# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the record of a run when it ends, however it ends, and has plugins tell it to whoever wants to know."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from .. import __version__, records
from ..errors import ExitCode, Interrupted, NotBegun, RearError, Refused
from ..records import Medium, Phase, Record
from ..run import Run
from ..workflow import notify

T = TypeVar("T")


@contextmanager
def recorded(run: Run, command: str) -> Iterator[None]:
    """A block whose end becomes `run.record`, which is kept, and told by plugins; the log is closed at the end."""
    began, started = time.gmtime(), time.monotonic()
    failed: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failed = error
        raise
    finally:
        if not run.options.simulate:
            made = _record(run, command, failed)
            seconds = round(time.monotonic() - started)
            run.record = replace(made, began=time.strftime(records.FORMAT, began), seconds=seconds)
            # Whoever types a wrong date, or comes while another run works, has learned nothing of this machine.
            if not isinstance(failed, NotBegun):
                _tell(run, run.record)
        run.report.close()


def _tell(run: Run, record: Record) -> None:
    """Keep the record, then have it told: a run that is stopped by then has its record, and a full disk keeps nobody
    from being told. Neither fails a run."""
    path = None
    try:
        path = records.keep(run.var_dir, record)
    except (RearError, OSError) as error:
        run.report.warn(f"this run has no record: {error}")
        run.record = replace(record, warnings=tuple(run.report.warnings))
    notify(run)
    if path and len(run.report.warnings) > len(record.warnings):
        run.record = replace(record, warnings=tuple(run.report.warnings))
        with suppress(RearError, OSError):
            records.rewrite(path, run.record)


def _record(run: Run, command: str, failed: BaseException | None) -> Record:
    outcome = run.outcome
    result, status = _ended(run, failed)
    record = Record(
        command=command, began="", seconds=0, result=result, status=int(status),
        version=__version__, hostname=socket.gethostname(), machine=_machine(run),
        error=_error(run, failed), hint=failed.hint if isinstance(failed, RearError) else "",
        log=str(run.report.log_path or ""), layout=_layout(run), kernel=run.image.kernel_version if run.image else "",
        methods=tuple(run.settings["BACKUP"]), only=run.options.only,
        forgotten=run.options.backup if command == "backup-forget" and result == "done" else "",
        warnings=tuple(run.report.warnings),
        phases=tuple(Phase(name, round(seconds)) for name, seconds in run.recovery.seconds.items()),
        media=tuple(Medium(str(path), _size(path)) for path in run.results),
        saved=tuple(outcome.saved), left_out=tuple(outcome.left_out.values()), read=tuple(outcome.read),
        rehearsals=(outcome.rehearsal,) if outcome.rehearsal else (),
    )  # fmt: skip
    return _masked(run, record)


def _ended(run: Run, failed: BaseException | None) -> tuple[str, ExitCode]:
    """The result and the exit status; a command may have failed without an error, as a rehearsal does."""
    if failed is None:
        return ("failed", ExitCode.FAILED) if run.result == "failed" else ("done", ExitCode.DONE)
    if isinstance(failed, (Interrupted, KeyboardInterrupt)):
        return "interrupted", ExitCode.INTERRUPTED
    status = failed.exit_code if isinstance(failed, RearError) else ExitCode.FAILED
    return "refused" if isinstance(failed, Refused) else "failed", status


def _size(path: Path) -> int:
    """The bytes of a file, 0 for what is none here: a folder, a device, or what is on a server that is gone."""
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def _error(run: Run, failed: BaseException | None) -> str:
    if failed is None:
        return run.error
    return failed.message if isinstance(failed, RearError) else f"{type(failed).__name__}: {failed}"


def _layout(run: Run) -> str:
    if run.layout is None:
        return ""
    from ..archive.backup import layout_id

    return layout_id(run)


def _machine(run: Run) -> str:
    from ..archive.repository import identity

    try:
        return identity(run)
    except (RearError, OSError):
        # One that cannot be read has failed the run, or did not matter to it.
        return ""


def _masked(run: Run, value: T) -> T:
    """The value with every text as the log has it: without secrets, on one line."""
    found: object = value
    if isinstance(value, str):
        found = run.report.shown(value)
    elif isinstance(value, tuple):
        found = tuple(_masked(run, part) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{f.name: _masked(run, getattr(value, f.name)) for f in fields(value)})
    return cast(T, found)
