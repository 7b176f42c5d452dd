# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that no backup has and every system needs; labels of SELinux, or the mark to label files again."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .. import recovered
from ..trees import walk
from .references import fstab_targets

# Those of the file hierarchy that a backup may leave out with their content.
ALWAYS = {"/proc": 0o555, "/sys": 0o555, "/dev": 0o755, "/run": 0o755, "/tmp": 0o1777, "/var/tmp": 0o1777}


# Where programs of the recovered system write during a recovery, in a kernel without SELinux.
WRITTEN = ("/etc", "/boot")


def make_missing(target: Path) -> list[str]:
    """Make the mount points and other directories that are not there; returns which."""
    made = []
    for name in (*ALWAYS, *fstab_targets(target)):
        here = recovered.inside(target, name)
        if not os.path.lexists(here):
            here.mkdir(mode=0o755, parents=True)
            here.chmod(ALWAYS.get(name, 0o755))
            made.append(name)
    return made


def needs_labels(target: Path) -> bool:
    """Whether the recovered system, where SELinux was on, will have it on again, and its files have no labels."""
    configuration = recovered.inside(target, "/etc/selinux/config")
    if not configuration.is_file():
        return False
    mode = re.findall(r"^\s*SELINUX\s*=\s*(\w+)", recovered.read(configuration), re.MULTILINE)
    if mode[-1:] not in (["enforcing"], ["permissive"]):
        return False
    try:
        return not os.getxattr(recovered.inside(target, "/etc/passwd"), recovered.LABEL)
    except OSError:
        return True


def ask_for_labels(target: Path) -> None:
    """Let the first boot label all files."""
    (target / ".autorelabel").touch(mode=0o644)


def label_new(target: Path) -> None:
    """Give files without a label that of their folder: otherwise some programs may not touch their own."""
    for top in WRITTEN:
        for folder, _, files in walk(os.fspath(recovered.inside(target, top))):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                if not path.is_symlink():
                    recovered.label(path)
