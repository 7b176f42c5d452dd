# SPDX-License-Identifier: GPL-3.0-or-later
"""Where boot loaders go on rebuilt storage, and which entries of the firmware they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rear_core.boot import efi_install, grub_efi_install
from rear_core.boot.efi_install import (
    SystemPartition,
    WantedEntry,
    fallback_path,
    matching,
    places,
    repeated,
    stale,
    wanted_entries,
)
from rear_core.boot.efi_variables import BootEntries, BootEntry
from rear_core.boot.grub_bios import boot_devices, install, verify
from rear_core.boot.grub_efi_install import install_command
from rear_core.errors import RearError
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import Item, make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt, without
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.md import Array
from rear_core.storage.technologies.vfat import Fat
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.testing.fake_shell import FakeShell
from unit.boot.test_grub_bios import boot_sector, first_core_sector
from unit.boot.test_grub_bios import disk as image


def disk(letter: str) -> list[Item]:
    """A disk with two partitions."""
    parts = [
        Partition(f"partition:{letter}{n}", (f"table:{letter}",), n, n << 20, 1 << 20, "83", uuid=f"guid-{letter}{n}",
                  device=f"/dev/sd{letter}{n}")
        for n in (1, 2)
    ]  # fmt: skip
    return [
        Disk(f"disk:{letter}", (), 1 << 30, device=f"/dev/sd{letter}"),
        PartitionTable(f"table:{letter}", (f"disk:{letter}",), "gpt"),
        *parts,
    ]


def mirror(*members: str) -> Array:
    return Array("md:x", members, "raid1", 2, "1.0", "x", device="/dev/md0")


def open_run(
    items: list[Item], mode: str = "bios", disks: tuple[str, ...] = ("a", "b"), in_place: tuple[str, ...] = ()
) -> Run:
    """Of the two disks only some are made again, and some of what is on them stays."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware(mode))
    run.layout = make(items)
    mapping = {f"disk:{letter}": f"/dev/vd{letter}" for letter in disks}
    made = without(run.layout, {"disk:a", "disk:b"} - mapping.keys())
    run.rebuilt = Rebuilt(Site(made, mapping), mapping, in_place=frozenset(in_place))
    return run


def sectors(*devices: str, place: str = "after the MBR") -> dict[str, Any]:
    return {"boot_sectors": [{"device": d, "core_start": 1, "core_sectors": 9, "core_place": place} for d in devices]}


PLAIN = [*disk("a"), *disk("b"), Ext("fs:1", ("partition:a1",), "1"), Mount("mount:/", ("fs:1",), "/", "ext4")]
MIRRORED = [
    *disk("a"), *disk("b"), mirror("partition:a1", "partition:b1"), Ext("fs:1", ("md:x",), "1"),
    Mount("mount:/boot", ("fs:1",), "/boot", "ext4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "recorded", "expected"),
    [
        (PLAIN, ["/dev/sda"], ["/dev/vda"]),
        (PLAIN, ["/dev/sda", "/dev/sdb"], ["/dev/vda", "/dev/vdb"]),
        (PLAIN, ["/dev/sdc"], []),
        (PLAIN, ["/dev/sda", "/dev/sda1"], ["/dev/vda", "/dev/vda1"]),
        # What started GRUB in a partition was other code in the disk's first sector.
        (PLAIN, ["/dev/sda1"], ["/dev/vda", "/dev/vda1"]),
        # The second member of a mirror was forgotten on the original: it must not be again.
        (MIRRORED, ["/dev/sda"], ["/dev/vda", "/dev/vdb"]),
    ],
)
def test_grub_goes_to_every_boot_disk(items: list[Item], recorded: list[str], expected: list[str]) -> None:
    assert list(boot_devices(open_run(items), sectors(*recorded))) == expected


def test_a_leftover_boot_sector_on_a_uefi_machine_is_not_renewed() -> None:
    facts = sectors("/dev/sda", place="missing")
    assert list(boot_devices(open_run(PLAIN, "uefi"), facts)) == []
    assert list(boot_devices(open_run(PLAIN, "bios"), facts)) == ["/dev/vda"]


def test_a_machine_whose_boot_disk_is_not_made_again_is_told() -> None:
    run = open_run(PLAIN, disks=("b",))
    assert verify(run, sectors("/dev/sda")) == ["none of the disks that GRUB started from was recreated"]


def test_a_leftover_boot_sector_does_not_count_beside_grub() -> None:
    left, right = sectors("/dev/sda", place="missing"), sectors("/dev/sdb", place="BIOS boot partition /dev/sdb1")
    facts = {"boot_sectors": left["boot_sectors"] + right["boot_sectors"]}
    assert list(boot_devices(open_run(PLAIN, "bios"), facts)) == ["/dev/vdb"]


@pytest.mark.parametrize(
    ("items", "recorded", "failing", "problem", "difference"),
    [
        (PLAIN, ["/dev/sda", "/dev/sdb"], "/dev/vdb", "", "/dev/vdb"),
        (PLAIN, ["/dev/sda", "/dev/sdb"], "/dev/vda", "/dev/vda", ""),
        (PLAIN, ["/dev/sda", "/dev/sda1"], "/dev/vda1", "", "/dev/vda1"),
        (PLAIN, ["/dev/sda", "/dev/sda1"], "/dev/vda", "/dev/vda", ""),
        (MIRRORED, ["/dev/sda"], "/dev/vdb", "/dev/vdb", ""),
    ],
    ids=["another disk", "the disk of /boot", "partition", "disk of the partition", "mirror"],
)
def test_one_that_takes_no_grub_keeps_the_others_from_nothing(
    tmp_path: Path, items: list[Item], recorded: list[str], failing: str, problem: str, difference: str
) -> None:
    run = installing(tmp_path, items, failing)
    devices = boot_devices(run, sectors(*recorded))
    assert install(run, sectors(*recorded)) == [f"GRUB for BIOS installed to {d}" for d in devices if d != failing]
    for lines, device in (run.recovery.problems, problem), (run.recovery.differences, difference):
        assert [f"to {device}: chroot failed" in line for line in lines] == ([True] if device else [])


def test_a_machine_whose_only_disk_takes_no_grub_is_told_why(tmp_path: Path) -> None:
    run = installing(tmp_path, PLAIN, "/dev/vda")
    with pytest.raises(RearError, match=r"to /dev/vda: .*no room"):
        install(run, sectors("/dev/sda"))


def installing(target: Path, items: list[Item], failing: str) -> Run:
    """A run whose grub-install fails for one device."""
    (target / "usr/sbin").mkdir(parents=True)
    (target / "usr/sbin/grub-install").touch()
    run = open_run(items)
    run.options = Options(target=target)
    force = {path: "--force " if path[-1].isdigit() else "" for path in ("/dev/vda", "/dev/vdb", "/dev/vda1")}
    answers = {path: Outcome((), int(path == failing), "", "no room", 0) for path in force}
    run.sh = FakeShell(
        {f"chroot {target} grub-install --target=i386-pc {force[path]}{path}": answers[path] for path in force}
    )
    return run


SECOND = [*PLAIN, Ext("fs:2", ("partition:a2",), "2")]
A_STAYS = ("disk:a", "table:a", "partition:a1", "partition:a2")
B_STAYS = ("disk:b", "table:b", "partition:b1", "partition:b2")


@pytest.mark.parametrize(
    ("in_place", "recorded", "expected"),
    [
        ((), ["/dev/sda", "/dev/sda2"], ["/dev/vda"]),
        ((*A_STAYS, "fs:2"), ["/dev/sda", "/dev/sda2"], ["/dev/vda"]),
        ((*A_STAYS, "fs:2"), ["/dev/sda2"], []),
        # What starts GRUB in the partition of this system is still there.
        ((*A_STAYS, "fs:2"), ["/dev/sda1", "/dev/sda2"], ["/dev/vda1"]),
        (B_STAYS, ["/dev/sda", "/dev/sdb", "/dev/sdb1"], ["/dev/vda"]),
        ((*A_STAYS, "fs:1", "fs:2"), ["/dev/sda", "/dev/sda1", "/dev/sdb"], ["/dev/vdb"]),
    ],
    ids=["lost", "kept beside /", "no other", "both in partitions", "kept disk", "/ itself is kept"],
)
def test_a_boot_sector_of_another_system_is_never_overwritten(
    in_place: tuple[str, ...], recorded: list[str], expected: list[str]
) -> None:
    assert list(boot_devices(open_run(SECOND, in_place=in_place), sectors(*recorded))) == expected


def test_a_disk_that_stays_with_its_grub_starts_the_machine(tmp_path: Path) -> None:
    items = [*disk("a"), *disk("b"), Ext("fs:1", ("partition:b1",), "1"), Mount("mount:/", ("fs:1",), "/", "ext4")]
    run = open_run(items, in_place=A_STAYS)
    assert run.layout is not None
    mapping = {
        "disk:a": str(image(tmp_path / "a", boot_sector(1), 1, first_core_sector((2, 60)))),
        "disk:b": "/dev/vdb",
    }
    run.rebuilt = Rebuilt(Site(run.layout, mapping), mapping, in_place=frozenset(A_STAYS))
    assert verify(run, sectors("/dev/sda")) == []
    image(tmp_path / "a", b"")
    assert verify(run, sectors("/dev/sda")) == ["none of the disks that GRUB started from was recreated"]


ESP = [
    *disk("a"), *disk("b"), Fat("fs:e", ("partition:a1",), "e"),
    Mount("mount:/boot/efi", ("fs:e",), "/boot/efi", "vfat"),
]  # fmt: skip
MIRRORED_ESP = [
    *disk("a"), *disk("b"), mirror("partition:a1", "partition:b2"), Fat("fs:e", ("md:x",), "e"),
    Mount("mount:/boot/efi", ("fs:e",), "/boot/efi", "vfat"),
]  # fmt: skip
HERE = SystemPartition("/dev/vda", 1, "guid-a1")


def facts(*entries: dict[str, Any]) -> dict[str, Any]:
    found = {"vendor": "debian", "loader": "EFI/debian/shimx64.efi", "grub": "EFI/debian/grubx64.efi", "shim": True}
    return {
        "partitions": [{"mountpoint": "/boot/efi", "installations": [{**found, "entries": list(entries)}]}],
        "boot_order": ["0002", "0001"],
    }


def test_entries_are_wanted_in_the_order_of_the_firmware() -> None:
    entries = [{"number": number, "label": f"debian {number}", "active": True} for number in ("0001", "0007", "0002")]
    wanted = wanted_entries(open_run(ESP, "uefi"), facts(*entries))
    assert [entry.number for entry in wanted] == ["0002", "0001", "0007"]
    assert wanted[0] == WantedEntry("0002", "debian 0002", "EFI/debian/shimx64.efi", HERE)


def test_a_mirrored_system_partition_gets_an_entry_for_each_member() -> None:
    run = open_run(MIRRORED_ESP, "uefi")
    assert sorted(place.partuuid for place in places(run, "/boot/efi")) == ["guid-a1", "guid-b2"]


@pytest.fixture
def mirrored_by_hand(tmp_path: Path) -> tuple[Run, dict[str, Any]]:
    """Two EFI system partitions that a hook keeps the same; the disk of the second is left out."""
    items = [
        *ESP, Fat("fs:f", ("partition:b1",), "f"), Mount("mount:/boot/efi2", ("fs:f",), "/boot/efi2", "vfat")
    ]  # fmt: skip
    run = open_run(items, "uefi", disks=("a",))
    run.options = Options(target=tmp_path)
    (tmp_path / "boot/efi/EFI/debian").mkdir(parents=True)
    for name in ("shimx64.efi", "grubx64.efi"):
        (tmp_path / "boot/efi/EFI/debian" / name).touch()
    one = facts({"number": "0001", "label": "debian", "active": True})
    return run, {**one, "partitions": [{**one["partitions"][0], "mountpoint": m} for m in ("/boot/efi", "/boot/efi2")]}


def test_a_system_partition_that_was_not_made_again_needs_no_files_and_no_entry(
    mirrored_by_hand: tuple[Run, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorded = mirrored_by_hand
    there = BootEntry("0001", "debian", True, "\\EFI\\debian\\shimx64.efi", "guid-a1")
    monkeypatch.setattr(efi_install, "read_boot_entries", lambda: BootEntries((there,), ("0001",), ""))
    run.sh = FakeShell({"lsblk --noheadings --output PARTUUID": "guid-a1\n"})
    assert [entry.partition for entry in wanted_entries(run, recorded)] == [HERE]
    assert grub_efi_install.install(run, recorded) == []
    assert grub_efi_install.verify(run, recorded) == []
    assert not (run.target / "boot/efi2").exists()


def test_a_machine_without_any_of_its_system_partitions_is_told(
    mirrored_by_hand: tuple[Run, dict[str, Any]],
) -> None:
    run, recorded = mirrored_by_hand
    second = {**recorded, "partitions": recorded["partitions"][1:]}
    assert grub_efi_install.verify(run, second) == ["no EFI system partition that GRUB started from was recreated"]


def test_a_boot_file_system_that_was_not_made_again_is_no_fault_of_rear() -> None:
    items = [*PLAIN, Ext("fs:2", ("partition:b1",), "2"), Mount("mount:/boot", ("fs:2", "mount:/"), "/boot", "ext4")]
    assert list(boot_devices(open_run(items, disks=("a",)), sectors("/dev/sda", "/dev/sdb"))) == ["/dev/vda"]


def test_a_changed_partition_identifier_is_looked_for_under_its_new_name() -> None:
    run = open_run(ESP, "uefi")
    assert run.rebuilt is not None
    run.rebuilt.changed_identifiers["guid-a1"] = "GUID-NEW"
    assert [place.partuuid for place in places(run, "/boot/efi")] == ["guid-new"]


def test_an_entry_matches_by_partition_and_file_whatever_its_case_and_label() -> None:
    wanted = WantedEntry("0001", "debian", "EFI/debian/shimx64.efi", HERE)
    right = BootEntry("0005", "Debian", True, "\\EFI\\DEBIAN\\SHIMX64.EFI", "guid-a1")
    others = (
        BootEntry("0001", "debian", True, "\\EFI\\debian\\shimx64.efi", "guid-lost"),
        BootEntry("0002", "debian", True, "\\EFI\\debian\\grubx64.efi", "guid-a1"),
        BootEntry("0003", "network", True),
    )
    assert matching(wanted, BootEntries((*others, right))) == right
    assert matching(wanted, BootEntries(others)) is None
    assert [entry.number for entry in stale([wanted], BootEntries((*others, right)), {"guid-a1"})] == ["0001"]


SHIM = "\\EFI\\debian\\shimx64.efi"
ON_MBR = SystemPartition("/dev/vda", 1, "12345678-01")


def test_an_entry_on_an_mbr_disk_is_found_again() -> None:
    wanted = WantedEntry("0001", "debian", "EFI/debian/shimx64.efi", ON_MBR)
    old, new = (BootEntry(n, "debian", True, SHIM, uuid) for n, uuid in (("1", "87654321-01"), ("2", "12345678-01")))
    variables = BootEntries((old, new))
    assert matching(wanted, variables) == new
    assert stale([wanted], variables, {"12345678-01"}) == [old]


@pytest.mark.parametrize(
    ("recorded", "removed"),
    [((), []), (("0001",), ["0001", "0003", "0006"]), (("0001", "0003"), ["0003", "0006"])],
    ids=["no GRUB", "one entry", "two entries"],
)
def test_entries_that_earlier_recoveries_made_once_more_are_removed(
    recorded: tuple[str, ...], removed: list[str]
) -> None:
    wanted = [WantedEntry(number, "debian", "EFI/debian/shimx64.efi", ON_MBR) for number in recorded]
    entries = (
        *(BootEntry(number, "debian", True, SHIM, "12345678-01") for number in ("0001", "0002", "0003")),
        BootEntry("0004", "debian", True, SHIM, "12345678-02"),
        BootEntry("0005", "my debian", True, SHIM, "12345678-01"),
        BootEntry("0006", "debian", False, SHIM, "12345678-01"),
    )
    found = repeated(wanted, BootEntries(entries, ("0006", "0005", "0002", "0001", "0003")))
    assert [entry.number for entry in found] == removed


def test_an_entry_that_was_made_twice_becomes_one_and_is_not_made_again(
    mirrored_by_hand: tuple[Run, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorded = mirrored_by_hand
    there = tuple(BootEntry(number, "debian", True, SHIM, "guid-a1") for number in ("0001", "0002"))
    monkeypatch.setattr(efi_install, "read_boot_entries", lambda: BootEntries(there, ("0002", "0001")))
    delete = "efibootmgr --quiet --bootnum 0001 --delete-bootnum"
    run.sh = FakeShell({"lsblk --noheadings --output PARTUUID": "guid-a1\n", delete: ""})
    assert grub_efi_install.install(run, recorded) == ["boot entry 0001 'debian' that was there twice removed"]


FOUND = {"vendor": "x", "loader": "EFI/x/shim.efi", "grub": "EFI/x/grub.efi", "shim": True}


@pytest.mark.parametrize(
    ("programs", "found", "command"),
    [
        (["grub-install"], FOUND, "grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram"
         " --bootloader-id=x"),
        (["grub-install"], {**FOUND, "vendor": "BOOT"}, "grub-install --target=x86_64-efi --efi-directory=/boot/efi"
         " --no-nvram --removable"),
        (["grub2-install", "shim-install"], FOUND, "shim-install --config-file=/boot/grub2/grub.cfg"),
        (["grub2-install", "shim-install"], {**FOUND, "shim": False}, "grub2-install --target=x86_64-efi"
         " --efi-directory=/boot/efi --no-nvram --bootloader-id=x"),
    ],
)  # fmt: skip
def test_lost_files_come_from_the_distributions_own_program(
    tmp_path: Path, programs: list[str], found: dict[str, Any], command: str
) -> None:
    run = on_target(tmp_path, programs)
    assert " ".join(install_command(run, "/boot/efi", found)) == command


def test_a_signed_grub_of_red_hat_is_never_replaced_by_an_unsigned_one(tmp_path: Path) -> None:
    with pytest.raises(RearError, match="would not bring the signed ones") as caught:
        install_command(on_target(tmp_path, ["grub2-install"]), "/boot/efi", FOUND)
    assert "dnf reinstall 'shim-*' 'grub2-efi-*'" in caught.value.hint


def test_a_grub_whose_kernels_are_lost_with_it_needs_its_own_tool(tmp_path: Path) -> None:
    run = on_target(tmp_path, ["shim-install", "sdbootutil"])
    (tmp_path / "etc/sysconfig").mkdir(parents=True)
    (tmp_path / "etc/sysconfig/bootloader").write_text('LOADER_TYPE="grub2-bls"\nSECURE_BOOT="yes"\n')
    with pytest.raises(RearError, match="and the kernels beside them") as caught:
        install_command(run, "/boot/efi", FOUND)
    assert "sdbootutil install && sdbootutil add-all-kernels" in caught.value.hint


def on_target(target: Path, programs: list[str]) -> Run:
    (target / "usr/sbin").mkdir(parents=True)
    for name in programs:
        (target / "usr/sbin" / name).touch()
    run = open_run(ESP, "uefi")
    run.options = Options(target=target)
    return run


def test_the_fallback_path_is_found_in_any_case(tmp_path: Path) -> None:
    run = open_run(ESP, "uefi")
    assert fallback_path(run, tmp_path) is None
    (tmp_path / "efi/Boot").mkdir(parents=True)
    (tmp_path / "efi/Boot/bootx64.efi").touch()
    assert fallback_path(run, tmp_path) == tmp_path / "efi/Boot/bootx64.efi"
