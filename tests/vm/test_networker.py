# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose files a stand-in of NetWorker keeps comes back with its rescue ISO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import backups, methods, qemu

# tests/uml has the method; here its rescue image boots, too.
pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]


def test_a_machine_comes_back_from_networker(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    saved = methods.saved()
    assert "Saved /home" in saved.said["nsr"]
    disks = methods.blank(tmp_path)
    with saved.server() as server:
        iso = server.media(methods.CLIENT, methods.ISO)
        with machine(memory=1024, cdrom=iso, disks=disks, nics=[methods.CARD]) as vm:
            backups.recover(vm, "The server has /home: ")
    methods.check(disks, saved.files)
