# SPDX-License-Identifier: GPL-3.0-or-later
"""The initramfs is made anew where this machine needs another one, and nowhere else."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from rear_core.finalize.decision import reasons_for_new_initramfs
from rear_core.plugins import Plugins
from rear_core.rescue.initramfs import Member, write_archive
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.plan import Rebuilt
from rear_core.testing.recorded import started_by_grub
from unit.finalize.storage import LAYOUT


def open_run(target: Path, carried: str, *, changed: bool) -> Run:
    """A restored system whose root is ext4, and whose initramfs carries one module."""
    (target / "boot/grub").mkdir(parents=True)
    (target / "boot/grub/grub.cfg").write_text("menuentry x {\n linux /boot/vmlinuz-6.1\n initrd /boot/initrd.img\n}\n")
    archive = io.BytesIO()
    write_archive(archive, [Member(f"lib/{carried}.ko", stat.S_IFREG | 0o644)], 0)
    (target / "boot/initrd.img").write_bytes(archive.getvalue())
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(config_dir=target / "etc/rear", target=target))
    started_by_grub(run)
    run.layout = LAYOUT
    # A disk that no machine has: it brings no drivers of its own into the question.
    disks = {"disk:one": "/dev/no-such-disk", "disk:two": "/dev/no-such-disk"}
    run.rebuilt = Rebuilt(Site(LAYOUT, disks), disks, hardware_changed=changed)
    return run


@pytest.mark.parametrize(
    ("carried", "changed", "reasons"),
    [
        ("ext4", True, []),
        ("ext4", False, []),
        ("xfs", True, ["it lacks the driver ext4"]),
        # Another controller, whose disk has the same name.
        ("xfs", False, ["it lacks the driver ext4"]),
    ],
)
def test_other_hardware_that_lacks_a_driver_is_a_reason(
    tmp_path: Path, carried: str, changed: bool, reasons: list[str]
) -> None:
    assert reasons_for_new_initramfs(open_run(tmp_path, carried, changed=changed)) == reasons


@pytest.mark.parametrize("changed", [True, False])
def test_an_unreadable_initramfs_is_a_reason(tmp_path: Path, changed: bool) -> None:
    run = open_run(tmp_path, "ext4", changed=changed)
    (tmp_path / "boot/initrd.img").write_bytes(b"broken")
    (reason,) = reasons_for_new_initramfs(run)
    assert reason.startswith("it cannot be read (initrd.img is not an initramfs")


def test_files_that_the_initramfs_has_copies_of_are_a_reason(tmp_path: Path) -> None:
    run = open_run(tmp_path, "ext4", changed=False)
    run.recovery.rewritten += ["/boot/grub/grub.cfg", "/etc/crypttab", "/etc/crypttab", "/etc/default/grub"]
    run.recovery.rewritten += ["/etc/cmdline.d/root.conf"]
    assert reasons_for_new_initramfs(run) == ["/etc/crypttab was changed", "/etc/cmdline.d/root.conf was changed"]
