# SPDX-License-Identifier: GPL-3.0-or-later
"""Three machines that Debian's Ansible configures, schedules and watches by ssh, with the role of this checkout."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import cache, debian, guests, machines

pytestmark = [
    pytest.mark.uml,
    pytest.mark.long,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="Ansible is not installed"),
]

# Each in a network of its own; ssh shares connections to one address.
ADDRESSES = {"db1": "10.0.2.11", "web1": "10.0.2.12", "web2": "10.0.2.13"}
NAMES = tuple(ADDRESSES)
VARIABLES = """\
ansible_user: root
ansible_ssh_transfer_method: piped
ansible_ssh_common_args: -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
ansible_python_interpreter: /usr/bin/python3
rear_install: false
rear_command: /opt/rear/bin/rear
rear_command_here: {rear}
rear_status_folder: {status}
rear_settings:
  OUTPUT: ISO
  BACKUP: NFS
  BACKUP_URL: file:///srv/backup
  BACKUP_KEEP: 7
  "BACKUP_PROG_EXCLUDE+": ["/srv/it's scratch", /var/tmp]
rear_secret_files:
  /etc/rear/password: correct horse
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, guests.Machine]]]:
    """A folder for Ansible with an inventory, and three machines that their systemd has started."""
    folder = tmp_path_factory.mktemp("fleet")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with ExitStack() as undo:
        started = {}
        for number, name in enumerate(NAMES):
            nic = guests.Nic(f"52:54:00:00:01:0{number}", nat=True)
            machine = guests.Machine(
                root=guests.image(), nics=[nic], memory=640, transcript=cache.transcript(f"fleet-{name}"),
                command_line="quiet",
            )  # fmt: skip
            started[name] = undo.enter_context(machine)
        for name, vm in started.items():
            prepare(vm, name, key.with_suffix(".pub").read_text())
            wrapper = folder / f"ssh-{name}"
            wrapper.write_text(f'#!/bin/sh\nexec nsenter --net={shlex.quote(f"{vm.network}")} ssh "$@"\n')
            wrapper.chmod(0o755)
        lines = [
            "[rear]",
            *(f"{name} ansible_host={ADDRESSES[name]} ansible_ssh_executable={folder}/ssh-{name}" for name in NAMES),
        ]
        (folder / "inventory.ini").write_text("\n".join(lines) + "\n")
        (folder / "group_vars").mkdir()
        rear = f"{debian.CHECKOUT}/.venv/bin/rear"
        text = VARIABLES.format(key=key, rear=rear, status=folder / "status")
        (folder / "group_vars/rear.yml").write_text(text)
        yield folder, started


def prepare(vm: guests.Machine, name: str, key: str) -> None:
    """What a machine has before Ansible comes: a name, an address, sshd with a key, rear."""
    vm.shell(machines.PROMPT, timeout=300)
    vm.install_rear()
    vm.check(f"hostname {name}; echo {name} >/etc/hostname; mkdir -p /root/.ssh /srv/backup; rm -rf /etc/rear")
    vm.put("/root/.ssh/authorized_keys", key.encode())
    card = vm.check("ls /sys/class/net | grep -v lo").split()[0]
    vm.check(f"ip link set {card} up; ip address add {ADDRESSES[name]}/24 dev {card}")
    vm.check("ssh-keygen -A; systemctl start ssh.service")


def play(folder: Path, *arguments: str) -> tuple[int, str, dict[str, dict[str, int]]]:
    """Run the playbook: exit status, what it printed, and the counts of each machine."""
    argv: list[str | Path] = [
        "ansible-playbook",
        "--inventory",
        folder / "inventory.ini",
        debian.CHECKOUT / "ansible/rear.yml",
        *arguments,
    ]
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_LOCAL_TEMP": f"{folder}/tmp",
        "HOME": f"{folder}",
    }
    ended = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=1800)
    recap = {}
    for name, counts in re.findall(r"^(\w+) +: (ok=.*)$", ended.stdout, re.MULTILINE):
        recap[name] = {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", counts)}
    return ended.returncode, ended.stdout + ended.stderr, recap


def test_three_machines_are_configured_scheduled_and_shown(fleet: tuple[Path, dict[str, guests.Machine]]) -> None:
    folder, started = fleet
    # What would change is known before anything does.
    status, told, recap = play(folder, "--check", "--diff")
    assert status == 0, told
    assert all(recap[name]["changed"] >= 2 for name in NAMES), told
    assert all(vm.sh("ls /etc/rear/local.conf /etc/systemd/system/rear-backup.timer").status for vm in started.values())

    status, told, recap = play(folder)
    assert status == 0, told
    assert "correct horse" not in told
    for name, vm in started.items():
        assert recap[name]["changed"] >= 2 and recap[name]["failed"] == 0, told
        assert vm.check("stat -c %a /etc/rear/local.conf /etc/rear/password").split() == ["600", "600"]
        assert "scratch" in vm.check("rear dump | grep BACKUP_PROG_EXCLUDE")
        assert "rear-backup.timer" in vm.check("systemctl list-timers --all --no-pager | cat")
        assert vm.check("ls -A /run | grep -c rear-check || true").strip() == "0"
        found = json.loads((folder / "status" / f"{name}.json").read_text())
        assert (found["host"], found["checks"]["media"]["state"]) == (name, "critical")
    page = (folder / "status/index.html").read_text()
    assert page.count("<details") == 3 and all(f"<b>{name}</b>" in page for name in NAMES)

    status, told, recap = play(folder)
    assert status == 0, told
    assert [recap[name]["changed"] for name in (*NAMES, "localhost")] == [0, 0, 0, 0], told


def test_what_rear_does_not_take_replaces_nothing(fleet: tuple[Path, dict[str, guests.Machine]]) -> None:
    folder, started = fleet
    vm = started["web1"]
    before = vm.get("/etc/rear/local.conf")
    status, told, _ = play(folder, "--limit", "web1", "--extra-vars", '{"rear_settings": {"OUTPTU": "ISO"}}')
    assert status != 0 and "OUTPTU" in told and "local.conf stays as it was" in told, told
    assert vm.get("/etc/rear/local.conf") == before


def test_a_machine_that_is_gone_is_on_the_page(fleet: tuple[Path, dict[str, guests.Machine]]) -> None:
    folder, started = fleet
    started["db1"].cut_power()
    (folder / "status/db1.json").unlink(missing_ok=True)
    # No connection of before is used.
    alone = {"ansible_ssh_args": "-o ControlPath=none -o ConnectTimeout=5"}
    status, told, _ = play(folder, "--extra-vars", json.dumps(alone))
    assert status != 0, told
    page = (folder / "status/index.html").read_text()
    assert page.count("<details") == 3 and "Ansible has not reached this machine yet" in page, told
