# SPDX-License-Identifier: GPL-3.0-or-later
"""The initramfs that dracut has made in a restored tree brings a machine to its root file system."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import debian, qemu
from lab.dracut import recovered

# tests/root has what is in that image, and tests/vm/test_recover.py a machine that makes its own.
pytestmark = [pytest.mark.vm, pytest.mark.long]


def test_a_machine_starts_from_an_initramfs_of_dracut(machine: Callable[..., qemu.Machine]) -> None:
    # With a shell as the first program of the real system all else that starts there is spared.
    with machine(
        disks=[qemu.Disk(debian.disk().path, "root", snapshot=True)],
        kernel=debian.kernel(),
        initrd=recovered().image,
        command_line=f"root=LABEL={debian.LABEL} rw console=ttyS0 cryptomgr.notests init=/bin/bash",
    ) as vm:
        vm.expect(r"dracut-\S+ \(Initramfs\)", timeout=300)
        vm.shell(timeout=600)
        assert vm.check("findmnt --noheadings --output FSTYPE,LABEL /").split() == ["ext4", debian.LABEL]
        assert 'PRETTY_NAME="Debian GNU/Linux 12' in vm.check("cat /etc/os-release")
        vm.send("poweroff --force --force\n")
        vm.wait()
