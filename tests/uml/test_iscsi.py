# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk on multipath over iSCSI: described, lost, reached from a system that knows only the description, recreated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import cache, guests, san, tgt

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(600)]

MAC = "52:54:00:00:00:05"
MULTIPATH = "defaults {\n find_multipaths no\n user_friendly_names yes\n}\n"
CONF = f"EXCLUDE_DEVICES=( {guests.OWN_DISKS} )\n"

# What open-iscsi does on a machine where an administrator has logged in.
LOG_IN = """(
set -e
setsid iscsid
for portal in {portals}; do
    iscsiadm --mode node --targetname {target} --portal $portal --op new
    iscsiadm --mode node --targetname {target} --portal $portal --login
done
udevadm settle
multipath -v0 || true
udevadm settle
)"""
MAKE = """(
set -e
sfdisk --quiet /dev/mapper/mpatha <<END
label: gpt
name=data
END
kpartx -a -p -part /dev/mapper/mpatha
udevadm settle
mkfs.ext4 -q -L data /dev/mapper/mpatha-part1
mkdir -p /srv/data
echo 'LABEL=data /srv/data ext4 _netdev 0 2' >>/etc/fstab
mount /dev/mapper/mpatha-part1 /srv/data
)"""
# From here on the guest is as a rescue system: no session, no initiator, and none of its records.
FORGET = """
umount /srv/data /mnt/local/srv/data 2>/dev/null
multipath -F
udevadm settle
iscsiadm --mode node --logoutall=all
iscsiadm --mode session --logout 2>/dev/null
iscsiadm --kill 0
sleep 1
rm -rf /etc/iscsi/nodes
udevadm settle
"""
# What `rear recover` does between its checks and the restore of files.
RECREATE = """
from pathlib import Path
from rear_core.builtin import planning, recreate
from rear_core.cli.session import open_run
from rear_core.errors import RearError
from rear_core.run import Options

run = open_run(Options(unattended=True, config_dir=Path("/root/san"), target=Path("/mnt/local")))
try:
    for step in (planning.load_description, planning.make_plan, recreate.take_down, recreate.build, recreate.mount):
        step(run)
    recreate.compare(run)
    print("DIFFERENCES", run.rebuilt.differences)
except RearError as error:
    print("REFUSED", error.message, "->", error.hint)
run.undo.close()
"""


@dataclass
class Storage:
    """Two controllers with the same disk, each of which answers until it is `stopped`."""

    vm: guests.Machine
    disk: Path
    controllers: list[tuple[tgt.Daemon, ExitStack]] = field(default_factory=list)

    @property
    def portals(self) -> list[str]:
        return [f"10.0.2.2:{daemon.port}" for daemon, _ in self.controllers]

    def start(self) -> None:
        """Another controller."""
        undo = ExitStack()
        daemon = undo.enter_context(tgt.running("10.0.2.2", self.vm.network))
        daemon.offer(san.TARGET, self.disk)
        self.controllers.append((daemon, undo))

    def stop(self, number: int) -> None:
        self.controllers[number][1].close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    card = guests.Nic(MAC, nat=True)
    with guests.Machine(root=guests.image(), nics=[card], transcript=cache.transcript("uml-iscsi")) as vm:
        vm.shell()
        vm.install_rear()
        vm.push(san.initiator(), "/")
        vm.check(f"card=$(basename $(dirname $(grep -lx {MAC} /sys/class/net/*/address)))")
        vm.check("ip link set $card up; ip address add 10.0.2.15/24 dev $card")
        vm.check("modprobe -a iscsi_tcp sd_mod dm_multipath; mkdir -p /etc/iscsi /root/san")
        vm.put("/etc/iscsi/initiatorname.iscsi", f"InitiatorName={san.INITIATOR}\n".encode())
        vm.put("/etc/multipath.conf", MULTIPATH.encode())
        vm.put("/root/san/local.conf", CONF.encode())
        made = Storage(vm, guests.blank(tmp_path / "lun", 256))
        try:
            made.start()
            made.start()
            yield made
        finally:
            for _, undo in made.controllers:
                undo.close()


def recreate(vm: guests.Machine) -> str:
    return vm.python(RECREATE, timeout=300)


def test_a_disk_on_two_paths_is_reached_by_either_and_recreated(storage: Storage) -> None:
    vm = storage.vm
    vm.check(LOG_IN.format(portals=" ".join(storage.portals), target=san.TARGET))
    vm.check(MAKE)
    vm.check("rear -c /root/san savelayout")
    layout = vm.get("/root/san/recovery/layout.json").decode()
    assert f'"id": "iscsi:{san.TARGET}/1"' in layout
    assert all(f'"{portal}"' in layout for portal in storage.portals)

    vm.sh(FORGET)
    blank(storage.disk)
    assert "DIFFERENCES ()" in recreate(vm)
    assert vm.check("iscsiadm --mode session").count(san.TARGET) == 2
    assert vm.check("blkid -o value -s LABEL /dev/mapper/mpatha-part1") == "data"

    vm.sh(FORGET)
    blank(storage.disk)
    storage.stop(1)
    said = recreate(vm)
    assert f"cannot log in to {san.TARGET} at {storage.portals[1]}" in said
    assert "DIFFERENCES ()" in said

    vm.sh(FORGET)
    storage.stop(0)
    said = recreate(vm)
    assert "REFUSED no path leads to multipath disk" in said and "check the network" in said


def blank(disk: Path) -> None:
    size = disk.stat().st_size
    disk.write_bytes(b"")
    guests.blank(disk, size >> 20)
