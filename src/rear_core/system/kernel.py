# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel of the rescue system: the running one, the one asked for, or the newest installed."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused

if TYPE_CHECKING:
    from ..run import Run

# Where distributions put a kernel's image. /lib comes before /usr/lib: the same directory on merged systems.
IMAGES = (
    "boot/vmlinuz-{version}",
    "lib/modules/{version}/vmlinuz",
    "usr/lib/modules/{version}/vmlinuz",
    "boot/vmlinux-{version}",
    "boot/Image-{version}",
    "boot/image-{version}",
)
MODULES = ("lib/modules", "usr/lib/modules")

# A kernel made for one place loses against a plain one of the same version: a rescue meets any hardware.
SPECIAL_FLAVOURS = frozenset({"cloud", "rt", "debug", "kvm", "kvmsmall", "azure", "aws", "gcp", "realtime"})


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted.

    `config` is what it was built with ({"CONFIG_RD_ZSTD": "y"}), empty where distributions do not say.
    `warnings` say why it is not the running kernel.
    """

    version: str
    image: Path
    modules: Path
    config: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def choose(run: Run, root: Path = Path("/")) -> Kernel:
    """The kernel for the rescue system of this run; raise `Refused` when there is none."""
    return select_kernel(
        root,
        running=run.system.running_kernel,
        wanted=run.options.kernel,
        virtualization=run.system.virtualization,
        advice=run.plugins.install_advice(["kernel"]),
    )


def select_kernel(root: Path, *, running: str, wanted: str = "", virtualization: str = "", advice: str = "") -> Kernel:
    """The wanted kernel, else the running one, else with a warning the newest complete one."""
    if wanted:
        kernel = find_kernel(root, wanted, running)
        if kernel:
            return kernel
        raise _not_installed(root, wanted, advice)
    kernel = find_kernel(root, running, running)
    if kernel:
        return kernel
    what = f"the running kernel {running} cannot be used ({_what_is_missing(root, running)})"
    if virtualization.startswith("container:"):
        container = virtualization.partition(":")[2]
        what += f": this is a container ({container}), which uses the kernel of its host"
    installed = installed_kernels(root)
    if not installed:
        raise Refused(f"{what}, and no other kernel is installed", advice)
    newest = find_kernel(root, installed[-1], running)
    assert newest is not None
    warning = f"{what}; rear uses the newest installed one: {newest.version} (-r KERNEL selects another)"
    return Kernel(newest.version, newest.image, newest.modules, newest.config, (warning,))


def find_kernel(root: Path, version: str, running: str = "") -> Kernel | None:
    """The kernel of that version, None unless both its image and its modules are there."""
    image, modules = _find_image(root, version), _find_modules(root, version)
    if not image or not modules:
        return None
    config = _read_config(root, version, modules, is_running=version == running)
    return Kernel(version, image, modules, config)


def installed_kernels(root: Path) -> list[str]:
    """Versions of all kernels with image and modules, oldest first."""
    names = {path.name for place in MODULES if (root / place).is_dir() for path in (root / place).iterdir()}
    return sorted((name for name in names if find_kernel(root, name)), key=version_key)


def version_key(version: str) -> tuple[object, ...]:
    """Sort kernel versions as their makers count: 6.1.0-9 < 6.1.0-13, 6.10-rc3 < 6.10 < 6.10.1."""
    words = re.split(r"[^a-z0-9_]+", version.lower())
    counted: list[tuple[int, int]] = []
    for word in words:
        if word.isdigit():
            counted.append((2, int(word)))
        elif re.fullmatch(r"rc\d+", word):
            # A release candidate sorts before the end of the version (1), that before any further number (2).
            counted.append((0, int(word[2:])))
    everything = tuple(int(digits) for digits in re.findall(r"\d+", version))
    return (*counted, (1, 0)), not SPECIAL_FLAVOURS.intersection(words), everything, version


def parse_config(lines: Iterable[str]) -> dict[str, str]:
    """What a kernel was built with: `CONFIG_RD_ZSTD=y` lines; options that are not set are left out."""
    found = (line.strip().partition("=") for line in lines if line.startswith("CONFIG_"))
    return {name: value.strip('"') for name, _, value in found}


def _find_image(root: Path, version: str) -> Path | None:
    places = (root / place.format(version=version) for place in IMAGES)
    return next((place for place in places if place.is_file() and place.stat().st_size), None)


def _find_modules(root: Path, version: str) -> Path | None:
    # A removed kernel often leaves its directory behind; only depmod's index says that it is in use.
    places = (root / place / version for place in MODULES)
    return next((place for place in places if (place / "modules.dep").is_file()), None)


def _read_config(root: Path, version: str, modules: Path, *, is_running: bool) -> dict[str, str]:
    for path in (root / f"boot/config-{version}", modules / "config"):
        if path.is_file():
            return parse_config(path.read_text(encoding="utf-8", errors="replace").splitlines())
    if is_running and (root / "proc/config.gz").is_file():
        with gzip.open(root / "proc/config.gz", "rt", encoding="utf-8", errors="replace") as file:
            return parse_config(file)
    return {}


def _what_is_missing(root: Path, version: str) -> str:
    missing = [
        name
        for name, found in (("image", _find_image(root, version)), ("modules", _find_modules(root, version)))
        if not found
    ]
    return "it has no " + " and no ".join(missing)


def _not_installed(root: Path, wanted: str, advice: str) -> Refused:
    installed = ", ".join(installed_kernels(root))
    return Refused(
        f"the kernel {wanted} cannot be used ({_what_is_missing(root, wanted)})",
        f"installed are: {installed}" if installed else advice,
    )
