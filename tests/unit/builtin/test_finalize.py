# SPDX-License-Identifier: GPL-3.0-or-later
"""The phase that makes a restored system bootable: what it refuses beforehand, what it says at the end."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rear_core import hookimpl
from rear_core.boot.loader import BootLoader, Facts
from rear_core.builtin import finalize, modules, system
from rear_core.builtin.planning import additions
from rear_core.errors import ConfigurationError, RearError, Refused
from rear_core.finalize.recorded import usable
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.additions import Addition, add
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.layout import Item, make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, Rebuilt
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.system.identity import computed, known
from rear_core.testing.fake_shell import FakeShell
from rear_core.workflow import WORKFLOWS, plan
from unit.boot.test_conversion import BOTH, ESP, LINUX, disk
from unit.boot.test_conversion import system as machine

MBR = machine(*disk("a", "dos", "83"), root="partition:a1")
FULL = machine(*disk("a", "dos", "83", "83", "83", "83"), root="partition:a1")
GPT = machine(*disk("a", "gpt", ESP, LINUX), root="partition:a2", esp="partition:a1")


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


BIOS: dict[str, Any] = {"GRUB BIOS": {"boot_sectors": [{"device": "/dev/sda", "core_place": "after the MBR"}]}}
LEFT_OVER: dict[str, Any] = {"GRUB BIOS": {"boot_sectors": [{"device": "/dev/sda", "core_place": "missing"}]}}
EFI: dict[str, Any] = {"GRUB EFI": {"partitions": [{"mountpoint": "/boot/efi"}], "boot_order": []}}


@pytest.mark.parametrize(
    ("recorded", "present", "loaders", "items", "lacks"),
    [
        ("bios", "uefi", BIOS, BOTH, "a boot loader for UEFI"),
        ("bios", "uefi", {**BIOS, **EFI}, FULL, "an EFI system partition"),
        ("bios", "uefi", BIOS, MBR, "a boot loader for UEFI, an EFI system partition"),
        ("uefi", "bios", EFI, BOTH, "a boot loader for BIOS"),
        ("uefi", "bios", {**EFI, **LEFT_OVER}, BOTH, "a boot loader for BIOS"),
        ("uefi", "bios", EFI, GPT, "a boot loader for BIOS, a BIOS boot partition on disk a (/dev/sda)"),
    ],
)
def test_the_other_kind_of_firmware_is_refused_with_what_is_missing_and_what_to_do(
    tmp_path: Path, recorded: str, present: str, loaders: dict[str, Any], items: list[Item], lacks: str
) -> None:
    run = open_run(tmp_path, recorded, present, loaders)
    run.layout = make(items)
    with pytest.raises(Refused, match=f"started by {recorded.upper()}") as caught:
        finalize.check_firmware(run)
    assert caught.value.message.endswith(f"the machine lacks: {lacks}")
    assert f"start the rescue media in {recorded.upper()} mode: switch o" in caught.value.hint


@pytest.mark.parametrize(
    ("recorded", "present", "loaders", "items", "added"),
    [
        ("bios", "uefi", BIOS, MBR, ["an EFI system partition of 300 MiB is"]),
        ("uefi", "bios", EFI, GPT, ["a BIOS boot partition is"]),
        ("uefi", "bios", {**EFI, **LEFT_OVER}, GPT, ["a BIOS boot partition is"]),
        ("uefi", "bios", {**EFI, **BIOS}, GPT, ["a BIOS boot partition is"]),
        ("uefi", "bios", EFI, BOTH, []),
    ],
)
def test_a_machine_with_the_modules_for_both_gets_what_it_lacks(
    tmp_path: Path, recorded: str, present: str, loaders: dict[str, Any], items: list[Item], added: list[str]
) -> None:
    both = {name: {**facts, "platforms": ["i386-pc", "x86_64-efi"]} for name, facts in loaders.items()}
    run = open_run(tmp_path, recorded, present, both)
    run.layout = make(items)
    finalize.check_firmware(run)
    assert [one.noun for one in additions(run, run.layout)] == added
    [(loader, facts)] = usable(run)
    assert loader.firmware == present
    if facts.get("partitions", [{}])[0].get("installations"):
        [installation] = facts["partitions"][0]["installations"]
        assert installation["loader"] == "EFI/debian/grubx64.efi"


@pytest.mark.parametrize("text", ["", "UUID=1 / ext4 defaults 0 1", "UUID=1 / ext4 defaults 0 1\n"])
def test_a_file_system_that_was_added_is_mounted_at_each_start(tmp_path: Path, text: str) -> None:
    run = open_run(tmp_path, "bios", "uefi", BIOS)
    run.layout = make(MBR)
    added = add(run.layout, [Addition("table:a", 300 << 20, "ef", "an ESP is", "/boot/efi")], CORE_KINDS)
    run.rebuilt = Rebuilt(Site(added, {"disk:a": "/dev/vda"}), {"disk:a": "/dev/vda"})
    (run.target / "etc").mkdir()
    (run.target / "etc/fstab").write_text(text)
    finalize.add_mounts(run)
    finalize.add_mounts(run)
    lines = (run.target / "etc/fstab").read_text().splitlines()
    [fat] = [item for item in added if item.type == "vfat"]
    assert lines == [*text.splitlines(), f"UUID={fat.identifiers['UUID']}  /boot/efi  vfat  umask=0077  0  1"]


@pytest.mark.parametrize(("recorded", "present", "loader"), [("bios", "uefi", "EFI"), ("uefi", "bios", "BIOS")])
def test_a_machine_with_all_for_both_is_recovered_on_either(
    tmp_path: Path, recorded: str, present: str, loader: str
) -> None:
    run = open_run(tmp_path, recorded, present, {**BIOS, **EFI})
    run.layout = make(BOTH)
    finalize.check_firmware(run)
    was, mode = recorded.upper(), present.upper()
    assert run.report.warnings == [f"the machine started by {was}; here GRUB {loader} will start it by {mode}"]
    assert run.recovery.differences == [f"firmware: {mode} instead of {was}"]


def test_without_boot_no_boot_loader_is_installed(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.layout = make([*MBR, Mount("mount:/boot", ("fs:gone", "mount:/"), "/boot", "ext4"), Ext("fs:gone", (), "x")])
    run.rebuilt = Rebuilt(Site(make(MBR), {"disk:a": "/dev/vda"}), {"disk:a": "/dev/vda"})
    finalize.install_boot_loaders(run)
    assert run.recovery.problems == ["no boot loader was installed: the file system of /boot was not recreated"]


@pytest.mark.parametrize(("started", "problem"), [("one", True), ("other", False), (None, True)])
def test_the_boot_loader_that_started_the_machine_is_the_last_and_has_to_work(
    tmp_path: Path, started: str | None, problem: bool
) -> None:
    """Where it is not known any of them may be the one."""

    def fail(_run: Run, _facts: Facts) -> list[str]:
        raise RearError("no room")

    loaders = [
        BootLoader(name, lambda _run: None, "uefi", install)
        for name, install in (("one", fail), ("other", lambda _run, _facts: ["other installed"]))
    ]
    run = open_run(tmp_path, "uefi", "uefi", {name: {"started": name == started} for name in ("one", "other")})
    plugin = ModuleType("plugin")
    plugin.rear_boot_loaders = hookimpl(lambda: loaders)  # type: ignore[attr-defined]
    run.plugins = Plugins([plugin])
    run.layout = make(GPT)
    run.rebuilt = Rebuilt(Site(run.layout, {}), {})
    finalize.install_boot_loaders(run)
    assert run.recovery.done == ["other installed"]
    told = run.recovery.problems if problem else run.recovery.differences
    assert told == ["one was not installed: no room"]
    assert [loader.name for loader, _ in usable(run)] == ([started] if started else ["one", "other"])


@pytest.mark.parametrize(("recorded", "marked"), [({"selinux": True}, True), ({"selinux": False}, False), ({}, True)])
def test_labels_are_asked_for_where_selinux_was_on(tmp_path: Path, recorded: dict[str, bool], marked: bool) -> None:
    run = open_run(tmp_path, "bios", "bios")
    facts = {"hostname": "web1", "firmware": {"mode": "bios"}, **recorded}
    system.write_description(run, {"system": facts})
    (run.target / "etc/selinux").mkdir(parents=True)
    (run.target / "etc/selinux/config").write_text("SELINUX=enforcing\n")
    (run.target / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    finalize.make_directories(run)
    assert (run.target / ".autorelabel").exists() == marked


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
    order = ["Enter the recovered system", "Update device names in the restored configuration",
             "Install the boot loader", "Check that the recovered system can boot", "Report"]  # fmt: skip
    assert [title for title in titles if title in order] == order


def test_names_that_nobody_rewrites_are_told_beside_those_that_changed(tmp_path: Path) -> None:
    """Also where two disks have changed places, so that each new name is an old one as well."""
    run = open_run(tmp_path, "bios", "bios")
    run.layout = make([Disk("disk:one", (), 1 << 33, device="/dev/sda"), Disk("disk:two", (), 1, device="/dev/sdb")])
    disks = {"disk:one": "/dev/sdb", "disk:two": "/dev/sda"}
    run.rebuilt = Rebuilt(Site(run.layout, disks), disks)
    run.sh = FakeShell(
        {
            "lsblk --json --list --paths --output NAME,KNAME": json.dumps(
                {"blockdevices": [{"name": f"/dev/sd{letter}", "kname": f"/dev/sd{letter}"} for letter in "ab"]}
            ),
            "blkid --cache-file /dev/null --output export": "",
        }
    )
    (run.target / "etc").mkdir()
    (run.target / "etc/fstab").write_text("/dev/sda /a ext4\n/dev/sdb /b ext4\n")
    (run.target / "etc/daemon.conf").write_text("/dev/sda\n" * 30)
    finalize.update_device_names(run)
    assert run.recovery.done == [
        "/etc/fstab, line 1: /dev/sda is now /dev/sdb",
        "/etc/fstab, line 2: /dev/sdb is now /dev/sda",
    ]
    assert run.recovery.differences[:1] == [
        "/etc/daemon.conf, line 1: /dev/sda, which is now /dev/sdb; rear left it unchanged"
    ]
    assert run.recovery.differences[20:] == ["10 more stale disk names: see the log"]
    assert run.recovery.problems == []


def test_a_machine_keeps_its_identity_on_other_hardware(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.phases = WORKFLOWS["recover"]
    (run.target / "etc").mkdir(parents=True, exist_ok=True)
    (run.target / "etc/machine-id").write_text("1a2b\n")
    here = computed(run.target / "etc/machine-id")
    path = run.recovery_dir / "system.json"
    for recorded in (here, "", "0f" * 16):
        path.write_text(json.dumps({**json.loads(path.read_text()), "identity": recorded}))
        finalize.keep_identity(run)
        var_dir = Path(f"{run.target}{run.var_dir}")
        assert known(var_dir, here) == (recorded or here)
        assert (var_dir / "identity.json").exists() == (recorded == "0f" * 16)


def test_a_system_without_all_of_its_files_is_made_to_start_and_is_no_success(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.lack("2 files were not restored")
    with pytest.raises(RearError, match="the system is restored and can start, but some files are missing: 2 files"):
        finalize.tell(run)
    (kept,) = (run.target / "var/log/rear").glob("*.json")
    assert json.loads(kept.read_text())["missing"] == ["2 files were not restored"]


def test_a_system_that_cannot_boot_fails_the_run_and_is_reported_there(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.recovery.problems.append("no kernel")
    with pytest.raises(RearError, match="will not start as it should: no kernel") as caught:
        finalize.tell(run)
    assert f"chroot {run.target}" in caught.value.hint
    (kept,) = (run.target / "var/log/rear").glob("*.json")
    assert json.loads(kept.read_text())["problems"] == ["no kernel"]


def test_a_report_has_a_page_of_the_same_name(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.recovery.differences.append("<b>bold")
    finalize.tell(run)
    (page,) = (run.target / "var/log/rear").glob("*.html")
    assert page.with_suffix(".json").is_file()
    assert page.read_text().startswith("<!DOCTYPE html>") and "&lt;b&gt;bold" in page.read_text()


def test_a_recovery_that_cannot_be_drawn_is_reported_all_the_same(tmp_path: Path) -> None:
    run = open_run(tmp_path, "bios", "bios", BIOS)
    run.layout = make([Ext("fs:x", ("disk:gone",), "x")])
    run.plan = Plan(Site(make([]), {}), {})
    finalize.tell(run)
    assert any("has no HTML page: KeyError" in warning for warning in run.report.warnings)
    assert {path.suffix for path in (run.target / "var/log/rear").iterdir()} == {".json", ".txt"}
