# SPDX-License-Identifier: GPL-3.0-or-later
"""Small machines save themselves, lose their disks, come back from their own rescue systems and start.

All but firmware and boot loader is real; `tests/vm` has those.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import small
from lab.small import DESIGNS, Design

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]


# The plain one is recovered twenty times by other tests, without being started.
DAILY = ("mirror",)
MACHINES = [
    pytest.param(design, id=name, marks=() if name in DAILY else pytest.mark.long) for name, design in DESIGNS.items()
]


@pytest.mark.parametrize("design", MACHINES)
def test_a_machine_comes_back_and_starts(design: Design, tmp_path: Path) -> None:
    saved = small.saved(design)
    backup = saved.copy(small.BACKUP, tmp_path)
    recovery = small.Recovery(design, saved.initramfs, tmp_path, design.name)
    with recovery.rescue(backup) as vm:
        vm.check(small.RECOVER, 300)
    recovery.check(saved.facts, saved.files, small.MAY_DIFFER, backup)
    recovery.check_start(backup)
