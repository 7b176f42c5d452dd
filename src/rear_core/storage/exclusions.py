# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings keep from being saved and from being recreated."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exclusions:
    """What the settings keep from being saved and from being recreated."""

    mounts: Sequence[str] = ()
    paths: Sequence[str] = ()
    groups: Sequence[str] = ()
    only_groups: Sequence[str] = ()
    arrays: Sequence[str] = ()
    components: Sequence[str] = ()
    multipath: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Exclusions:
        """Those of the settings."""
        return cls(
            settings["EXCLUDE_MOUNTPOINTS"],
            settings["AUTOEXCLUDE_PATH"],
            settings["EXCLUDE_VG"],
            settings["ONLY_INCLUDE_VG"],
            settings["EXCLUDE_MD"],
            settings["EXCLUDE_COMPONENTS"],
            settings["AUTOEXCLUDE_MULTIPATH"],
        )

    def of_mount(self, target: str) -> str:
        """The setting that names a mount point, "" for none."""
        if any(fnmatch.fnmatchcase(target, pattern) for pattern in self.mounts):
            return "EXCLUDE_MOUNTPOINTS names it"
        inside = any(f"{target}/".startswith(f"{path.rstrip('/')}/") for path in self.paths)
        return "AUTOEXCLUDE_PATH names it" if inside else ""
