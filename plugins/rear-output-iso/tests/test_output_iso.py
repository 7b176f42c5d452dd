# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=ISO: a real image is made and looked into."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import rear_output_iso
from rear_core import ConfigurationError, RearError, Refused, RescueImage, Run
from rear_core.architectures import supported
from rear_core.builtin import core
from rear_core.media.grub import find_modules, find_signed_loaders
from rear_core.media.iso import efi_partition, file_extents, verify_iso
from rear_core.media.loaders import Loaders
from rear_core.media.rescue_iso import efi_image_path, payload
from rear_core.places.delivery import beside
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_output_iso.boot import find_loaders
from rear_output_iso.discs import image_path
from rear_output_iso.image import write_image

pytestmark = pytest.mark.slow

EPOCH = "1700000000"
SIGNED = find_signed_loaders(supported("x86_64"))
BIOS = find_modules("i386-pc")
EFI = find_modules("x86_64-efi")
needs_loaders = pytest.mark.skipif(
    not (SIGNED and BIOS and EFI and Shell().which("xorriso")),
    reason="boot loaders or xorriso are not installed",
)


def make_run(tmp_path: Path, config: str = "", *, mode: str = "bios", secure_boot: bool | None = None) -> Run:
    """A run with a packed rescue system, on a machine with both boot loaders."""
    text = f"ISO_DIR={tmp_path}/output\n{config}"
    declared = [*core.rear_settings(), *rear_output_iso.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    build = tmp_path / "build"
    build.mkdir(exist_ok=True)
    run = Run(
        settings, Plugins([rear_output_iso]), Options(config_dir=build), build_dir=build, phases=("prep", "output")
    )
    firmware = Firmware(mode, secure_boot)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", firmware)
    kernel, initramfs = build / "kernel", build / "initramfs"
    kernel.write_bytes(b"kernel" * 1000)
    initramfs.write_bytes(b"initramfs" * 50000)
    run.image = RescueImage(kernel, initramfs, "6.1.0-13-amd64", "console=tty0 console=ttyS0,115200")
    return run


def make_iso(run: Run) -> Path:
    """Run the steps of prep and output in their order."""
    with run.undo:
        for step in (*rear_output_iso.rear_prep(run), *rear_output_iso.rear_output(run)):
            step.action(run)
    return run.results[0]


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)


@needs_loaders
def test_the_image_boots_on_bios_and_uefi_from_cd_and_stick(tmp_path: Path) -> None:
    iso = make_iso(make_run(tmp_path))
    told = Shell().query("xorriso", "-indev", iso, "-report_el_torito", "plain", "-pvd_info")
    assert re.search(r"boot img :\s+1\s+BIOS\s+y\s+none", told)
    assert re.search(r"boot img :\s+2\s+UEFI\s+y\s+none", told)
    assert "grub2-boot-info" in told
    assert "Volume Id    : REAR-ISO" in told
    table = Shell().json("sfdisk", "--json", iso)["partitiontable"]
    assert table["label"] == "dos"
    first, second = table["partitions"]
    assert first["bootable"]
    assert second["type"] == "ef"
    assert second["start"] * 512 == efi_partition(iso).start
    assert b"GRUB" in iso.read_bytes()[:440]


@needs_loaders
def test_the_signed_loaders_are_on_it_unmodified(tmp_path: Path) -> None:
    assert SIGNED is not None
    run = make_run(tmp_path)
    iso = make_iso(run)
    image = tmp_path / "efi.img"
    partition = efi_partition(iso)
    image.write_bytes(iso.read_bytes()[partition.start : partition.start + partition.size])
    for name, source in (("BOOTX64.EFI", SIGNED.shim), ("grubx64.efi", SIGNED.grub)):
        Shell().run("mcopy", "-i", image, f"::EFI/BOOT/{name}", tmp_path / name)
        assert (tmp_path / name).read_bytes() == source.read_bytes()
    Shell().run("fsck.vfat", "-n", image)


@needs_loaders
def test_drivers_of_their_own_are_found_on_it(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.image is not None
    drivers = run.build_dir / "drivers"
    drivers.write_bytes(b"drivers")
    run.image = replace(run.image, drivers=drivers)
    iso = make_iso(run)
    Shell().run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/boot", tmp_path / "boot")
    assert (tmp_path / "boot/drivers.squashfs").read_bytes() == b"drivers"
    menu = (tmp_path / "boot/grub/grub.cfg").read_text()
    assert menu.count(" rear.drivers=TYPE=iso9660:/boot/drivers.squashfs") == 3


@needs_loaders
def test_the_files_are_on_it_with_a_checksum_beside_it(tmp_path: Path) -> None:
    iso = make_iso(make_run(tmp_path))
    names = set(file_extents(Shell(), iso))
    assert names >= {"/boot/vmlinuz", "/boot/initramfs.img", "/boot/grub/grub.cfg", "/.disk/info"}
    assert sorted(path.name for path in iso.parent.iterdir()) == ["rear-web1.iso", "rear-web1.iso.sha256"]
    Shell().run("sha256sum", "--check", "--strict", "rear-web1.iso.sha256", cwd=iso.parent)
    assert iso.stat().st_mode & 0o777 == 0o600


@needs_loaders
def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    images: list[bytes] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run = make_run(tmp_path / name)
        assert run.image is not None
        os.utime(run.image.kernel, (len(images) * 5000.0, len(images) * 5000.0))
        images.append(make_iso(run).read_bytes())
    assert images[0] == images[1]


@needs_loaders
def test_names_label_and_copy_follow_the_settings(tmp_path: Path) -> None:
    config = f"ISO_PREFIX=rescue\nISO_VOLID=WEB1\nOUTPUT_URL=file://{tmp_path}/copies/web1"
    run = make_run(tmp_path, config)
    iso = make_iso(run)
    copy = tmp_path / "copies/web1/rescue.iso"
    assert run.results == [iso, copy]
    assert iso.name == "rescue.iso"
    assert copy.read_bytes() == iso.read_bytes()
    assert "Volume Id    : WEB1" in Shell().query("xorriso", "-indev", copy, "-pvd_info")


@needs_loaders
@pytest.mark.parametrize("part", ["/boot/initramfs.img", "EFI partition"])
def test_a_damaged_image_never_replaces_the_previous_one(tmp_path: Path, part: str) -> None:
    previous = make_iso(make_run(tmp_path)).read_bytes()
    run = make_run(tmp_path)
    path = image_path(run)
    with pytest.raises(RearError, match=part), run.undo:
        rear_output_iso.make_image(run)
        written = beside(path)
        damage = efi_partition(written) if part.startswith("EFI") else file_extents(run.sh, written)[part][0]
        with written.open("r+b") as file:
            file.seek(damage.start + damage.size // 2)
            file.write(b"\x00damage\x00")
        rear_output_iso.verify_image(run)
    assert path.read_bytes() == previous
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["rear-web1.iso", "rear-web1.iso.sha256"]


@needs_loaders
def test_a_truncated_image_is_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    iso = make_iso(run)
    with iso.open("r+b") as file:
        file.truncate(iso.stat().st_size // 3 // 2048 * 2048)
    with pytest.raises(RearError):
        verify_iso(run.sh, iso, payload(run), efi_image_path(run))


@needs_loaders
@pytest.mark.parametrize(
    ("loaders", "platforms"),
    [(Loaders(BIOS, None), ["BIOS"]), (Loaders(None, EFI), ["UEFI"]), (Loaders(None, SIGNED), ["UEFI"])],
    ids=["BIOS alone", "own GRUB for UEFI", "signed GRUB for UEFI"],
)
def test_an_image_for_one_firmware_is_whole(tmp_path: Path, loaders: Loaders, platforms: list[str]) -> None:
    run = make_run(tmp_path)
    iso = tmp_path / "one.iso"
    write_image(run, iso, loaders, timeout=10)
    verify_iso(run.sh, iso, payload(run), efi_image_path(run) if loaders.efi else None)
    told = Shell().query("xorriso", "-indev", iso, "-report_el_torito", "plain")
    assert re.findall(r"boot img :\s+\d\s+(\w+)\s+y", told) == platforms


def install(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


MODULES_BIOS = "usr/lib/grub/i386-pc/moddep.lst"
MODULES_EFI = "usr/lib/grub/x86_64-efi/moddep.lst"
SHIM = ("usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed")


@pytest.mark.parametrize(
    ("mode", "secure_boot", "installed", "missing"),
    [
        ("bios", None, [MODULES_EFI], "grub-i386-pc"),
        ("uefi", False, [MODULES_BIOS], "grub-x86_64-efi"),
        ("uefi", True, [MODULES_BIOS, MODULES_EFI], "shim-signed"),
    ],
)
def test_the_loader_for_this_machine_is_required(
    tmp_path: Path, mode: str, secure_boot: bool | None, installed: list[str], missing: str
) -> None:
    install(tmp_path / "root", *installed)
    with pytest.raises(Refused, match=missing) as caught:
        find_loaders(make_run(tmp_path, mode=mode, secure_boot=secure_boot), tmp_path / "root")
    assert missing in caught.value.hint


@needs_loaders
@pytest.mark.parametrize(
    ("installed", "warning"),
    [
        ([MODULES_BIOS], "with UEFI"),
        ([MODULES_BIOS, MODULES_EFI], "Secure Boot"),
    ],
)
def test_what_will_not_boot_is_a_warning(tmp_path: Path, installed: list[str], warning: str) -> None:
    install(tmp_path / "root", *installed)
    run = make_run(tmp_path)
    find_loaders(run, tmp_path / "root")
    [line] = run.report.warnings
    assert warning in line and "shim-signed" in line


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.system = System(OperatingSystem(), "z1", "s390x", "6.4", Firmware("bios"))
    with pytest.raises(Refused, match="s390x"):
        find_loaders(run, tmp_path)


@pytest.mark.parametrize(
    "line", ["ISO_DIR=output", "ISO_PREFIX=a/b", "ISO_VOLID=" + "x" * 33, "OUTPUT_URL=smb://server/share"]
)
def test_bad_settings_are_errors_of_the_configuration(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line.partition("=")[0]):
        make_run(tmp_path, line)


def test_a_place_without_room_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "output").touch()
    with pytest.raises(Refused, match="not a folder"):
        rear_output_iso.check_places(make_run(tmp_path))


@needs_loaders
def test_the_previous_image_stays_beside_the_new_one_in_its_folder(tmp_path: Path) -> None:
    config = f"KEEP_OLD_OUTPUT_COPY=yes\nOUTPUT_PREFIX=rescue/web1\nOUTPUT_URL=file://{tmp_path}/copies"
    first = make_iso(make_run(tmp_path, config)).read_bytes()
    second = make_iso(make_run(tmp_path, f"ISO_VOLID=SECOND\n{config}")).read_bytes()
    for folder in (tmp_path / "output", tmp_path / "copies/rescue/web1"):
        assert (folder / "rear-web1.iso").read_bytes() == second != first
        assert (folder / "rear-web1.iso.old").read_bytes() == first
        sums = ["rear-web1.iso.sha256", "rear-web1.iso.old.sha256"]
        Shell().run("sha256sum", "--check", "--strict", *sums, cwd=folder)
        assert len(list(folder.iterdir())) == 4


@needs_loaders
def test_a_failed_run_costs_neither_the_image_nor_the_one_before(tmp_path: Path) -> None:
    config = f"KEEP_OLD_OUTPUT_COPY=yes\nOUTPUT_URL=file://{tmp_path}/copies"
    for label in ("FIRST", "SECOND"):
        make_iso(make_run(tmp_path, f"ISO_VOLID={label}\n{config}"))
    before = {path: path.read_bytes() for path in tmp_path.glob("*/rear-web1*")}
    run = make_run(tmp_path, config)
    with pytest.raises(RearError, match="differs from its source"), run.undo:
        for step in rear_output_iso.rear_output(run):
            if step.action == rear_output_iso.verify_image:
                damage = beside(image_path(run)).read_bytes().replace(b"initramfs" * 9, b"INITRAMFS" * 9)
                beside(image_path(run)).write_bytes(damage)
            step.action(run)
    assert {path: path.read_bytes() for path in tmp_path.glob("*/rear-web1*")} == before
