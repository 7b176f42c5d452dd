# SPDX-License-Identifier: GPL-3.0-or-later
"""The phase that makes a restored system bootable: what it refuses beforehand, what it says at the end."""
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rear_core.builtin import finalize, modules, system
from rear_core.errors import ConfigurationError, RearError, Refused
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.workflow import WORKFLOWS, plan


def open_run(folder: Path, recorded: str, present: str, loaders: dict[str, Any] | None = None) -> Run:
    plugins = Plugins(modules())
    options = Options(config_dir=folder, target=folder / "target")
    terminal = io.StringIO()
    run = Run(evaluate(Sources(), plugins.settings(), {}), plugins, options, Report(terminal=terminal))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware(present))
    facts = {"system": {"hostname": "web1", "firmware": {"mode": recorded}}, "boot_loaders": loaders or {}}
    system.write_description(run, facts)
    run.target.mkdir()
    return run


BIOS: dict[str, Any] = {"GRUB BIOS": {"boot_sectors": []}}
EFI: dict[str, Any] = {"GRUB EFI": {"partitions": [], "boot_order": []}}


@pytest.mark.parametrize(("recorded", "present"), [("bios", "uefi"), ("uefi", "bios")])
def test_the_other_kind_of_firmware_is_refused_with_what_to_do(tmp_path: Path, recorded: str, present: str) -> None:
    run = open_run(tmp_path, recorded, present, BIOS if recorded == "bios" else EFI)
    was, mode = recorded.upper(), present.upper()
    with pytest.raises(Refused, match=f"started by {was} and has no boot loader for {mode}") as caught:
        finalize.check_firmware(run)
    assert f"start the rescue media in {was} mode" in caught.value.hint


def test_a_machine_with_both_boot_loaders_is_recovered_on_either(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "uefi", {**BIOS, **EFI})
    finalize.check_firmware(run)
    assert run.report.warnings == ["the machine was started by BIOS; here GRUB EFI will start it by UEFI"]
    assert run.recovery.differences == ["firmware: UEFI instead of BIOS"]


def test_the_same_firmware_is_no_matter(tmp_path: Path) -> None:
    run = open_run(tmp_path, "uefi", "uefi")
    finalize.check_firmware(run)
    assert run.report.warnings == []


@pytest.mark.parametrize("content", ["", "{}", '{"system": 1}'])
def test_a_damaged_description_is_named(tmp_path: Path, content: str) -> None:
    run = open_run(tmp_path, "bios", "bios")
    (run.recovery_dir / "system.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"cannot read .*system\.json"):
        finalize.check_firmware(run)


def test_files_are_put_right_before_the_boot_loader_reads_them(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios")
    run.phases = WORKFLOWS["recover"]
    titles = [step.step.title for step in plan(run, ["finalize"])]
    order = ["Enter the recovered system", "Put the names of disks and partitions right", "Install the boot loader",
             "Prove that the recovered system can boot", "Report"]  # fmt: skip
    assert [title for title in titles if title in order] == order


def test_a_system_that_cannot_boot_fails_the_run_and_is_reported_there(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.recovery.problems.append("no kernel")
    with pytest.raises(RearError, match="will not start as it should: no kernel") as caught:
        finalize.tell(run)
    assert f"chroot {run.target}" in caught.value.hint
    (kept,) = (run.target / "var/log/rear").glob("*.json")
    assert json.loads(kept.read_text())["problems"] == ["no kernel"]
