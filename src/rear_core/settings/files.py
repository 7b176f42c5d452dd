# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the configuration files of this machine, in the order in which they are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from .. import own_files
from ..errors import ConfigurationError
from ..trust import changeable
from .reader import Assignment, decode, parse
from .statements import parse_what_can_be_read


@dataclass(frozen=True)
class Sources:
    """What was read: the files in order, their assignments, and the variables known before the first."""

    files: tuple[Path, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def names_for(os_id: str, version_id: str) -> tuple[str, ...]:
    """The names of the files that apply to a machine with this operating system, the most general first."""
    kernel = os.uname()
    # What `uname -o` prints on Linux.
    system = "GNU/Linux" if kernel.sysname == "Linux" else kernel.sysname
    names = ["default.conf", f"{kernel.sysname}-{kernel.machine}.conf", f"{system}.conf"]
    if os_id:
        names += [f"{os_id}.conf", f"{os_id}/{kernel.machine}.conf"]
    if os_id and version_id:
        names.append(f"{os_id}/{version_id}.conf")
    return (*names, "site.conf", "local.conf")


def load(config_dir: Path, names: Iterable[str], extra_files: Iterable[str | os.PathLike[str]] = ()) -> Sources:
    """Parse the files with these names, where they exist, then the extra ones (-C), which must exist.

    An extra file without a slash in its name is NAME or NAME.conf in the configuration directory.
    """
    paths = _found(config_dir, names, extra_files)
    read = [parse(decode(read_trusted(path), os.fspath(path)), os.fspath(path)) for path in paths]
    return _sources(config_dir, paths, read)


def load_what_can_be_read(
    config_dir: Path, names: Iterable[str], extra_files: Iterable[str | os.PathLike[str]] = ()
) -> tuple[Sources, list[ConfigurationError]]:
    """As `load`, without the statements that are errors; with all of these."""
    paths = _found(config_dir, names, extra_files)
    read: list[list[Assignment]] = []
    errors: list[ConfigurationError] = []
    for path in paths:
        try:
            text = decode(read_trusted(path), os.fspath(path))
        except ConfigurationError as error:
            errors.append(error)
            continue
        found, problems = parse_what_can_be_read(text, os.fspath(path))
        read.append(found)
        errors += problems
    return _sources(config_dir, paths, read), errors


def with_text(sources: Sources, path: Path, text: str) -> Sources:
    """What was read, as if one of the files, the last one, had this text; raises as `parse`."""
    others = tuple(each for each in sources.assignments if each.source != os.fspath(path))
    files = tuple(dict.fromkeys((*sources.files, path)))
    return replace(sources, files=files, assignments=(*others, *parse(text, os.fspath(path))))


def _found(config_dir: Path, names: Iterable[str], extra_files: Iterable[str | os.PathLike[str]]) -> list[Path]:
    if os.geteuid() == 0 and (problem := changeable(config_dir)):
        raise ConfigurationError(
            f"the configuration in {config_dir} is not controlled by root alone: {problem}",
            "check its contents; chown root and chmod go-w the named path",
        )
    try:
        wanted = [path for path in (config_dir / name for name in names) if path.exists() or own_files.lost_link(path)]
    except PermissionError as error:
        raise ConfigurationError(
            f"cannot read {config_dir}: {error.strerror}", "run it as root, for example with sudo"
        ) from error
    return wanted + [_extra_file(config_dir, os.fspath(extra)) for extra in extra_files]


def _sources(config_dir: Path, paths: Iterable[Path], read: Iterable[Iterable[Assignment]]) -> Sources:
    return Sources(tuple(paths), tuple(chain.from_iterable(read)), variables(config_dir))


def variables(config_dir: Path) -> dict[str, str]:
    """What references see before anything is assigned."""
    return {"HOSTNAME": os.uname().nodename.partition(".")[0], "CONFIG_DIR": os.fspath(config_dir)}


def _extra_file(config_dir: Path, given: str) -> Path:
    places = [Path(given)] if "/" in given else [config_dir / given, config_dir / f"{given}.conf"]
    for path in places:
        if path.is_file() or own_files.lost_link(path):
            return path
    raise ConfigurationError(
        f"no configuration file {' or '.join(map(str, places))}",
        "give -C a path, or the name of a file in the configuration directory, with or without .conf",
    )


def read_trusted(path: Path) -> bytes:
    """The content of a file that, when root reads it, only root can have written."""
    own_files.check_links(path)
    if os.geteuid() == 0 and (problem := changeable(path)):
        raise ConfigurationError(
            f"{path} is not controlled by root alone: {problem}",
            "check its contents; chown root and chmod go-w the named path",
        )
    try:
        # Non-blocking, so that a named pipe cannot stop the run.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(f"{path}: not a regular file", "replace it with a text file, or remove it")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise ConfigurationError(message, "remove it or make it readable") from error
