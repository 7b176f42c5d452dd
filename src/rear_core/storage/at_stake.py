# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery would destroy, by the settings as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .fate import LOST, REMADE, Exclusions, Stake, contents, stakes
from .layout import Layout
from .spared import urls

if TYPE_CHECKING:
    from ..run import Run


def at_stake(run: Run, layout: Layout) -> dict[str, Stake]:
    """What a recovery gives back of each recorded disk, and what it destroys, by the settings as they are now."""
    url = urls(run).get("BACKUP_URL")
    folder = url.path if url is not None and url.scheme == "file" else ""
    settings = run.settings
    kept = (REMADE, "backups, copied elsewhere"), (LOST, "it holds the backup")
    found = contents(
        layout,
        Exclusions.of(settings),
        not_saved=[
            pattern for pattern in settings["BACKUP_PROG_EXCLUDE"] if pattern not in settings["BACKUP_PROG_INCLUDE"]
        ],
        given_up=settings["GIVE_UP"],
        backups={
            folder: kept[not settings["BACKUP_ALLOW_SYSTEM_DISK"]],
            f"{run.var_dir}/output": (LOST, "rear does not save the rescue media that it has created there"),
        },
    )
    return stakes(layout, found)


def left_alone(stakes: Mapping[str, Stake]) -> dict[str, str]:
    """Why each recorded disk of which nothing comes back is left as it is, by id."""
    return {id: stake.why_alone for id, stake in stakes.items() if stake.why_alone}
