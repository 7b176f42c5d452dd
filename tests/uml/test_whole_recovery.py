# SPDX-License-Identifier: GPL-3.0-or-later
"""Small machines save themselves, lose their disks, come back from their own rescue systems and start.

All but firmware and boot loader is real; `tests/vm` has those.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab import compare, small, uml
from lab.small import DESIGNS, Design

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]

RECOVER = f"LUKS_PASSPHRASE='{small.PASSPHRASE}' rear -n recover"


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_machine_comes_back_and_starts(design: Design, tmp_path: Path) -> None:
    saved = small.saved(design)
    backup = saved.copy(small.BACKUP, tmp_path)
    new = design.blank(tmp_path, "0b", design.larger)
    # In its place, so that the new disks have other names.
    foreign = uml.Disk(uml.blank(tmp_path / small.FOREIGN, 64), small.FOREIGN)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", foreign.path], check=True)
    untouched = foreign.path.read_bytes()

    with small.rescue(saved, [foreign, *new, backup], f"recover-{design.name}") as vm:
        vm.shell(small.RESCUE_PROMPT)
        vm.check(f"echo \"DISK_MAPPING=( {small.mapping(design, '0b')} )\" >>/etc/rear/local.conf")
        vm.check(RECOVER, 300)
        vm.send("poweroff\n")
        vm.wait()
    assert foreign.path.read_bytes() == untouched

    with small.running(design, [*new, backup], f"recovered-{design.name}") as vm:
        small.start(vm, design)
        report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
        assert report["problems"] == []
        assert small.facts(vm) == saved.facts
        files = tmp_path / "files.json"
        files.write_bytes(small.listed(vm))
        vm.power_off()
    assert compare.differences(saved.files, files, small.MAY_DIFFER) == {}

    with small.running(design, [*new, backup], f"started-{design.name}") as vm:
        small.start_services(vm, design)
        state = vm.sh("systemctl is-system-running --wait").output
        assert state == "running", vm.sh("systemctl --failed --no-legend; journalctl -b -p warning | tail -20").output
        # A machine on LVM mirrors takes a minute to end.
        vm.cut_power()
