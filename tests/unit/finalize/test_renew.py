# SPDX-License-Identifier: GPL-3.0-or-later
"""The initramfs by dracut, the menu by grub-mkconfig, LVM's list of devices: which files, and what a failure means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rear_core.boot.grub_renew import mkconfig, renew_menu
from rear_core.errors import RearError
from rear_core.finalize import dracut, lvm_devices, recorded
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.btrfs import Btrfs
from rear_core.storage.technologies.luks import Luks
from rear_core.testing.fake_shell import FakeShell
from rear_core.testing.recorded import started_by_grub
from unit.finalize.storage import LAYOUT

FAILED = Outcome((), 1, "", "no space left", 0)


def put(target: Path, name: str, text: str = "") -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two kernels of a Red Hat and their rescue image, root on ext4."""
    for version in ("6.1", "6.0"):
        put(tmp_path, f"boot/vmlinuz-{version}", "kernel")
        put(tmp_path, f"boot/initramfs-{version}.img")
        put(tmp_path, f"lib/modules/{version}/modules.dep")
    for version in ("6.1", "6.0", "0-rescue"):
        put(
            tmp_path, f"boot/loader/entries/a-{version}.conf",
            f"title {version}\nlinux /vmlinuz-{version}\ninitrd /ucode.img /initramfs-{version}.img\n",
        )  # fmt: skip
    put(tmp_path, "boot/grub2/grub.cfg", "### BEGIN /etc/grub.d/10_linux ###\nblscfg\n")
    put(tmp_path, "usr/sbin/grub2-mkconfig")
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(config_dir=tmp_path / "etc/rear", target=tmp_path))
    started_by_grub(run)
    run.layout = LAYOUT
    disks = {"disk:one": "/dev/no-such-disk", "disk:two": "/dev/no-such-disk2"}
    run.rebuilt = Rebuilt(Site(LAYOUT, disks), disks)
    return run


def dracut_of(run: Run, version: str) -> str:
    return f"chroot {run.target} dracut --force --add-drivers ext4 --kver {version} /boot/initramfs-{version}.img"


def test_every_kernel_of_the_menu_that_has_modules_gets_an_image(run: Run) -> None:
    run.sh = FakeShell({dracut_of(run, "6.1"): "", dracut_of(run, "6.0"): ""})
    dracut.make_images(run)
    assert run.sh.asked == [dracut_of(run, "6.1"), dracut_of(run, "6.0")]


def test_the_image_of_a_kernel_that_is_pinned_in_a_submenu_must_succeed(run: Run) -> None:
    entries = {
        version: f"menuentry {version} {{\n linux /vmlinuz-{version}\n initrd /initramfs-{version}.img\n}}\n"
        for version in ("6.1", "6.0")
    }
    menu = f"set default='1>1'\n{entries['6.1']}submenu more {{\n{entries['6.1']}{entries['6.0']}}}\n"
    put(run.target, "boot/grub2/grub.cfg", menu)
    assert list(dracut.images(run.target, recorded.entries(run)).values()) == ["6.0", "6.1"]
    run.sh = FakeShell({dracut_of(run, "6.0"): FAILED})
    with pytest.raises(RearError):
        dracut.make_images(run)


def test_a_lost_image_is_made_where_the_menu_looks_for_it(run: Run) -> None:
    (run.target / "boot/initramfs-6.1.img").unlink()
    assert list(dracut.images(run.target, recorded.entries(run))) == [
        "/boot/initramfs-6.1.img",
        "/boot/initramfs-6.0.img",
    ]


def test_the_default_image_must_succeed_and_the_others_need_not(run: Run) -> None:
    run.sh = FakeShell({dracut_of(run, "6.1"): "", dracut_of(run, "6.0"): FAILED})
    dracut.make_images(run)
    assert run.recovery.differences == ["the kernel 6.0 keeps its old initramfs"]
    run.sh = FakeShell({dracut_of(run, "6.1"): FAILED})
    with pytest.raises(RearError, match="no space left"):
        dracut.make_images(run)


def test_a_system_without_modules_is_told(run: Run) -> None:
    (run.target / "lib/modules").rename(run.target / "lib/other")
    with pytest.raises(RearError, match="no kernel of the boot menu has its modules"):
        dracut.make_images(run)


def test_what_the_root_lies_on_is_named_to_dracut() -> None:
    items = [Btrfs("fs:1", ("luks:1",), "1"), Luks("luks:1", ("disk:1",), 2, "1", "aes", 512, "sha256")]
    assert dracut.words(items, {"dm_crypt", "btrfs"}) == ("--add", "btrfs crypt", "--add-drivers", "btrfs dm_crypt")
    assert dracut.words([], set()) == ()


def test_only_menus_that_were_generated_are_generated_anew(run: Run) -> None:
    put(run.target, "boot/efi/EFI/redhat/grub.cfg", "configfile $prefix/grub.cfg\n")
    assert mkconfig(run) == [("grub2-mkconfig", "--output=/boot/grub2/grub.cfg")]
    put(run.target, "boot/efi/EFI/centos/grub.cfg", "### BEGIN /etc/grub.d/00_header ###\n")
    assert mkconfig(run)[1:] == [("grub2-mkconfig", "--output=/boot/efi/EFI/centos/grub.cfg")]
    (run.target / "usr/sbin/grub2-mkconfig").unlink()
    assert mkconfig(run) == []


def test_a_menu_with_two_names_is_written_once(run: Run) -> None:
    (run.target / "boot/grub").mkdir()
    (run.target / "boot/grub/grub.cfg").symlink_to("../grub2/grub.cfg")
    assert len(mkconfig(run)) == 1


def test_a_menu_is_written_anew_only_after_a_change_and_its_failure_ends_nothing(run: Run) -> None:
    run.sh = FakeShell({f"chroot {run.target} grub2-mkconfig --output=/boot/grub2/grub.cfg": FAILED})
    renew_menu(run, mkconfig(run))
    assert run.sh.asked == []
    run.recovery.rewritten.append("/etc/fstab")
    renew_menu(run, mkconfig(run))
    assert run.report.warnings[0].startswith("GRUB's menu could not be updated")
    assert run.recovery.done == []


LIST = "# LVM uses devices listed in this file.\nIDTYPE=sys_wwid IDNAME=x DEVNAME=/dev/sda3 PVID=y\n"


def replaced(run: Run) -> None:
    """The first disk is another one."""
    assert run.rebuilt is not None
    items = [replace(i, serial="other") if isinstance(i, Disk) and i.id == "disk:one" else i for i in LAYOUT]
    run.rebuilt = replace(run.rebuilt, site=Site(make(items), run.rebuilt.mapping))


def test_the_list_of_lvm_stays_on_the_same_disks(run: Run) -> None:
    path = put(run.target, lvm_devices.LIST[1:], LIST)
    run.sh = FakeShell({})
    lvm_devices.update_list(run)
    assert path.read_text() == LIST


@pytest.mark.parametrize("outcome", ["", FAILED])
def test_the_list_of_lvm_does_not_outlive_the_disks(run: Run, outcome: str | Outcome) -> None:
    path = put(run.target, lvm_devices.LIST[1:], LIST)
    replaced(run)
    run.sh = FakeShell({f"chroot {run.target} lvm vgimportdevices --all": outcome})
    lvm_devices.update_list(run)
    assert not path.exists()
    # The initramfs has a copy of it.
    assert run.recovery.rewritten == [lvm_devices.LIST]
    assert (run.recovery.done != []) == (outcome == "")
    assert (run.recovery.differences != []) == (outcome != "")


def test_a_system_without_the_list_gets_none(run: Run) -> None:
    replaced(run)
    run.sh = FakeShell({})
    lvm_devices.update_list(run)
    assert run.recovery.rewritten == []
