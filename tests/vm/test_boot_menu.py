# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine starts its rescue system from the menu of its own boot loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import debian, machines, qemu
from lab.designs.debian import BIOS
from lab.designs.loaders import SYSTEMD_BOOT
from lab.machines import Design

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]

CONFIGURATION = f"""\
OUTPUT=ISO
GRUB_RESCUE=yes
KERNEL_CMDLINE="{debian.PARAMETERS} rear.auto=shell"
"""


# `once` has the loader start it at the next start; its own default stays. Folder and entry are there until nobody wants
# them.
@pytest.mark.parametrize(
    ("design", "once", "folder", "entry"),
    [
        pytest.param(BIOS, "grub-reboot rear-rescue", "/boot/rear", "/etc/grub.d/45_rear", id="grub"),
        pytest.param(
            SYSTEMD_BOOT, "bootctl set-oneshot rear-rescue.conf", "/efi/rear", "/efi/loader/entries/rear-rescue.conf",
            id="systemd-boot",
        ),
    ],
)  # fmt: skip
def test_the_rescue_system_starts_from_the_menu_until_nobody_wants_it_there(
    machine: Callable[..., qemu.Machine], tmp_path: Path, design: Design, once: str, folder: str, entry: str
) -> None:
    disks = [*machines.copy(design, tmp_path / "disks"), machines.rear_disk()]
    with machine(
        disks=disks, memory=1024, reboots=True, firmware=design.firmware, nvram=tmp_path / "disks/nvram"
    ) as vm:
        machines.log_in(vm, design)
        machines.install_rear(vm)
        vm.check("mkdir -p /etc/rear")
        vm.put("/etc/rear/local.conf", CONFIGURATION.encode())
        vm.check("rear mkrescue", timeout=1800)
        assert vm.check(f"stat -c '%a %n' {folder} | head -1") == f"700 {folder}"
        vm.check(once)
        vm.send("reboot\n")
        vm.shell(r"RESCUE debian12:\S* # ", timeout=900)
        assert vm.sh("test -s /run/rear/problems && cat /run/rear/problems").output == ""
        assert vm.check("rear --version").startswith("rear, version ")
        vm.send("reboot\n")
        machines.log_in(vm, design)
        vm.check("sed -i s/GRUB_RESCUE=yes/GRUB_RESCUE=no/ /etc/rear/local.conf && rear mkrescue", timeout=1800)
        assert vm.sh("grep -i -s rear /boot/grub/grub.cfg /efi/loader/entries/*").output == ""
        assert vm.sh(f"ls -d {folder} {entry}").status == 2
        vm.power_off()
