# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a backup of the selected files beside the last one, proves that it is there, and removes old ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from rear_core import ProgramFailed, RearError, Refused, Run, __version__
from rear_core.archive import external
from rear_core.archive.backup import Position, layout_id, selected_beside, tell
from rear_core.archive.dates import FORMAT
from rear_core.archive.generations import PARTIAL
from rear_core.archive.progress import Progress, size
from rear_core.archive.repository import hostname, identity
from rear_core.archive.ticking import ticking

from . import client, excludes, keeping, listing, read_back
from .failures import EARLIER, Unfit
from .manifest import LARGEST_NUMBER, Generation, There, dumps
from .repository import Store

# rsync takes no more folders to compare with than twenty.
MOST_BASES = 19
CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass
class Attempt:
    """A backup while it is made: `name` is what it will be called, and until then it is `partial`."""

    name: str
    fake: bool
    paths: Sequence[str]
    notes: read_back.Notes
    complaints: client.Complaints = field(default_factory=client.Complaints)
    kinds: dict[str, int] = field(default_factory=dict)
    transferred: int = 0

    @property
    def partial(self) -> str:
        """The folder that does not count."""
        return self.name + PARTIAL


def save(run: Run, store: Store) -> None:
    """Make a backup of all that a recovery needs; `RearError` unless it is there with all its files."""
    selection = selected_beside(run, store.folder, store.home)
    tell(run, selection)
    rules = excludes.of_selection(selection)
    with store.locked():
        there = store.look()
        check_owner(run, store, there)
        _tell_of(run, store, there)
        with _attempt(run, store, there) as attempt:
            _copy(run, store, there, attempt, rules, selection.bytes)
            made = _prove(run, store, there, attempt)
            store.publish(attempt.name, dumps(made))
        run.saved(made.name, str(store), files=made.files, bytes=made.bytes, size=attempt.transferred)
        run.report.say(
            f"Saved {made.files} files, {size(made.bytes)}, as {made.name} in {store} ({size(attempt.transferred)} new)"
        )
        for name in there.unfinished:
            keeping.discard(run, store, name)
        keeping.prune(run, store, [*there.whole, made])


def check_owner(run: Run, store: Store, there: There) -> None:
    """Raise `Refused` when another machine keeps its backups there: it would lose them."""
    host, own = hostname(run), identity(run)
    for other in there.whole:
        # A machine may get another name; without identities the name is all that is known.
        known = own and other.machine
        if (other.machine != own) if known else (other.host != host):
            theirs, ours = (f"identity {other.machine}", own) if known else (f"host name {other.host}", host)
            raise Refused(
                f"{store} has backups of another machine, as {other.name} ({theirs}, this one is {ours})",
                "set BACKUP_PREFIX; or if they are of this machine on other hardware, move them to another folder",
            )


def _tell_of(run: Run, store: Store, there: There) -> None:
    """What of a place is not as one would expect."""
    for other in there.flawed:
        run.report.warn(f"{other.name} in {store} is not a valid backup, but takes up room: {other.flaw}")
    for name in there.unfinished:
        run.report.say(f"{name} in {store} was never finished: this backup takes from it what is whole")
    if left_out := [name for name in client.ATTRIBUTES if name not in run.settings["RSYNC_ATTRIBUTES"]]:
        run.report.warn(f"the backup has no {' and no '.join(left_out)} of files: RSYNC_ATTRIBUTES leaves them out")
    now = datetime.now(timezone.utc)
    if there.whole and there.whole[-1].moment > now + CLOCKS_DIFFER:
        run.report.warn(
            f"it is {now.strftime(FORMAT)} by the clock of this machine, but its last backup is of"
            f" {there.whole[-1].name}: set the clock; rear takes the new backup for the newest"
        )


def new_name(taken: set[str]) -> str:
    """A date that no backup has."""
    moment = datetime.now(timezone.utc)
    while (name := moment.strftime(FORMAT)) in taken:
        moment += timedelta(seconds=1)
    return name


@contextmanager
def _attempt(run: Run, store: Store, there: There) -> Iterator[Attempt]:
    """A folder for a new backup, of which after an error is left what the next one can use."""
    fake = store.keeps_in_attributes()
    paths = [system.path for system in external.recorded(run)]
    with TemporaryDirectory(dir=run.build_dir) as folder, read_back.Notes(Path(folder)) as notes:
        attempt = Attempt(new_name(there.names), fake, paths, notes)
        store.begin(attempt.partial)
        try:
            yield attempt
        except BaseException as error:
            _abandon(run, store, there, attempt, error)
            raise


def _abandon(run: Run, store: Store, there: There, attempt: Attempt, error: BaseException) -> None:
    """Leave of a failed backup what spares the next one from sending it again; nothing where the place is full."""
    if attempt.notes.count and not attempt.complaints.is_full and not isinstance(error, Unfit):
        run.report.say(f"{attempt.partial} does not count; the next backup takes from it what is whole")
        return
    for name in [attempt.partial, *(there.unfinished if attempt.complaints.is_full else ())]:
        keeping.discard(run, store, name)


def _copy(run: Run, store: Store, there: There, attempt: Attempt, rules: Sequence[str], expected: int) -> None:
    """Have rsync save. Files that it could not read are a warning, and those that vanished; all else is an error."""
    # What is unfinished has links to good backups: it is compared with, and never written to.
    bases = [*(base.name for base in there.whole[-1:]), *there.unfinished[::-1]][:MOST_BASES]
    argv = [
        "rsync", *client.copying(run.settings["RSYNC_ATTRIBUTES"]), "--relative", "--one-file-system",
        *client.TELLING, *client.patience(run),
        *store.writing(fake=attempt.fake), *(f"--link-dest={store.base(base)}" for base in bases),
        *(f"--exclude={rule}" for rule in rules), "--", *attempt.paths, f"{store.at(attempt.partial)}/",
    ]  # fmt: skip
    # Of what did not change nothing is read.
    progress = Progress(run.report, "Saving", 0 if bases else expected, events=run.options.json_progress)
    position, copied = Position("rchar"), client.Copied(attempt.notes.add)

    try:
        # rsync itself ends where nothing comes.
        with ticking(external.Client(run, progress, position.read), 0):
            (outcome,) = run.sh.pipe(
                argv, take=copied.take, keep={"rsync": attempt.complaints.keep}, started=position.follow,
                ok={"rsync": (0, client.PARTIAL, client.VANISHED)},
            )  # fmt: skip
    except ProgramFailed as error:
        raise store.failed(error) from error
    progress.end()
    attempt.kinds, attempt.transferred = copied.kinds, copied.transferred
    _judge(run, store, outcome.status, attempt.complaints)


def _judge(run: Run, store: Store, status: int, complaints: client.Complaints) -> None:
    """Tell what is not saved; raise `Unfit` where the reason is not the file, but the place."""
    others = complaints.others
    if status == client.PARTIAL and (others or not (complaints.unread or complaints.vanished)):
        first = others[0] if others else "rsync does not say why"
        raise Unfit(
            f"{store} did not take all files as they are: {first}",
            f"check its disk and what its file system can keep, see the log; {EARLIER}",
        )
    for names, what in (
        (complaints.unread, "are not saved as they are, because rsync could not read them"),
        (complaints.vanished, "vanished before they were saved"),
    ):
        if names:
            count = f"{len(names)}{' or more' if len(names) == client.MOST else ''}"
            run.report.warn(f"{count} files {what}: {external.few(names)}; the log has all")


def _prove(run: Run, store: Store, there: There, attempt: Attempt) -> Generation:
    """Read what is new back from its place, and all names; `RearError` unless they are what rsync has sent."""
    if run.settings["BACKUP_READ_BACK"]:
        read_back.compare(run, store, attempt.partial, attempt.notes)
    elif attempt.notes.count:
        run.report.say("Compared only the names of the backup: BACKUP_READ_BACK is no")
    found = listing.read(run, store, attempt.partial, attempt.paths, fake=attempt.fake)
    absent = [path for path in attempt.paths if listing.inside(path) not in found.found]
    if absent:
        raise RearError(f"the new backup has nothing of {' '.join(absent)}", "see the log, and run it again")
    sent = sum(count for kind, count in attempt.kinds.items() if kind != "dir")
    came = sum(found.kinds.values())
    if not sent:
        raise RearError("nothing to save: the exclusions leave no file", "look at the coverage report")
    if not sent - attempt.complaints.count <= came <= sent:
        raise Unfit(
            f"{store} has {came} files of the new backup, but rsync sent {sent}",
            f"check its disk, and that nobody else writes there; {EARLIER}",
        )
    return Generation(
        attempt.name,
        host=hostname(run),
        machine=identity(run),
        number=_number(there),
        paths=tuple(attempt.paths),
        files=found.files,
        bytes=found.total,
        digest=found.digest,
        fake_super=attempt.fake,
        missed=attempt.complaints.count,
        attributes=tuple(run.settings["RSYNC_ATTRIBUTES"]),
        layout=layout_id(run),
        tools={"rear": __version__, "rsync": client.version(run)},
    )


def _number(there: There) -> int:
    return min(1 + max((old.number for old in there.whole), default=0), LARGEST_NUMBER)
