# SPDX-License-Identifier: GPL-3.0-or-later
"""Rescue systems of several machines and dates lie on one disk; the menu names what is complete, the newest first."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import rear_output_usb
from rear_core import RearError, Refused, RescueImage, Run
from rear_core.architectures import supported
from rear_core.builtin import core
from rear_core.media.grub import find_modules, find_signed_loaders
from rear_core.media.grub_disk import BIOS_BOOT, EFI_SYSTEM
from rear_core.places.delivery import Extent
from rear_core.plugins import Found, Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome, Shell
from rear_core.storage.inventory import COLUMNS, Device
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.testing.fake_shell import FakeShell
from rear_output_usb import versions
from rear_output_usb.loaders import install
from rear_output_usb.stick import Stick, described, find_stick
from rear_output_usb.versions import (
    MENU,
    Version,
    all_versions,
    menu,
    of_machine,
    others,
    put_menu,
    remove,
    too_many,
    write,
)

MIB = 1 << 20
LABEL = "blkid --cache-file /dev/null --match-token LABEL=REAR-000 --output device"
PROBE = "blkid --probe --output export /dev/sdx3"
LSBLK = f"lsblk --json --bytes --output {COLUMNS}"
INVENTORY = "python3 -m rear_core.storage.inventory"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run of a machine with OUTPUT=USB."""
    plugins = Plugins([])
    plugins.take(Found("output", "USB", "rear_output_usb", "rear-output-usb", "1", module=rear_output_usb))
    settings = evaluate(Sources(), [*core.rear_settings(), *rear_output_usb.rear_settings()], {})
    options = Options(config_dir=tmp_path / "etc")
    made = Run(settings, plugins, options, build_dir=tmp_path / "build")
    made.build_dir.mkdir()
    made.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    with made.undo:
        yield made


def image(tmp_path: Path, number: int = 1) -> RescueImage:
    """A packed rescue system, another one for each number."""
    kernel, initramfs = tmp_path / "kernel", tmp_path / "initramfs"
    kernel.write_bytes(b"kernel %d" % number * 1000)
    initramfs.write_bytes(b"initramfs %d" % number * 5000)
    return RescueImage(kernel, initramfs, f"6.1.{number}", "console=tty0 console=ttyS0,115200")


def grub_titles(text: str) -> list[str]:
    return re.findall(r'^(?:menuentry|submenu) "([^"]*)"', text, re.MULTILINE)


def test_a_rescue_system_is_written_whole_and_for_root_alone(tmp_path: Path) -> None:
    made = image(tmp_path)
    version = write(tmp_path / "stick", "web1", made)
    folder = tmp_path / "stick" / version.folder
    assert (folder / "vmlinuz").read_bytes() == made.kernel.read_bytes()
    assert (folder / "initramfs.img").read_bytes() == made.initramfs.read_bytes()
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    assert all_versions(tmp_path / "stick") == [version]


def test_drivers_of_their_own_belong_to_a_rescue_system(tmp_path: Path) -> None:
    drivers = tmp_path / "drivers"
    drivers.write_bytes(b"drivers")
    version = write(tmp_path / "stick", "web1", replace(image(tmp_path), drivers=drivers), uuid="1-2")
    place = f"/{version.folder}/drivers.squashfs"
    assert version.command_line.endswith(f" rear.drivers=UUID=1-2:{place}")
    assert all_versions(tmp_path / "stick") == [version]
    (tmp_path / f"stick{place}").unlink()
    assert all_versions(tmp_path / "stick") == []


def test_the_newest_of_each_machine_comes_first(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    made = [write(stick, name, image(tmp_path, number)) for number, name in enumerate(("web2", "web1", "web2"))]
    assert all_versions(stick) == [made[1], made[2], made[0]]
    assert of_machine(stick, "web2") == [made[2], made[0]]
    assert too_many(stick, "web2", 1) == [made[0]]
    assert too_many(stick, "web2", 2) == too_many(stick, "db", 1) == []


def rename(stick: Path, version: Version, date: str, **changed: object) -> Version:
    """Have a rescue system as if the clock had said something else when it was made."""
    renamed = replace(version, date=date)
    (stick / version.folder).rename(stick / renamed.folder)
    description = {**asdict(renamed), **changed}
    text = json.dumps({name: value for name, value in description.items() if value is not None})
    (stick / renamed.folder / "rescue.json").write_text(text)
    return renamed


@pytest.mark.parametrize("number", [1, None], ids=["counted", "from before"])
def test_the_one_just_made_stays_whatever_the_clock_said_before(tmp_path: Path, number: int | None) -> None:
    stick = tmp_path / "stick"
    future = rename(stick, write(stick, "web1", image(tmp_path)), "2099-01-01T000000Z", number=number)
    first, second = (write(stick, "web1", image(tmp_path, number)) for number in (2, 3))
    assert [version.date for version in of_machine(stick, "web1")] == [second.date, first.date, future.date]
    assert [version.date for version in too_many(stick, "web1", 2)] == [future.date]
    assert [version.date for version in too_many(stick, "web1", 1)] == [first.date, future.date]


@pytest.mark.parametrize("number", ["9", 1e300, -1, True, [1], 10**30])
def test_what_has_no_number_that_can_be_counted_on_from_is_none(tmp_path: Path, number: object) -> None:
    stick = tmp_path / "stick"
    rename(stick, write(stick, "web1", image(tmp_path)), "2026-11-22T183000Z", number=number)
    assert all_versions(stick) == []
    assert write(stick, "web1", image(tmp_path)).number == 1


def test_machines_of_one_name_keep_each_their_own(run: Run, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    before = write(stick, "web1", image(tmp_path))
    made = {name: [write(stick, "web1", image(tmp_path), name * 32) for _ in range(3)] for name in "ab"}
    assert too_many(stick, "web1", 2, "a" * 32) == [made["a"][0], before]
    assert too_many(stick, "web1", 2, "b" * 32) == [made["b"][0], before]
    assert too_many(stick, "web1", 1, "c" * 32) == []
    assert [other.machine for other in others(stick, "web1", "b" * 32)] == ["a" * 32]
    assert others(stick, "web1", "") == []
    text = menu(run, all_versions(stick))
    assert [title for title in grub_titles(text) if title.startswith("web1") and ", " not in title] == [
        "web1 (bbbbbbbb)", "web1 (aaaaaaaa)", "web1"
    ]  # fmt: skip
    assert "set timeout=-1\n" in text


def test_clones_of_one_identity_keep_each_their_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of a board without a UUID of its own: only their keys differ."""
    stick, machine = tmp_path / "stick", "a" * 32
    made = {key: [write(stick, "web1", image(tmp_path), machine, key * 32) for _ in range(2)] for key in "12"}
    before = write(stick, "web1", image(tmp_path), machine)
    assert too_many(stick, "web1", 1, machine, {"1" * 32}) == [*made["1"][::-1]]
    assert too_many(stick, "web1", 1, machine, {"2" * 32}) == [*made["2"][::-1]]
    # A machine that was recovered has another key, and knows the one before; one without a key cannot tell.
    assert len(too_many(stick, "web1", 1, machine, {"1" * 32, "2" * 32})) == 4
    assert [other.signer for other in others(stick, "web1", machine, {"2" * 32})] == ["1" * 32]
    assert others(stick, "web1", machine) == []
    monkeypatch.setattr(versions, "known_marks", lambda _: {"2" * 32})
    text = menu(run, all_versions(stick))
    assert [title for title in grub_titles(text) if title.startswith("web1") and ", " not in title] == [
        "web1", "web1 (key 11111111)"
    ]  # fmt: skip
    assert "set timeout=-1\n" in text
    assert text.index(before.date) < text.index(made["1"][0].date)


def test_one_machine_that_was_not_known_before_is_still_one(run: Run, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    for machine in ("", "a" * 32):
        write(stick, "web1", image(tmp_path), machine)
    assert "set timeout=10\n" in menu(run, all_versions(stick))


@pytest.mark.parametrize("lost", ["rescue.json", "vmlinuz", "initramfs.img"])
def test_what_is_not_complete_is_not_named(tmp_path: Path, lost: str) -> None:
    stick = tmp_path / "stick"
    good, broken = write(stick, "web1", image(tmp_path)), write(stick, "web1", image(tmp_path, 2))
    os.truncate(stick / broken.folder / lost, 10)
    assert all_versions(stick) == [good]
    (stick / broken.folder / lost).unlink()
    assert all_versions(stick) == [good]


def test_a_failed_write_leaves_nothing_and_the_old_as_it_was(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    good = write(stick, "web1", image(tmp_path))
    lost = image(tmp_path, 2)
    lost.initramfs.unlink()
    (tmp_path / "initramfs").mkdir()
    with pytest.raises(RearError, match="cannot write the rescue system"):
        write(stick, "web1", lost)
    assert all_versions(stick) == [good]
    assert [path.name for path in (stick / "boot/rear/web1").iterdir()] == [good.date]


def test_removing_ends_in_nothing_also_after_it_was_killed_once(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    version = write(stick, "web1", image(tmp_path))
    remains = stick / version.folder.with_name(f"{version.date}.partial")
    remains.mkdir()
    remove(stick, version)
    assert list((stick / "boot/rear/web1").iterdir()) == []


def test_the_menu_of_one_machine_starts_its_newest_by_itself(run: Run, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    old, new = (write(stick, "web1", image(tmp_path, number)) for number in (1, 2))
    text = menu(run, all_versions(stick))
    assert grub_titles(text) == [
        f"Rescue system of {new.title}: menu to recover or repair",
        f"Recover {new.title} automatically (overwrites its disks)",
        "Rescue shell",
        f"Earlier: {old.title}",
        f"Rescue system of {old.title}: menu to recover or repair",
        f"Recover {old.title} automatically (overwrites its disks)",
        "Rescue shell",
        "Boot from the first disk",
    ]
    assert "set timeout=10\n" in text
    assert f"linux /boot/rear/web1/{new.date}/vmlinuz console=tty0 console=ttyS0,115200 rear.auto=recover\n" in text
    for version in (old, new):
        assert text.count(f"initrd /{version.folder}/initramfs.img\n") == 3


def test_the_menu_of_several_machines_waits_for_a_choice(run: Run, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    for number, name in enumerate(("web1", "web2", "web1")):
        write(stick, name, image(tmp_path, number))
    text = menu(run, all_versions(stick))
    assert "set timeout=-1\n" in text
    assert [title for title in grub_titles(text) if title.startswith("web") and "," not in title] == ["web1", "web2"]
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(not Shell().which("grub-script-check"), reason="GRUB is not installed")
def test_grub_takes_the_menu(run: Run, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    for hostname in ("web1", '.odd"$name`{ with/slash'):
        for number in (1, 2):
            write(stick, hostname, image(tmp_path, number))
            put_menu(stick, menu(run, all_versions(stick)))
            Shell().run("grub-script-check", stick / MENU)
    assert len(all_versions(stick)) == 4


SIGNED, MODULES = find_signed_loaders(supported("x86_64")), find_modules("i386-pc")


@pytest.mark.skipif(not (SIGNED and MODULES and Shell().which("mren")), reason="boot loaders are not installed")
def test_loaders_for_bios_and_uefi_are_put_on_the_disk_once(run: Run, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 100 * MIB)
    run.sh.run("mkfs.vfat", "-F", "32", "-s", "1", "--offset=8192", disk, str(64 * 1024))
    stick = Stick(disk, "/dev/sdx3", "5d67", Extent(MIB, 2 * MIB), Extent(4 * MIB, 64 * MIB))
    install(run, stick)
    shown = run.sh.query("mdir", "-/", "-b", "-i", f"{disk}@@{4 * MIB}", "::").lower().split()
    assert {"::/efi/boot/bootx64.efi", "::/efi/boot/grubx64.efi", "::/boot/grub/grub.cfg"} <= {*shown}
    run.sh.run("mcopy", "-i", f"{disk}@@{4 * MIB}", "::/boot/grub/grub.cfg", tmp_path / "grub.cfg")
    assert "--file /boot/grub/5d67\n" in (tmp_path / "grub.cfg").read_text()
    before = disk.read_bytes()
    install(run, stick)
    assert disk.read_bytes() == before


def disk_of(*children: str, type: str = "disk") -> str:
    parts = ", ".join(f'{{"name": "{name}", "kname": "{name}", "maj:min": "8:1", "type": "part"}}' for name in children)
    return (
        f'{{"blockdevices": [{{"name": "sdx", "kname": "sdx", "maj:min": "8:0", "type": "{type}", "log-sec": 512,'
        f' "children": [{parts}]}}]}}'
    )


LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
TABLE = f"""{{"partitiontable": {{"label": "gpt", "partitions": [
    {{"node": "/dev/sdx1", "start": 2048, "size": 4096, "type": "{BIOS_BOOT}"}},
    {{"node": "/dev/sdx2", "start": 6144, "size": 131072, "type": "{EFI_SYSTEM}"}},
    {{"node": "/dev/sdx3", "start": 137216, "size": 9999, "type": "{LINUX}"}}]}}}}"""
FINDMNT = "findmnt --noheadings --output TARGET --source /dev/sdx2"
GOOD: dict[str, str | Outcome] = {
    LABEL: "/dev/sdx3\n",
    PROBE: "DEVNAME=/dev/sdx3\nLABEL=REAR-000\nUUID=5d67\nTYPE=ext4\n",
    LSBLK: disk_of("sdx3"),
    INVENTORY: "sdx",
    "sfdisk --json /dev/sdx": TABLE,
    FINDMNT: Outcome((), 1, "", "", 0),
}


def test_the_disk_is_found_by_its_label(run: Run) -> None:
    run.sh = FakeShell(GOOD)
    assert find_stick(run) == Stick(
        Path("/dev/sdx"), "/dev/sdx3", "5d67", Extent(MIB, 2 * MIB), Extent(3 * MIB, 64 * MIB)
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({LABEL: "/dev/sdx3\n/dev/sdy3\n"}, "could be /dev/sdx3 or /dev/sdy3"),
        ({PROBE: "TYPE=exfat\n"}, "has no file system of Linux, but exfat"),
        ({PROBE: Outcome((), 2, "", "", 0)}, "but nothing known"),
        ({LSBLK: disk_of()}, "is not a partition of a disk"),
        ({LSBLK: disk_of("sdx3", type="raid1")}, "is not a partition of a disk"),
        ({"sfdisk --json /dev/sdx": TABLE.replace(BIOS_BOOT, LINUX)}, "has no BIOS boot partition"),
        ({FINDMNT: "/media/REAR-EFI\n"}, "/dev/sdx2 is mounted on /media/REAR-EFI"),
    ],
)
def test_a_disk_that_will_not_do_is_refused(run: Run, changed: dict[str, str | Outcome], reason: str) -> None:
    run.sh = FakeShell({**GOOD, **changed})
    with pytest.raises(Refused, match=reason) as refused:
        find_stick(run)
    assert refused.value.hint


def test_places_are_counted_in_the_sectors_of_the_disk(run: Run) -> None:
    run.sh = FakeShell(GOOD)
    disk = Device("/dev/sdx", "sdx", "8:0", "disk", 1 << 34, logical_sector_size=4096)
    assert described(run, disk, "/dev/sdx3", "5d67").efi == Extent(24 * MIB, 512 * MIB)
