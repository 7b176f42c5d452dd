# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery will give back of each disk and what it destroys, told when the media are made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .. import durable
from ..errors import ConfigurationError
from ..hookspecs import hookimpl
from ..mounts import mount_points
from ..patterns import leaving_out
from ..step import Step
from ..trees import walk

if TYPE_CHECKING:
    from ..run import Run


@hookimpl
def rear_analyse_dr(run: Run) -> Iterable[Step]:
    yield Step(24, "Check that patterns leave something of each file system", check_patterns)
    yield Step(25, "Note how full the file systems are", save_usage)
    yield Step(26, "Check what a recovery gives back of each disk", tell_stakes)
    if "build" in run.phases:
        yield Step(27, "Try to create each file system", try_filesystems)


def check_patterns(run: Run) -> None:
    """Raise `ConfigurationError` for a file system of which several patterns together leave out all files.

    What one pattern empties is known to come back empty, and its disk is left alone; of this nobody would know.
    """
    from ..storage.fate import Exclusions, why_emptied
    from ..storage.mount import mounted

    assert run.layout is not None
    included = run.settings["BACKUP_PROG_INCLUDE"]
    patterns = [pattern for pattern in run.settings["BACKUP_PROG_EXCLUDE"] if pattern not in included]
    excluded = Exclusions.of(run.settings)
    for target in mounted(run.layout) if patterns else ():
        if excluded.of_mount(target) or why_emptied(target, patterns):
            continue
        if used := emptied_by(target, patterns):
            raise ConfigurationError(
                f"BACKUP_PROG_EXCLUDE leaves out all files of {target}: {' '.join(sorted(used))}",
                f"write '{target.rstrip('/')}/*' instead, and a recovery leaves its disk alone; or save some of them",
            )


def emptied_by(folder: str, patterns: Sequence[str]) -> set[str]:
    """The patterns that leave out all files of a file system, as far as they were needed; none where some are saved.

    A file system without files has nothing to leave out.
    """
    used: set[str] = set()
    for place, folders, files in _own(folder):
        left_out = {name: leaving_out(os.path.join(place, name), patterns) for name in (*folders, *files)}
        if any(not left_out[name] for name in files):
            return set()
        gone = {name for name, pattern in left_out.items() if pattern}
        used |= {left_out[name] for name in gone if name in files or _has_files(os.path.join(place, name))}
        folders[:] = [name for name in folders if name not in gone]
    return used


def _has_files(folder: str) -> bool:
    return any(files for _, _, files in _own(folder))


def _own(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `walk`, and a link to a folder is a file; what is mounted below is not even looked at: whoever serves it may
    never answer."""
    mounted = {point.target for point in mount_points()}
    for place, folders, files in walk(top):
        paths = {name: os.path.join(place, name) for name in (*folders, *files)}
        folders[:] = [name for name in folders if paths[name] not in mounted]
        links = {name for name in folders if os.path.islink(paths[name])}
        yield place, folders, [*links, *(name for name in files if paths[name] not in mounted)]


def save_usage(run: Run) -> None:
    """Write recovery/usage.json: the bytes that files take, by mount point; smaller disks depend on it."""
    from ..storage.mount import mounted

    assert run.layout is not None
    used: dict[str, int] = {}
    for target in mounted(run.layout):
        status = os.statvfs(target)
        used[target] = (status.f_blocks - status.f_bfree) * status.f_frsize
    durable.write(run.recovery_dir / "usage.json", json.dumps(used, indent=2, sort_keys=True) + "\n")


def tell_stakes(run: Run) -> None:
    """Say which disks a recovery leaves alone, and warn of those that it takes although not all of them comes back."""
    from ..storage.at_stake import at_stake
    from ..storage.mount import why_no_root
    from ..storage.spared import backup_disks

    assert run.layout is not None
    if reason := why_no_root(run.layout):
        run.report.warn(f"no recovery can bring this machine back: its root file system is not described ({reason})")
    spared = backup_disks(run, run.layout)
    for id, stake in at_stake(run, run.layout).items():
        if id in spared:
            run.report.detail(f"{stake.disk} is left alone by a recovery: it holds the backup")
        elif stake.why_alone:
            run.report.say(f"{stake.disk} is left alone by a recovery: {stake.why_alone}")
        elif stake.lost:
            run.report.warn(
                f"{stake.disk} is taken by a recovery, which destroys what is not saved:"
                f" {'; '.join(map(str, stake.lost))}. `rear recover` will ask, and with -n it ends:"
                " save it, or name it in GIVE_UP"
            )
        run.report.log(f"{stake.disk}: {stake}")


def try_filesystems(run: Run) -> None:
    """Make every file system in a sparse file, as a recovery will on a disk; `Refused` when one cannot be made."""
    from ..storage.trial import try_commands
    from .storage import kinds

    assert run.layout is not None
    try_commands(run, run.layout, kinds(run))
