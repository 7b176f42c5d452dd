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
from rear_core.storage.disk import Disk
from rear_core.storage.layout import Layout, make
from rear_core.storage.plan import Rebuilt
from rear_core.testing.fake_shell import FakeShell
from rear_core.testing.recorded import started_by_grub
from rear_os_debian import install_devices, rebuild_initramfs, rebuild_menu, update_install_devices


@pytest.fixture
def run(tmp_path: Path) -> Run:
    sh = FakeShell({f"chroot {tmp_path} update-initramfs -u -k all": "", f"chroot {tmp_path} update-grub": ""})
    options = Options(config_dir=tmp_path / "etc/rear", target=tmp_path)
    run = Run(evaluate(Sources(), [], {}), Plugins([]), options, sh=sh)
    started_by_grub(run)
    run.layout = Layout()
    run.rebuilt = Rebuilt(Site(run.layout, {}), {})
    (tmp_path / "usr/sbin").mkdir(parents=True)
    for name in ("update-grub", "update-initramfs"):
        (tmp_path / "usr/sbin" / name).touch()
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").touch()
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
    assert run.recovery.done == ["initramfs rebuilt: /etc/crypttab was changed", "GRUB's menu updated"]


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
    assert problem.startswith("cannot rebuild the initramfs (/etc/crypttab was changed)")
    assert run.report.warnings[0].startswith("GRUB's menu could not be updated")


@pytest.mark.parametrize("missing", ["usr/sbin/update-grub", "boot/grub/grub.cfg"])
def test_a_system_without_grub_has_no_menu_to_write(run: Run, missing: str) -> None:
    """Its package may be there, beside another boot loader."""
    (run.target / missing).unlink()
    run.recovery.rewritten.append("/etc/default/grub")
    rebuild_menu(run)
    assert asked(run) == []


def test_dracut_takes_the_place_of_initramfs_tools(run: Run) -> None:
    (run.target / "usr/sbin/update-initramfs").rename(run.target / "usr/sbin/dracut")
    for name, text in {
        "boot/vmlinuz-6.12": "kernel", "boot/initrd.img-6.12": "", "lib/modules/6.12/modules.dep": "",
        "boot/grub/grub.cfg": "menuentry x {\n linux /boot/vmlinuz-6.12\n initrd /boot/initrd.img-6.12\n}\n",
    }.items():  # fmt: skip
        (run.target / name).parent.mkdir(parents=True, exist_ok=True)
        (run.target / name).write_text(text)
    run.sh = FakeShell({f"chroot {run.target} dracut --force --kver 6.12 /boot/initrd.img-6.12": ""})
    run.recovery.rewritten.append("/etc/crypttab")
    rebuild_initramfs(run)
    assert run.recovery.problems == []
    assert run.recovery.done == ["initramfs rebuilt: /etc/crypttab was changed"]


CONFIG = """Name: grub-pc/install_devices
Template: grub-pc/install_devices
Value: /dev/disk/by-id/ata-QEMU_HARDDISK_QM00001, /dev/sdz
Owners: grub-pc
Flags: seen

Name: grub-pc/timeout
Template: grub-pc/timeout
Value: 5
Owners: grub-pc

Name: grub-efi/install_devices
Template: grub-efi/install_devices
Owners: grub-common, grub-efi-amd64
"""
LSBLK = '{"blockdevices": [{"name": "/dev/vdq", "kname": "/dev/vdq"}]}'
SELECT = "debconf-set-selections"


def with_other_disk(run: Run, answer: str | Outcome = "") -> None:
    """The disk of CONFIG has another one in its place, called vdq."""
    path = run.target / "var/cache/debconf/config.dat"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    run.layout = make([Disk("disk:one", (), 1 << 30, device="/dev/sda", serial="QM00001")])
    disks = {"disk:one": "/dev/vdq"}
    run.rebuilt = Rebuilt(Site(run.layout, disks), disks)
    run.sh = FakeShell(
        {
            "lsblk --json --list --paths --output NAME,KNAME": LSBLK,
            "blkid --cache-file /dev/null --output export": "",
            f"chroot {run.target} {SELECT}": answer,
        }
    )


def test_the_package_of_grub_is_told_its_new_disk(run: Run) -> None:
    with_other_disk(run)
    assert install_devices(run.target) == [
        ("grub-pc", "grub-pc/install_devices", ["/dev/disk/by-id/ata-QEMU_HARDDISK_QM00001", "/dev/sdz"])
    ]
    update_install_devices(run)
    assert asked(run)[-1].endswith(SELECT)
    assert run.recovery.done == ["grub-pc/install_devices is now /dev/vdq"]


def test_answers_that_cannot_be_changed_are_a_warning(run: Run) -> None:
    with_other_disk(run, Outcome((), 1, "", "debconf is locked", 0))
    update_install_devices(run)
    assert run.recovery.done == []
    assert run.report.warnings[0].startswith("the next update of GRUB will ask where to install it")


def test_a_system_without_debconf_is_not_asked(run: Run) -> None:
    update_install_devices(run)
    assert asked(run) == []
