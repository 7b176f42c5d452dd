# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and virtual machines by the traces they leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.system.virtualization import detect_virtualization

HYPERVISOR = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"
BARE = "processor\t: 0\nflags\t\t: fpu vme lahf_lm\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/cpuinfo": BARE, "sys/class/dmi/id/sys_vendor": "Dell Inc.\n"}, ""),
        ({"proc/cpuinfo": HYPERVISOR, "sys/class/dmi/id/sys_vendor": "QEMU\n"}, "vm:qemu"),
        ({"proc/cpuinfo": HYPERVISOR, "sys/class/dmi/id/product_name": "VMware Platform"}, "vm:vmware"),
        ({"proc/cpuinfo": HYPERVISOR, "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, "vm:amazon"),
        ({"proc/cpuinfo": BARE, "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, ""),
        ({"sys/hypervisor/type": "xen\n"}, "vm:xen"),
        ({"proc/cpuinfo": HYPERVISOR}, "vm:unknown"),
        ({"proc/cpuinfo": HYPERVISOR, ".dockerenv": ""}, "container:docker"),
        ({"run/.containerenv": ""}, "container:podman"),
        ({"run/systemd/container": "systemd-nspawn\n"}, "container:systemd-nspawn"),
        ({"proc/1/environ": "TERM=linux\0container=lxc\0"}, "container:lxc"),
    ],
)
def test_traces(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert detect_virtualization(tmp_path) == expected
