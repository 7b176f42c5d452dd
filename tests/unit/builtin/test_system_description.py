# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine and its boot loader in recovery/system.json."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from rear_core.boot.loader import BootLoader
from rear_core.builtin import core, storage, system
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate


@pytest.fixture
def run(tmp_path: Path) -> Run:
    settings = evaluate(Sources(), Plugins([core, storage]).settings(), {"VAR_DIR": f"{tmp_path}/var"})
    return Run(settings, Plugins([system]), Options(config_dir=tmp_path / "etc"))


def test_the_system_is_written_for_its_owner_alone(run: Run) -> None:
    system.describe_system(run)
    path = run.recovery_dir / "system.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    written = json.loads(path.read_text())
    assert written["version"] == 1
    assert written["system"]["hostname"] == run.system.hostname
    assert written["system"]["firmware"] == {
        "mode": run.system.firmware.mode,
        "secure_boot": run.system.firmware.secure_boot,
    }


def test_the_boot_loader_is_added(run: Run) -> None:
    system.describe_system(run)
    system.find_boot_loader(run)
    written = json.loads((run.recovery_dir / "system.json").read_text())
    facts = {"identity", "encrypted", "signers", "system", "boot_loaders", "exclude_devices", "backups"}
    assert set(written) == {"version", *facts}
    assert [path.name for path in run.recovery_dir.iterdir()] == ["system.json"]


def test_a_boot_loader_that_cannot_be_looked_for_is_a_warning_and_hides_no_other(run: Run) -> None:
    from rear_core.boot.loader import detect_boot_loaders

    def unreadable(run: Run) -> None:
        raise PermissionError(13, "Permission denied", str(run.recovery_dir))

    others = [BootLoader("no", lambda _: None), BootLoader("ok", lambda _: {})]
    assert detect_boot_loaders(run, [BootLoader("bad", unreadable), *others]) == {"ok": {}}
    [warning] = run.report.warnings
    assert "bad" in warning and "Permission denied" in warning
