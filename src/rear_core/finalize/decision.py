# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides whether the initramfs of the recovered system must be rebuilt: costly, and seldom needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RearError
from . import proof, recorded

if TYPE_CHECKING:
    from ..run import Run

# Configuration of which an initramfs has its own copy.
COPIED = (
    "/etc/crypttab", "/etc/integritytab", "/etc/veritytab", "/etc/mdadm", "/etc/multipath", "/etc/iscsi/", "/etc/lvm/",
    "/etc/initramfs-tools/", "/etc/dracut", "/etc/cmdline", "/etc/kernel/cmdline",
)  # fmt: skip


def reasons_for_new_initramfs(run: Run) -> list[str]:
    """Why the initramfs that was restored does not fit this machine; none where the machine is the same.

    It is read in each recovery: another controller may be behind the same name of a disk.
    """
    assert run.layout is not None and run.rebuilt is not None
    reasons = [f"{name} was changed" for name in dict.fromkeys(run.recovery.rewritten) if name.startswith(COPIED)]
    for entry in recorded.entries(run)[:1]:
        needed = proof.needed_modules(run.layout, run.rebuilt)
        try:
            missing = proof.missing_modules(run.sh, run.target, entry, needed)
            reasons += [f"it lacks the driver {name}" for name in missing]
        except (RearError, OSError) as error:
            reasons.append(f"it cannot be read ({error})")
    return reasons
