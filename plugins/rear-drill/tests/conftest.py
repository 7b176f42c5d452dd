# SPDX-License-Identifier: GPL-3.0-or-later
"""A rescue image that is real but for its kernel and programs, and a backup."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core import Run
from rear_core.archive import manifest
from rear_core.builtin import core
from rear_core.media.iso import make_iso
from rear_core.media.menu import grub_menu
from rear_core.plugins import Plugins
from rear_core.rescue.initramfs import Member, pack
from rear_core.run import Options
from rear_core.settings import Sources, evaluate
from rear_core.shell import Shell
from rear_core.storage.disk import Disk
from rear_core.storage.layout import dumps, make

DISK = Disk(id="disk:S1", needs=(), size=64 << 20, device="/dev/sda", serial="S1", transport="sata")
LINK = {"name": "eth0", "kind": "card", "mac": "52:54:00:00:00:01", "driver": "virtio_net"}




@pytest.fixture
def make_menu(tmp_path: Path) -> Callable[[str, str, str], str]:
    """Makes a boot menu from the name of the machine and the paths of kernel and initramfs."""

    def made(title: str, kernel: str, initramfs: str) -> str:
        run = Run(evaluate(Sources(), core.rear_settings(), {}), Plugins([]), Options(config_dir=tmp_path / "none"))
        return grub_menu(run, title=title, kernel=kernel, initramfs=initramfs, command_line="quiet", timeout=10)

    return made


@pytest.fixture
def make_image(tmp_path: Path, make_menu: Callable[[str, str, str], str]) -> Callable[..., Path]:
    """Makes a rescue image with a configuration, by the name of the machine, its firmware and local.conf."""

    def made(hostname: str = "web1", conf: str = "", mode: str = "bios", layout: str = dumps(make([DISK]))) -> Path:
        firmware = {"mode": mode, "secure_boot": None}
        files = {
            "etc/rear/local.conf": f"OS_FAMILY=debian\n{conf}",
            "etc/rear/recovery/layout.json": layout,
            "etc/rear/recovery/network.json": json.dumps({"version": 1, "links": [LINK]}),
            "etc/rear/recovery/system.json": json.dumps({"system": {"hostname": hostname, "firmware": firmware}}),
            "etc/passwd": "root:x:0:0",
        }
        members = [Member(name, stat.S_IFREG | 0o600, content=text.encode()) for name, text in files.items()]
        others = [Member("usr/bin/busy", stat.S_IFREG | 0o755, content=bytes(3 << 20))]
        sh = Shell()
        for number, segment in enumerate((others, members, others)):
            pack(sh, segment, tmp_path / f"segment{number}", "zstd", 0)
        initramfs = b"".join((tmp_path / f"segment{number}").read_bytes() for number in range(3))
        (tmp_path / "initramfs").write_bytes(initramfs)
        (tmp_path / "vmlinuz").write_bytes(b"kernel" * 500)
        (tmp_path / "menu").write_text(make_menu(hostname, "/boot/vmlinuz", "/boot/initramfs.img"))
        contents = {"/boot/vmlinuz": "vmlinuz", "/boot/initramfs.img": "initramfs", "/boot/grub/grub.cfg": "menu"}
        iso = tmp_path / f"rear-{hostname}.iso"
        paths = {name: tmp_path / file for name, file in contents.items()}
        make_iso(sh, iso, paths, volume_id="REAR-ISO", epoch=0, bios=None, efi_image=None)
        return iso

    return made


@pytest.fixture
def make_backup(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a backup whose files have so many bytes, for the machine web1."""

    def made(size: int = 10 << 20, layout: str = "") -> Path:
        folder = tmp_path / "backups"
        generation = folder / "web1/2026-11-22T183000Z"
        generation.mkdir(parents=True)
        (generation / "backup.tar.zst").write_bytes(b"archive" * 100)
        about = manifest.Manifest(
            created=generation.name, hostname="web1", archive="backup.tar.zst", size=700, sha256="", compression="zstd",
            members=10, bytes=size, layout=layout,
        )  # fmt: skip
        (generation / "manifest.json").write_text(manifest.dumps(about))
        return folder

    return made
