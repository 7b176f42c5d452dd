# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of many kinds lose their disks and come back from the rescue ISO and their backup, with 1 GiB of memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import backups, compare, designs, machines, qemu
from lab.machines import Design

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

ASKED = r"New passphrase for [^:]*: |Once more: |rear recover ended with exit status (\d+)"


# Time is short in `make test`: a rehearsal recovers and starts the machine with BIOS, tests/uml has the other kinds of
# storage and starts what it recovers, and rescue media start with Secure Boot in other tests.
@pytest.mark.long
@pytest.mark.parametrize("design", [pytest.param(design, id=design.name) for design in designs.ALL])
def test_the_machine_comes_back(machine: Callable[..., qemu.Machine], design: Design, tmp_path: Path) -> None:
    saved = backups.backed_up(design)
    place = saved.place.copy(tmp_path / "backup")
    disks = [drive.blank(tmp_path) for drive in design.new_drives or design.drives]
    fields: dict[str, Any] = {"memory": 1024, "firmware": design.new_firmware or design.firmware}
    fields.update(release=design.release)
    nics = [*place.nics, *(design.new_nics or design.nics)]
    fields.update(nics=nics, nvram=machines.new_nvram(design, tmp_path))
    # As in another machine, its TPM knows nothing yet.
    with (
        place.served(),
        machines.plugged(design, tmp_path, disks) as (own, more),
        machine(cdrom=saved.iso, disks=[*own, *place.disks], devices=more, **fields) as vm,
    ):
        recover_with_passphrase(vm, design) if design.passphrase else backups.recover(vm)
    reboots = design.firmware == "secureboot"
    with (
        place.served(),
        machines.plugged(design, tmp_path, disks) as (own, more),
        machine(reboots=reboots, disks=[*own, *place.disks], devices=more, **fields) as vm,
    ):
        machines.log_in(vm, design, prepared=True)
        recovered = backups.facts(vm, design)
        report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
        check = vm.sh("rear checklayout", timeout=300)
        left = vm.sh("ls -d /.autorelabel /etc/*.rearbak /root/rear-* 2>/dev/null").output
        compare.list_files(vm, f"{place.mount(vm)}/recovered.json")
        backups.shut_down(vm)

    assert report["problems"] == []
    assert recovered == saved.facts
    assert check.status == 0 or design.new_drives
    assert left == ""
    files = place.take("recovered.json", tmp_path)
    assert compare.differences(saved.files, files, design.may_differ) == {}


def recover_with_passphrase(vm: qemu.Machine, design: Design) -> None:
    """From the boot menu to the reboot, with somebody who chooses a new passphrase."""
    vm.expect("Recover debian12 automatically", timeout=600)
    vm.send("\r")
    vm.expect("Choice: ", timeout=600)
    vm.send("1\n")
    ended = vm.expect(ASKED, timeout=600)
    while not ended[1]:
        vm.send(f"{design.passphrase}\n")
        ended = vm.expect(ASKED, timeout=1800)
    assert ended[1] == "0"
    vm.expect("Choice: ")
    vm.send("3\n")
    vm.wait(300)
