# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole phase finalize on a real Debian tree: from restored files to a system that is proven to boot, or not."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import rear_os_debian
from lab import debian
from lab.loops import MBR, disk_with_boot
from rear_core.boot.chroot import run_inside
from rear_core.boot.grub_bios import read_boot_sector
from rear_core.builtin import finalize, modules, system
from rear_core.errors import RearError
from rear_core.network.model import Network, save
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.ext import Ext
from rear_core.system import Firmware, OperatingSystem, System

pytestmark = pytest.mark.root

MIB = 1 << 20
UUID = "0b1f3c5d-7e9a-4c2b-8d6f-1a3c5e7f9b2d"
FACTS = {"GRUB BIOS": {"boot_sectors": [{"device": "/dev/sda", "core_place": "after the MBR"}]}}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A restored Debian: its disk is one loop device, the file system that GRUB starts from another."""
    plugins = Plugins(modules())
    options = Options(config_dir=tmp_path / "etc", target=tmp_path / "target")
    report = Report(terminal=io.StringIO())
    report.open_log(tmp_path / "rear.log")
    run = Run(evaluate(Sources(), plugins.settings(), {}), plugins, options, report)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("bios"))
    system.write_description(run, {"system": {"hostname": "web1", "firmware": {"mode": "bios"}}, "boot_loaders": FACTS})
    save(Network(), run.recovery_dir / "network.json")
    for name in ("target", "upper", "work"):
        (tmp_path / name).mkdir()
    with ExitStack() as mounted, run.undo:
        layers = f"lowerdir={debian.tree()},upperdir={tmp_path / 'upper'},workdir={tmp_path / 'work'}"
        run.sh.run("mount", "--types", "overlay", "overlay", "--options", layers, run.target)
        mounted.callback(run.sh.run, "umount", run.target)
        restored(run, tmp_path)
        yield run
    report.close()


def restored(run: Run, folder: Path) -> None:
    """An empty disk with an MBR, a file system on /boot with Debian's kernel, and what names them."""
    disk, boot = disk_with_boot(run, folder, MBR, "-U", UUID)
    for path in (debian.kernel(), debian.initrd()):
        shutil.copy(path, run.target / "boot")
    (run.target / "boot/grub").mkdir()
    (run.target / "boot/grub/grub.cfg").write_text(
        f"menuentry 'Debian' {{\n linux /{debian.kernel().name} root=UUID={UUID} ro\n"
        f" initrd /{debian.initrd().name}\n}}\n"
    )
    (run.target / "etc/fstab").write_text(f"UUID={UUID} / ext4 rw 0 1\n/dev/sdb /mnt ext4 nofail 0 0\n")
    run.layout = make(
        [
            Disk("disk:one", (), 160 * MIB, device="/dev/sda"),
            Disk("disk:two", (), 159 * MIB, device="/dev/sdb"),
            Ext(f"fs:{UUID}", ("disk:two",), UUID, version=4),
            Mount("mount:/", (f"fs:{UUID}",), "/", "ext4"),
        ]
    )
    disks = {"disk:one": disk, "disk:two": boot}
    run.rebuilt = Rebuilt(Site(run.layout, disks), disks)


def perform(run: Run) -> None:
    """The phase, as core and operating system bring it."""
    for step in sorted([*finalize.rear_finalize(), *rear_os_debian.rear_finalize()], key=lambda step: step.number):
        step.action(run)


def test_a_restored_system_is_made_bootable_and_says_so(run: Run) -> None:
    assert run.rebuilt is not None
    boot, disk = run.rebuilt.device("disk:two"), run.rebuilt.device("disk:one")
    initramfs = (run.target / "boot" / debian.initrd().name).stat().st_mtime_ns
    answer = "grub-pc grub-pc/install_devices multiselect /dev/sda, /dev/gone\n"
    run_inside(run, "debconf-set-selections", input=answer)
    perform(run)
    assert run.recovery.problems == []
    assert f"GRUB for BIOS installed to {disk}" in run.recovery.done
    # The next update of GRUB's package installs it to the disk that is there.
    assert rear_os_debian.install_devices(run.target) == [("grub-pc", "grub-pc/install_devices", [disk])]
    assert read_boot_sector(Path(disk)) is not None
    # The kernel's name of the second disk has changed, which its line in fstab follows.
    assert (run.target / "etc/fstab").read_text() == f"UUID={UUID} / ext4 rw 0 1\n{boot} /mnt ext4 nofail 0 0\n"
    (kept,) = (run.target / "var/log/rear").glob("recovery-*.json")
    assert json.loads(kept.read_text())["problems"] == []
    assert {path.suffix for path in (run.target / "var/log/rear").iterdir()} == {".json", ".txt", ".log", ".html"}
    # It has all it takes and no copy of fstab.
    assert (run.target / "boot" / debian.initrd().name).stat().st_mtime_ns == initramfs


def test_what_is_missing_is_named_and_fails_the_recovery(run: Run) -> None:
    (run.target / "boot" / debian.kernel().name).unlink()
    with (run.target / "etc/fstab").open("a") as file:
        file.write("UUID=1234-ABCD /data vfat defaults 0 2\n")
    (run.target / "etc/crypttab").write_text(f"x UUID={UUID} /etc/lost.key luks\n")
    (run.target / "etc/fstab").write_text((run.target / "etc/fstab").read_text().replace("/dev/sdb", "#/dev/sdb"))
    with pytest.raises(RearError, match="will not start as it should"):
        perform(run)
    assert run.recovery.problems == [
        f"/boot/{debian.kernel().name} of the entry 'Debian' is missing or empty",
        "the key file /etc/lost.key of /etc/crypttab is missing",
    ]
    eased = "/etc/fstab, line 3: UUID=1234-ABCD is on no device: nofail added, so that the system starts without it"
    assert eased in run.recovery.differences
    assert not (run.target / "boot" / f"{debian.initrd().name}.bak").exists()
