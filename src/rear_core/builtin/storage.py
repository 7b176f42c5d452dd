# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's storage: described by whatever makes media or a backup, compared by `rear checklayout`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import durable
from ..contents import Contents, merge
from ..errors import Refused
from ..hookspecs import hookimpl
from ..run import Run
from ..settings.model import Setting, names, normal_paths
from ..step import Step

if TYPE_CHECKING:
    from ..storage.kinds import StorageKind
    from ..storage.layout import Layout


@hookimpl
def rear_settings() -> Iterable[Setting]:
    """Which disks are described against the rules."""
    yield Setting(
        "INCLUDE_DEVICES",
        list,
        check=names,
        help="More disks to describe, which the rules leave out (removable, network or loop devices), as patterns of"
        " their paths: INCLUDE_DEVICES=( /dev/sdx '/dev/mmcblk*' ).",
    )
    yield Setting(
        "EXCLUDE_DEVICES",
        list,
        check=names,
        help="Disks to leave out of the description, with everything on them, as patterns of their paths:"
        " EXCLUDE_DEVICES=( /dev/sdb '/dev/nvme*' ); sdb is short for /dev/sdb. A recovery does not touch them.",
    )
    yield Setting(
        "EXCLUDE_MOUNTPOINTS",
        list,
        check=normal_paths,
        help="Mount points, as patterns, whose file systems are neither saved nor recreated, with everything mounted"
        " in them. A recovery leaves a disk alone that holds nothing else.",
    )
    yield Setting(
        "ONLY_INCLUDE_VG",
        list,
        check=names,
        help="Names of volume groups. If set, other groups are neither saved nor recreated.",
    )
    yield Setting("EXCLUDE_VG", list, check=names, help="Names of volume groups that are neither saved nor recreated.")
    yield Setting(
        "EXCLUDE_MD",
        list,
        check=names,
        help="Arrays that are neither saved nor recreated, with everything on them: EXCLUDE_MD=( md126 ).",
    )
    yield Setting(
        "EXCLUDE_COMPONENTS",
        list,
        check=names,
        help="Other parts of the storage that are neither saved nor recreated, with everything on them:"
        " EXCLUDE_COMPONENTS=( fs:/data"
        " /dev/md126 /dev/vg_data /dev/mapper/vg_data-db /dev/sdb ).",
    )
    yield Setting(
        "AUTOEXCLUDE_PATH",
        list,
        check=normal_paths,
        help="Folders: what is mounted on and below them is neither saved nor recreated. Relax-and-Recover does so"
        " with /media /mnt /run /tmp unless told otherwise; here disks that stay in the machine are saved wherever"
        " they are mounted.",
    )
    yield Setting(
        "AUTOEXCLUDE_MULTIPATH",
        bool,
        default=False,
        help="Whether to leave multipath disks alone: what is on them is neither saved nor recreated."
        " Relax-and-Recover does so unless told otherwise.",
    )
    yield Setting(
        "GIVE_UP",
        list,
        check=names,
        help="What may be lost when a recovery overwrites a disk: mount points, devices or labels, as the warnings"
        " of `rear mkrescue` name them; '*' for everything, also for what was added since.",
    )
    yield Setting(
        "KEEP_IN_PLACE",
        bool,
        default=False,
        help="Whether a recovery keeps what would be lost on a disk, with its partitions and volumes, and recreates"
        " only the rest around it. The disk must still have the recorded partitions.",
    )


@hookimpl
def rear_storage_kinds() -> Iterable[StorageKind]:
    """The technologies of the core."""
    from ..storage.technologies import CORE_KINDS

    return CORE_KINDS


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    """The description comes early: others look at it."""
    yield Step(20, "Describe the storage", save_layout)


@hookimpl
def rear_analyse_rescue() -> Iterable[Step]:
    # Where media are made, and only there: layout.json is also that of a backup alone.
    yield Step(70, "Record the storage that media know", record_media_layout)


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    """What the technologies in use need to be recreated; before they are known, what every machine needs."""
    from ..storage import disk, mount
    from ..storage.kinds import contents, contents_of_additions
    from ..storage.layout import Layout

    if run.layout is None:
        return merge(kind.contents(Layout()) for kind in (disk.KIND, mount.KIND))
    return merge([*contents(run.layout, kinds(run)), *contents_of_additions(run.layout, kinds(run))])


def save_layout(run: Run) -> None:
    """Describe the storage of this machine in `run.layout` and recovery/layout.json.

    `Refused` names what a recovery could not recreate; a backup of the files is made all the same.
    """
    from ..storage.command import Site
    from ..storage.disk import Disk
    from ..storage.fate import Exclusions, unknown_names
    from ..storage.kinds import notes, refusals
    from ..storage.layout import save
    from ..storage.spared import with_backups_noted

    layout = with_backups_noted(run, capture_layout(run))
    for entry in layout.left_out:
        tell = run.report.say if entry.lost else run.report.detail
        tell(f"Left out: {entry.name} ({entry.reason})")
    for name in unknown_names(layout, Exclusions.of(run.settings)):
        run.report.warn(f"{name}: nothing here has this name")
    run.layout = layout
    save(layout, run.recovery_dir / "layout.json")
    site = Site(layout, {item.id: item.device for item in layout.of(Disk)})
    for note in notes(site, kinds(run)):
        run.report.say(f"Note: {note}")
    if problems := refusals(site, kinds(run)):
        if "backup" in run.phases and "build" not in run.phases:
            run.report.warn("; ".join(problems))
            return
        raise Refused("; ".join(problems), "EXCLUDE_DEVICES leaves a disk out, with everything on it")


def record_media_layout(run: Run) -> None:
    """Keep the description that the media get, for `check_layout`."""
    from ..storage.layout import dumps

    durable.write_until_failure(_of_media(run), dumps(recorded_layout(run)), run.undo)


def check_layout(run: Run) -> list[str]:
    """How the storage of this machine differs from that which its media know, one line each; [] when it does not."""
    from ..storage.compare import compare

    return compare(media_layout(run), capture_layout(run))


def media_layout(run: Run) -> Layout:
    """The storage that the media of this machine know; where none were made, as it was described last."""
    return load_layout(run, _of_media(run)) if _of_media(run).exists() else load_layout(run)


def _of_media(run: Run) -> Path:
    return run.recovery_dir / "media-layout.json"


def load_layout(run: Run, path: Path | None = None) -> Layout:
    """The storage as recovery/layout.json describes it, or another file."""
    from ..storage.kinds import item_types
    from ..storage.layout import load

    return load(path or run.recovery_dir / "layout.json", item_types(kinds(run)))


def recorded_layout(run: Run) -> Layout:
    """The recorded storage."""
    if run.layout is None:
        run.layout = load_layout(run)
    return run.layout


def capture_layout(run: Run) -> Layout:
    """The storage as it is now."""
    from ..mounts import hidden_by
    from ..storage.capture import capture
    from ..storage.hidden import hidden_files
    from ..storage.layout import make
    from ..storage.mount import Mount, wake

    wake(run.sh, run.report.warn)
    layout = capture(
        run.sh,
        kinds(run),
        warn=run.report.warn,
        include=run.settings["INCLUDE_DEVICES"],
        exclude=run.settings["EXCLUDE_DEVICES"],
    )
    hidden = {item.id: above for item in layout.of(Mount) if (above := hidden_by(item.target))}
    for id, above in hidden.items():
        run.report.warn(f"a later mount on {above} hides {layout[id]}: nothing of it is saved")
    # What nobody can see counts as what nobody has mounted.
    unseen = {mount.id: replace(mount, mounted=False) for mount in layout.of(Mount) if mount.id in hidden}
    layout = replace(layout, items=tuple(unseen.get(item.id, item) for item in layout))
    beside = [entry for kind in kinds(run) if kind.unseen for entry in kind.unseen(run.sh, layout)]
    return make(layout.items, [*layout.left_out, *beside, *hidden_files(run.sh, layout)])


def kinds(run: Run) -> list[StorageKind]:
    """The technologies of all active plugins."""
    return list(run.plugins.call("rear_storage_kinds"))
