# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial on the first recovery, as a newcomer follows it: docs/tutorial/first-recovery.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import docs, guests, small, small_methods

from .test_how_to import DESIGN

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(1200)]

PAGE = "tutorial/first-recovery.md"
DISK = "0e02"


def typed(heading: str, disk: str = "") -> list[str]:
    """What the reader types in a section, with the disk that is here."""
    found = [block for block in docs.blocks(docs.ROOT / "docs" / PAGE) if block.heading == heading]
    mine = [block for block in found if block.mark.endswith("uml/test_first_recovery.py")]
    return [line.replace("/dev/sdX", disk) for block in mine for line in block.lines()]


def shown(heading: str) -> str:
    """What a section has as what is printed, with the name of this machine."""
    text = (docs.ROOT / "docs" / PAGE).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)).replace("web1", "debian12")


def test_the_tutorial_brings_a_machine_back(tmp_path: Path) -> None:
    saved = small.saved(DESIGN)
    system, backup = (saved.copy(serial, tmp_path) for serial in (DESIGN.serials("0a")[0], small.BACKUP))
    stick = guests.Disk(guests.blank(tmp_path / DISK, 2048), DISK)
    with small.running(DESIGN, [system, backup, stick], "first-recovery") as vm:
        small.start(vm, DESIGN)
        disk = vm.check(f"readlink -f /dev/disk/lab/{DISK}")
        # It keeps no backups elsewhere.
        vm.check("umount /srv/backup; sed -i /BACKUP/d /etc/fstab; rm -r /etc/rear")
        vm.detach(backup.serial)
        vm.check("mkdir /etc/rear")
        vm.put("/etc/rear/site.conf", small.in_guest().encode())
        (erase,) = typed("Prepare the disk", disk)
        vm.check(erase)
        said = "\n".join(vm.check(line, 600) for line in typed("Save the machine"))
        print(said)
        assert docs.missing(said, shown("Save the machine")) == []
        assert said.splitlines()[-1] == "debian12"
        (tmp_path / "rescue.iso").write_bytes(vm.get("/var/lib/rear/output/rear-debian12.iso"))
        (tmp_path / "was.json").write_bytes(small.listed(vm))
        was = small.facts(vm)
        vm.power_off()
    initramfs = small.take_initramfs(tmp_path / "rescue.iso", tmp_path / "initramfs.img")

    recovery = small.Recovery(DESIGN, initramfs, tmp_path, "first-recovery")
    with recovery.rescue(stick) as vm:
        plan, recover, _ = typed("Do it yourself")
        said = "\n".join(vm.check(line, 600) for line in (plan, recover))
        print(said)
        assert docs.missing(said, shown("Do it yourself")) == []
        assert "The recovery is complete" in said
    recovery.check(was, tmp_path / "was.json", small_methods.MAY_DIFFER)
