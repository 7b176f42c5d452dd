# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB installed into a real Debian tree and onto real disks; what is shown inside the target is taken away again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import debian
from lab.loops import MBR, attached, disk_with_boot, first_partition
from rear_core.boot import grub_conversion
from rear_core.boot.chroot import has_program, run_inside, show_kernel
from rear_core.boot.extlinux import EXTLINUX
from rear_core.boot.grub_bios import GRUB_BIOS, read_boot_sector
from rear_core.boot.grub_efi import GRUB_EFI
from rear_core.boot.grub_efi_install import install_command
from rear_core.errors import RearError
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import Item, make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.vfat import Fat
from rear_core.system import Firmware, OperatingSystem, System

pytestmark = pytest.mark.root

MIB = 1 << 20
BIOS_FACTS = {"boot_sectors": [{"device": "/dev/sda", "core_start": 1, "core_sectors": 60, "core_place": "x"}]}
EFI_FACTS = {
    "partitions": [
        {
            "mountpoint": "/boot/efi",
            "device": "/dev/sda1",
            "partuuid": "1-2",
            "installations": [
                {"vendor": "debian", "loader": "EFI/debian/shimx64.efi", "grub": "EFI/debian/grubx64.efi",
                 "shim": True, "entries": [{"number": "0003", "label": "debian", "active": True}]}
            ],
        }
    ],
    "boot_order": ["0003"],
    "boot_current": "0003",
    "secure_boot": False,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A recovered Debian on the target; its disk and its /boot are loop devices."""
    found = Run(evaluate(Sources(), [], {}), Plugins([]), options=Options(target=tmp_path / "target"))
    found.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("bios"))
    upper, work = tmp_path / "upper", tmp_path / "work"
    for path in (found.target, upper, work):
        path.mkdir()
    sh = found.sh
    with ExitStack() as mounted, found.undo:
        layers = f"lowerdir={debian.tree()},upperdir={upper},workdir={work}"
        sh.run("mount", "--types", "overlay", "overlay", "--options", layers, found.target)
        mounted.callback(sh.run, "umount", found.target)
        yield found


def made_again(run: Run, items: list[Item], disk: str) -> None:
    run.layout = make(items)
    disks = {"disk:one": disk}
    run.rebuilt = Rebuilt(Site(run.layout, disks), disks)


@pytest.mark.parametrize(
    ("table", "core_start"),
    [
        ("label: dos\nstart=2048, type=83, bootable\n", 1),
        ("label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096\n", 2048),
    ],
    ids=["MBR", "GPT"],
)
def test_grub_for_bios_starts_from_the_disk(run: Run, tmp_path: Path, table: str, core_start: int) -> None:
    disk, _ = disk_with_boot(run, tmp_path, table)
    made_again(run, [Disk("disk:one", (), 160 * MIB, device="/dev/sda")], disk)
    assert GRUB_BIOS.install is not None and GRUB_BIOS.verify is not None
    assert GRUB_BIOS.verify(run, BIOS_FACTS) == [f"GRUB is not in the boot sector of {disk}"]
    show_kernel(run)
    assert GRUB_BIOS.install(run, BIOS_FACTS) == [f"GRUB for BIOS installed to {disk}"]
    assert GRUB_BIOS.verify(run, BIOS_FACTS) == []
    found = read_boot_sector(Path(disk))
    assert found is not None and found.core_start == core_start and found.core_sectors > 20
    assert (run.target / "boot/grub/i386-pc/normal.mod").is_file()


def test_grub_for_bios_starts_from_a_partition(run: Run, tmp_path: Path) -> None:
    run.sh.run("truncate", "--size=160M", tmp_path / "disk")
    run.sh.run("sfdisk", tmp_path / "disk", input=MBR)
    disk = attached(run.undo, tmp_path / "disk", sh=run.sh)
    boot = first_partition(run.undo, disk, run.sh)
    run.sh.run("mkfs.ext4", "-q", boot)
    run.sh.run("mount", boot, run.target / "boot")
    run.undo.callback(run.sh.run, "umount", run.target / "boot")
    partition = Partition("partition:1", ("table:x",), 1, MIB, 159 * MIB, "83", device="/dev/sda1")
    made_again(
        run,
        [
            Disk("disk:one", (), 160 * MIB, device="/dev/sda"), PartitionTable("table:x", ("disk:one",), "dos"),
            partition, Ext("fs:1", ("partition:1",), "1"), Mount("mount:/boot", ("fs:1",), "/boot", "ext4"),
        ],
        disk,
    )  # fmt: skip
    facts = {"boot_sectors": [{**BIOS_FACTS["boot_sectors"][0], "device": "/dev/sda1"}]}
    show_kernel(run)
    assert GRUB_BIOS.install is not None and GRUB_BIOS.verify is not None
    assert GRUB_BIOS.install(run, facts) == [f"GRUB for BIOS installed to {device}" for device in (disk, boot)]
    assert GRUB_BIOS.verify(run, facts) == []
    found = read_boot_sector(Path(boot))
    assert found is not None and found.core_start > 2048 and found.core_sectors > 20


# Its program comes with a tree of its own.
@pytest.mark.long
@pytest.mark.timeout(600)
def test_extlinux_starts_where_its_files_were_restored(run: Run, tmp_path: Path) -> None:
    """By the program of the recovered system, as the rescue system may have none."""
    run.sh.run("truncate", "--size=160M", tmp_path / "disk")
    run.sh.run("sfdisk", tmp_path / "disk", input=MBR)
    disk = attached(run.undo, tmp_path / "disk", sh=run.sh)
    boot = first_partition(run.undo, disk, run.sh)
    run.sh.run("mkfs.ext4", "-q", "-O", "^64bit", boot)
    run.sh.run("mount", boot, run.target / "boot")
    run.undo.callback(run.sh.run, "umount", run.target / "boot")
    partition = Partition("partition:1", ("table:x",), 1, MIB, 159 * MIB, "83", device="/dev/sda1")
    made_again(
        run,
        [
            Disk("disk:one", (), 160 * MIB, device="/dev/sda"), PartitionTable("table:x", ("disk:one",), "dos"),
            partition, Ext("fs:1", ("partition:1",), "1"), Mount("mount:/boot", ("fs:1",), "/boot", "ext4"),
        ],
        disk,
    )  # fmt: skip
    code = b"Missing operating system".ljust(440, b"\x90").hex()
    facts = {"folder": "/boot/extlinux", "device": "/dev/sda1", "disks": {"/dev/sda": code}}
    assert EXTLINUX.install is not None and EXTLINUX.verify is not None
    with pytest.raises(RearError, match="no program extlinux"):
        EXTLINUX.install(run, facts)
    (run.target / "usr/bin/extlinux").write_bytes((debian.tree("extlinux") / "usr/bin/extlinux").read_bytes())
    (run.target / "usr/bin/extlinux").chmod(0o755)
    show_kernel(run)
    assert EXTLINUX.verify(run, facts) == ["/boot/extlinux/ldlinux.sys is missing"]
    done = EXTLINUX.install(run, facts)
    assert done == ["EXTLINUX installed to /boot/extlinux", f"boot code of /dev/sda written to {disk}"]
    assert EXTLINUX.verify(run, facts) == []
    # As a restored file is: the same bytes at another place.
    core = run.target / "boot/extlinux/ldlinux.sys"
    run.sh.run("chattr", "-i", core)
    run.sh.run("cp", core, run.target / "boot/other")
    run.sh.run("dd", "if=/dev/zero", f"of={core}", "bs=4096", "count=4", "conv=notrunc,fsync")
    (run.target / "boot/other").replace(core)
    assert EXTLINUX.verify(run, facts) == [f"the boot sector of {boot} does not lead to /boot/extlinux/ldlinux.sys"]
    Path(disk).write_bytes(bytes(440))
    assert EXTLINUX.verify(run, facts)[-1] == f"the boot code of /dev/sda is not on {disk}, which took its place"


def test_a_disk_without_room_for_grub_is_an_error(run: Run, tmp_path: Path) -> None:
    disk, _ = disk_with_boot(run, tmp_path, "label: gpt\nstart=2048\n")
    made_again(run, [Disk("disk:one", (), 160 * MIB, device="/dev/sda")], disk)
    show_kernel(run)
    assert GRUB_BIOS.install is not None
    with pytest.raises(RearError, match="embedding is not possible"):
        GRUB_BIOS.install(run, BIOS_FACTS)


def test_grub_for_uefi_comes_back_with_shim_and_the_fallback_path(run: Run) -> None:
    # Without a driver for FAT, and without UEFI, a folder stands in for the EFI system partition.
    esp = run.target / "boot/efi"
    esp.mkdir()
    made_again(
        run,
        [
            Disk("disk:one", (), 160 * MIB, device="/dev/sda"),
            PartitionTable("table:x", ("disk:one",), "gpt"),
            Partition("partition:1-2", ("table:x",), 1, MIB, MIB, "c1", uuid="1-2", device="/dev/sda1"),
            Fat("fs:AB-CD", ("partition:1-2",), "AB-CD"),
            Ext("fs:2", ("disk:one",), "2"),
            Mount("mount:/", ("fs:2",), "/", "ext4"),
            Mount("mount:/boot/efi", ("fs:AB-CD", "mount:/"), "/boot/efi", "vfat"),
        ],
        "/dev/sda",
    )
    assert GRUB_EFI.install is not None and GRUB_EFI.verify is not None
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", secure_boot=True))
    assert len(GRUB_EFI.verify(run, EFI_FACTS)) == 3
    for name in ("shimx64.efi", "grubx64.efi", "mmx64.efi"):
        (esp / "EFI/debian").mkdir(parents=True, exist_ok=True)
        (esp / "EFI/debian" / name).write_bytes(name.encode())
    done = GRUB_EFI.install(run, EFI_FACTS)
    assert done == ["boot/efi/EFI/BOOT/BOOTX64.EFI made from shimx64.efi"]
    assert [path.name for path in sorted((esp / "EFI/BOOT").iterdir())] == ["BOOTX64.EFI", "grubx64.efi", "mmx64.efi"]
    assert (esp / "EFI/BOOT/BOOTX64.EFI").read_bytes() == b"shimx64.efi"
    assert any("takes no boot entries" in line for line in run.report.warnings)
    assert GRUB_EFI.verify(run, EFI_FACTS) == []


def test_nothing_stays_behind_in_the_target(run: Run) -> None:
    with run.undo:
        show_kernel(run)
        assert run_inside(run, "sh", "-c", "test -b /dev/loop0 && cat /proc/self/comm").stdout == "cat\n"
        assert has_program(run, "grub-install") and not has_program(run, "frobnicate")
    assert os.listdir(run.target / "proc") == []
    assert Path("/proc/self").exists() and Path("/dev/null").exists()
    assert f"{run.target}/" not in Path("/proc/mounts").read_text()


def test_grub_for_a_firmware_that_the_machine_did_not_have_is_that_of_the_distribution(run: Run) -> None:
    """With the signed shim where the machine has it."""
    platforms = grub_conversion.platforms("x86_64", run.target)
    assert platforms == ["i386-pc", "x86_64-efi", "x86_64-efi-signed"]
    assert GRUB_EFI.adopt is not None
    facts = GRUB_EFI.adopt(run, {"GRUB BIOS": {**BIOS_FACTS, "platforms": platforms}}, "/boot/efi")
    assert facts is not None
    [installation] = facts["partitions"][0]["installations"]
    assert installation["loader"] == "EFI/debian/shimx64.efi"
    assert install_command(run, "/boot/efi", installation) == (
        "grub-install", "--target=x86_64-efi", "--efi-directory=/boot/efi", "--no-nvram", "--bootloader-id=debian",
    )  # fmt: skip
