# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-boot on a real Debian tree, by its own tools: bootctl and kernel-install."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import rear_boot_systemd
from lab import debian
from rear_boot_systemd import menu
from rear_boot_systemd.image import read_image
from rear_boot_systemd.loader import SYSTEMD_BOOT
from rear_boot_systemd.partition import find_installations, install
from rear_boot_systemd.renew import Renewal
from rear_core.boot.chroot import run_inside, show_kernel
from rear_core.builtin import storage, system
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.vfat import Fat
from rear_core.system import Firmware, OperatingSystem, System

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

LOADER = "EFI/systemd/systemd-bootx64.efi"
FACTS: dict[str, Any] = {
    "partitions": [
        {"mountpoint": "/efi", "installations": [
            {"vendor": "systemd", "loader": LOADER, "program": LOADER, "shim": False, "entries": []},
        ]},
    ],
    "boot_order": [], "started": True, "parameters": ["root=LABEL=debian12", "ro", "quiet"],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A recovered Debian with the package systemd-boot. Its EFI system partition, which no backup has, is in memory, as
    not every kernel has a driver for FAT."""
    plugins = Plugins([system, storage, rear_boot_systemd])
    found = Run(evaluate(Sources(), [], {}), plugins, Options(target=tmp_path / "target", config_dir=tmp_path / "etc"))
    found.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", False))
    found.layout = make(
        [
            Disk("disk:one", (), 160 << 20, device="/dev/sda"), PartitionTable("table:x", ("disk:one",), "gpt"),
            Partition("partition:1-2", ("table:x",), 1, 1 << 20, 1 << 20, "c1", uuid="1-2", device="/dev/sda1"),
            Fat("fs:AB-CD", ("partition:1-2",), "AB-CD"), Ext("fs:2", ("disk:one",), "2"),
            Mount("mount:/", ("fs:2",), "/", "ext4"), Mount("mount:/efi", ("fs:AB-CD", "mount:/"), "/efi", "vfat"),
        ]
    )  # fmt: skip
    found.rebuilt = Rebuilt(Site(found.layout, {"disk:one": "/dev/sda"}), {"disk:one": "/dev/sda"})
    found.recovery_dir.mkdir(parents=True)
    document = {"system": {"firmware": {"mode": "uefi"}}, "boot_loaders": {"systemd-boot": FACTS}}
    (found.recovery_dir / "system.json").write_text(json.dumps(document))
    for name in ("target", "upper", "work"):
        (tmp_path / name).mkdir()
    with ExitStack() as mounted, found.undo:
        layers = f"lowerdir={debian.tree('systemd-boot')},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
        found.sh.run("mount", "--types", "overlay", "overlay", "--options", layers, found.target)
        mounted.callback(found.sh.run, "umount", found.target)
        (found.target / "efi").mkdir()
        found.sh.run("mount", "--types", "tmpfs", "tmpfs", found.target / "efi")
        mounted.callback(found.sh.run, "umount", found.target / "efi")
        (found.target / "etc/machine-id").write_text("6a9857a393724b7a981ebb5b8495b9ea\n")
        show_kernel(found)
        yield found


def test_a_partition_that_no_backup_has_gets_all_of_it_from_the_tools_of_the_system(run: Run) -> None:
    renewal = Renewal()
    renewal.begin(run)
    version = next((run.target / "lib/modules").iterdir()).name
    done = install(run, FACTS)
    assert done[:2] == [f"systemd-boot installed to /efi/{LOADER}", f"kernel-install has added the kernel {version}"]
    assert [found.program for found in find_installations(run.target / "efi")] == ["EFI/BOOT/BOOTX64.EFI", LOADER]
    [entry] = menu.entries(run.target)
    assert entry.version == version and entry.arguments[:3] == ("root=LABEL=debian12", "ro", "quiet")
    for path in (entry.kernel, *entry.initramfs):
        assert (run.target / path[1:]).stat().st_size > 1 << 20
    assert SYSTEMD_BOOT.verify is not None and SYSTEMD_BOOT.verify(run, FACTS) == []


def test_kernel_install_leaves_the_menu_as_it_was(run: Run) -> None:
    """As a hook of update-initramfs calls it. Without the parameters it takes those of the running kernel."""
    Renewal().begin(run)
    install(run, FACTS)
    [entry] = menu.entries(run.target)
    [path] = (run.target / "efi/loader/entries").iterdir()
    text = path.read_text()
    renewal = Renewal()
    renewal.begin(run)
    initramfs = run.target / f"boot/initrd.img-{entry.version}"
    initramfs.write_bytes(b"another one")
    hook = ("kernel-install", "add", entry.version, f"/boot/vmlinuz-{entry.version}", f"/boot/{initramfs.name}")
    run_inside(run, *hook)
    assert path.read_text() == text
    (run.target / "etc/kernel/cmdline").unlink()
    run_inside(run, *hook)
    assert path.read_text() != text
    renewal.end(run)
    assert path.read_text() == text
    assert (run.target / entry.initramfs[-1][1:]).read_bytes() == b"another one"
    assert run.recovery.problems == []


def test_an_image_that_objcopy_has_made_is_read(tmp_path: Path) -> None:
    stub = debian.tree("systemd-boot") / "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
    words = []
    contents = {".cmdline": b"root=UUID=1", ".osrel": b"ID=debian", ".linux": b"k" * 5000, ".initrd": b"i" * 700}
    for number, (name, content) in enumerate(contents.items()):
        (tmp_path / name).write_bytes(content)
        words += [f"--add-section={name}={tmp_path / name}", f"--change-section-vma={name}={0x10000000 << number:#x}"]
    subprocess.run(["objcopy", *words, stub, tmp_path / "image.efi"], check=True)
    image = read_image(tmp_path / "image.efi")
    for name, content in contents.items():
        offset, size = image.sections[name]
        assert image.path.read_bytes()[offset : offset + size] == content
