# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of dnsmasq that the documentation shows: clients of each firmware get the boot loader they need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rear_core.shell import Shell

pytestmark = pytest.mark.root

PAGE = Path(__file__).parents[2] / "docs/how-to/pxe.md"

# What firmware does: ask for an address with its architecture (RFC 4578), load the file that it is told (RFC 1350).
CLIENT = r"""
import socket, struct, sys

card, architecture, ipxe = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "ipxe"
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, card.encode())
asking.settimeout(20)
asking.bind(("", 68))
mac = bytes.fromhex("5254000000aa")
head = struct.pack("!BBBBIHH16s16s64s128s", 1, 1, 6, 0, 4711, 0, 0x8000, b"", mac, b"", b"")
options = b"\x63\x82\x53\x63\x35\x01\x01\x3c\x09PXEClient\x5d\x02" + struct.pack("!H", architecture)
if ipxe:
    options += b"\xaf\x03\xb1\x01\x01"
asking.sendto(head + options + b"\xff", ("255.255.255.255", 67))
answer = asking.recv(4096)
server, name = socket.inet_ntoa(answer[20:24]), answer[108:236].rstrip(bytes(1))
loading = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
loading.settimeout(20)
loading.sendto(struct.pack("!H", 1) + name + bytes(1) + b"octet" + bytes(1), (server, 69))
content, block = b"", bytes(512)
while len(block) == 512:
    data, sender = loading.recvfrom(1024)
    assert data[:2] == struct.pack("!H", 3), data
    block = data[4:]
    content += block
    loading.sendto(struct.pack("!H", 4) + data[2:4], sender)
print(name.decode(), content.decode())
"""


@pytest.fixture
def namespaces(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A network of two: the server with the card eth0 and the client with the card eth0; dnsmasq runs on the first."""
    sh = Shell()
    server, client = (f"rear-pxe-{name}-{os.getpid()}" for name in ("server", "client"))
    (tmp_path / "tftp/grub").mkdir(parents=True)
    for name in ("pxelinux.0", "grub/bootx64.efi", "grub/bootaa64.efi", "boot.ipxe"):
        (tmp_path / "tftp" / name).write_text(f"this is {name}" * 100)
    for path in (tmp_path, *tmp_path.parents[:1]):
        path.chmod(0o755)
    found = re.search(r"```ini\n# /etc/dnsmasq.*?\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    config = tmp_path / "dnsmasq.conf"
    config.write_text(found[1].replace("/srv/tftp", f"{tmp_path}/tftp"))
    try:
        for name in (server, client):
            sh.run("ip", "netns", "add", name)
        sh.run("ip", "-netns", server, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", client)
        for name, address in ((server, "192.0.2.1/24"), (client, "192.0.2.50/24")):
            sh.run("ip", "-netns", name, "address", "add", address, "dev", "eth0")
            sh.run("ip", "-netns", name, "link", "set", "eth0", "up")
        argv = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", server, "dnsmasq", "--keep-in-foreground"]
        argv += [f"--conf-file={config}", "--no-ping", "--user=root", "--log-facility=-"]
        argv += [f"--dhcp-leasefile={tmp_path}/leases", f"--pid-file={tmp_path}/pid"]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            while "TFTP root" not in (line := process.stderr.readline()):
                assert line, "dnsmasq did not start"
            yield server, client
            process.kill()
            process.stderr.close()
    finally:
        for name in (server, client):
            sh.run("ip", "netns", "delete", name, ok=(0, 1))


def test_each_firmware_gets_its_boot_loader(namespaces: tuple[str, str]) -> None:
    time.sleep(0.5)
    asked = {
        ("0", "rom"): "pxelinux.0", ("7", "rom"): "grub/bootx64.efi", ("11", "rom"): "grub/bootaa64.efi",
        ("0", "ipxe"): "boot.ipxe",
    }  # fmt: skip
    for (architecture, program), name in asked.items():
        argv = ("ip", "netns", "exec", namespaces[1], sys.executable, "-c", CLIENT, "eth0", architecture, program)
        told = Shell().query(*argv)
        assert told.strip() == f"{name} " + f"this is {name}" * 100
