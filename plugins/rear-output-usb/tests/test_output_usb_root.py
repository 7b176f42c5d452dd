# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk is made and filled for real: partitions and file systems on loop devices, all steps of OUTPUT=USB."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import rear_output_usb
from rear_core import Refused, RescueImage, Run
from rear_core.architectures import supported
from rear_core.boot.grub_bios import read_boot_sector
from rear_core.builtin import core
from rear_core.media.grub import find_modules, find_signed_loaders
from rear_core.plugins import Found, Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate
from rear_core.shell import Shell
from rear_core.storage.inventory import Device
from rear_core.system import Firmware, OperatingSystem, System
from rear_output_usb.disk import _check_claims, make_file_systems, partition_table
from rear_output_usb.loaders import install
from rear_output_usb.stick import Stick, described, opened
from rear_output_usb.versions import MENU, all_versions, menu, put_menu, write

pytestmark = pytest.mark.root

GIB = 1 << 30
LABEL = "REAR-ROOT"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    plugins = Plugins([])
    plugins.take(Found("output", "USB", "rear_output_usb", "rear-output-usb", "1", module=rear_output_usb))
    settings = evaluate(Sources(), [*core.rear_settings(), *rear_output_usb.rear_settings()], {})
    made = Run(settings, plugins, Options(config_dir=tmp_path / "etc"), build_dir=tmp_path / "build")
    made.build_dir.mkdir()
    made.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    with made.undo:
        yield made


@pytest.fixture
def stick(run: Run, tmp_path: Path) -> Stick:
    """A disk as `rear format` makes it; without partition scanning each partition is a loop device of its own."""
    image = tmp_path / "stick"
    image.touch()
    os.truncate(image, 2 * GIB)
    run.sh.run("sfdisk", image, input=partition_table(LABEL, 512))
    rows = run.sh.json("sfdisk", "--json", image)["partitiontable"]["partitions"]
    disk, efi, data = (
        loop(run, image),
        *(loop(run, image, f"--offset={row['start'] * 512}", f"--sizelimit={row['size'] * 512}") for row in rows[1:]),
    )
    make_file_systems(run, efi, data, LABEL)
    uuid = run.sh.query("blkid", "--probe", "--match-tag", "UUID", "--output", "value", data).strip()
    return described(run, Device(disk, disk.rpartition("/")[2], "", "disk", 2 * GIB), data, uuid)


def loop(run: Run, image: Path, *options: str) -> str:
    device = run.sh.query("losetup", "--find", "--show", *options, image).strip()
    run.undo.callback(run.sh.run, "losetup", "--detach", device)
    return device


@pytest.mark.skipif(
    not (find_signed_loaders(supported("x86_64")) and find_modules("i386-pc") and Shell().which("mren")),
    reason="boot loaders are not installed",
)
def test_a_disk_is_made_and_filled(run: Run, stick: Stick, tmp_path: Path) -> None:
    kernel, initramfs = tmp_path / "kernel", tmp_path / "initramfs"
    kernel.write_bytes(b"kernel" * 1000)
    initramfs.write_bytes(os.urandom(1 << 20))
    with opened(run, stick) as root:
        version = write(root, "web1", RescueImage(kernel, initramfs, "6.1", "console=ttyS0"))
    install(run, stick)
    with opened(run, stick) as root:
        put_menu(root, menu(run, all_versions(root)))
    with opened(run, stick) as root:
        assert all_versions(root) == [version]
        assert f"initrd /boot/rear/web1/{version.date}/initramfs.img" in (root / MENU).read_text()
    sector = read_boot_sector(stick.disk)
    assert sector is not None and sector.core_start * 512 == stick.bios.start and sector.core_sectors
    # What was written past the partitions' own devices did not spoil them.
    run.sh.run("e2fsck", "-f", "-n", stick.data)
    efi = loop(run, tmp_path / "stick", f"--offset={stick.efi.start}", f"--sizelimit={stick.efi.size}")
    run.sh.run("fsck.vfat", "-n", efi)


def read_by_grub(disk: Path, name: str) -> bytes:
    """A file as GRUB's own driver reads it, which knows no journal."""
    with tempfile.TemporaryFile() as file:
        Shell().run("grub-fstest", disk, "cat", f"(loop0,gpt3)/{name}", stdout=file)
        file.seek(0)
        return file.read()


@pytest.mark.skipif(not Shell().which("grub-fstest"), reason="GRUB is not installed")
def test_a_disk_that_is_pulled_out_starts_with_the_old_menu_or_the_new_one(
    run: Run, stick: Stick, tmp_path: Path
) -> None:
    images = {}
    for number in (1, 2):
        kernel, initramfs = tmp_path / f"kernel{number}", tmp_path / f"initramfs{number}"
        kernel.write_bytes(os.urandom(1 << 20))
        initramfs.write_bytes(os.urandom(4 << 20))
        with opened(run, stick) as root:
            version = write(root, "web1", RescueImage(kernel, initramfs, "6.1", "console=ttyS0"))
        images[version] = kernel, initramfs
        with opened(run, stick) as root:
            put_menu(root, menu(run, images))
            # What has reached the disk, while the file system is still mounted.
            run.sh.run("cp", "--sparse=always", tmp_path / "stick", tmp_path / "pulled")
    old, new = menu(run, [*images][:1]), menu(run, images)
    shown = read_by_grub(tmp_path / "pulled", f"{MENU}").decode()
    assert shown in (old, new)
    for version, sources in images.items():
        for name, source in zip(("vmlinuz", "initramfs.img"), sources):
            assert read_by_grub(tmp_path / "pulled", f"{version.folder}/{name}") == source.read_bytes()


def test_the_file_system_has_no_features_that_an_old_grub_cannot_read(run: Run, stick: Stick) -> None:
    line = next(line for line in run.sh.query("dumpe2fs", "-h", stick.data).splitlines() if "features" in line)
    assert {"extent", "64bit", "metadata_csum", "has_journal"} <= {*line.split()}
    assert not {"metadata_csum_seed", "orphan_file", "encrypt", "casefold"} & {*line.split()}


def test_a_device_that_somebody_has_claimed_is_refused(run: Run, stick: Stick) -> None:
    device = Device(stick.data, stick.data.rpartition("/")[2], "", "part", GIB)
    _check_claims([device])
    with opened(run, stick), pytest.raises(Refused, match="is in use"):
        _check_claims([device])
