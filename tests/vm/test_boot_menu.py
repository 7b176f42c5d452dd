# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine starts its rescue system from the menu of its own GRUB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import debian, machines, qemu
from lab.designs.debian import BIOS

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]

CONFIGURATION = f"""\
OUTPUT=ISO
GRUB_RESCUE=yes
KERNEL_CMDLINE="{debian.PARAMETERS} rear.auto=shell"
"""


def test_the_rescue_system_starts_from_the_menu_until_nobody_wants_it_there(
    machine: Callable[..., qemu.Machine], tmp_path: Path
) -> None:
    disks = [*machines.copy(BIOS, tmp_path / "disks"), machines.rear_disk()]
    with machine(disks=disks, memory=1024, reboots=True) as vm:
        machines.log_in(vm, BIOS)
        machines.install_rear(vm)
        vm.check("mkdir -p /etc/rear")
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("rear mkrescue", timeout=1800)
        assert vm.check("stat -c '%a %n' /boot/rear | head -1") == "700 /boot/rear"
        # Once; the menu's own default stays.
        vm.check("grub-reboot rear-rescue")
        vm.send("reboot\n")
        vm.shell(r"RESCUE debian12:\S* # ", timeout=900)
        assert vm.sh("test -s /run/rear/problems && cat /run/rear/problems").output == ""
        assert vm.check("rear --version").startswith("rear, version ")
        vm.send("reboot\n")
        machines.log_in(vm, BIOS)
        vm.check("sed -i s/GRUB_RESCUE=yes/GRUB_RESCUE=no/ /etc/rear/local.conf && rear mkrescue", timeout=1800)
        assert vm.sh("grep -i rear /boot/grub/grub.cfg").output == ""
        assert vm.sh("ls -d /boot/rear /etc/grub.d/45_rear").status == 2
        vm.power_off()
