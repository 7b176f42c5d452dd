# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that choose the plugins and the places of a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..contents import Contents
from ..errors import Refused
from ..hookspecs import hookimpl
from ..settings.model import Setting, normal_paths
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run

# Made by the init of the rescue system.
RESCUE_MARK = Path("/run/rear/rescue-system")
# Of Docker, of Podman, and of whatever follows systemd's Container Interface.
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"), Path("/run/systemd/container"))


def _at_most_a_day(value: int) -> str:
    return "" if 0 <= value <= 86400 else "must be between 0 and 86400, which is a day"


def _absolute(value: str) -> str:
    return "" if value.startswith("/") else "must be an absolute path"


def _absolute_or_unset(value: str) -> str:
    return _absolute(value) if value else ""


def _absolute_without_comma(value: str) -> str:
    if "," in value:
        return "must have no comma, which mount.cifs takes for the end of an option"
    return _absolute_or_unset(value)


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "OUTPUT",
        str,
        default="ISO",
        help="Kind of rescue media. Each output method is a package, rear-output-<name>; `rear plugins list` shows"
        " which are installed.",
    )
    yield Setting(
        "BACKUP",
        list,
        default=("NFS",),
        bare=True,
        help="How to save the files of this machine. Each backup method is a package, rear-backup-<name>. Of several,"
        " BACKUP=( NFS RESTIC ), the first saves all that BACKUP_PARTS does not give to another one.",
    )
    yield Setting(
        "BACKUP_PARTS",
        list,
        help="Folders and mount points that another method than the first one of BACKUP saves, with what is in them:"
        " BACKUP_PARTS=( RESTIC:/srv RESTIC:/home ).",
    )
    yield Setting(
        "CIFS_CREDENTIALS", str, existing=True, check=_absolute_without_comma,
        help="File with username=, password= and perhaps domain= for places such as cifs://server/share, as"
        " mount.cifs(8) has it. Only root may be able to read it. rear never puts it on the rescue media: a recovery"
        " asks for user and password.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_PASSWORD_FILE", str, existing=True, check=_absolute_or_unset,
        help="File with the password for places such as rsync://user@server/module, in its first line. Only root may be"
        " able to read it. rear never puts it on the rescue media.",
    )  # fmt: skip
    yield Setting(
        "OS_FAMILY",
        str,
        help="Family of operating systems of this machine: debian, redhat or suse. If empty, rear takes it from ID"
        " and ID_LIKE in /etc/os-release; set it on a distribution that names no family.",
    )
    yield Setting(
        "CHECK_CONFIG_FILES", list, default=("/etc/lvm/lvm.conf", "/etc/multipath.conf", "/etc/rear/*.conf"),
        check=normal_paths,
        help="Files and folders, as patterns, whose change makes rescue media outdated: `rear checklayout` says"
        " so. Backup methods add the configuration of their clients.",
    )  # fmt: skip
    yield Setting(
        "TMPDIR",
        str,
        default="/tmp",
        environment=True,
        check=_absolute,
        existing=True,
        help="Folder for the work area rear.<pid>. The tree of the rescue system needs several hundred MiB there, or"
        " in memory if there is plenty; with -d it is always in this folder.",
    )
    yield Setting(
        "LOGFILE",
        str,
        environment=True,
        check=_absolute,
        help="Log of the run. If empty, each run has its own log in /var/log/rear, and rear keeps as many logs of"
        " each command as BACKUP_KEEP says; /tmp/rear-<hostname>.log links to the newest.",
    )
    yield Setting(
        "USER_INPUT_TIMEOUT",
        int,
        check=_at_most_a_day,
        help="Seconds that a question waits for its answer; then the run ends, as after ^D, and does nothing without"
        " agreement. 0 waits forever.",
    )
    yield Setting(
        "ALLOW_LIVE_SYSTEM",
        bool,
        default=False,
        environment=True,
        help="Whether `rear recover` may run outside of the rescue system, on a live system with its root file system"
        " in memory, or in an overlay, that was started to repair this machine. Never in a container: there it would"
        " overwrite the disks of a running host.",
    )
    yield Setting(
        "SHARE_DIR",
        str,
        default="/usr/share/rear",
        check=_absolute,
        existing=True,
        help="Folder of the distribution's scripts, skel trees and templates.",
    )
    yield Setting(
        "VAR_DIR",
        str,
        default="/var/lib/rear",
        check=_absolute,
        help="Folder of what rear keeps between runs: finished media, the lock.",
    )
    yield Setting(
        "CACHE_DIR",
        str,
        default="/var/cache/rear",
        check=_absolute,
        help="Folder of what rear can create again at any time: packed kernel modules and firmware.",
    )


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    files = (run.settings["CIFS_CREDENTIALS"], run.settings["RSYNC_PASSWORD_FILE"])
    return Contents(secrets=[path for path in files if path])


@hookimpl
def rear_config(run: Run) -> Iterable[Step]:
    if not run.demo:
        yield Step(0, "Check that this is the rescue system", check_rescue_system)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(0, "Check that every phase of the recovery has a plugin", check_recovery_is_covered)


def check_rescue_system(run: Run) -> None:
    """Refuse to recover on a running machine: the rescue system has its root file system in memory, and a mark.

    Memory alone proves nothing: containers and live systems have their root there, and see the disks of a machine that
    is well. A live system may lay an overlay over what it was started from, as containers do, too.
    """
    # In a chroot the root may be no mount point, and findmnt then has no answer.
    root = run.sh.query("findmnt", "--noheadings", "--output", "FSTYPE", "/", ok=(0, 1)).split()
    is_live = not RESCUE_MARK.exists() and run.settings["ALLOW_LIVE_SYSTEM"]
    if is_live and (mark := next((path for path in CONTAINER_MARKS if path.exists()), None)):
        raise Refused(
            f"this is a container ({mark}): its disks belong to a running machine",
            "boot the rescue media of the machine to recover",
        )
    in_memory = {"rootfs", "tmpfs", "ramfs"} | ({"overlay"} if is_live else set())
    if not root or not set(root) <= in_memory:
        raise Refused(
            f"this is not the rescue system: the root file system is {' '.join(root) or 'unknown'}, not in memory",
            "boot the rescue media of this machine, then run `rear recover` there",
        )
    if not RESCUE_MARK.exists() and not is_live:
        raise Refused(
            "this is not the rescue system: its root file system is in memory, but rear did not start it",
            "boot the rescue media; or on a live system that was started to repair this machine, and in no container:"
            " ALLOW_LIVE_SYSTEM=yes rear recover",
        )


def check_recovery_is_covered(run: Run) -> None:
    """Refuse to begin a recovery that no plugin would bring to its end."""
    empty = [
        phase
        for phase in ("recreate", "restore", "finalize")
        if phase in run.phases and not run.plugins.call(f"rear_{phase}", run=run)
    ]
    if empty:
        raise Refused(
            f"no installed plugin has steps for: {', '.join(empty)}",
            "recover by hand with the tools of this rescue system; /etc/rear/recovery describes the machine",
        )
