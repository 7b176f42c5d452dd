# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rescue system must or may carry, as declared by the core, plugins, scripts and settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Contents:
    """A declaration of rescue contents; several are merged.

    `programs` are required: names looked up in the search path, or absolute paths; a missing one ends the run in prep.
    `optional_programs` are taken along when installed. `libraries` are absolute paths or globs of libraries that a
    program loads by name while it runs (dlopen) without a note about it in its file. `modules` are kernel module names,
    taken with what they depend on and the firmware they name; a built-in or absent one is no error. `load` are modules
    that the rescue system loads at boot without waiting for hardware to ask. `files` are absolute paths or globs,
    directories with all below them.
    `distributions` are Python distributions to install beside the plugins.

    `library_directories` are looked in for libraries that the loader does not find by itself: programs of such a
    vendor are started with LD_LIBRARY_PATH. `secrets` are patterns of files with passwords or keys (`*` also matches
    a slash): they stay out, also when `files` has their directory, unless RESCUE_ALLOW_SECRETS names them. When one of
    the `watched` files changes, absolute paths or globs, `rear checklayout` says that the media are outdated.
    """

    programs: Sequence[str] = ()
    optional_programs: Sequence[str] = ()
    libraries: Sequence[str] = ()
    modules: Sequence[str] = ()
    load: Sequence[str] = ()
    files: Sequence[str] = ()
    distributions: Sequence[str] = ()
    library_directories: Sequence[str] = ()
    secrets: Sequence[str] = ()
    watched: Sequence[str] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), str):
                raise TypeError(f"{field.name} of Contents is the text {value!r}, not a list of texts")
            for word in value if isinstance(value, Collection) else ():
                if not isinstance(word, str):
                    raise TypeError(f"{field.name} of Contents has {word!r}, which is no text")


def merge(contents: Iterable[Contents]) -> Contents:
    """All declarations as one, without doubles, in order of first appearance."""
    found = list(contents)
    return Contents(
        **{
            field.name: tuple(dict.fromkeys(word for part in found for word in getattr(part, field.name)))
            for field in fields(Contents)
        }
    )
