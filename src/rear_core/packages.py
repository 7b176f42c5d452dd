# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of this project, and what is advised to whoever asks for a plugin that is not installed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .errors import PluginError

# What the packages of this project bring, in lower case: what is not installed cannot be asked for its names. No other
# package is ever advised: whoever likes can publish one of any name.
PACKAGES = {
    "rear-backup-bacula": "bacula bareos",
    "rear-backup-borg": "borg",
    "rear-backup-cdrom": "cdrom",
    "rear-backup-external": "external",
    "rear-backup-nfs": "nfs netfs",
    "rear-backup-nsr": "nsr",
    "rear-backup-request": "requestrestore",
    "rear-backup-restic": "restic",
    "rear-backup-rsync": "rsync",
    "rear-backup-tape": "tape",
    "rear-backup-tsm": "tsm",
    "rear-output-iso": "iso cdrom",
    "rear-output-obdr": "obdr",
    "rear-output-pxe": "pxe",
    "rear-output-ramdisk": "ramdisk",
    "rear-output-rawdisk": "rawdisk",
    "rear-output-usb": "usb",
    "rear-os-debian": "debian ubuntu linuxmint raspbian pop kali devuan",
    "rear-os-redhat": "redhat rhel fedora centos rocky almalinux ol amzn",
    "rear-os-suse": "suse opensuse opensuse-leap opensuse-tumbleweed sles sled sle-micro",
}
# The commands that packages bring.
COMMANDS_OF = {"drill": "rear-drill", "notify": "rear-notify"}
# All packages of this project.
OURS = {
    *PACKAGES, "rear-core", "rear-boot-systemd", "rear-drill", "rear-notify", "rear-places-rclone",
    "rear-storage-bcache",
}  # fmt: skip


def package_of(kind: str, name: str) -> str:
    """The package of this project that brings a plugin, "" for one that none of them brings."""
    brought = (package for package, names in PACKAGES.items() if package.startswith(f"rear-{kind}-"))
    return next((package for package in brought if name.lower() in PACKAGES[package].split()), "")


def distribution_for(kind: str, name: str) -> str:
    """The name that a package with this plugin has, by convention."""
    return package_of(kind, name) or f"rear-{kind}-{name.lower()}"


def how_to_install(package: str) -> str:
    """What to do for one of `PACKAGES`; it comes the same way as the core, by apt, dnf, install.sh or pip."""
    return f"install the package {package}, the way rear-core was installed"


def missing(setting: str, kind: str, name: str, installed: Iterable[str]) -> PluginError:
    """The error for a plugin that is asked for and not there: what to install, or which there are."""
    if not name:
        return PluginError(f"{setting} is empty", f"set {setting}, or leave it out for the default")
    there = set(installed)
    others = ", ".join(sorted(there))
    if package := package_of(kind, name):
        return PluginError(
            f"{setting}={name} is not installed",
            how_to_install(package) + (f"; or set {setting} to one of: {others}" if others else ""),
        )
    ours = [
        word for package, names in PACKAGES.items() if package.startswith(f"rear-{kind}-") for word in names.split()
    ]
    known = {word.upper() if kind != "os" else word for word in ours} | there
    near = difflib.get_close_matches(name.upper() if kind != "os" else name, known, 1, 0.75 if kind == "os" else 0.6)
    meant = f"did you mean {near[0]}? " if near else ""
    return PluginError(
        f"there is no {setting}={name}",
        f"{meant}known are: {', '.join(sorted(known))}; vendors offer others as packages",
    )
