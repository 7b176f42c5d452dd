# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery to other disks makes of systemd-boot's menu, its initramfs and its unified kernel images."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import rear_boot_systemd
from lab.efi_images import unified
from rear_boot_systemd import menu
from rear_boot_systemd.image import read_image
from rear_boot_systemd.loader import SYSTEMD_BOOT
from rear_boot_systemd.renew import Renewal
from rear_core.builtin import finalize, storage, system
from rear_core.finalize import proof
from rear_core.finalize.devices import storage_of
from rear_core.plugins import Plugins
from rear_core.rescue.initramfs import Member, write_archive
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.swap import Swap
from rear_core.storage.technologies.vfat import Fat
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.testing.fake_shell import FakeShell

VERSION = "6.1.0-9-amd64"
TOKEN = "6a9857a393724b7a981ebb5b8495b9ea"
FOLDER = f"efi/{TOKEN}/{VERSION}"
ENTRY = f"efi/loader/entries/{TOKEN}-{VERSION}.conf"
IMAGE = f"efi/EFI/Linux/{TOKEN}-{VERSION}.efi"
ROOT = "11111111-1111-4111-8111-111111111111"
OLD, NEW = "root=/dev/sda2 ro resume=UUID=5-5", "root=/dev/vda2 ro resume=UUID=6-6"
RESCUE = "rear.auto=recover console=ttyS0"


def put(target: Path, name: str, content: str | bytes = "") -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def archive(*modules: str) -> bytes:
    """An initramfs with these modules of the kernel."""
    made = io.BytesIO()
    members = [Member(f"lib/modules/{VERSION}/{name}.ko", stat.S_IFREG | 0o644, content=b"x") for name in modules]
    write_archive(made, members, 0)
    return made.getvalue()


def entry(parameters: str = OLD, initramfs: str = f"initrd.img-{VERSION}") -> str:
    folder = f"/{TOKEN}/{VERSION}"
    return f"title Debian\nversion {VERSION}\noptions {parameters}\nlinux {folder}/linux\ninitrd {folder}/{initramfs}\n"


class Tools(FakeShell):
    """The disks of this machine, and programs of the recovered system as functions of their words."""

    def __init__(self, target: Path) -> None:
        rows = [{"name": f"/dev/vda{n}", "kname": f"/dev/vda{n}"} for n in ("", 1, 2, 3)]
        blkid = f"DEVNAME=/dev/vda1\nUUID=E-F\n\nDEVNAME=/dev/vda2\nUUID={ROOT}\n\nDEVNAME=/dev/vda3\nUUID=6-6\n"
        super().__init__(
            {
                "lsblk --json --list --paths --output NAME,KNAME": json.dumps({"blockdevices": rows}),
                "blkid --cache-file /dev/null --output export": blkid,
            }
        )
        self.target = target
        self.programs: dict[str, Callable[[Sequence[str]], None]] = {}

    def run(self, *argv: str | os.PathLike[str], **how: Any) -> Outcome:
        words = [os.fspath(word) for word in argv]
        if words[:2] == ["chroot", str(self.target)]:
            self.asked.append(" ".join(words[2:]))
            self.programs[words[2]](words[3:])
            return Outcome(tuple(words), 0, "", "", 0)
        return super().run(*argv, **how)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A Debian on a disk that was /dev/sda; its swap has another UUID now, and its controller another driver."""
    monkeypatch.setattr(menu, "read_loader_variable", lambda name: "")
    run = Run(evaluate(Sources(), [], {}), Plugins([system, storage, rear_boot_systemd]), Options(target=tmp_path))
    run.options = Options(config_dir=tmp_path / "etc/rear", target=tmp_path)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", False))
    facts = {"partitions": [], "boot_order": [], "started": True, "parameters": OLD.split()}
    document = {"system": {"hostname": "web1", "firmware": {"mode": "uefi"}}, "boot_loaders": {"systemd-boot": facts}}
    run.recovery_dir.mkdir(parents=True)
    (run.recovery_dir / "system.json").write_text(json.dumps(document))
    parts = [
        Partition(f"partition:a{n}", ("table:a",), n, n << 30, 1 << 29, "x", uuid=f"guid-{n}", device=f"/dev/sda{n}")
        for n in (1, 2, 3)
    ]
    run.layout = make(
        [
            Disk("disk:a", (), 1 << 33, device="/dev/sda"), PartitionTable("table:a", ("disk:a",), "gpt"), *parts,
            Fat("fs:e", ("partition:a1",), "E-F"), Ext("fs:r", ("partition:a2",), ROOT, version=4),
            Swap("swap:5-5", ("partition:a3",), "5-5"), Mount("mount:/", ("fs:r",), "/", "ext4"),
            Mount("mount:/efi", ("fs:e", "mount:/"), "/efi", "vfat"),
        ]
    )  # fmt: skip
    run.rebuilt = Rebuilt(Site(run.layout, {"disk:a": "/dev/vda"}), {"disk:a": "/dev/vda"}, {"5-5": "6-6"})
    run.sh = Tools(tmp_path)
    put(tmp_path, f"lib/modules/{VERSION}/modules.dep", "kernel/fs/ext4/ext4.ko:\n")
    put(tmp_path, f"boot/vmlinuz-{VERSION}", "kernel")
    put(tmp_path, f"boot/initrd.img-{VERSION}", archive("other"))
    with run.undo:
        yield run


def tools(run: Run) -> Tools:
    assert isinstance(run.sh, Tools)
    return run.sh


@pytest.fixture
def type_1(run: Run) -> Run:
    """With an entry of kernel-install; the copy of its initramfs lacks a driver."""
    put(run.target, ENTRY, entry())
    put(run.target, f"{FOLDER}/linux", "kernel")
    put(run.target, f"{FOLDER}/initrd.img-{VERSION}", archive("other"))
    return run


def finished(run: Run, initramfs: bytes = b"", hook: Callable[[], None] = lambda: None) -> None:
    """What happens between the files and the boot loader: names, then an initramfs of the OS plugin, with its hooks."""
    finalize.update_device_names(run)
    renewal = Renewal()
    renewal.begin(run)
    if initramfs:
        path = put(run.target, f"boot/initrd.img-{VERSION}", initramfs)
        os.utime(path, (1, 1))
        hook()
    renewal.end(run)


def problems(run: Run) -> list[str]:
    """What the proof says of the default entry."""
    [found, *_] = menu.entries(run.target)
    needed = {"ext4"}
    storage = storage_of(run)
    return [
        *proof.problems_of_entry(run.target, "systemd-boot", found, storage, CORE_KINDS),
        *proof.problems_of_initramfs(run.sh, run.target, found, needed),
    ]


def test_names_in_an_entry_become_those_of_the_new_disk_and_its_initramfs_the_new_one(type_1: Run) -> None:
    assert "no driver for the root file system in the initramfs: ext4" in problems(type_1)
    finished(type_1, archive("ext4"))
    assert (type_1.target / ENTRY).read_text() == entry(NEW)
    assert (type_1.target / FOLDER / f"initrd.img-{VERSION}").read_bytes() == archive("ext4")
    assert sorted(path.name for path in (type_1.target / FOLDER).iterdir()) == [f"initrd.img-{VERSION}", "linux"]
    assert problems(type_1) == []
    assert type_1.recovery.problems == []
    assert f"/{FOLDER}/initrd.img-{VERSION}: the new initramfs" in type_1.recovery.done


def test_an_initramfs_that_was_not_made_anew_is_not_copied(type_1: Run) -> None:
    put(type_1.target, f"boot/initrd.img-{VERSION}", "older than the copy")
    finished(type_1)
    assert (type_1.target / FOLDER / f"initrd.img-{VERSION}").read_bytes() == archive("other")


def test_kernel_install_finds_the_parameters_and_leaves_the_menu_as_it_was(type_1: Run) -> None:
    """Without /etc/kernel/cmdline it would write those of the rescue system, as it does here."""
    put(type_1.target, "etc/kernel/tries", "3")
    counted = type_1.target / f"efi/loader/entries/{TOKEN}-{VERSION}+3.conf"

    def kernel_install() -> None:
        cmdline = type_1.target / "etc/kernel/cmdline"
        assert cmdline.read_text() == NEW + "\n"
        put(type_1.target, ENTRY, entry(RESCUE, "initrd"))
        counted.write_text(entry(RESCUE))

    finished(type_1, archive("ext4"), kernel_install)
    assert (type_1.target / ENTRY).read_text() == entry(NEW)
    assert not counted.exists()
    assert problems(type_1) == []
    type_1.undo.close()
    assert not (type_1.target / "etc/kernel/cmdline").exists()


def test_parameters_that_the_system_has_are_left_to_it(type_1: Run) -> None:
    path = put(type_1.target, "etc/kernel/cmdline", f"{OLD} quiet\n")
    finished(type_1, archive("ext4"))
    type_1.undo.close()
    assert path.read_text() == f"{NEW} quiet\n"


def test_a_menu_that_no_backup_has_is_made_with_the_recorded_parameters(run: Run) -> None:
    finished(run)
    assert (run.target / "etc/kernel/cmdline").read_text() == NEW + "\n"


def test_a_partition_that_is_full_is_a_problem(type_1: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, place: Path) -> None:
        place.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    finished(type_1, archive("ext4"))
    [problem] = type_1.recovery.problems
    assert f"/{FOLDER}/initrd.img-{VERSION} is not as this machine needs it" in problem and "No space left" in problem
    assert sorted(path.name for path in (type_1.target / FOLDER).iterdir()) == [f"initrd.img-{VERSION}", "linux"]


@pytest.fixture
def type_2(run: Run) -> Run:
    """With a unified kernel image, and ukify to make others."""
    put(run.target, IMAGE, unified(OLD, archive("other"), VERSION))
    put(run.target, "etc/os-release", "ID=debian\n")
    put(run.target, "usr/bin/ukify")
    return run


def ukify(run: Run, argv: Sequence[str]) -> None:
    words = dict(word[2:].split("=", 1) for word in argv if word.startswith("--"))
    initramfs = (run.target / words["initrd"][1:]).read_bytes()
    put(run.target, words["output"][1:], unified(words["cmdline"], initramfs, words["uname"]))


def test_a_unified_kernel_image_that_names_old_devices_is_made_anew(type_2: Run) -> None:
    tools(type_2).programs["ukify"] = lambda argv: ukify(type_2, argv)
    assert "/dev/sda2 in the parameters of the kernel is /dev/vda2 now" in problems(type_2)
    finished(type_2, archive("ext4"))
    assert [line for line in tools(type_2).asked if line.startswith("ukify")] == [
        f"ukify build --linux=/boot/vmlinuz-{VERSION} --initrd=/boot/initrd.img-{VERSION} --cmdline={NEW}"
        f" --uname={VERSION} --os-release=@/etc/os-release --output=/efi/EFI/Linux/.{TOKEN}-{VERSION}.efi.rear"
    ]
    assert read_image(type_2.target / IMAGE).text(".cmdline") == NEW
    assert problems(type_2) == []
    assert type_2.recovery.problems == []
    assert [path.name for path in (type_2.target / IMAGE).parent.iterdir()] == [Path(IMAGE).name]


def test_one_that_kernel_install_has_made_anew_is_left(type_2: Run) -> None:
    finished(type_2, archive("ext4"), lambda: ukify_by_hook(type_2))
    assert type_2.recovery.problems == [] and problems(type_2) == []


def ukify_by_hook(run: Run) -> None:
    put(run.target, IMAGE, unified(NEW, archive("ext4"), VERSION))
    os.utime(run.target / IMAGE, (1, 1))


def test_kernel_install_makes_it_where_it_is_configured_to(type_2: Run) -> None:
    put(type_2.target, "etc/kernel/install.conf", "layout=uki\n")
    put(type_2.target, "usr/bin/kernel-install")
    tools(type_2).programs["kernel-install"] = lambda argv: ukify_by_hook(type_2)
    finished(type_2)
    assert f"kernel-install add {VERSION} /boot/vmlinuz-{VERSION} /boot/initrd.img-{VERSION}" in tools(type_2).asked
    assert type_2.recovery.problems == [] and problems(type_2) == []


def test_dracut_makes_it_with_all_in_it(type_2: Run) -> None:
    (type_2.target / "usr/bin/ukify").unlink()
    (type_2.target / f"boot/initrd.img-{VERSION}").unlink()
    put(type_2.target, "usr/bin/dracut")

    def dracut(argv: Sequence[str]) -> None:
        words = argv[argv.index("--kernel-cmdline") + 1]
        put(type_2.target, argv[-1][1:], unified(words, archive("ext4"), VERSION))

    tools(type_2).programs["dracut"] = dracut
    finished(type_2)
    assert read_image(type_2.target / IMAGE).text(".cmdline") == NEW
    assert problems(type_2) == []


@pytest.mark.parametrize("failing", ["no program", "no kernel", "kernel-install has another name"])
def test_one_that_nothing_can_make_anew_is_a_problem(type_2: Run, failing: str) -> None:
    if failing == "no program":
        (type_2.target / "usr/bin/ukify").unlink()
    elif failing == "no kernel":
        (type_2.target / f"boot/vmlinuz-{VERSION}").unlink()
    else:
        put(type_2.target, "etc/kernel/install.conf", "layout=uki\n")
        put(type_2.target, "usr/bin/kernel-install")
        tools(type_2).programs["kernel-install"] = lambda argv: None
    before = (type_2.target / IMAGE).read_bytes()
    finished(type_2)
    assert (type_2.target / IMAGE).read_bytes() == before
    [problem] = type_2.recovery.problems
    assert problem.startswith(f"/{IMAGE} is not as this machine needs it: ")


def test_a_machine_of_another_boot_loader_is_left_alone(type_1: Run) -> None:
    path = type_1.recovery_dir / "system.json"
    path.write_text(path.read_text().replace("systemd-boot", "GRUB EFI"))
    renewal = Renewal()
    renewal.begin(type_1)
    renewal.end(type_1)
    assert renewal.stamps == {} and type_1.recovery.done == []
    assert SYSTEMD_BOOT.firmware == "uefi"
