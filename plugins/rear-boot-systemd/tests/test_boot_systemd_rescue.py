# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue system in systemd-boot's menu: behind the machine's own entries, and never instead of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_boot_systemd import menu, rescue
from rear_core import RearError, RescueImage, Run
from rear_core.errors import Refused
from rear_core.plugins import Plugins
from rear_core.system import Firmware, OperatingSystem, System

ENTRIES = "boot/efi/loader/entries"
OWN = "title SLES\nsort-key sles\nversion 6.12\nlinux /abc/linux\ninitrd /abc/initrd\noptions root=UUID=1\n"


def put(target: Path, name: str, text: str = "x") -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def esp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An EFI system partition with one entry, on /boot/efi of a machine."""
    monkeypatch.setattr(rescue, "ROOT", tmp_path)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "boot/efi")
    for name in ("abc/linux", "abc/initrd"):
        put(tmp_path, f"boot/efi/{name}")
    put(tmp_path, f"{ENTRIES}/abc-6.12.conf", OWN)
    return tmp_path / "boot/efi"


def run_of(user: str = "", secure_boot: bool = False) -> Run:
    run = Run(settings={"GRUB_RESCUE_USER": user}, plugins=Plugins([]))  # type: ignore[arg-type]
    run.system = System(OperatingSystem("sles"), "web1", "x86_64", "6.12", Firmware("uefi", secure_boot=secure_boot))
    return run


def image(folder: Path) -> RescueImage:
    return RescueImage(put(folder, "vmlinuz-1"), put(folder, "initramfs-1.img"), "6.12", "quiet rear.auto=shell")


def test_its_entry_comes_behind_the_machine_s_own_and_goes_again(esp: Path, tmp_path: Path) -> None:
    assert rescue.folder() == esp / "rear"
    run = run_of()
    rescue.check(run)
    rescue.offer(run, image(rescue.folder()))
    own, ours = menu.entries(tmp_path)
    assert (own.title, ours.title) == ("SLES", "Relax-and-Recover")
    assert (ours.kernel, ours.initramfs) == ("/boot/efi/rear/vmlinuz-1", ("/boot/efi/rear/initramfs-1.img",))
    assert ours.arguments == ("quiet", "rear.auto=shell")
    rescue.offer(run, None)
    assert [path.name for path in (tmp_path / ENTRIES).iterdir()] == ["abc-6.12.conf"]


def test_a_menu_that_would_start_it_by_default_stays_as_it_was(esp: Path, tmp_path: Path) -> None:
    path = put(tmp_path, f"{ENTRIES}/abc-6.12.conf", OWN.replace("sort-key sles\n", ""))
    with pytest.raises(RearError, match="by default"):
        rescue.offer(run_of(), image(esp / "rear"))
    assert [*(tmp_path / ENTRIES).iterdir()] == [path]


def test_an_entry_of_somebody_else_is_neither_replaced_nor_removed(esp: Path, tmp_path: Path) -> None:
    path = put(tmp_path, f"{ENTRIES}/{rescue.NAME}", "title Mine\nlinux /abc/linux\n")
    with pytest.raises(Refused, match="was not written by rear"):
        rescue.check(run_of())
    rescue.offer(run_of(), None)
    assert path.read_text().startswith("title Mine")


def test_what_its_menu_cannot_do_is_refused(esp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="asks for no password"):
        rescue.check(run_of(user="admin"))
    rescue.check(run_of(user="unrestricted", secure_boot=True))
    monkeypatch.setattr(os.path, "ismount", lambda path: False)
    with pytest.raises(Refused, match="not mounted"):
        rescue.check(run_of())


def test_a_machine_without_its_menu_has_nothing_to_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescue, "ROOT", tmp_path)
    rescue.offer(run_of(), None)
    assert rescue.folder() == Path("/boot/rear")
