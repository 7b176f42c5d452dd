# SPDX-License-Identifier: GPL-3.0-or-later
"""What administrators add without writing a plugin: `NN_name.sh` scripts as steps, `skel/` trees as rescue contents."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..hookspecs import hookimpl
from ..rescue.contents import Contents, merge
from ..rescue.tree import Tree
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run

SCRIPT_NAME = re.compile(r"\d\d_[\w.+-]+\.(sh|py)")
# Those that the rescue system runs.
RESCUE_PHASES = ("config", "verify", "recreate", "restore", "finalize", "cleanup")
LISTS = ("RESCUE_BINARIES", "RESCUE_MODULES", "RESCUE_FILES")


@hookimpl
def rear_build() -> Iterable[Step]:
    yield Step(10, "Lay down the skeleton trees", lay_skeletons)
    yield Step(65, "Take the scripts that run when recovering", take_scripts)


def flavours(run: Run) -> list[str]:
    """The names of folders whose scripts and trees apply to this run, general ones first."""
    os_release = run.system.os
    return [
        "default",
        run.system.machine,
        f"{os_release.id}_{os_release.version_id}",
        run.settings["BACKUP"],
        run.settings["OUTPUT"],
    ]


def script_steps(run: Run, phase: str) -> Iterator[Step]:
    """A step for each executable `NN_name.sh` or `.py` in the folders of a phase.

    Raises `ConfigurationError` for a script that someone else could have changed.
    """
    for path in scripts(run, phase):
        yield Step(int(path.name[:2]), os.fspath(path), _runner(path, phase))


def scripts(run: Run, phase: str) -> Iterator[Path]:
    """The scripts of a phase, those of SHARE_DIR first."""
    folders = [run.share_dir / phase / flavour for flavour in flavours(run)] + [run.config_dir / phase]
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if SCRIPT_NAME.fullmatch(path.name) and os.access(path, os.X_OK):
                _check_owner(path)
                yield path


def take_scripts(run: Run) -> None:
    """Put the scripts of the phases that run in the rescue system where it looks for them."""
    tree = Tree(run.rootfs_dir)
    for phase in RESCUE_PHASES:
        for path in scripts(run, phase):
            own = path.parent == run.config_dir / phase
            tree.add_as(path, f"/etc/rear/{phase}/{path.name}" if own else os.fspath(path))


def _check_owner(path: Path) -> None:
    for checked in (path, path.parent):
        found = checked.stat()
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(
                f"the script {path} would run as root, but others can change {checked}",
                f"chown root {checked}; chmod go-w {checked}",
            )


def _runner(path: Path, phase: str) -> Callable[[Run], None]:
    def action(run: Run) -> None:
        run_script(run, path, phase)

    return action


def run_script(run: Run, path: Path, phase: str) -> None:
    """Run an administrator's script and take back the lists it extends.

    Lists are handed over one word per line. The script extends them by appending assignments in the syntax of the
    configuration files, such as `RESCUE_BINARIES+=( strace )`, to the file named by REAR_RETURN.
    """
    from ..settings import assign

    returned = run.build_dir / "returned"
    returned.write_text("")
    returned.chmod(0o600)
    run.sh.run(path, env=environment(run, phase, returned), cwd=run.build_dir, timeout=3600)
    run.settings = assign(run.settings, returned.read_text(), os.fspath(path), LISTS)
    if run.contents is not None:
        run.contents = merge([run.contents, listed_contents(run)])


def environment(run: Run, phase: str, returned: Path) -> dict[str, str]:
    """The variables that a script finds in its environment."""
    return {
        "CONFIG_DIR": os.fspath(run.config_dir),
        "SHARE_DIR": os.fspath(run.share_dir),
        "BUILD_DIR": os.fspath(run.build_dir),
        "ROOTFS_DIR": os.fspath(run.rootfs_dir),
        "RECOVERY_DIR": os.fspath(run.recovery_dir),
        "OUTPUT": run.settings["OUTPUT"],
        "BACKUP": run.settings["BACKUP"],
        "REAR_PHASE": phase,
        "REAR_RETURN": os.fspath(returned),
        **{name: "\n".join(run.settings[name]) for name in LISTS},
    }


def listed_contents(run: Run) -> Contents:
    """The rescue contents that settings and scripts list."""
    programs, modules, files = (run.settings[name] for name in LISTS)
    return Contents(programs=programs, modules=modules, files=files)


def lay_skeletons(run: Run) -> None:
    """Merge the skeleton trees into the tree of the rescue system, the more special over the more general.

    A plugin's trees are in `skel/` of its package.
    """
    shared = run.shared("skel")
    if not shared:
        run.report.warn(f"{run.share_dir} is of Relax-and-Recover: its skel trees are not used (see SHARE_DIR)")
    for flavour in flavours(run):
        for tree in [*run.plugins.folders("skel"), *shared]:
            source = tree / flavour
            if source.is_dir():
                run.sh.run("cp", "--archive", "--no-preserve=ownership", "--force", f"{source}/.", run.rootfs_dir)
