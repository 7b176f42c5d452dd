# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this machine is a container or a virtual machine, by the traces that each leaves in files."""

from __future__ import annotations

import re
from pathlib import Path

# What the DMI tables of virtual machines say, in the order in which it is looked for.
DMI_WORDS = {
    "VMware": "vmware",
    "innotek GmbH": "virtualbox",
    "VirtualBox": "virtualbox",
    "Xen": "xen",
    "Parallels": "parallels",
    "Amazon EC2": "amazon",
    "Google Compute Engine": "google",
    "Virtual Machine": "microsoft",
    "KVM": "kvm",
    "QEMU": "qemu",
    "BHYVE": "bhyve",
}
DMI_FILES = ("product_name", "sys_vendor", "board_vendor", "bios_vendor")


def detect_virtualization(root: Path = Path("/")) -> str:
    """Empty on bare metal, else `container:NAME` or `vm:NAME`; NAME can be `unknown`."""
    container = _container(root)
    if container:
        return f"container:{container}"
    machine = _virtual_machine(root)
    return f"vm:{machine}" if machine else ""


def _container(root: Path) -> str:
    # Container managers leave their name for PID 1, and systemd copies it where everybody can read it.
    named = _text(root / "run/systemd/container")
    if named:
        return named
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    environment = _text(root / "proc/1/environ").split("\0")
    return next((word[len("container=") :] for word in environment if word.startswith("container=")), "")


def _virtual_machine(root: Path) -> str:
    described = " ".join(_text(root / "sys/class/dmi/id" / name) for name in DMI_FILES)
    for word, name in DMI_WORDS.items():
        if word in described:
            # Instances on bare metal carry that name as well, but their processor shows no hypervisor.
            return name if word != "Amazon EC2" or _has_hypervisor_flag(root) else ""
    hypervisor = _text(root / "sys/hypervisor/type")
    if hypervisor:
        return hypervisor
    return "unknown" if _has_hypervisor_flag(root) else ""


def _has_hypervisor_flag(root: Path) -> bool:
    return bool(re.search(r"^flags\s*:.*\bhypervisor\b", _text(root / "proc/cpuinfo"), re.MULTILINE))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
