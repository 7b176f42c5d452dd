# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose root file system is on multipath over iSCSI saves itself, comes back and starts by its initramfs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import cache, compare, debian, guests, san, small, tgt

pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(1800)]

NIC = guests.Nic("52:54:00:00:00:05", nat=True)
# Two controllers with one disk.
PORTS = (3260, 3261)
WORDS = "root=LABEL=root ip=10.0.2.15::10.0.2.2:255.255.255.0:::off"
FILES = {
    "/etc/fstab": f"LABEL=root / ext4 errors=remount-ro 0 1\n{small.FSTAB}",
    "/etc/default/grub": f'{small.GRUB}GRUB_CMDLINE_LINUX="{WORDS}"\n',
    "/etc/iscsi/initiatorname.iscsi": f"InitiatorName={san.INITIATOR}\n",
    "/etc/iscsi/iscsi.initramfs": f'ISCSI_TARGET_NAME="{san.TARGET}"\nISCSI_TARGET_IP="10.0.2.2"\n',
    "/etc/multipath.conf": "defaults {\n    find_multipaths strict\n    user_friendly_names yes\n}\n",
    "/etc/multipath/bindings": f"mpatha {san.WWID}\n",
    "/etc/multipath/wwids": f"/{san.WWID}/\n",
    "/etc/rear/local.conf": small.CONF,
    "/etc/rear/config/50_mount.sh": small.MOUNT,
}
# One path is made by the initramfs, the other one by the running machine.
LOG_IN = f"""(
set -e
setsid iscsid
for port in {" ".join(map(str, PORTS))}; do
    record="--mode node --targetname {san.TARGET} --portal 10.0.2.2:$port"
    iscsiadm $record --op new
    iscsiadm $record --login || [ $? = 15 ]
done
udevadm settle
multipath -v0 || true
udevadm settle
)"""
CARD = f"""(
set -e
card=$(basename $(dirname $(grep -lx {NIC.mac} /sys/class/net/*/address)))
ip link set $card up
ip address add 10.0.2.15/24 dev $card
modprobe -a iscsi_tcp sd_mod dm_multipath
)"""
STORAGE = rf"""
{small.PRELUDE}
a=/dev/mapper/mpatha
sfdisk -q -X dos $a <<END
start=2048, type=83, bootable
END
kpartx -a -p -part $a
udevadm settle
put_root $a-part1
"""
SETTLE = r"""
set -e
for folder in dev proc sys run; do mount --rbind /$folder /mnt/$folder; done
chroot /mnt grub-install --target=i386-pc /dev/mapper/mpatha
chroot /mnt update-initramfs -u -k all
chroot /mnt update-grub
cp /mnt/boot/initrd.img-* /run/initrd
for folder in run sys proc dev; do umount --lazy --recursive /mnt/$folder; done
sync
"""
TELL = (
    "lsblk -rno TYPE,FSTYPE,LABEL,UUID,PARTUUID /dev/mapper/mpatha; sfdisk --dump /dev/mapper/mpatha;"
    " findmnt -rno FSTYPE,UUID /"
)


@dataclass(frozen=True)
class Saved:
    """What the machine left: the disk with its backup, its rescue system, its initramfs, and what it was."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name


@contextmanager
def served(vm: guests.Machine, disk: Path, ports: Sequence[int] = PORTS) -> Iterator[None]:
    """A block in which controllers offer the disk to a guest, also while that starts."""
    host = ["nsenter", f"--net={vm.network}", "ip", "-oneline", "address"]
    while "10.0.2.2/" not in subprocess.run(host, check=True, capture_output=True, text=True).stdout:
        time.sleep(0.05)
    with ExitStack() as undo:
        for port in ports:
            undo.enter_context(tgt.running("10.0.2.2", vm.network, port)).offer(san.TARGET, disk)
        yield


def backup_disk(path: Path) -> guests.Disk:
    return guests.Disk(path, small.BACKUP)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("san")
    lun, backup = guests.blank(folder / "lun", 1400), guests.blank(folder / "backup", 768)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "BACKUP", backup], check=True)
    disks = [backup_disk(backup), guests.Disk(small.tree(*san.PACKAGES), plain=True, shared=True)]
    with guests.Machine(
        root=guests.image(debian.tree(*san.PACKAGES)), disks=disks, nics=[NIC], memory=1536,
        transcript=cache.transcript("uml-san-saves"),
    ) as vm, served(vm, lun):  # fmt: skip
        vm.shell()
        for name, text in FILES.items():
            if name.startswith(("/etc/iscsi", "/etc/multipath")):
                vm.check(f"mkdir -p $(dirname {name})")
                vm.put(name, text.encode())
        vm.check(CARD)
        vm.check(LOG_IN)
        vm.put("/run/storage", STORAGE.encode())
        vm.check("bash /run/storage", 300)
        vm.push(debian.rear_disk(), "/mnt")
        for name, text in FILES.items():
            vm.check(f"mkdir -p $(dirname /mnt{name})")
            vm.put(f"/mnt{name}", text.replace("{left_out}", "").replace("{in_guest}", small.in_guest()).encode())
        vm.check("chmod 755 /mnt/etc/rear/config/50_mount.sh; mkdir -p /mnt/srv/backup")
        vm.put("/run/settle", SETTLE.encode())
        vm.check("bash /run/settle", 300)
        (folder / "initrd").write_bytes(vm.get("/run/initrd"))
        vm.enter()
        vm.shell()
        vm.check("setsid iscsid; mount -a")
        vm.put("/run/odd.py", compare.ODD_FILES.encode())
        vm.check("python3 /run/odd.py /srv")
        vm.check("rear mkbackup", 600)
        (folder / "rescue.iso").write_bytes(vm.get(small.ISO))
        (folder / "files.json").write_bytes(small.listed(vm))
        (folder / "told").write_text(vm.check(TELL))
        vm.power_off()
    small.take_initramfs(folder / "rescue.iso", folder / "initramfs.img")
    return Saved(folder)


@pytest.mark.parametrize("ports", [PORTS, PORTS[:1]], ids=["two-paths", "one-path"])
def test_a_machine_on_a_san_comes_back_and_starts(saved: Saved, tmp_path: Path, ports: Sequence[int]) -> None:
    lun = guests.blank(tmp_path / "lun", 1400)
    subprocess.run(["cp", "--sparse=always", saved.path("backup"), tmp_path / "backup"], check=True)
    disks = [backup_disk(tmp_path / "backup")]
    with guests.Machine(
        initrd=saved.path("initramfs.img"), disks=disks, nics=[NIC], command_line="rear.auto=shell",
        transcript=cache.transcript(f"uml-san-recovers-{len(ports)}"),
    ) as vm, served(vm, lun, ports):  # fmt: skip
        vm.shell(small.RESCUE_PROMPT)
        said = vm.check("rear -n recover 2>&1", 600)
        assert ("a path to iSCSI disks is missing" in said) == (ports != PORTS)
        vm.send("poweroff\n")
        vm.wait()
    with guests.Machine(
        initrd=saved.path("initrd"), disks=disks, nics=[NIC], memory=1536,
        command_line=f"{guests.COMMAND_LINE} {WORDS}", transcript=cache.transcript(f"uml-san-starts-{len(ports)}"),
    ) as vm, served(vm, lun, ports):  # fmt: skip
        vm.shell()
        assert "mpatha-part1" in vm.check("findmnt -no SOURCE /")
        assert vm.check(TELL) == saved.path("told").read_text()
        report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
        (tmp_path / "files.json").write_bytes(small.listed(vm))
        vm.power_off()
    assert report["problems"] == []
    assert compare.differences(saved.path("files.json"), tmp_path / "files.json", ()) == {}
