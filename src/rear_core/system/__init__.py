# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of this machine: operating system, name, architecture, firmware, virtualization."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..shell import Shell
from .firmware import Firmware, read_firmware
from .os_release import OperatingSystem, read_os_release
from .virtualization import detect_virtualization

__all__ = ["Firmware", "OperatingSystem", "System", "examine"]


@dataclass(frozen=True)
class System:
    """What a machine is; `hostname` is without the domain, `running_kernel` the release `uname -r` prints.

    `virtualization` is empty on bare metal, else `container:NAME` or `vm:NAME`; `selinux` says whether a policy is in
    force.
    """

    os: OperatingSystem
    hostname: str
    machine: str
    running_kernel: str
    firmware: Firmware
    virtualization: str = ""
    selinux: bool = False


def _without_domain(nodename: str) -> str:
    """The host name; that of hostname(5) where nobody gave one, which the kernel calls (none).

    >>> _without_domain("web1.example.org"), _without_domain("(none)")
    ('web1', 'localhost')
    """
    name = nodename.split(".")[0]
    return "localhost" if name in ("", "(none)") else name


def examine(sh: Shell, root: Path = Path("/")) -> System:
    """Look at this machine, or at the files of another one below `root`."""
    # $ uname --nodename --kernel-release --machine
    # web1.example.org 6.1.0-13-amd64 x86_64
    *nodename, release, machine = sh.query("uname", "--nodename", "--kernel-release", "--machine").split()
    return System(
        os=read_os_release(root),
        hostname=_without_domain(nodename[0] if nodename else ""),
        machine=machine,
        running_kernel=release,
        firmware=read_firmware(root),
        virtualization=detect_virtualization(root),
        # Shown by a kernel with SELinux on, be it enforcing or permissive.
        selinux=(root / "sys/fs/selinux/enforce").exists(),
    )
