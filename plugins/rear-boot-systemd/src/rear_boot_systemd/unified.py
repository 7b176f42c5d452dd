# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilds a unified kernel image of a recovered system: nothing in it can be changed in place.

kernel-install(8) does so where the system has it make such images, else ukify(1) of the initramfs in /boot, or
dracut(8).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import RearError, recovered
from rear_core.boot.chroot import has_program, run_inside
from rear_core.boot.loader import Entry
from rear_core.finalize import dracut, proof
from rear_core.finalize.devices import storage_of
from rear_core.finalize.names import command_line
from rear_core.finalize.references import corrected
from rear_core.system.os_release import assignments

from .image import read_image

if TYPE_CHECKING:
    from rear_core import Run

CONFIGURATIONS = ("/etc/kernel/install.conf", "/usr/lib/kernel/install.conf")
KERNELS = ("/lib/modules/{}/vmlinuz", "/boot/vmlinuz-{}")
SECONDS = 3600


def renewed(run: Run, words: str) -> str:
    """Words for the kernel with the names that devices have now."""
    named = command_line(run.plugins.call("rear_storage_kinds"))(words)
    return corrected("", words, named, storage_of(run))[0]


def parameters(run: Run, entry: Entry) -> str:
    """The words for the kernel in an image."""
    return read_image(recovered.inside(run.target, entry.kernel)).text(".cmdline")


def is_stale(run: Run, entry: Entry) -> bool:
    """Whether an entry is an image that names devices as they were."""
    return bool(entry.part) and renewed(run, words := parameters(run, entry)) != words


def rebuild(run: Run, entry: Entry, initramfs: Path | None) -> None:
    """Rebuild the image of an entry, with this initramfs if that is needed; raises where nothing can."""
    folder = proof.modules_of(run.target, entry)
    kernel = _kernel(run.target, folder.name) if folder and folder.is_dir() else ""
    if folder is None or not kernel:
        raise RearError(f"neither {KERNELS[0]} nor {KERNELS[1]} is there for the kernel {entry.version}")
    image = recovered.inside(run.target, entry.kernel)
    source = [f"/{initramfs.relative_to(run.target)}"] if initramfs else []
    if _makes_images(run):
        before = image.stat()
        run_inside(run, "kernel-install", "add", folder.name, kernel, *source, timeout=SECONDS)
        if image.stat().st_mtime_ns == before.st_mtime_ns:
            raise RearError("kernel-install has made an image of another name")
        return
    beside = image.with_name(f".{image.name}.rear")
    words, output = renewed(run, parameters(run, entry)), f"{entry.kernel.rpartition('/')[0]}/{beside.name}"
    if source and has_program(run, "ukify"):
        argv = _ukify(kernel, source[0], words, folder.name, output)
    elif has_program(run, "dracut"):
        argv = _dracut(run, kernel, words, folder.name, output)
    else:
        raise RearError("the recovered system has no ukify or dracut, and kernel-install has not layout=uki")
    try:
        run_inside(run, *argv, timeout=SECONDS)
        beside.replace(image)
    finally:
        beside.unlink(missing_ok=True)


def _kernel(target: Path, version: str) -> str:
    paths = (pattern.format(version) for pattern in KERNELS)
    return next((path for path in paths if recovered.inside(target, path).is_file()), "")


def _makes_images(run: Run) -> bool:
    """Whether kernel-install is there and told to make unified kernel images; the first configuration counts."""
    for name in CONFIGURATIONS:
        path = recovered.inside(run.target, name)
        if path.is_file():
            return has_program(run, "kernel-install") and assignments(recovered.read(path)).get("layout") == "uki"
    return False


def _ukify(kernel: str, initramfs: str, words: str, version: str, output: str) -> tuple[str, ...]:
    return (
        "ukify", "build", f"--linux={kernel}", f"--initrd={initramfs}", f"--cmdline={words}", f"--uname={version}",
        "--os-release=@/etc/os-release", f"--output={output}",
    )  # fmt: skip


def _dracut(run: Run, kernel: str, words: str, version: str, output: str) -> tuple[str, ...]:
    assert run.layout is not None and run.rebuilt is not None
    items = run.layout.below(*(id for id in ("mount:/", "mount:/usr") if id in run.layout))
    options = dracut.words(items, proof.needed_modules(run.layout, run.rebuilt))
    return (
        "dracut", "--force", "--uefi", *options, "--kver", version, "--kernel-image", kernel,
        "--kernel-cmdline", words, output,
    )  # fmt: skip
