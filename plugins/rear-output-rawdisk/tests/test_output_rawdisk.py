# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=RAWDISK: a real image is made and looked into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import rear_output_rawdisk
from rear_core import RearError, Refused, RescueImage, Run
from rear_core.architectures import supported
from rear_core.boot.grub_bios import read_boot_sector
from rear_core.builtin import core
from rear_core.media import rescue_disk
from rear_core.media.grub import find_modules, find_signed_loaders
from rear_core.media.grub_disk import BIOS_BOOT, EFI_SYSTEM
from rear_core.places.delivery import forget
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System

SIGNED = find_signed_loaders(supported("x86_64"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SIGNED and find_modules("i386-pc") and Shell().which("mcopy")), reason="boot loaders are not installed"
    ),
]


def make_run(tmp_path: Path, config: str = "", *, initramfs_size: int = 450_000, machine: str = "x86_64") -> Run:
    """A run with a packed rescue system."""
    text = f"VAR_DIR={tmp_path}/var\n{config}"
    declared = [*core.rear_settings(), *rear_output_rawdisk.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    build = tmp_path / "build"
    build.mkdir(exist_ok=True)
    options = Options(config_dir=build)
    run = Run(settings, Plugins([rear_output_rawdisk]), options, build_dir=build, phases=("prep", "output"))
    run.system = System(OperatingSystem("debian"), "web1", machine, "6.1.0-13-amd64", Firmware("bios"))
    kernel, initramfs = build / "kernel", build / "initramfs"
    kernel.write_bytes(b"kernel" * 1000)
    initramfs.write_bytes(b"initramfs" * (initramfs_size // 9))
    run.image = RescueImage(kernel, initramfs, "6.1.0-13-amd64", "console=tty0 console=ttyS0,115200")
    return run


def make(run: Run) -> Path:
    """Run the steps of prep and output in their order."""
    with run.undo:
        for step in (*rear_output_rawdisk.rear_prep(run), *rear_output_rawdisk.rear_output(run)):
            step.action(run)
    return run.results[0]


@pytest.mark.parametrize("size", [450_000, 90_000_000], ids=["small", "large"])
def test_the_image_is_a_disk_that_bios_and_uefi_boot(tmp_path: Path, size: int) -> None:
    assert SIGNED is not None
    run = make_run(tmp_path, initramfs_size=size)
    image = make(run)
    table = Shell().json("sfdisk", "--json", image)["partitiontable"]
    assert table["label"] == "gpt"
    assert [row["type"] for row in table["partitions"]] == [BIOS_BOOT, EFI_SYSTEM]
    assert Shell().run("sfdisk", "--verify", image).stdout.count("No errors detected") == 1
    found = read_boot_sector(image)
    assert found is not None and found.core_start == table["partitions"][0]["start"] and found.core_sectors > 50
    efi = tmp_path / "efi.img"
    start, count = (table["partitions"][1][word] * 512 for word in ("start", "size"))
    with image.open("rb") as file:
        file.seek(start)
        efi.write_bytes(file.read(count))
    Shell().run("fsck.vfat", "-n", efi)
    assert (b"FAT32" in efi.read_bytes()[:512]) == (size > 64 << 20)
    assert run.image is not None
    for name, source in (("EFI/BOOT/BOOTX64.EFI", SIGNED.shim), ("boot/initramfs.img", run.image.initramfs)):
        Shell().run("mcopy", "-n", "-i", efi, f"::{name}", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    Shell().run("mcopy", "-n", "-i", efi, "::boot/grub/grub.cfg", tmp_path / "menu")
    assert "linux /boot/vmlinuz console=tty0" in (tmp_path / "menu").read_text()


def test_it_lies_there_with_its_checksum_for_root_alone_and_the_previous_one(tmp_path: Path) -> None:
    config = f"RAWDISK_IMAGE_NAME=disk\nOUTPUT_URL=file://{tmp_path}/copies\nOUTPUT_PREFIX=web1\n"
    first = make(make_run(tmp_path, config)).read_bytes()
    make(make_run(tmp_path, f"{config}KEEP_OLD_OUTPUT_COPY=yes\n", initramfs_size=900_000))
    for folder in (tmp_path / "var/output", tmp_path / "copies/web1"):
        names = ["disk.raw", "disk.raw.old", "disk.raw.old.sha256", "disk.raw.sha256"]
        assert sorted(path.name for path in folder.iterdir()) == names
        assert (folder / "disk.raw.old").read_bytes() == first
        Shell().run("sha256sum", "--check", "--strict", names[2], names[3], cwd=folder)
        assert (folder / "disk.raw").stat().st_mode & 0o777 == 0o600


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    images = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        images.append(make(make_run(tmp_path / name)).read_bytes())
    assert images[0] == images[1]


@pytest.mark.parametrize("damaged", ["initramfs", "GRUB"])
def test_a_damaged_image_never_replaces_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    before = make(make_run(tmp_path)).read_bytes()

    def damage(path: Path) -> None:
        content = path.read_bytes()
        at = content.index(b"initramfs" * 9) if damaged == "initramfs" else content.index(b"GRUB \0")
        with path.open("r+b") as file:
            os.pwrite(file.fileno(), b"X" * 9, at)
        forget(path)

    monkeypatch.setattr(rescue_disk, "forget", damage)
    with pytest.raises(RearError, match=r"differs from its source|no GRUB for BIOS"):
        make(make_run(tmp_path))
    assert {path.name for path in (tmp_path / "var/output").iterdir()} == {"rear-web1.raw", "rear-web1.raw.sha256"}
    assert (tmp_path / "var/output/rear-web1.raw").read_bytes() == before


def test_an_architecture_without_a_loader_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not support s390x yet"):
        make(make_run(tmp_path, machine="s390x"))
