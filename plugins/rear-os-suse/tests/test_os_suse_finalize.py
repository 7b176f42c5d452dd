# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovered SUSE: its initramfs, and what snapper keeps about snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core import Run
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.testing.fake_shell import Answer, FakeShell
from rear_os_suse import forget_snapshots, make_initramfs, set_up_quota, snapper

SNAPPER = "snapper --no-dbus --config root"


def put(target: Path, name: str, text: str = "") -> None:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def open_run(target: Path, *programs: str, **answers: Answer) -> Run:
    for program in programs:
        put(target, f"usr/sbin/{program}")
    sh = FakeShell({f"chroot {target} {command}": answer for command, answer in answers.items()})
    return Run(evaluate(Sources(), [], {}), Plugins([]), Options(target=target), sh=sh)


def asked(run: Run) -> list[str]:
    assert isinstance(run.sh, FakeShell)
    return [command.partition(f"{run.target} ")[2] for command in run.sh.asked]


def test_a_system_before_dracut_makes_its_initramfs_itself(tmp_path: Path) -> None:
    run = open_run(tmp_path, "mkinitrd", mkinitrd="")
    make_initramfs(run)
    assert asked(run) == ["mkinitrd"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Snapshot 1 is the running system; 2 was not recreated; 3 has come back as files; 4 has nothing but a folder."""
    put(tmp_path, "etc/snapper/configs/root", '# what\nSUBVOLUME="/"\nFSTYPE="btrfs"\nQGROUP="1/0"\n')
    put(tmp_path, "etc/snapper/configs/home", 'SUBVOLUME="/home"\nQGROUP=""\n')
    for number in (1, 2, 3, 11):
        put(tmp_path, f".snapshots/{number}/info.xml", "<snapshot/>")
    for name in ("1/snapshot/etc", "2/snapshot", "3/snapshot/etc", "11/other", "4/snapshot"):
        (tmp_path / ".snapshots" / name).mkdir(parents=True)
    return tmp_path


def test_only_records_of_lost_snapshots_are_forgotten(target: Path) -> None:
    run = open_run(target)
    forget_snapshots(run)
    assert run.recovery.differences == ["2 snapshots of snapper are in no backup: /.snapshots/2, /.snapshots/11"]
    # What has no description is not snapper's.
    assert sorted(path.name for path in (target / ".snapshots").iterdir()) == ["1", "3", "4"]
    forget_snapshots(run)
    assert len(run.recovery.differences) == 1


def test_boot_entries_of_lost_snapshots_are_removed(target: Path) -> None:
    for number in (1, 2, 3, 12):
        options = f"root=UUID=1 rootflags=subvol=@/.snapshots/{number}/snapshot systemd.machine_id=abc"
        put(target, f"boot/efi/loader/entries/sles-{number}.conf", f"title SLES\noptions  {options}\n")
    put(target, "boot/efi/loader/entries/shell.conf", "title Shell\nefi /shell.efi\n")
    run = open_run(target)
    forget_snapshots(run)
    assert run.recovery.done == ["boot entry of a lost snapshot removed: /boot/efi/loader/entries/sles-2.conf"]
    kept = sorted(path.name for path in (target / "boot/efi/loader/entries").iterdir())
    assert kept == ["shell.conf", "sles-1.conf", "sles-12.conf", "sles-3.conf"]


def test_a_system_without_snapper_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, ".snapshots/2/info.xml")
    assert snapper.forget_lost(tmp_path) == []
    assert (tmp_path / ".snapshots/2").is_dir()


def test_snapper_makes_the_quota_group_that_it_had(target: Path) -> None:
    answers: dict[str, Answer] = {f"{SNAPPER} set-config QGROUP=": "", f"{SNAPPER} setup-quota": ""}
    run = open_run(target, "snapper", **answers)
    set_up_quota(run)
    assert asked(run) == [f"{SNAPPER} set-config QGROUP=", f"{SNAPPER} setup-quota"]
    assert run.recovery.done == ["snapper's space limits enabled again (root)"]


def test_quota_that_cannot_be_had_is_a_warning(target: Path) -> None:
    answers: dict[str, Answer] = {f"{SNAPPER} set-config QGROUP=": Outcome((), 1, "", "quota not supported", 0)}
    run = open_run(target, "snapper", **answers)
    set_up_quota(run)
    assert run.recovery.done == []
    assert "quota not supported" in run.report.warnings[0]
    # Without the program there is nobody to ask.
    set_up_quota(open_run(target.parent / "none"))
