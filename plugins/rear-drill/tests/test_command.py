# SPDX-License-Identifier: GPL-3.0-or-later
"""What `rear drill` checks before it begins, and what it would begin with."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core import Refused, Run
from rear_core.archive import manifest
from rear_core.builtin import core, rehearsed
from rear_core.cli.session import open_run
from rear_core.media.iso import make_iso
from rear_core.media.menu import grub_menu
from rear_core.plugins import Plugins
from rear_core.rescue.initramfs import Member, pack
from rear_core.run import Options
from rear_core.settings import Sources, evaluate
from rear_core.shell import Shell
from rear_core.storage.disk import Disk
from rear_core.storage.layout import dumps, make
from rear_core.storage.same_plan import digest
from rear_core.system import Firmware, OperatingSystem, System
from rear_drill import command, image, qemu
from rear_drill.command import Wishes

DISK = Disk(id="disk:S1", needs=(), size=64 << 20, device="/dev/sda", serial="S1", transport="sata")
LINK = {"name": "eth0", "kind": "card", "mac": "52:54:00:00:00:01", "driver": "virtio_net"}
WISHES = Wishes(memory=512, cpus=1, time_limit=10, backup="")
MakeImage = Callable[..., Path]

pytestmark = pytest.mark.skipif(
    not (Shell().which(qemu.PROGRAM) and Shell().which("xorriso")), reason="QEMU or xorriso is not installed"
)


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


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of the machine web1."""
    config = tmp_path / "etc"
    config.mkdir()
    (config / "local.conf").write_text(f"OS_FAMILY=debian\nISO_DIR={tmp_path}\nVAR_DIR={tmp_path}/var\n")
    made = open_run(Options(config_dir=config))
    made.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    made.build_dir = tmp_path / "work"
    made.build_dir.mkdir(mode=0o700)
    return made


def test_the_entry_for_a_shell_is_found_in_the_menu_of_rear(make_menu: Callable[[str, str, str], str]) -> None:
    menu = make_menu("web1", "/boot/k", "/boot/i")
    assert image.shell_entry(menu) == image.Entry(2, "Rescue shell", "/boot/k", "/boot/i")


def test_an_image_gives_its_kernel_and_its_configuration_alone(tmp_path: Path, make_image: MakeImage) -> None:
    iso = make_image(conf="BACKUP_URL=file:///srv/backup\n")
    (folder := tmp_path / "work").mkdir()
    found = image.read(Shell(), iso, folder)
    assert found.kernel.read_bytes() == b"kernel" * 500
    assert "BACKUP_URL" in (found.configuration / "local.conf").read_text()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "image/etc/rear/local.conf", "image/etc/rear/recovery/layout.json", "image/etc/rear/recovery/network.json",
        "image/etc/rear/recovery/system.json", "kernel",
    ]  # fmt: skip
    assert not [path for path in folder.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) != 0o600]


def test_a_truncated_image_is_refused(tmp_path: Path, make_image: MakeImage) -> None:
    iso = make_image()
    os.truncate(iso, iso.stat().st_size // 2)
    with pytest.raises(Refused, match="not complete"):
        image.read(Shell(), iso, tmp_path)


def test_everything_is_laid_ready(run: Run, make_image: MakeImage, make_backup: MakeImage) -> None:
    iso = make_image(conf=f"BACKUP_URL=file://{make_backup()}\n")
    plan, verdict = command.prepare(run, None, WISHES)
    (disk,) = plan.result.disks
    assert (disk.serial, disk.bus, disk.path.stat().st_size) == ("S1", "sata", 64 << 20)
    assert [item.bus for item in plan.rescue.disks] == ["sata", "cdrom"]
    assert (plan.rescue.cdrom, plan.result.cdrom) == (iso, None)
    assert plan.result.reboots and not plan.rescue.reboots
    assert all(nic.restrict for nic in (*plan.rescue.nics, *plan.result.nics))
    assert plan.given.archive.endswith("/backups/web1/2026-11-22T183000Z")
    assert plan.configuration == "DISK_MAPPING=()\n"
    assert (verdict.hostname, verdict.firmware, verdict.succeeded) == ("web1", "bios", False)
    assert not [path for path in run.build_dir.iterdir() if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o77]


def test_the_disc_has_the_files_of_the_backup_and_the_backup_stays_as_it_is(
    run: Run, make_image: MakeImage, make_backup: MakeImage, tmp_path: Path
) -> None:
    folder = make_backup()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.*") if path.is_file()}
    make_image(conf=f"BACKUP_URL=file://{folder}\n")
    plan, _ = command.prepare(run, None, WISHES)
    disc = plan.rescue.disks[-1].path
    extract = ("-osirrox", "on", "-indev", f"stdio:{disc}", "-extract", "/web1", tmp_path / "out")
    run.sh.run("xorriso", *extract)
    (manifest,) = (tmp_path / "out").rglob("manifest.json")
    assert manifest.read_bytes() == (folder / "web1/2026-11-22T183000Z/manifest.json").read_bytes()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


def test_secrets_are_told_to_the_rescue_system_alone() -> None:
    text = command.configuration(["BACKUP_KEY=secret"], "passing")
    assert text == "DISK_MAPPING=()\nBACKUP_KEY=secret\nLUKS_PASSPHRASE=passing\n"
    assert command.configuration([], "passing", headers=True).endswith("LUKS_HEADER_BACKUP=no\n")
    assert command.configuration([], "", plan=True).endswith("\nREHEARSED_PLAN=\n")


def test_the_plan_of_a_rehearsal_is_left_for_the_next_media(
    run: Run, make_image: MakeImage, make_backup: MakeImage
) -> None:
    make_image(conf=f"BACKUP_URL=file://{make_backup()}\nREHEARSED_PLAN=12345678\n")
    plan, verdict = command.prepare(run, None, WISHES)
    assert plan.configuration.endswith("REHEARSED_PLAN=\n")
    command.keep_plan(run, verdict)
    assert not (kept := run.recovery_dir / "rehearsed.json").exists()
    command.keep_plan(run, replace(verdict, plan=digest(["one", "two"]), steps=["one", "two"]))
    assert digest(rehearsed.read(kept)) == json.loads(kept.read_text())["plan"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_the_image_of_another_machine_is_refused(run: Run, make_image: MakeImage) -> None:
    make_image("web2")
    with pytest.raises(Refused, match="rescue image of web2, this machine is web1"):
        command.prepare(run, None, WISHES)


def test_without_an_image_it_says_how_to_make_one(run: Run) -> None:
    with pytest.raises(Refused, match="no rescue image") as caught:
        command.prepare(run, None, WISHES)
    assert "rear mkbackup" in caught.value.hint


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ("", "names no backup"),
        ("BACKUP_URL=file:///nowhere/at/all\n", "there is no backup in /nowhere/at/all/web1"),
    ],
)
def test_without_a_backup_it_says_how_to_make_one(run: Run, make_image: MakeImage, conf: str, message: str) -> None:
    make_image(conf=conf)
    with pytest.raises(Refused, match=message) as caught:
        command.prepare(run, None, WISHES)
    assert "rear mkbackup" in caught.value.hint


@pytest.mark.parametrize("method", ["TAPE", "REQUESTRESTORE", "BACULA", "NSR"])
def test_a_method_that_needs_more_than_a_virtual_machine_is_refused(
    run: Run, make_image: MakeImage, method: str
) -> None:
    make_image(conf=f"BACKUP={method}\n")
    with pytest.raises(Refused, match=f"BACKUP={method} to a virtual machine") as caught:
        command.prepare(run, None, WISHES)
    assert "spare machine" in caught.value.hint


def test_a_damaged_manifest_is_refused(run: Run, make_image: MakeImage, make_backup: MakeImage) -> None:
    folder = make_backup()
    (path,) = folder.rglob("manifest.json")
    path.write_text(path.read_text().replace("web1", "web2"))
    make_image(conf=f"BACKUP_URL=file://{folder}\n")
    with pytest.raises(Refused, match="manifest is damaged"):
        command.prepare(run, None, WISHES)


def test_without_room_it_does_not_begin(run: Run, make_image: MakeImage, make_backup: MakeImage) -> None:
    make_image(conf=f"BACKUP_URL=file://{make_backup(1 << 60)}\n")
    with pytest.raises(Refused, match="rear needs") as caught:
        command.prepare(run, None, WISHES)
    assert "TMPDIR" in caught.value.hint
    assert not (run.build_dir / "backup.iso").exists()


def test_without_memory_it_does_not_begin(run: Run) -> None:
    with pytest.raises(Refused, match="MiB of memory are available") as caught:
        command.prepare(run, None, replace(WISHES, memory=1 << 40))
    assert "--memory" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_rehearsal_that_cannot_begin_ends_with_3(run: Run, tmp_path: Path) -> None:
    with (run.config_dir / "local.conf").open("a") as conf:
        conf.write(f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\n")
    rear = [str(Path(sys.executable).with_name("rear")), "-c", str(run.config_dir)]
    ended = subprocess.run([*rear, "drill", "--memory=1000000000"], stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, "MiB of memory are available" in ended.stderr) == (3, True), ended.stderr


def test_what_does_not_fit_together_is_noted(run: Run, make_image: MakeImage, make_backup: MakeImage) -> None:
    make_image(conf=f"BACKUP_URL=file://{make_backup(layout='0' * 64)}\n")
    run.recovery_dir.mkdir()
    (run.recovery_dir / "layout.json").write_text("{}")
    _, verdict = command.prepare(run, None, WISHES)
    assert [note.rpartition(": ")[2] for note in verdict.notes] == ["run `rear mkrescue`", "run `rear mkbackup`"]


def machines(folder: Path) -> list[str]:
    """The virtual machines whose files are below a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if f"{qemu.PROGRAM} -nodefaults " in line and str(folder) in line]


@pytest.mark.root
@pytest.mark.parametrize("later", [0, 0.02, 0.5])
def test_a_rehearsal_that_is_stopped_leaves_nothing_behind(
    run: Run, make_image: MakeImage, make_backup: MakeImage, tmp_path: Path, later: float
) -> None:
    iso = make_image(conf=f"BACKUP_URL=file://{make_backup()}\n")
    with (run.config_dir / "local.conf").open("a") as conf:
        conf.write(f"TMPDIR={run.build_dir}\nLOGFILE={tmp_path}/log\n")
    # In place of QEMU a program that answers nobody and never ends; with KVM it does not work.
    text = '#!/bin/sh\ncase "$*" in *"-accel kvm"*) exit 1 ;; esac\nwhile :; do sleep 1; done\n'
    (silent := tmp_path / "silent").write_text(text)
    silent.chmod(0o755)
    program = Shell().which(qemu.PROGRAM)
    setup = f'hostname web1; mount --bind {silent} {program}; exec "$@"'
    rear = [str(Path(sys.executable).with_name("rear")), "-c", str(run.config_dir), "drill", "--memory=512", str(iso)]
    own = ["unshare", "--uts", "--mount", "sh", "-c", setup, "sh"]
    with subprocess.Popen([*own, *rear], stderr=subprocess.PIPE, text=True) as process:
        while not machines(tmp_path) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(later)
        process.terminate()
        _, said = process.communicate(timeout=50)
    assert (process.returncode, "stopped by SIGTERM" in said) == (130, True), said
    assert not machines(tmp_path)
    assert not list(run.build_dir.iterdir())
