# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-boot on EFI system partitions: found on a machine, brought back to one that was recovered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.efi_images import program, unified
from rear_boot_systemd import menu
from rear_boot_systemd.loader import SYSTEMD_BOOT
from rear_boot_systemd.partition import MARK, Installation, detect, find_installations, install, verify
from rear_core.boot import efi_install, efi_partitions
from rear_core.boot.efi_variables import BootEntries, BootEntry
from rear_core.boot.loader import Entry
from rear_core.errors import RearError
from rear_core.finalize.names import KERNEL_WORDS
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.vfat import Fat
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.testing.fake_shell import FakeShell

GUID = "1f3b7c3e-6a54-4a3a-9f5e-0d2c5b7f9a11"
OURS = program([(".sdmagic", MARK + b" 252.39-1~deb12u2 ####\0")])
OURS_SIGNED = program([(".sdmagic", MARK)], signed=True)
OTHER = program([(".text", b"shim")], signed=True)
LOADER = "EFI/systemd/systemd-bootx64.efi"
THERE = BootEntry("0004", "Linux Boot Manager", True, "\\EFI\\systemd\\systemd-bootx64.efi", GUID)


def put(root: Path, name: str, content: bytes = b"x") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def machine(target: Path, secure_boot: bool = False) -> Run:
    """A recovered machine with an EFI system partition on /efi."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]), options=Options(target=target), sh=FakeShell({}))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", secure_boot))
    run.layout = make(
        [
            Disk("disk:a", (), 1 << 33, device="/dev/sda"), PartitionTable("table:a", ("disk:a",), "gpt"),
            Partition("partition:a1", ("table:a",), 1, 1 << 20, 1 << 29, "esp", uuid=GUID, device="/dev/sda1"),
            Fat("fs:e", ("partition:a1",), "E-F"), Mount("mount:/efi", ("fs:e",), "/efi", "vfat"),
        ]
    )  # fmt: skip
    run.rebuilt = Rebuilt(Site(run.layout, {"disk:a": "/dev/vda"}), {"disk:a": "/dev/vda"})
    return run


def recorded(*programs: str, entries: bool = True, shim: str = "") -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        {"vendor": Path(name).parent.name, "loader": shim or name, "program": name, "shim": bool(shim), "entries": []}
        for name in programs or (LOADER,)
    ]
    if entries:
        found[0]["entries"] = [{"number": "0004", "label": "Linux Boot Manager", "active": True}]
    return {"partitions": [{"mountpoint": "/efi", "installations": found}], "boot_order": ["0004"]}


@pytest.fixture(autouse=True)
def firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has the boot entry, and nothing of the Boot Loader Interface."""
    for module in (efi_install, efi_partitions):
        monkeypatch.setattr(module, "read_boot_entries", lambda: BootEntries((THERE,), ("0004",), "0004"))
    monkeypatch.setattr(menu, "read_loader_variable", lambda name: "")


def test_what_bootctl_has_installed_is_found(tmp_path: Path) -> None:
    put(tmp_path, "EFI/systemd/systemd-bootx64.efi", OURS)
    put(tmp_path, "EFI/BOOT/BOOTX64.EFI", OURS)
    put(tmp_path, "EFI/debian/grubx64.efi", OTHER)
    put(tmp_path, "EFI/Linux/debian-6.1.efi", unified())
    assert find_installations(tmp_path) == [
        Installation("BOOT", "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTX64.EFI", shim=False),
        Installation("systemd", LOADER, LOADER, shim=False),
    ]


@pytest.mark.parametrize(
    ("vendor", "shim", "ours"),
    [("systemd", "shim.efi", "grub.efi"), ("BOOT", "BOOTX64.EFI", "grubx64.efi"),
     ("debian", "shimx64.efi", "systemd-bootx64.efi")],
)  # fmt: skip
def test_shim_can_start_it_by_any_name(tmp_path: Path, vendor: str, shim: str, ours: str) -> None:
    put(tmp_path, f"EFI/{vendor}/{shim}", OTHER)
    put(tmp_path, f"EFI/{vendor}/{ours}", OURS)
    assert find_installations(tmp_path) == [
        Installation(vendor, f"EFI/{vendor}/{shim}", f"EFI/{vendor}/{ours}", shim=True)
    ]


def test_a_partition_without_it_has_none(tmp_path: Path) -> None:
    assert find_installations(tmp_path) == []


@pytest.mark.parametrize(("info", "current", "started"), [("", "0004", True), ("", "0001", False),
                                                          ("systemd-boot 252", "0001", True)])  # fmt: skip
def test_the_firmware_says_whether_it_started_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, info: str, current: str, started: bool
) -> None:
    put(tmp_path, LOADER, OURS)
    monkeypatch.setattr(efi_partitions, "read_boot_entries", lambda: BootEntries((THERE,), ("0004",), current))
    monkeypatch.setattr(efi_partitions, "read_loader_info", lambda: info)
    findmnt = "findmnt --json --list --types vfat --output TARGET,SOURCE,PARTUUID"
    mounts = {"filesystems": [{"target": str(tmp_path), "source": "/dev/sda1", "partuuid": GUID}]}
    run = machine(tmp_path)
    run.sh = FakeShell({findmnt: json.dumps(mounts)})
    facts = detect(run)
    assert facts is not None and facts["started"] == started
    [found] = facts["partitions"][0]["installations"]
    assert found["entries"] == [{"number": "0004", "label": "Linux Boot Manager", "active": True}]


def test_the_parameters_are_recorded_without_the_machine_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rescue system must not have it."""
    put(tmp_path, LOADER, OURS)
    started = Entry("Debian", arguments=("root=UUID=1-2", "systemd.machine_id=6a9857a393724b7a981ebb5b8495b9ea", "ro"))
    monkeypatch.setattr(menu, "entries", lambda _target: [started])
    findmnt = "findmnt --json --list --types vfat --output TARGET,SOURCE,PARTUUID"
    mounts = {"filesystems": [{"target": str(tmp_path), "source": "/dev/sda1", "partuuid": GUID}]}
    run = machine(tmp_path)
    run.sh = FakeShell({findmnt: json.dumps(mounts)})
    facts = detect(run)
    assert facts is not None and facts["parameters"] == ["root=UUID=1-2", "ro"]


PARTUUIDS = {"lsblk --noheadings --output PARTUUID": f"{GUID}\n"}


def test_files_that_came_back_stay_as_they_were_signed(tmp_path: Path) -> None:
    """And so do keys; only what must not be used twice goes."""
    kept = [
        put(tmp_path, f"efi/{LOADER}", OURS_SIGNED), put(tmp_path, "efi/loader/keys/auto/db.auth", b"key"),
        put(tmp_path, "efi/loader/loader.conf", b"timeout 3\n"), put(tmp_path, "efi/k", OTHER),
        put(tmp_path, "efi/loader/entries/a.conf", b"linux /k"),
    ]  # fmt: skip
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept]
    seed = put(tmp_path, "efi/loader/random-seed", b"r" * 32)
    run = machine(tmp_path, secure_boot=True)
    run.sh = FakeShell(PARTUUIDS)
    assert install(run, recorded()) == ["/efi/loader/random-seed is not used a second time"]
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept] == before
    assert not seed.exists()
    assert install(run, recorded()) == []
    assert verify(run, recorded()) == []


def test_bootctl_brings_back_what_was_lost_and_makes_another_seed(tmp_path: Path) -> None:
    put(tmp_path, "usr/bin/bootctl")
    put(tmp_path, "efi/loader/random-seed")
    put(tmp_path, "usr/lib/systemd/boot/efi/systemd-bootx64.efi", OURS)
    bootctl = f"chroot {tmp_path} env SYSTEMD_RELAX_ESP_CHECKS=1 bootctl"
    run = machine(tmp_path)
    run.sh = FakeShell(
        {**PARTUUIDS, f"{bootctl} install --no-variables --esp-path=/efi": Outcome((), 1, "", "not mounted", 0),
         f"{bootctl} random-seed --esp-path=/efi": Outcome((), 1, "", "no token", 0)}
    )  # fmt: skip
    assert install(run, recorded())[1] == f"systemd-boot installed to /efi/{LOADER}"


@pytest.mark.parametrize("ending", ["", ".signed"])
def test_without_bootctl_the_program_is_copied(tmp_path: Path, ending: str) -> None:
    put(tmp_path, "usr/lib/systemd/boot/efi/systemd-bootx64.efi", OURS)
    put(tmp_path, f"usr/lib/systemd/boot/efi/systemd-bootx64.efi{ending}", OURS_SIGNED)
    run = machine(tmp_path)
    run.sh = FakeShell(PARTUUIDS)
    names = (LOADER, "EFI/BOOT/BOOTX64.EFI")
    assert install(run, recorded(*names)) == [f"systemd-boot installed to /efi/{name}" for name in names]
    for name in names:
        assert (tmp_path / "efi" / name).read_bytes() == OURS_SIGNED


def test_a_machine_without_the_package_is_told_what_to_do(tmp_path: Path) -> None:
    run = machine(tmp_path)
    with pytest.raises(RearError, match=r"has no /usr/lib/systemd/boot/efi/systemd-bootx64\.efi") as caught:
        install(run, recorded())
    assert "bootctl install" in caught.value.hint


def test_a_lost_shim_is_not_replaced_by_what_is_not_signed(tmp_path: Path) -> None:
    put(tmp_path, "efi/EFI/systemd/grub.efi", OURS)
    with pytest.raises(RearError, match="lacks shim"):
        install(machine(tmp_path), recorded("EFI/systemd/grub.efi", shim="EFI/systemd/shim.efi"))


def test_without_a_boot_entry_the_fallback_path_is_made(tmp_path: Path) -> None:
    put(tmp_path, f"efi/{LOADER}", OURS)
    run = machine(tmp_path)
    run.sh = FakeShell(PARTUUIDS)
    facts = recorded(entries=False)
    assert "the firmware has no boot entry for systemd-boot" in verify(run, facts)[0]
    put(tmp_path, "efi/loader/entries/a.conf", b"linux /k")
    assert install(run, facts) == ["efi/EFI/BOOT/BOOTX64.EFI made from systemd-bootx64.efi"]
    assert verify(run, facts) == []


def test_a_boot_entry_that_is_gone_is_made_for_the_new_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efi_install, "read_boot_entries", BootEntries)
    put(tmp_path, f"efi/{LOADER}", OURS)
    put(tmp_path, "efi/loader/entries/a.conf", b"linux /k")
    create = (
        "efibootmgr --quiet --create --disk /dev/vda --part 1 --label 'Linux Boot Manager'"
        " --loader '\\EFI\\systemd\\systemd-bootx64.efi'"
    )
    run = machine(tmp_path)
    run.sh = FakeShell({**PARTUUIDS, create: "", f"chroot {tmp_path} {create}": ""})
    assert install(run, recorded()) == ["boot entry 'Linux Boot Manager' made for /dev/vda, partition 1"]


def test_kernels_of_a_partition_that_no_backup_has_are_added(tmp_path: Path) -> None:
    put(tmp_path, f"efi/{LOADER}", OURS)
    put(tmp_path, "usr/bin/kernel-install")
    for version in ("6.1", "6.2"):
        put(tmp_path, f"boot/vmlinuz-{version}")
    put(tmp_path, "boot/initrd.img-6.1")
    put(tmp_path, "lib/modules/6.1/modules.dep")
    run = machine(tmp_path)
    add = f"chroot {tmp_path} kernel-install add 6.1 /boot/vmlinuz-6.1 /boot/initrd.img-6.1"
    run.sh = FakeShell({**PARTUUIDS, add: ""})
    assert install(run, recorded()) == ["kernel-install has added the kernel 6.1"]


def test_with_secure_boot_what_is_not_signed_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, f"efi/{LOADER}", OURS)
    put(tmp_path, "efi/loader/entries/a.conf", b"linux /k")
    put(tmp_path, "efi/k", b"no program at all")
    assert verify(machine(tmp_path), recorded()) == []
    assert verify(machine(tmp_path, secure_boot=True), recorded()) == [
        f"Secure Boot is on, and /efi/{name} is not signed: sign it, or switch Secure Boot off in the firmware"
        for name in (LOADER, "k")
    ]


def test_a_lost_loader_is_a_problem(tmp_path: Path) -> None:
    assert verify(machine(tmp_path), recorded()) == [f"/efi/{LOADER} is missing"]


def test_its_files_with_words_for_the_kernel_are_read() -> None:
    assert SYSTEMD_BOOT.naming_files is not None
    patterns = {file.pattern for file in SYSTEMD_BOOT.naming_files(lambda text: ())}
    assert patterns == {"/usr/lib/kernel/cmdline", "/etc/kernel/uki.conf"}
    # Entries are read whatever the boot loader.
    assert {"/efi/loader/entries/*.conf", "/boot/efi/loader/entries/*.conf"} < set(KERNEL_WORDS)
