# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and changes files of the recovered system as that system sees them."""

from __future__ import annotations

import errno
import fnmatch
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .rescue.tree import MAX_LINKS, Tree

LABEL = "security.selinux"


def inside(target: Path, path: str) -> Path:
    """Where an absolute path of the recovered system lies here, its links followed within it."""
    found = Tree(target).inside(path)
    for _ in range(MAX_LINKS):
        if not found.is_symlink():
            break
        above = "/" + found.parent.relative_to(target).as_posix()
        found = Tree(target).inside(os.path.join(above, os.readlink(found)))
    return found


def find(target: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """The regular files that match a pattern such as /etc/kernel/*.conf: their path there, and here."""
    folder, _, last = pattern.rpartition("/")
    if any(sign in folder for sign in "*?["):
        folders = ["/" + found.relative_to(target).as_posix() for found in sorted(target.glob(folder.lstrip("/")))]
    else:
        folders = [folder]
    for above in folders:
        here = inside(target, above)
        entries = sorted(os.listdir(here)) if here.is_dir() else []
        for entry in fnmatch.filter(entries, last):
            found = inside(target, f"{above}/{entry}")
            if found.is_file():
                yield f"{above}/{entry}", found


def read(path: Path) -> str:
    """The text, also of a file that is not UTF-8."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def create(path: Path, text: str) -> None:
    """Write a file that was not there, with the label of its folder."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    label(path)


def label(path: Path) -> None:
    """Give a file without a label of SELinux that of its folder, as the kernel does where SELinux is on."""
    try:
        if LABEL not in os.listxattr(path):
            os.setxattr(path, LABEL, os.getxattr(path.parent, LABEL))
    except OSError as error:
        # The folder has none either, or the file system keeps none.
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise


def replace(path: Path, text: str) -> None:
    """Give a file new content at once; it keeps owner, mode and extended attributes."""
    beside = path.with_name(f".{path.name}.rear")
    found = path.stat()
    beside.write_text(text, encoding="utf-8", errors="surrogateescape")
    shutil.copystat(path, beside)
    os.chown(beside, found.st_uid, found.st_gid)
    os.utime(beside)
    beside.replace(path)
