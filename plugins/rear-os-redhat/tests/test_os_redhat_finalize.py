# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovered Red Hat gets a new initramfs and menu when it needs them."""

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
from rear_core.testing.fake_shell import Answer, FakeShell
from rear_core.testing.recorded import started_by_grub
from rear_os_redhat import rebuild_initramfs, rebuild_menu

VERSION = "5.14.0-427.el9.x86_64"
FILES = {
    f"boot/vmlinuz-{VERSION}": "kernel",
    f"boot/initramfs-{VERSION}.img": "",
    f"lib/modules/{VERSION}/modules.dep": "",
    f"boot/loader/entries/id-{VERSION}.conf": f"title RHEL\nlinux /vmlinuz-{VERSION}\n"
    f"initrd /initramfs-{VERSION}.img $tuned_initrd\noptions $kernelopts\n",
    "boot/grub2/grub.cfg": "### BEGIN /etc/grub.d/10_linux ###\ninsmod blscfg\nblscfg\n",
    "boot/efi/EFI/redhat/grub.cfg": "configfile $prefix/grub.cfg\n",
    "usr/sbin/grub2-mkconfig": "",
}


def open_run(target: Path, answer: Answer) -> Run:
    for name, text in FILES.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)
    sh = FakeShell(dict.fromkeys(commands(target), answer))
    options = Options(config_dir=target / "etc/rear", target=target)
    run = Run(evaluate(Sources(), [], {}), Plugins([]), options, sh=sh)
    started_by_grub(run)
    run.layout = Layout()
    run.rebuilt = Rebuilt(Site(run.layout, {}), {})
    return run


def commands(target: Path) -> list[str]:
    return [
        f"chroot {target} dracut --force --kver {VERSION} /boot/initramfs-{VERSION}.img",
        f"chroot {target} grub2-mkconfig --output=/boot/grub2/grub.cfg",
    ]


@pytest.mark.parametrize("changed", [False, True])
def test_both_are_made_only_after_a_change(tmp_path: Path, changed: bool) -> None:
    run = open_run(tmp_path, "")
    run.recovery.rewritten += ["/etc/crypttab"] if changed else []
    rebuild_initramfs(run)
    rebuild_menu(run)
    assert isinstance(run.sh, FakeShell)
    # The lines on the EFI system partition that lead to the menu are no menu.
    assert run.sh.asked == (commands(tmp_path) if changed else [])
    done = ["initramfs rebuilt: /etc/crypttab was changed", "GRUB's menu updated"]
    assert run.recovery.done == (done if changed else [])


def test_a_failure_of_dracut_is_a_problem_and_one_of_the_menu_a_warning(tmp_path: Path) -> None:
    run = open_run(tmp_path, Outcome((), 1, "", "no space left", 0))
    run.recovery.rewritten.append("/etc/crypttab")
    rebuild_initramfs(run)
    rebuild_menu(run)
    (problem,) = run.recovery.problems
    assert problem.startswith("cannot rebuild the initramfs (/etc/crypttab was changed)")
    assert run.report.warnings[0].startswith("GRUB's menu could not be updated")
