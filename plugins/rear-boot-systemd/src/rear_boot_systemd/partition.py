# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-boot on EFI system partitions: found, installed again, and looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rear_core import RearError, architectures, recovered
from rear_core.boot.chroot import has_program, run_inside
from rear_core.boot.efi_install import esp_of, made_again, make_startable, problems
from rear_core.boot.efi_partitions import child, describe
from rear_core.boot.loader import Facts

from . import menu
from .image import NotAnImage, read_image

if TYPE_CHECKING:
    from rear_core import Run

NAME = "systemd-boot"
# What it has in it to be known by, signed or not, whatever its file is called (bootctl(1) looks for the same).
MARK = b"#### LoaderInfo: systemd-boot"
# A larger file is no boot loader.
MOST_BYTES = 1 << 24
# Where its package has it, and a signed one beside it.
SOURCE = "/usr/lib/systemd/boot/efi"
SEED = "loader/random-seed"
# How distributions call the initramfs of a kernel.
SOURCES = ("/boot/initrd.img-{}", "/boot/initramfs-{}.img", "/boot/initrd-{}")


@dataclass(frozen=True)
class Installation:
    """A folder of the EFI system partition with systemd-boot in it; paths are relative to the partition's root.

    `loader` is what the firmware starts: shim when there is one, else the `program` of systemd-boot itself.
    """

    vendor: str
    loader: str
    program: str
    shim: bool


def detect(run: Run) -> Facts | None:
    """systemd-boot on the mounted EFI system partitions, and the parameters of the entry that it starts by default."""
    facts = describe(run, find_installations, NAME)
    if facts is None:
        return None
    words = [word for entry in menu.entries(Path("/"))[:1] for word in entry.arguments]
    # The rescue system does not carry the machine id; kernel-install knows it.
    return {**facts, "parameters": [word for word in words if not word.startswith("systemd.machine_id=")]}


def find_installations(esp: Path) -> list[Installation]:
    """Every systemd-boot below EFI/ of a mounted EFI system partition, sorted by folder."""
    efi = child(esp, "EFI")
    folders = sorted(path for path in efi.iterdir() if path.is_dir()) if efi else []
    return [found for folder in folders for found in _installations(esp, folder)]


def _installations(esp: Path, folder: Path) -> Iterator[Installation]:
    programs = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".efi")
    # In the folder of the fallback path shim has its name.
    begin = ("shim", "boot") if folder.name.upper() == "BOOT" else ("shim",)
    shim = next((path for path in programs if path.name.lower().startswith(begin) and not _is_ours(path)), None)
    for path in programs:
        if _is_ours(path):
            names = ((shim or path).relative_to(esp).as_posix(), path.relative_to(esp).as_posix())
            yield Installation(folder.name, *names, shim=shim is not None)


def _is_ours(path: Path) -> bool:
    return path.stat().st_size <= MOST_BYTES and MARK in path.read_bytes()


def install(run: Run, facts: Facts) -> list[str]:
    """Bring back what the firmware starts: the files came with the backup, byte for byte as they were signed, or are
    reinstalled."""
    done = []
    for partition in made_again(run, facts):
        done += _renew_seed(run, partition)
        lost = [found for found in partition["installations"] if not _has_files(run, partition, found)]
        if lost:
            done += _install_files(run, partition, lost)
    if not menu.entries(run.target):
        done += _add_kernels(run)
    return done + make_startable(run, facts)


def _has_files(run: Run, partition: dict[str, Any], found: dict[str, Any]) -> bool:
    return all((esp_of(run, partition) / found[name]).is_file() for name in ("loader", "program"))


def _install_files(run: Run, partition: dict[str, Any], lost: list[dict[str, Any]]) -> list[str]:
    mountpoint = partition["mountpoint"]
    if any(found["shim"] for found in lost):
        raise RearError(
            f"{mountpoint} lacks shim, or systemd-boot beside it, and bootctl does not bring signed ones",
            "`rear mountonly`, then in a chroot reinstall the packages of shim and systemd-boot",
        )
    _bootctl(run, "install", "--no-variables", f"--esp-path={mountpoint}")
    for found in lost:
        path = esp_of(run, partition) / found["program"]
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_source(run), path)
    return [f"systemd-boot installed to {mountpoint}/{found['program']}" for found in lost]


def _bootctl(run: Run, *words: str) -> None:
    """Run bootctl where the system has it; what it fails at can be done without it, or later."""
    if has_program(run, "bootctl"):
        try:
            # In a chroot it cannot ask udev what kind of partition that is.
            run_inside(run, "env", "SYSTEMD_RELAX_ESP_CHECKS=1", "bootctl", *words)
        except RearError as error:
            run.report.log(f"bootctl {words[0]}: {error.message}")


def _add_kernels(run: Run) -> list[str]:
    """Have kernel-install(8) make the entries of all kernels, where no backup has the partition that they are on."""
    added = []
    for name, path in recovered.find(run.target, "/boot/vmlinuz-*"):
        version = path.name.partition("-")[2]
        if has_program(run, "kernel-install") and recovered.inside(run.target, f"/lib/modules/{version}").is_dir():
            images = (pattern.format(version) for pattern in SOURCES)
            initramfs = [image for image in images if recovered.inside(run.target, image).is_file()]
            run_inside(run, "kernel-install", "add", version, name, *initramfs[:1], timeout=3600)
            added.append(f"kernel-install has added the kernel {version}")
    return added


def _source(run: Run) -> Path:
    """The program of the recovered system's package; the signed one where it has both, as bootctl(1) does."""
    name = f"systemd-boot{architectures.supported(run.system.machine).efi}.efi"
    for ending in (".signed", ""):
        path = recovered.inside(run.target, f"{SOURCE}/{name}{ending}")
        if path.is_file():
            return path
    raise RearError(
        f"the recovered system has no {SOURCE}/{name}",
        "`rear mountonly`, then in a chroot install the package of systemd-boot and run `bootctl install`",
    )


def _renew_seed(run: Run, partition: dict[str, Any]) -> list[str]:
    """Remove the random seed that came back, and have a new one made where bootctl can.

    Whoever starts twice with one seed can have the same random numbers twice: this machine after each recovery, and
    every other that is made from the same backup (https://systemd.io/RANDOM_SEEDS). systemd-boot does without.
    """
    seed = esp_of(run, partition) / SEED
    if not seed.is_file():
        return []
    seed.unlink()
    _bootctl(run, "random-seed", f"--esp-path={partition['mountpoint']}")
    return [f"{partition['mountpoint']}/{SEED} is not used a second time"]


def verify(run: Run, facts: Facts) -> list[str]:
    """What keeps the firmware from starting systemd-boot, and that from starting a kernel."""
    found = problems(run, facts, NAME, "loader", "program")
    return [*found, *_unsigned(run, facts)] if run.system.firmware.secure_boot else found


def _unsigned(run: Run, facts: Facts) -> Iterator[str]:
    """With Secure Boot the firmware, or shim, starts what is signed; by whom is not looked at."""
    paths = [
        esp_of(run, partition) / found[name]
        for partition in made_again(run, facts)
        for found in partition["installations"]
        for name in ("loader", "program")
    ]
    paths += [recovered.inside(run.target, entry.kernel) for entry in menu.entries(run.target)[:1]]
    for path in dict.fromkeys(paths):
        try:
            signed = not path.is_file() or read_image(path).signed
        except NotAnImage:
            signed = False
        if not signed:
            name = path.relative_to(run.target)
            yield f"Secure Boot is on, and /{name} is not signed: sign it, or switch Secure Boot off in the firmware"
