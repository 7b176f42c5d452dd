# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose files two methods save: an archive has the system, rsync a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed: tools/install test does that"),
]

Rear = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    (path / "folder/inner").mkdir(parents=True)
    (path / "folder").chmod(0o750)
    (path / "folder/file").write_text("text")
    (path / "folder/inner/file").write_text("more")
    (path / "noise").write_bytes(os.urandom(3_000_000))
    return path


@pytest.fixture
def rear(tmp_path: Path, tree: Path) -> Rear:
    """Run the command; of this machine only the small tree is saved."""
    config, backups = tmp_path / "etc", tmp_path / "backups"
    config.mkdir()
    backups.mkdir()
    (config / "local.conf").write_text(
        f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
        f"OS_FAMILY=debian\nBACKUP_URL=file://{backups}\nBACKUP_PREFIX=web1\nEXCLUDE_MOUNTPOINTS=( '/*' )\n"
        f"BACKUP_PROG_EXCLUDE=()\nBACKUP_PROG_INCLUDE=( {tree} )\n"
        f"BACKUP=( NFS RSYNC )\nBACKUP_PARTS=( RSYNC:{tree}/folder )\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "from rear_core.cli import main; main()", "-c", str(config), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)

    return run


@pytest.fixture
def saved(rear: Rear) -> Rear:
    """The command, after both have saved."""
    ended = rear("mkbackuponly")
    assert ended.returncode == 0, ended.stderr
    return rear


def in_backups(tmp_path: Path, name: str) -> list[Path]:
    """The files of a name in the backups of rsync."""
    return [*(tmp_path / "backups/rsync").rglob(name)]


def test_each_method_saves_its_own_and_all_comes_back(saved: Rear, tmp_path: Path, tree: Path) -> None:
    assert in_backups(tmp_path, "inner") and not in_backups(tmp_path, "noise")
    (archive,) = (tmp_path / "backups/web1").glob("*/backup.tar.zst")
    members = subprocess.run(["tar", "-tf", archive], capture_output=True, text=True, check=True).stdout.split()
    assert f".{tree}/noise" in members and f".{tree}/folder/" in members and f".{tree}/folder/file" not in members
    ended = saved("recover", "--demo", str(tmp_path / "demo"))
    assert ended.returncode == 0, ended.stderr
    back = Path(f"{tmp_path}/demo{tree}")
    assert subprocess.run(["diff", "-r", tree, back]).returncode == 0
    assert (back / "folder").stat().st_mode == (tree / "folder").stat().st_mode


def test_one_of_them_alone_saves_lists_and_is_checked(saved: Rear, tmp_path: Path) -> None:
    ended = saved("mkbackuponly", "--only", "rsync")
    assert ended.returncode == 0, ended.stderr
    listed = saved("backup", "list", "--json")
    methods = [entry["method"] for entry in json.loads(listed.stdout)]
    assert methods == ["NFS", "RSYNC", "RSYNC"]
    assert "METHOD" in saved("backup", "list").stdout
    assert [e["method"] for e in json.loads(saved("backup", "list", "--json", "--only", "NFS").stdout)] == ["NFS"]
    assert saved("backup", "check", "--only", "NFS").returncode == 0
    assert saved("backup", "check").returncode == 0
    unknown = saved("mkbackuponly", "--only", "BORG")
    assert unknown.returncode == 2 and "BACKUP does not name BORG" in unknown.stderr


def test_a_date_chooses_the_backups_of_all(saved: Rear, tmp_path: Path, tree: Path) -> None:
    was = {path: path.read_bytes() for path in (tree / "noise", tree / "folder/file")}
    # Backups are named by seconds.
    time.sleep(1.1)
    moment = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%S")
    time.sleep(1.1)
    for path in was:
        path.write_bytes(b"later")
    assert saved("mkbackuponly").returncode == 0
    ended = saved("recover", "--demo", str(tmp_path / "demo"), "--backup", moment)
    assert ended.returncode == 0, ended.stderr
    assert {path: Path(f"{tmp_path}/demo{path}").read_bytes() for path in was} == was
    whole = saved("backup", "restore", "--backup", moment, f"{tree}", "--to", str(tmp_path / "whole"))
    assert whole.returncode == 3 and "several methods save these" in whole.stderr
    assert saved("backup", "check", "--backup", moment).returncode == 0


def test_nothing_is_restored_unless_both_are_there(saved: Rear, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "backups/rsync")
    ended = saved("recover", "--demo", str(tmp_path / "demo"))
    assert ended.returncode in (2, 3), ended.stderr
    assert not (tmp_path / "demo").exists()
    assert saved("backup", "check").returncode in (2, 3)


def test_single_files_come_from_the_method_that_has_them(saved: Rear, tmp_path: Path, tree: Path) -> None:
    for number, name in enumerate(("folder/inner", "noise")):
        ended = saved("backup", "restore", f"{tree}/{name}", "--to", str(tmp_path / f"to{number}"))
        assert ended.returncode == 0, ended.stderr
        assert subprocess.run(["diff", "-r", tree / name, f"{tmp_path}/to{number}{tree}/{name}"]).returncode == 0
    both = saved("backup", "restore", f"{tree}/noise", f"{tree}/folder", "--to", str(tmp_path / "both"))
    assert both.returncode == 3 and "several methods save these" in both.stderr
    dated = saved("backup", "forget", "2026-11-30")
    assert dated.returncode == 3 and "--only METHOD" in dated.stderr
