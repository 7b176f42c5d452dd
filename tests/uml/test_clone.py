# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine with a fixed address is recovered as another one, which starts with an identity of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab import cache, guests, small

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(1200)]

OLD, NEW = "192.0.2.10/24", "192.0.2.50/24"
# Its card has the address while it saves itself, and gets it from systemd-networkd whenever it starts.
NETWORK = f"""
card=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
ip address add {OLD} dev $card
ip link set $card up
ip route add default via 192.0.2.1
file=/mnt/etc/systemd/network/10-lan.network
printf '[Match]\\nName=%s\\n[Network]\\nAddress={OLD}\\nGateway=192.0.2.1\\n' $card >$file
printf '127.0.0.1 localhost\\n192.0.2.10 debian12.example.org debian12\\n' >/mnt/etc/hosts
chroot /mnt systemctl -q enable systemd-networkd
"""
DESIGN = replace(
    small.PLAIN,
    name="cloned",
    storage=small.PLAIN.storage + NETWORK,
    nics=[guests.Nic("52:54:00:00:02:01", wire="lan")],
)
IDENTITY = "HOST_NAME=lab\nADDRESSES=( {card}={new} )\nGATEWAYS=( 192.0.2.1 )\n"
ADDRESSES = "ip -brief -4 address show scope global"
KEYS = "cat /etc/ssh/ssh_host_*_key.pub"


def test_a_machine_is_recovered_as_another_one(tmp_path: Path) -> None:
    saved = small.saved(DESIGN)
    backup = saved.copy(small.BACKUP, tmp_path)
    disks = [*(saved.copy(serial, tmp_path) for serial in DESIGN.serials("0a")), backup]
    with small.running(DESIGN, disks, "clone-original") as vm:
        small.start(vm, DESIGN)
        keys, machine_id = vm.check(KEYS), vm.check("cat /etc/machine-id")
    new = DESIGN.blank(tmp_path, "0b", DESIGN.larger)
    command_line = "rear.auto=shell rear.identity=dhcp"
    with guests.Machine(
        initrd=saved.initramfs, disks=[*new, backup], nics=DESIGN.nics, command_line=command_line,
        transcript=cache.transcript("clone-rescue"),
    ) as vm:  # fmt: skip
        vm.shell(r"RESCUE debian12\S* # ")
        assert OLD not in vm.check(ADDRESSES) and vm.check("hostname").strip() == "debian12-clone"
        vm.check(f'echo "DISK_MAPPING=( {small.mapping(DESIGN, "0b")} )" >>/etc/rear/local.conf')
        vm.put("/root/bad", b"HOST_NAME=lab\nADDRESSES=( eth99=192.0.2.50/24 )\n")
        refused = vm.sh(f"{small.RECOVER} --identity /root/bad 2>&1", 300)
        assert refused.status != 0 and "/root/bad:2:" in refused.output, refused.output
        assert vm.sh(f"blkid -p /dev/disk/lab/{new[0].serial}").status == 2
        (link,) = json.loads(vm.get("/etc/rear/recovery/network.json"))["links"]
        vm.put("/root/lab", IDENTITY.format(card=link["name"], new=NEW).encode())
        told = vm.check(f"{small.RECOVER} --identity /root/lab 2>&1", 300)
        assert "this is a clone of debian12, called lab" in told, told
        vm.send("poweroff\n")
        vm.wait()
    with small.running(DESIGN, new, "clone-started") as vm:
        vm.shell()
        vm.check(DESIGN.taken)
        vm.check("sed -i '/BACKUP/d' /mnt/etc/fstab")
        vm.enter("/sbin/init")
        vm.shell("root@lab:~# ")
        assert [line.split()[2:] for line in vm.check(ADDRESSES).splitlines()] == [[NEW]]
        assert "default via 192.0.2.1 " in vm.check("ip route")
        assert vm.check("hostname --fqdn").strip() == "lab.example.org"
        assert vm.check("cat /etc/machine-id") != machine_id
        own = vm.check(KEYS)
        assert len(own.splitlines()) == 3 and not {*own.splitlines()} & {*keys.splitlines()}
        assert "lab" in vm.check("ssh-keyscan 127.0.0.1 2>/dev/null; hostname")
        report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
        assert report["problems"] == [] and "this is a clone of debian12, called lab" in report["differences"]
        assert not vm.sh("grep -r 192.0.2.10 /etc --exclude-dir=rear").output.strip()
