# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that its systemd has save itself, with the sandbox of the units, and that is watched meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import backups, cache, debian, docs, guests, machines, originals
from lab.designs.debian import BIOS
from rear_core import schedule

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(1200)]

METRICS = "/var/lib/rear.prom"
ENABLE = "rear schedule enable --media daily --backup 02:30 --check monthly --status hourly --metrics"
# What the kernel says of a program that the unit starts (proc(5)).
SANDBOX = "[Service]\nExecStartPost=/bin/cp /proc/self/status /run/sandbox\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[guests.Machine]:
    """The daily machine with rear and a disk for its backups, started by its own systemd, at its shell."""
    machines.copy(BIOS, tmp_path / "disks")
    system = guests.Disk(tmp_path / "disks" / BIOS.drives[0].serial, originals.SERIALS[0])
    backup = guests.Disk(backups.Place.empty(tmp_path / "backup", BIOS).path, originals.BACKUP)
    with guests.Machine(root=guests.image(), memory=1536, transcript=cache.transcript("schedule")) as vm:
        vm.shell()
        for disk in (system, backup):
            vm.attach(disk)
        vm.check(f"modprobe -a {originals.MODULES} && mount LABEL=root /mnt")
        vm.check("mkdir -p /mnt/etc/rear /mnt/srv/backup")
        vm.push(debian.rear_disk(), "/mnt")
        left_out = " ".join(map(repr, originals.NOT_ON_DISK))
        text = originals.ON_DISK.format(url="file:///srv/backup", left_out=left_out)
        vm.put("/mnt/etc/rear/local.conf", text.encode())
        vm.enter("/lib/systemd/systemd")
        vm.shell(machines.PROMPT, timeout=300)
        yield vm
        vm.send("systemctl poweroff --force --force\n")
        vm.wait()


def start(vm: guests.Machine, job: str) -> None:
    """Have systemd run a job now; it must end well."""
    unit = f"rear-{schedule.JOBS[job]}.service"
    answer = vm.sh(f"systemctl start {unit}", 300)
    assert answer.status == 0, vm.sh(f"journalctl --quiet --output=cat --unit={unit}").output


def runs(vm: guests.Machine) -> list[str]:
    """The command and the result of each record, oldest first."""
    records = [json.loads(line) for line in vm.check("cat /var/lib/rear/runs/*.json").splitlines()]
    return [f"{record['command']} {record['result']}" for record in sorted(records, key=lambda r: str(r["began"]))]


def test_systemd_has_a_machine_save_itself_and_watches_it(machine: guests.Machine) -> None:
    vm = machine
    assert vm.sh("rear status --nagios").status == 2
    for line in docs.typed("how-to/every-night.md", "Save a machine every night"):
        shown = vm.check(line)
    assert shown.count("enabled, next ") == 4, shown
    vm.check("rear schedule disable")
    vm.check(f"{ENABLE} {METRICS}")
    assert vm.check("systemctl list-timers --all --no-legend 'rear-*' | wc -l").strip() == "4"
    shown = vm.check("rear schedule show")
    assert "backup  enabled, next " in shown and "drill   off" in shown, shown
    vm.check("mkdir /etc/systemd/system/rear-backup.service.d")
    vm.put("/etc/systemd/system/rear-backup.service.d/sandbox.conf", SANDBOX.encode())
    vm.check("systemctl daemon-reload")

    # Both at once: one waits for the other.
    vm.check("systemctl start --no-block rear-rescue.service")
    start(vm, "backup")
    start(vm, "media")
    start(vm, "check")
    done = ["checkbackup done", "mkbackuponly done", "mkrescue done"]
    assert sorted(runs(vm)) == done
    assert "\nSeccomp:\t2\n" in vm.check("cat /run/sandbox")
    # Nothing has changed: also in the eyes of a rear that no unit has shut in.
    start(vm, "media")
    assert sorted(runs(vm)) == done
    assert vm.sh("rear checklayout").output == ""

    start(vm, "status")
    metrics = vm.check(f"cat {METRICS}").splitlines()
    for check in ("backup", "verification", "coverage", "media", "layout"):
        assert f'rear_check_state{{check="{check}"}} 0' in metrics, vm.sh("rear status").output
    # Every check is well but the rehearsal, which nobody made.
    assert vm.sh("rear -q status").output.split()[:2] == ["drill", "warning"]

    vm.check("rm /srv/backup/debian12/*/backup.tar.*")
    assert vm.sh("systemctl start rear-check.service", 300).status == 1
    assert "verification: the last check was refused: " in vm.sh("rear status --nagios").output
    vm.check("rear schedule disable")
    assert vm.check("ls /etc/systemd/system | grep -c -E '^rear-.*(timer|service)$' || true").strip() == "0"
