# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible role: what it says of rear is so, and Ansible can read it; `tests/uml` runs it on machines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import debian
from rear_core.schedule import JOBS

ANSIBLE = debian.CHECKOUT / "ansible"
ROLE = ANSIBLE / "roles/rear"
needs_ansible = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="Ansible is not installed")
PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    rear_command: {folder}/rear
    rear_status_folder: {folder}/status
    rear_first_media: true
  tasks:
    - ansible.builtin.include_role:
        name: {role}
        tasks_from: status
"""
# A rear whose media are there once it was asked for them.
MACHINE = """\
#!/bin/sh
cd {folder}
echo "$*" >>asked
case "$*" in
    *mkrescue) touch media ;;
    *status) [ -e media ] && values=', "media_timestamp_seconds": 1' || values=
        echo '{{"checks": {{"media": {{"state": "critical"'"$values"'}}}}}}'; exit 1 ;;
esac
"""


def test_the_role_knows_the_jobs_of_rear_schedule() -> None:
    text = (ROLE / "tasks/schedule.yml").read_text()
    (listed,) = re.findall(r"\[([^\]]*)\] \| difference", text)
    assert re.findall(r"\w+", listed) == list(JOBS)


def test_every_variable_of_the_role_has_a_value_and_is_explained() -> None:
    texts = {path: path.read_text() for path in [*ROLE.rglob("*.yml"), *ROLE.rglob("*.j2")]}
    defaults = texts.pop(ROLE / "defaults/main.yml")
    declared = {*re.findall(r"^(rear_\w+):", defaults, re.MULTILINE)}
    used = {name for text in texts.values() for name in re.findall(r"\brear_\w+", text)}
    own = {
        name for text in texts.values() for name in re.findall(r"(?:register: |^\s+)(rear_\w+)\b", text, re.MULTILINE)
    }
    assert used - own == declared
    for name in declared:
        before = defaults.partition(f"\n{name}:")[0].rstrip().rpartition("\n")[2]
        assert before.startswith(("#", "rear_command")), f"{name} is not explained"


def test_no_task_shows_a_secret() -> None:
    tasks = re.split(r"\n\s*- name: ", (ROLE / "tasks/configure.yml").read_text())
    for task in tasks:
        if "rear_secret_files" in task or "local.conf.j2" in task:
            assert "no_log: true" in task and 'mode: "0600"' in task, task


@pytest.mark.slow
@needs_ansible
def test_ansible_can_read_the_playbook(tmp_path: Path) -> None:
    argv: list[str | Path] = [
        "ansible-playbook",
        "--syntax-check",
        "--inventory",
        ANSIBLE / "example/inventory.ini",
        ANSIBLE / "rear.yml",
    ]
    checked = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "HOME": f"{tmp_path}"})
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


@pytest.mark.slow
@needs_ansible
def test_a_machine_makes_its_first_media_once(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK.format(folder=tmp_path, role=ROLE))
    (tmp_path / "rear").write_text(MACHINE.format(folder=tmp_path))
    (tmp_path / "rear").chmod(0o755)
    argv: list[str | Path] = ["ansible-playbook", "--inventory", "localhost,", tmp_path / "play.yml"]
    for changed in (1, 0):
        ended = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "HOME": f"{tmp_path}"})
        counts = re.findall(r"ok=\d+ +changed=(\d+)", ended.stdout)
        # The folder of the page is new at first, too.
        assert (ended.returncode, counts) == (0, [str(2 * changed)]), ended.stdout + ended.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["--json status", "--quiet --non-interactive mkrescue", "--json status", "--json status"]
    assert "media_timestamp_seconds" in (tmp_path / "status/localhost.json").read_text()
