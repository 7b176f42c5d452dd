# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose files stand-ins of Storage Protect and NetWorker keep comes back from each, with its rescue ISO."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import backups, designs, machines, qemu, vendors
from lab.vendors.server import Vault, vault

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(5400)]

DOWN = "\x1b[B"
ISO = "rear-debian12.iso"
CARD = qemu.Nic("52:54:00:00:00:01", nat=True)
NODE, CLIENT, SECRET = "WEB1", "web1", "correct horse"
HOME = "0f2c5d4e-1b7a-4c38-9a56-d3e8f7b6a102"

# The server is known by a name of /etc/hosts alone.
PREPARE = f"""\
set -e
card=$(basename $(dirname $(grep -l {CARD.mac} /sys/class/net/*/address)))
ip link set $card up
ip address add 10.0.2.15/24 dev $card
ip route add default via 10.0.2.2
echo '10.0.2.2 vault' >> /etc/hosts
mkfs.ext4 -q -U {HOME} -L home /dev/vdb
echo 'UUID={HOME} /home ext4 defaults 0 2' >> /etc/fstab
mount /home
chmod 711 /home
mkdir -p /home/anna /etc/adsm /var/log/tsm /nsr/logs /nsr/tmp /nsr/res/nsrladb /usr/lib/nsr
echo 'of anna' > /home/anna/note
setfattr -n user.note -v kept /home/anna/note
ln /home/anna/note /home/anna/same
chown 12345:54321 /home/anna
"""
# A library of the client in its own folder needs one of another vendor's folder: nobody but LD_LIBRARY_PATH knows them.
INSTALL_TSM = """\
import os, pathlib, shutil
bin, gsk = pathlib.Path("/opt/tivoli/tsm/client/ba/bin"), pathlib.Path("/usr/local/ibm/gsk8_64/lib64")
system = pathlib.Path("/lib/x86_64-linux-gnu")
for folder in (bin, gsk, pathlib.Path("/opt/tivoli/tsm/client/lang/EN_US")):
    folder.mkdir(parents=True)
mount = (system / "libmount.so.1").read_bytes().replace(b"libblkid.so.1", b"libgsk8km2.so")
(bin / "libApiTSM64.so").write_bytes(mount)
(gsk / "libgsk8km2.so").write_bytes((system / "libblkid.so.1").read_bytes())
(bin / "dsmj").write_text("the graphical client")
shutil.move("/run/dsmc", bin / "dsmc")
(bin / "dsmc").chmod(0o755)
os.symlink(bin / "dsmc", "/usr/bin/dsmc")
os.symlink("../../lang/EN_US", bin / "EN_US")
pathlib.Path("/opt/tivoli/tsm/client/lang/EN_US/dsmclientV3.cat").write_text("messages")
"""
DSM_SYS = """\
SErvername  VAULT
   COMMMethod        TCPip
   TCPServeraddress  vault
   TCPPort           {port}
   NODename          web1
   PASSWORDAccess    generate
   INCLExcl          /etc/inclexcl
   ERRORLOGName      /var/log/tsm/dsmerror.log
"""
TSM = """\
OUTPUT=ISO
BACKUP=TSM
TSM_RESULT_SAVE=yes
RESCUE_ALLOW_SECRETS=( '/etc/adsm/TSM.*' )
"""
NSR = """\
OUTPUT=ISO
BACKUP=NSR
NSRSERVER=vault
NSR_CLIENT_NAME=web1
NSR_RESULT_SAVE=yes
RESCUE_ALLOW_SECRETS=( /nsr/res/nsrladb )
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Vault]:
    (tmp_path / "vault").mkdir()
    with vault(tmp_path / "vault", {NODE: SECRET, CLIENT: SECRET}) as running:
        yield running


def test_the_machine_comes_back_from_each(
    machine: Callable[..., qemu.Machine], server: Vault, tmp_path: Path
) -> None:
    system = machines.copy(designs.BIOS, tmp_path / "original")
    home = qemu.Disk(qemu.blank(tmp_path / "original/home", 512), "home")
    with machine(disks=[*system, home, machines.rear_disk()], nics=[CARD]) as vm:
        machines.log_in(vm, designs.BIOS)
        machines.install_rear(vm)
        prepare(vm, server)
        for configuration in (TSM, NSR):
            vm.put("/etc/rear/local.conf", configuration.encode())
            told = vm.check("rear mkbackup", timeout=2400)
            assert "Saved /home" in told
            assert "WARNING: /srv/backup is not mounted" in told
            assert SECRET not in vm.check("cat /tmp/rear-debian12.log")
        facts = backups.facts(vm, designs.BIOS)
        vm.power_off()

    for node, restored in ((NODE, "Restored /home: "), (CLIENT, "The server has /home: ")):
        blank = [drive.blank(tmp_path) for drive in designs.BIOS.drives]
        blank.append(qemu.Disk(qemu.blank(tmp_path / "home", 512), "home"))
        recover(machine, server.media(node, ISO), blank, restored)
        with machine(disks=blank) as vm:
            machines.log_in(vm, designs.BIOS)
            note = vm.check("cd /home/anna; cat same; stat -c %h note; getfattr -n user.note --only-values note")
            assert note == "of anna\n2\nkept"
            assert vm.check("stat -c '%a %u' /home /home/anna") == "711 0\n755 12345"
            assert backups.facts(vm, designs.BIOS) == facts
            assert json.loads(vm.check("cat /var/log/rear/recovery-*.json"))["problems"] == []
            vm.power_off()
        for disk in blank:
            disk.path.unlink()


def prepare(vm: qemu.Machine, server: Vault) -> None:
    """Another disk, a network, and both clients as their vendors install them."""
    vm.put("/run/prepare.sh", PREPARE.encode())
    vm.check("bash /run/prepare.sh")
    vm.put("/run/dsmc", vendors.program("dsmc"))
    vm.put("/run/install.py", INSTALL_TSM.encode())
    vm.check("python3 /run/install.py")
    vm.put("/opt/tivoli/tsm/client/ba/bin/dsm.opt", b"SErvername VAULT\n")
    vm.put("/opt/tivoli/tsm/client/ba/bin/dsm.sys", DSM_SYS.format(port=server.port).encode())
    vm.check("echo 'exclude /tmp/.../*' > /etc/inclexcl; touch /etc/adsm/TSM.sth")
    vm.check(f"printf %s '{SECRET}' | base64 > /etc/adsm/TSM.KDB; chmod 600 /etc/adsm/*")

    vm.put("/usr/sbin/save", vendors.program("save"))
    vm.check("cd /usr/sbin; chmod 755 save; for name in mminfo nsrexecd recover; do cp save $name; done")
    vm.put("/nsr/res/nsrladb/nsrla.json", json.dumps({"key": SECRET, "port": server.port}).encode())
    vm.check("chmod 700 /nsr/res/nsrladb; nsrexecd -s vault")


def recover(
    machine: Callable[..., qemu.Machine], iso: Path, disks: list[qemu.Disk], restored: str
) -> None:
    """From the boot menu to the end, unattended."""
    with machine(cdrom=iso, disks=disks, nics=[CARD]) as vm:
        vm.expect("Recover debian12 automatically", timeout=600)
        vm.send(DOWN + "\r")
        vm.expect("Unattended recovery", timeout=600)
        vm.expect(restored, timeout=1800)
        ended = vm.expect(r"The recovery is complete\. Rebooting|The recovery failed[^\n]*", timeout=1800)
        assert ended[0].startswith("The recovery is complete"), ended[0]
        vm.wait(300)
