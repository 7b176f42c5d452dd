# SPDX-License-Identifier: GPL-3.0-or-later
"""What the director's catalog has of this machine: jobs, which of them belong together, and their volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from rear_core import Refused, Run

from . import console, login
from .console import quoted

FIELD = re.compile(r"^ *([A-Za-z]+): ?(.*)$")
# As the director writes them: done, done with warnings; and all others at which a job is over.
GOOD = ("T", "W")
OVER = (*GOOD, "E", "e", "f", "A", "I", "D")
STATES = {
    "T": "ended well", "W": "ended with warnings", "E": "ended with errors", "e": "ended with errors", "f": "failed",
    "A": "was canceled", "I": "is incomplete",
}  # fmt: skip
LEVELS = {"F": "full", "D": "differential", "I": "incremental"}
# Of volumes whose data may be overwritten, or is.
GONE = ("Purged", "Recycle", "Error")


@dataclass(frozen=True)
class Job:
    """A job in the catalog; `ended` is in seconds since 1970."""

    id: int
    name: str
    kind: str
    level: str
    status: str
    ended: int
    files: int
    bytes: int
    errors: int
    purged: bool

    @property
    def moment(self) -> datetime:
        """When it ended, or began if it runs."""
        return datetime.fromtimestamp(self.ended, timezone.utc).astimezone()

    @property
    def state(self) -> str:
        """How it ended, in words."""
        return STATES.get(self.status, f"has the status {self.status}")


@dataclass(frozen=True)
class Chain:
    """A job that saved the files, with those that it builds on: a full one, and what changed since."""

    job: Job
    ids: tuple[int, ...]

    @property
    def words(self) -> str:
        """The ids, as bconsole has them."""
        return ",".join(map(str, self.ids))


def records(text: str) -> list[dict[str, str]]:
    """The records that `llist` shows, their fields in lower case as Bareos has them::

        JobId: 1
         Name: save web1
    JobStatus: T
    """
    found: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        field = FIELD.match(line)
        if field:
            current[field[1].lower()] = field[2].strip()
        elif not line.strip() and current:
            found.append(current)
            current = {}
    return found


def number(record: Mapping[str, str], field: str) -> int:
    """A number of a record, which may have commas."""
    text = record.get(field, "").replace(",", "")
    return int(text) if text.isdigit() else 0


def jobs_in(text: str) -> list[Job]:
    """The jobs among the records of a text, each once."""
    found = {}
    for one in records(text):
        if "jobstatus" in one and number(one, "jobid"):
            found[number(one, "jobid")] = Job(
                number(one, "jobid"), one.get("name", ""), one.get("type", ""), one.get("level", ""), one["jobstatus"],
                number(one, "jobtdate"), number(one, "jobfiles"), number(one, "jobbytes"), number(one, "joberrors"),
                one.get("purgedfiles", "0") != "0",
            )  # fmt: skip
    return list(found.values())


def names(run: Run) -> list[str]:
    """The jobs that save this machine: those of the settings, or all that the director has for this client."""
    if chosen := list(run.settings["BACULA_JOBS"]):
        return chosen
    (answer,) = console.ask(run, ".jobs type=B")
    there = [line.strip() for line in answer.splitlines() if console.NAME.fullmatch(line.strip())]
    answers = console.ask(run, *(f".defaults job={quoted(name)}" for name in there))
    own = login.client(run)
    # The answer is one line after the other in Bareos, and all in one in Bacula.
    found = [
        name for name, said in zip(there, answers) if re.search(rf"(?m)client={re.escape(own)}(?=storage=|$)", said)
    ]
    if not found:
        raise Refused(
            f"the Bacula director has no backup job for the client {own}",
            "name the jobs in BACULA_JOBS, or the client in BACULA_CLIENT",
        )
    return found


def jobs(run: Run) -> list[Job]:
    """The backups of this machine that ended well, oldest first."""
    wanted = names(run)
    return [job for job in _of_client(run) if job.name in wanted]


def _of_client(run: Run) -> list[Job]:
    (answer,) = console.ask(run, f"llist jobs client={quoted(login.client(run))}", timeout=600)
    found = [job for job in jobs_in(answer) if job.kind == "B" and job.status in GOOD]
    return sorted(found, key=lambda job: (job.ended, job.id))


def job(run: Run, id: int) -> Job | None:
    """One job."""
    (answer,) = console.ask(run, f"llist jobid={id}")
    return next((one for one in jobs_in(answer) if one.id == id), None)


def chains(run: Run, when: datetime | None) -> list[Chain]:
    """The newest backup of each job at that time or before, with the jobs that it builds on; none without files."""
    wanted, there = names(run), _of_client(run)
    newest = {job.name: job for job in there if job.name in wanted and (when is None or job.moment <= when)}
    if not newest:
        return []
    answers = console.ask(run, *(f".bvfs_get_jobids jobid={each.id}" for each in newest.values()))
    found = [Chain(each, _ids(each, answer)) for each, answer in zip(newest.values(), answers)]
    empty = {job.id for job in there if not job.files}
    return [chain for chain in found if not empty.issuperset(chain.ids)]


def _ids(last: Job, answer: str) -> tuple[int, ...]:
    found = re.search(r"(?m)^ *(\d+(?:, *\d+)*) *$", answer)
    ids = tuple(int(word) for word in found[1].split(",")) if found else ()
    if last.id not in ids:
        raise Refused(
            f"the Bacula director does not know on which jobs {last.name} (job {last.id}) builds",
            f"`.bvfs_get_jobids jobid={last.id}` in bconsole must list them; choose another backup with --backup DATE",
        )
    return ids


def check_volumes(run: Run, found: Sequence[Chain]) -> list[str]:
    """The volumes that a restore needs, as far as the catalog knows; `Refused` for data that is gone there."""
    ids = sorted({id for chain in found for id in chain.ids})
    lists = console.ask(run, *(f"llist jobid={id}" for id in ids), *(f"llist jobmedia jobid={id}" for id in ids))
    known = [job for text in lists[: len(ids)] for job in jobs_in(text)]
    if purged := [job for job in known if job.purged]:
        raise Refused(
            f"the names of the files of job {purged[0].id} are no longer in the catalog",
            "rear restores what the catalog has: raise File Retention, or read them back in with bscan",
        )
    volumes = sorted(
        {one["volumename"] for text in lists[len(ids) :] for one in records(text) if one.get("volumename")}
    )
    answers = console.ask(run, *(f"llist volume={quoted(name)}" for name in volumes))
    for name, answer in zip(volumes, answers):
        record = next((one for one in records(answer) if one.get("volumename") == name), None)
        if record is None:
            raise Refused(f"the volume {name} is no longer in the catalog", "choose another backup with --backup DATE")
        status = record.get("volstatus", "")
        if status in GONE:
            raise Refused(f"the volume {name} has the status {status}", "choose another backup with --backup DATE")
        if number(record, "slot") and not number(record, "inchanger"):
            run.report.warn(f"the volume {name} is not in its changer: have it ready")
    return volumes


def restore_job(run: Run) -> str:
    """The job by which the director restores."""
    (answer,) = console.ask(run, ".jobs type=R")
    there = [line.strip() for line in answer.splitlines() if console.NAME.fullmatch(line.strip())]
    chosen = str(run.settings["BACULA_RESTORE_JOB"])
    if chosen and chosen not in there:
        raise Refused(f"the Bacula director has no restore job {chosen}", f"it has: {', '.join(there) or 'none'}")
    if not chosen and len(there) != 1:
        have = f"several restore jobs: {', '.join(there)}" if there else "no restore job"
        raise Refused(f"the Bacula director has {have}", "set BACULA_RESTORE_JOB to one of Type = Restore")
    return chosen or there[0]


def check_registered(run: Run) -> None:
    """`Refused` unless the director knows this client, and reaches its file daemon."""
    own = login.client(run)
    (answer,) = console.ask(run, ".clients")
    there = [line.strip() for line in answer.splitlines()]
    if own not in there:
        raise Refused(
            f"the Bacula director has no client {own}",
            "set BACULA_CLIENT to the name of this machine's Client resource there",
        )
    if not reaches(run):
        raise Refused(
            f"the Bacula director does not reach the file daemon of {own}",
            "it connects to the address and port of its Client resource: check both, the firewall, and the password,"
            " which must be the one in the configuration of bacula-fd here",
        )


def reaches(run: Run) -> bool:
    """Whether the director gets an answer from the file daemon of this machine."""
    (answer,) = console.ask(run, f"status client={quoted(login.client(run))}")
    # Daemon started 30-Nov-26 11:18. Jobs: run=1 running=1.
    return re.search(r"(?m)^Daemon started ", answer) is not None
