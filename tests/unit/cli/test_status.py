# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear status` on a machine of which little is known: its forms and exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Rear = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"), pytest.mark.slow]


def test_status_tells_by_its_exit_status(rear: Rear, tmp_path: Path) -> None:
    told = rear("status", "--json")
    found = json.loads(told.stdout)
    assert (told.returncode, found["state"]) == (1, "critical")
    assert found["checks"]["layout"]["text"] == "this machine was never described: run `rear mkrescue`"
    nagios = rear("status", "--nagios")
    assert nagios.returncode == 2 and nagios.stdout.startswith("REAR CRITICAL - ")
    unknown = rear("status", "--nagios", conf="OUTPTU=ISO\n")
    assert (unknown.returncode, unknown.stdout.count("REAR UNKNOWN - ")) == (3, 1)


def test_metrics_are_a_whole_file_that_anybody_may_read(rear: Rear, tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    place = tmp_path / "metrics/rear.prom"
    assert rear("status", "--prometheus", str(place)).returncode == 1
    assert 'rear_check_state{check="backup"} ' in place.read_text()
    assert place.stat().st_mode & 0o777 == 0o644
    # Nobody could look: that is what whoever watches has to know.
    assert rear("status", "--prometheus", str(place), conf="OUTPTU=ISO\n").returncode == 1
    assert 'rear_check_state{check="status"} 3\n' in place.read_text()
    assert [path.name for path in place.parent.iterdir()] == ["rear.prom"]
    assert rear("status", "--prometheus", str(tmp_path / "metrics/rear.txt")).returncode == 2
    assert rear("status", "--prometheus", "/nowhere/rear.prom").returncode == 3


def test_one_page_for_all_machines_of_a_folder(rear: Rear, tmp_path: Path) -> None:
    folder = tmp_path / "machines"
    assert rear("status", "--collect", str(folder)).returncode == 3
    folder.mkdir()
    assert rear("status", "--collect", str(folder), conf="OUTPTU=ISO\n").stdout.startswith("machines  unknown ")
    for name, conf in {"web1": "", "web2": "OUTPTU=ISO\n", "web3": "STATUS_BACKUP_DAYS=( 1 )\n"}.items():
        (folder / f"{name}.json").write_text(rear("--json", "status", conf=conf).stdout)
    told = rear("status", "--collect", str(folder), "--nagios")
    assert (told.returncode, told.stdout.count("backup: there is no backup by")) == (2, 2)
    assert "web2: nobody could look: " in told.stdout
    page = (folder / "index.html").read_text()
    assert page.count("<details") == 3 and page.index("web3") < page.index("web2")
    assert (folder / "index.html").stat().st_mode & 0o777 == 0o644
    assert rear("status", "--collect", str(folder), "--prometheus", str(tmp_path / "a.prom")).returncode == 2
    assert rear("status", "--max-age", "3").returncode == 2
