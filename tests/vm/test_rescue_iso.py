# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue ISO of a Debian 12 machine boots, is reachable and ends cleanly, on every firmware, with little memory."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from lab import qemu
from lab.rescue import Rescue, rescue

pytestmark = pytest.mark.vm

MEMORY = 768
PROMPT = r"RESCUE debian12:\S* # "
MAC = "52:54:00:00:00:01"
DOWN = "\x1b[B"


@pytest.fixture(scope="session")
def made() -> Rescue:
    return rescue()


def ssh(made: Rescue, port: int, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the rescue system as someone who comes over the network."""
    quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    argv = ["ssh", "-F", "none", "-i", str(made.key), *quiet, "-o", "BatchMode=yes", "-o", "ConnectTimeout=60"]
    return subprocess.run(
        [*argv, *options, "-p", str(port), "root@127.0.0.1", command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180,
    )  # fmt: skip


# Whole machines with BIOS and UEFI start from a CD, and a stick with Secure Boot is started by another test.
@pytest.mark.parametrize(
    ("firmware", "medium"),
    [
        ("bios", "stick"),
        pytest.param("uefi", "cd", marks=pytest.mark.long),
        pytest.param("secureboot", "cd", marks=pytest.mark.long),
    ],
)
def test_the_rescue_system_works(
    machine: Callable[..., qemu.Machine], made: Rescue, firmware: str, medium: str
) -> None:
    port = qemu.free_port()
    nic = qemu.Nic(MAC, forward={port: 22})
    stick = qemu.Disk(made.iso, "stick", "usb", snapshot=True)
    drives = {"cdrom": made.iso} if medium == "cd" else {"disks": [stick]}
    with machine(memory=MEMORY, firmware=firmware, nics=[nic], **drives) as vm:
        choose_shell(vm, medium)
        assert vm.sh("test -s /run/rear/problems && cat /run/rear/problems").output == ""

        assert vm.check("rear --version").startswith("rear, version ")
        plugins = json.loads(vm.check("rear plugins list --json"))
        active = {f"{plugin['kind']} {plugin['name']}" for plugin in plugins if plugin["state"] == "active"}
        assert active == {
            "backup NFS", "extra bcache", "extra notify", "extra rclone", "extra systemd-boot", "os debian",
            "output ISO",
        }  # fmt: skip
        assert not [plugin for plugin in plugins if plugin["state"] in ("broken", "missing")]

        (link,) = json.loads(vm.check("ip -json addr show eth0"))
        assert link["address"] == MAC
        assert "10.0.2.15" in [address["local"] for address in link["addr_info"]]
        assert vm.check("cat /proc/sys/kernel/hostname") == "debian12"
        assert vm.check("findmnt --noheadings --output FSTYPE /") in ("rootfs", "tmpfs", "ramfs")
        assert vm.sh("test -d /sys/firmware/efi").status == (firmware == "bios")
        secure = "secure boot enabled" in vm.check("dmesg").lower()
        assert secure == (firmware == "secureboot")

        welcome = ssh(made, port, "cat /etc/rear-release && rear --version")
        assert welcome.returncode == 0, welcome.stderr
        assert "debian12" in welcome.stdout and "rear, version" in welcome.stdout
        refused = ssh(made, port, "true", "-o", "PubkeyAuthentication=no")
        assert refused.returncode == 255
        assert "Permission denied (publickey)" in refused.stderr

        vm.power_off()


def choose_shell(vm: qemu.Machine, medium: str) -> None:
    """By the rescue system's menu, or from a stick by an entry of the boot menu."""
    if medium == "cd":
        vm.expect("Rescue system of debian12\r*\n", timeout=600)
        vm.expect("Choice: ")
        vm.send("2\n")
        vm.shell(PROMPT)
        return
    vm.expect("Recover debian12 automatically", timeout=300)
    vm.expect("Rescue shell")
    for key in (DOWN, DOWN, "\r"):
        vm.send(key)
    vm.shell(PROMPT, timeout=600)
    assert "rear.auto=shell" in vm.check("cat /proc/cmdline").split()
    devices = json.loads(vm.check("lsblk --json --nodeps --output TRAN,LABEL"))["blockdevices"]
    assert {"tran": "usb", "label": "REAR-ISO"} in devices
