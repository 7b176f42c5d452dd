# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished media at OUTPUT_URL: below OUTPUT_PREFIX, marked with their machine, perhaps beside the previous ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, Refused
from ..places.delivery import checksum, sums_of
from ..places.folder import Folder
from ..places.opening import check_place, kind_of, opened_place
from ..places.place import PRIVATE, Place, publish_all
from ..places.room import check_room
from ..places.url import examples
from ..system.identity import may_be_one, told_apart
from . import signature
from .repository import identity

if TYPE_CHECKING:
    from ..run import Run

# In the note beside a medium: what it begins with, and what stands for an identity or key that is not known.
MACHINE, NOTHING = "Written by rear for", "-"


@contextmanager
def opened_output(run: Run, mode: int = PRIVATE) -> Iterator[Place]:
    """The place of the media; OUTPUT_URL is set."""
    url, options, prefix = (run.settings[name] for name in ("OUTPUT_URL", "OUTPUT_OPTIONS", "OUTPUT_PREFIX"))
    with opened_place(run, url, options, mode=mode, prefix=prefix) as place:
        yield place


def output_name(run: Run, name: str) -> str:
    """The URL of a file among the media."""
    return "/".join(filter(None, (str(run.settings["OUTPUT_URL"]).rstrip("/"), run.settings["OUTPUT_PREFIX"], name)))


def output_paths(run: Run, names: Sequence[str]) -> list[Path]:
    """The paths of files among the media, none where they are not on this machine."""
    url = run.settings["OUTPUT_URL"]
    is_here = url is not None and url.scheme == "file"
    return [Path(url.path, run.settings["OUTPUT_PREFIX"], name) for name in names] if is_here else []


def is_output(run: Run, folder: Path) -> bool:
    """Whether the media are there already."""
    return [path.resolve() for path in output_paths(run, [""])] == [folder.resolve()]


def check_output(run: Run, medium: str, needed: int, check: Callable[[Path], None] | None = None) -> None:
    """Raise `Refused` unless a medium of about `needed` bytes can be put to OUTPUT_URL, as the settings want it.

    `check` is called with the folder of the media, if they lie in one.
    """
    url, options, prefix = (run.settings[name] for name in ("OUTPUT_URL", "OUTPUT_OPTIONS", "OUTPUT_PREFIX"))
    if url is None:
        if prefix:
            run.report.warn(f"OUTPUT_PREFIX={prefix} has no effect without OUTPUT_URL: set that, or remove it")
        return
    check_settings(run)
    check_place(run, url, options, needed, "OUTPUT_URL", prefix=prefix)
    with opened_output(run) as place:
        check_published(run, place, medium)
        if check and isinstance(place, Folder):
            check(place.directory)


def check_settings(run: Run) -> None:
    """Raise `Refused` where OUTPUT_URL cannot do what other settings want of it."""
    url = run.settings["OUTPUT_URL"]
    if url and run.settings["KEEP_OLD_OUTPUT_COPY"] and not kind_of(run, url).folder:
        raise Refused(
            f"KEEP_OLD_OUTPUT_COPY cannot keep the previous media in {url}, which takes files one by one",
            f"{examples()} in OUTPUT_URL; or KEEP_OLD_OUTPUT_COPY=no",
        )


def copy_to_output(run: Run, media: Mapping[str, Sequence[Path]], after: Callable[[Path], None] | None = None) -> None:
    """Put the files of finished media to OUTPUT_URL, in this order; each copy is read back before it gets its name.

    `after` is called with the folder of the media, if they lie in one.
    """
    files = [path for paths in media.values() for path in paths]
    if is_output(run, files[0].parent):
        return
    with opened_output(run) as place:
        if isinstance(place, Folder):
            check_room(place.directory, sum(path.stat().st_size for path in files), "OUTPUT_URL")
        for medium, paths in media.items():
            sums = {path: checksum(path) for path in paths}
            publish_all(place, sums, medium, machine_note(run), keep_old=run.settings["KEEP_OLD_OUTPUT_COPY"])
        if after and isinstance(place, Folder):
            after(place.directory)
    run.results += output_paths(run, [path.name for path in files])
    for path in files:
        run.report.say(f"Copied to {output_name(run, path.name)}")


def refuse_prefix(run: Run, instead: str) -> None:
    """Raise `ConfigurationError` where OUTPUT_PREFIX is set for an output that has no use for it."""
    if run.settings["OUTPUT_PREFIX"]:
        raise _no_use(run, "OUTPUT_PREFIX", instead)


def refuse_old_copy(run: Run, instead: str, versions: int = 1) -> None:
    """Raise `ConfigurationError` where an output that keeps so many versions shall keep the previous media as well."""
    if run.settings["KEEP_OLD_OUTPUT_COPY"] and versions < 2:
        raise _no_use(run, "KEEP_OLD_OUTPUT_COPY", instead)


def _no_use(run: Run, name: str, instead: str) -> ConfigurationError:
    place, output = run.settings.origin(name), run.settings["OUTPUT"]
    return ConfigurationError(f"{place}: {name} cannot be used with OUTPUT={output}", f"remove it, and {instead}")


def machine_note(run: Run) -> str:
    """What tells beside a medium which machine it is of: its identity and the mark of its key."""
    return f"{MACHINE} {identity(run) or NOTHING} {signature.own_mark(run) or NOTHING}"


def check_published(run: Run, place: Place, medium: str) -> None:
    """Raise `Refused` where the medium in a place is that of another machine of this name, such as a clone."""
    text = (place.read(sums_of(Path(medium)).name) or b"").decode(errors="replace")
    found = re.search(rf"^# {MACHINE} (\S+) (\S+)$", text, re.MULTILINE)
    machine, signer = ("" if word == NOTHING else word for word in found.groups()) if found else ("", "")
    if not may_be_one(machine, identity(run)) or signature.is_other(signer, signature.known_marks(run)):
        raise Refused(
            f"{medium} in OUTPUT_URL is the rescue image of another machine ({told_apart(machine, identity(run))})",
            "set OUTPUT_PREFIX or another OUTPUT_URL; or if it is of this machine on other hardware, remove it by hand",
        )
