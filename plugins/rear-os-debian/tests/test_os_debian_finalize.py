# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovered Debian gets a new initramfs and menu when it needs them."""
from __future__ import annotations

from pathlib import Path

import pytest

from rear_core import Run
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.layout import Layout
from rear_core.storage.plan import Rebuilt
from rear_core.testing.fake_shell import FakeShell
from rear_os_debian import rebuild_initramfs, rebuild_menu


@pytest.fixture
def run(tmp_path: Path) -> Run:
    sh = FakeShell({f"chroot {tmp_path} update-initramfs -u -k all": "", f"chroot {tmp_path} update-grub": ""})
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(target=tmp_path), sh=sh)
    run.layout = Layout()
    run.rebuilt = Rebuilt(Site(run.layout, {}), {})
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/update-grub").touch()
    return run


def asked(run: Run) -> list[str]:
    assert isinstance(run.sh, FakeShell)
    return run.sh.asked


def test_on_the_same_machine_both_stay_as_they_are(run: Run) -> None:
    rebuild_initramfs(run)
    rebuild_menu(run)
    assert asked(run) == []
    assert run.recovery.done == []


def test_changed_names_of_devices_need_both(run: Run) -> None:
    run.recovery.rewritten.append("/etc/crypttab")
    rebuild_initramfs(run)
    rebuild_menu(run)
    assert asked(run) == [f"chroot {run.target} update-initramfs -u -k all", f"chroot {run.target} update-grub"]
    assert run.recovery.done == ["initramfs made anew: /etc/crypttab was changed", "GRUB's menu written anew"]


def test_a_failure_is_told_and_does_not_end_the_recovery(run: Run) -> None:
    failed = Outcome((), 1, "", "no space left", 0)
    run.sh = FakeShell(
        {f"chroot {run.target} update-initramfs -u -k all": failed, f"chroot {run.target} update-grub": failed}
    )
    run.recovery.rewritten.append("/etc/crypttab")
    rebuild_initramfs(run)
    rebuild_menu(run)
    assert run.recovery.done == []
    (problem,) = run.recovery.problems
    assert problem.startswith("the initramfs could not be made anew (/etc/crypttab was changed)")
    assert run.report.warnings[0].startswith("GRUB's menu could not be written anew")


def test_a_system_without_grub_has_no_menu_to_write(run: Run) -> None:
    (run.target / "usr/sbin/update-grub").unlink()
    run.recovery.rewritten.append("/etc/default/grub")
    rebuild_menu(run)
    assert asked(run) == []
