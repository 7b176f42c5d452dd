# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine knows of its wireless network is enough to join that again, by the programs of the rescue system."""

from __future__ import annotations

import json
import os

import pytest

from lab import qemu, wireless

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600), pytest.mark.long]

# What the rescue system runs, with the file that it has, on the machine itself.
LEAVE = "dhclient -x; kill $(cat /run/supplicant.pid); ip address flush dev wlan0; ip route flush dev wlan0"
DESCRIBE = """
import os, sys
from pathlib import Path
from rear_core.network import capture, known, model, wireless
from rear_core.shell import Shell
link, name = wireless.choose("yes", wireless.radios(Shell()))
model.save(capture.capture(Shell(), radios={link: name}), Path("/etc/rear/recovery/network.json"))
with open(os.open(wireless.CONFIGURATION, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
    file.write(known.configuration(known.find(name)))
"""
NETWORK = "/opt/rear/bin/python -m rear_core.network.apply /etc/rear/recovery/network.json"


def test_what_a_machine_knows_joins_its_network_again() -> None:
    with wireless.machine() as vm:
        wireless.connect(vm)
        vm.put("/root/describe.py", DESCRIBE.encode())
        vm.check("/opt/rear/bin/python /root/describe.py", timeout=300)
        (radio,) = json.loads(vm.check("cat /etc/rear/recovery/network.json"))["links"]
        assert (radio["name"], os.fsencode(radio["ssid"])) == (wireless.RADIO, wireless.NAME)
        vm.sh(LEAVE)
        assert_joined(vm, NETWORK)
        wireless.change_access_point(vm, wireless.WPA3)
        assert_joined(vm, NETWORK)
        assert "SAE" in vm.check("wpa_cli -i wlan0 status | grep key_mgmt")
        wireless.change_access_point(vm, wireless.OTHER_KEY)
        refused = vm.sh(NETWORK, timeout=300)
        assert refused.status == 1 and "does not accept the key: to try again, run rear-network" in refused.output
        wireless.change_access_point(vm, "")
        gone = vm.sh(NETWORK, timeout=300)
        # The kernel remembers for a while what was in reach.
        assert gone.status == 1 and ("is not in reach" in gone.output or "does not answer" in gone.output)


def assert_joined(vm: qemu.Machine, command: str) -> None:
    """By what somebody at the console would type."""
    done = vm.sh(command, timeout=300)
    assert done.status == 0, done.output
    assert f"{wireless.RADIO} ({wireless.RADIO}, same MAC): 192.168.77." in done.output
    vm.check(f"ping -c 1 -W 5 -I {wireless.RADIO} {wireless.GATEWAY}")
