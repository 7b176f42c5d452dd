# SPDX-License-Identifier: GPL-3.0-or-later
"""What finalize does to restored systems of other distributions: golden files, commands and reports; see README.md."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rear_os_redhat
import rear_os_suse
from rear_core.boot import grub_menu
from rear_core.builtin import finalize, modules, system
from rear_core.finalize import lvm_devices
from rear_core.finalize.names import patterns_with_words
from rear_core.network import rename as cards
from rear_core.network.model import Link, Network
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.filesystem import FileSystem
from rear_core.storage.layout import Item, make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.btrfs import Btrfs, Subvolume
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.swap import Swap
from rear_core.storage.technologies.vfat import Fat
from rear_core.storage.technologies.xfs import Xfs
from rear_core.system import Firmware, System
from rear_core.system.os_release import read_os_release
from rear_core.testing.fake_shell import FakeShell

HERE = Path(__file__).parent
TARGET = "/mnt/local"
# A disk that no machine has, so that nothing of the one that runs this test comes in.
OLD, NEW = "/dev/sda", "/dev/nvme7n1"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
ANY = "0fc63daf-8483-4772-8e79-3d69d8477de4"
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
NEW_MAC = "52:54:00:aa:bb:cc"


def disk(label: str, *codes: str) -> list[Item]:
    """A disk with partitions of these types."""
    return [
        Disk("disk:one", (), 1 << 36, device=OLD, serial="QM00001", transport="sata"),
        PartitionTable("table:one", ("disk:one",), label),
        *(
            Partition(f"partition:{n}", ("table:one",), n, n << 30, 1 << 30, code, uuid=f"guid-{n}", device=f"{OLD}{n}")
            for n, code in enumerate(codes, 1)
        ),
    ]


def mounted(target: str, id: str, fstype: str) -> Mount:
    return Mount(f"mount:{target}", (id,) if target == "/" else (id, "mount:/"), target, fstype)


def efi(vendor: str, loader: str, grub: str, *labels: str, shim: bool = True) -> dict[str, Any]:
    entries = [{"number": f"000{n}", "label": label, "active": True} for n, label in enumerate(labels, 1)]
    found = {"vendor": vendor, "loader": f"EFI/{vendor}/{loader}", "grub": f"EFI/{vendor}/{grub}", "shim": shim}
    return {
        "GRUB EFI": {
            "partitions": [{"mountpoint": "/boot/efi", "installations": [{**found, "entries": entries}]}],
            "boot_order": [entry["number"] for entry in entries],
        }
    }


def bios(*devices: str) -> dict[str, Any]:
    return {"GRUB BIOS": {"boot_sectors": [{"device": device, "core_place": "after the MBR"} for device in devices]}}


@dataclass(frozen=True)
class Recorded:
    """A machine as it was; `names` are those of its network cards."""

    plugin: ModuleType
    items: Sequence[Item]
    loaders: dict[str, Any]
    firmware: Firmware
    names: tuple[str, ...] = ("eno1",)
    selinux: bool = False


RHEL, BOOT = "fs:root", "1c2d3e4f-0001-4a5b-8c6d-7e8f9a0b1c2d"
FEDORA, FEDORA_BOOT = "2a3b4c5d-0002-4e6f-9a7b-8c9d0e1f2a3b", "2a3b4c5d-0003-4e6f-9a7b-8c9d0e1f2a3b"
SLES, LEAP = "3c4d5e6f-0003-4f70-8b9c-0d1e2f3a4b5c", "5d6e7f80-0005-4a1b-9c2d-3e4f5a6b7c8d"
AMAZON = "6e7f8091-0006-4b2c-8d3e-4f5a6b7c8d9e"
SUBVOLUMES = {
    "/var": "@/var", "/home": "@/home", "/boot/grub2/x86_64-efi": "@/boot/grub2/x86_64-efi",
    "/.snapshots": "@/.snapshots", "/": "@/.snapshots/1/snapshot",
}  # fmt: skip

MACHINES = {
    "rhel9-uefi-lvm": Recorded(
        rear_os_redhat,
        [
            *disk("gpt", ESP, ANY, ANY),
            Fat("fs:esp", ("partition:1",), "7B77-95E7"),
            Xfs("fs:boot", ("partition:2",), BOOT),
            PhysicalVolume("pv:x", ("partition:3",), "x"),
            VolumeGroup("vg:rhel", ("pv:x",), "rhel", "y", 4 << 20),
            *(
                LogicalVolume(f"lv:rhel/{name}", ("vg:rhel",), "rhel", name, name, 1 << 30, "linear",
                              device=f"/dev/mapper/rhel-{name}")
                for name in ("root", "swap")
            ),
            Xfs("fs:root", ("lv:rhel/root",), "root-uuid"),
            Swap("swap:rhel", ("lv:rhel/swap",), "swap-uuid"),
            mounted("/", "fs:root", "xfs"), mounted("/boot", "fs:boot", "xfs"), mounted("/boot/efi", "fs:esp", "vfat"),
        ],
        efi("redhat", "shimx64.efi", "grubx64.efi", "Red Hat Enterprise Linux"),
        Firmware("uefi", secure_boot=True),
        selinux=True,
    ),
    "fedora-bios-btrfs": Recorded(
        rear_os_redhat,
        [
            *disk("gpt", BIOS_BOOT, ANY, ANY),
            Ext("fs:boot", ("partition:2",), FEDORA_BOOT, version=4),
            Btrfs("fs:root", ("partition:3",), FEDORA),
            *(Subvolume(f"subvolume:{name}", ("fs:root",), name) for name in ("root", "home")),
            mounted("/", "subvolume:root", "btrfs"), mounted("/boot", "fs:boot", "ext4"),
            mounted("/home", "subvolume:home", "btrfs"),
        ],
        bios(OLD),
        Firmware("bios"),
        names=("lan0",),
    ),
    "sles15-uefi-snapper": Recorded(
        rear_os_suse,
        [
            *disk("gpt", ESP, ANY, ANY),
            Fat("fs:esp", ("partition:1",), "4E5F-6071"),
            Btrfs("fs:root", ("partition:2",), SLES, default="@/.snapshots/1/snapshot"),
            Swap("swap:sles", ("partition:3",), "swap-uuid"),
            *(Subvolume(f"subvolume:{path}", ("fs:root",), path) for path in SUBVOLUMES.values()),
            *(mounted(target, f"subvolume:{path}", "btrfs") for target, path in SUBVOLUMES.items()),
            mounted("/boot/efi", "fs:esp", "vfat"),
        ],
        efi("sles", "shim.efi", "grub.efi", "sles-secureboot"),
        Firmware("uefi", secure_boot=True),
        names=("eth0", "eth1"),
    ),
    "leap15-bios-partition": Recorded(
        rear_os_suse,
        [
            *disk("dos", "82", "83"),
            Swap("swap:leap", ("partition:1",), "swap-uuid"),
            Ext("fs:root", ("partition:2",), LEAP, version=4),
            mounted("/", "fs:root", "ext4"),
        ],
        bios(f"{OLD}2"),
        Firmware("bios"),
        names=("lan",),
    ),
    "amazon2023-both": Recorded(
        rear_os_redhat,
        [
            *disk("gpt", ANY, BIOS_BOOT, ESP),
            Xfs("fs:root", ("partition:1",), AMAZON),
            Fat("fs:esp", ("partition:3",), "8F90-A1B2"),
            mounted("/", "fs:root", "xfs"), mounted("/boot/efi", "fs:esp", "vfat"),
        ],
        {**bios(OLD), **efi("amzn", "grubx64.efi", "grubx64.efi", "Amazon Linux", shim=False)},
        Firmware("uefi"),
        names=("ens5",),
        selinux=True,
    ),
}  # fmt: skip


def devices(items: Iterable[Item], site: Site) -> dict[str, str]:
    """What lsblk and blkid print on the machine that is here, where every identifier was kept."""
    tags: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, (FileSystem, Swap)):
            tags.setdefault(site.device(item.needs[0]), []).append(f"UUID={item.uuid}")
        if isinstance(item, (Disk, Partition, LogicalVolume)):
            tags.setdefault(site.device(item.id), [])
    rows = ",".join(f'{{"name":"{path}","kname":"{path}"}}' for path in tags)
    return {
        "lsblk --json --list --paths --output NAME,KNAME": f'{{"blockdevices":[{rows}]}}',
        "blkid --cache-file /dev/null --output export": "\n\n".join(
            "\n".join([f"DEVNAME={path}", *words]) for path, words in tags.items() if words
        ),
        "lsblk --noheadings --output PARTUUID": "\n".join(i.uuid for i in items if isinstance(i, Partition)),
    }


@pytest.fixture(params=MACHINES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def run(name: str, tmp_path: Path) -> Run:
    """The restored system below a target, on the new disk."""
    recorded, target = MACHINES[name], tmp_path / "target"
    shutil.copytree(HERE / name / "tree", target)
    plugins = Plugins(modules())
    run = Run(
        evaluate(Sources(), plugins.settings(), {}), plugins, Options(config_dir=tmp_path, target=target),
        Report(terminal=io.StringIO()),
    )  # fmt: skip
    run.system = System(read_os_release(target), "web1", "x86_64", "6.1", recorded.firmware)
    facts = {"hostname": "web1", "firmware": {"mode": recorded.firmware.mode}, "selinux": recorded.selinux}
    system.write_description(run, {"system": facts, "boot_loaders": recorded.loaders})
    run.layout = make(recorded.items)
    on_site = [replace(item, device=NEW, serial="S64") if isinstance(item, Disk) else item for item in recorded.items]
    disks = {"disk:one": NEW}
    run.rebuilt = Rebuilt(Site(make(on_site), disks), disks, hardware_changed=True)
    commands = (HERE / name / "commands.txt").read_text().replace(TARGET, str(target)).splitlines()
    run.sh = FakeShell({**dict.fromkeys(commands, ""), **devices(recorded.items, run.rebuilt.site)})
    return run


def perform(run: Run, recorded: Recorded) -> None:
    """The steps of the phase that change something, as core and plugin bring them, apart from the mounting."""

    def update_card_names(run: Run) -> None:
        old = Network(links=tuple(_card(name, mac) for name, mac in zip(recorded.names, MACS)))
        here = [_card("eth7", NEW_MAC, "pci0000:00/0000:00:05.0")]
        replaced, lost = cards.replaced_cards(old, here), cards.lost_cards(old, here)
        with_words = patterns_with_words(run.plugins.call("rear_boot_loaders"))
        run.recovery.done += map(str, cards.rewrite_names(run.target, replaced, with_words))
        run.recovery.differences += cards.mentions(run.target, replaced, lost, with_words)

    steps: list[tuple[int, Callable[[Run], None]]] = [
        (10, finalize.make_directories), (30, finalize.update_device_names), (33, lvm_devices.update_list),
        (35, update_card_names), (60, finalize.install_boot_loaders),
        *((step.number, step.action) for step in recorded.plugin.rear_finalize()),
    ]  # fmt: skip
    for _, action in sorted(steps, key=lambda step: step[0]):
        action(run)


def _card(name: str, mac: str, bus: str = "pci0000:00/0000:00:03.0") -> Link:
    return Link(name, mac=mac, driver="e1000e", bus=bus)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def report(run: Run) -> str:
    chapters = {
        "Done": run.recovery.done, "Not as it was": run.recovery.differences, "Problems": run.recovery.problems,
        "Warnings": run.report.warnings,
    }  # fmt: skip
    lines = [line for title, said in chapters.items() if said for line in (f"{title}:", *(f"  {s}" for s in said))]
    return "".join(f"{line}\n" for line in lines).replace(str(run.target), TARGET)


def test_a_restored_system_becomes_what_is_expected(
    name: str, run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = content(run.target)
    perform(run, MACHINES[name])
    after = content(run.target)
    changed = {path: text for path, text in after.items() if before.get(path) != text}
    if request.config.getoption("--update-golden"):
        shutil.rmtree(HERE / name / "expected", ignore_errors=True)
        for path, text in changed.items():
            (HERE / name / "expected" / path).parent.mkdir(parents=True, exist_ok=True)
            (HERE / name / "expected" / path).write_text(text)
        (HERE / name / "report.txt").write_text(report(run))
    assert report(run) == (HERE / name / "report.txt").read_text()
    assert changed == content(HERE / name / "expected")
    removed = HERE / name / "removed.txt"
    assert sorted(set(before) - set(after)) == (removed.read_text().split() if removed.exists() else [])


def test_programs_of_the_system_run_in_this_order(name: str, run: Run) -> None:
    perform(run, MACHINES[name])
    assert isinstance(run.sh, FakeShell)
    wanted = (HERE / name / "commands.txt").read_text().replace(TARGET, str(run.target)).splitlines()
    assert [command for command in run.sh.asked if not command.startswith(("lsblk", "blkid"))] == wanted


def test_the_newest_kernel_is_the_default_one(name: str) -> None:
    tree = HERE / name / "tree"
    entry = grub_menu.entries(tree)[0]
    assert entry.kernel.endswith(max(path.name for path in (tree / "lib/modules").iterdir()))


def test_a_system_is_known_by_its_own_plugin(name: str) -> None:
    found = read_os_release(HERE / name / "tree")
    declared = (
        (HERE.parents[1] / "plugins" / MACHINES[name].plugin.__name__.replace("_", "-"))
        .joinpath("pyproject.toml")
        .read_text()
    )
    assert any(f"\n{id} = " in declared for id in found.ids)
