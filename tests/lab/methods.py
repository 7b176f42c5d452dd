# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that saves itself by every method but a stick, one after the other, and what it can come back from then.

That is for `make test-vm`; `small_methods` does the same quicker, and `originals` has the stick.
"""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import backups, cache, compare, debian, guests, machines, qemu, tape, vendors
from .designs.debian import BIOS
from .vendors.server import Vault, vault

CARD = qemu.Nic("52:54:00:00:00:01", nat=True)
HOME = machines.Drive("home", 256)
NODE, CLIENT, SECRET = "WEB1", "web1", "correct horse"
PROGRAMS = ("dsmc", "save")
OUTPUT = "var/lib/rear/output"
ISO = "rear-debian12.iso"

# Emulated machines are slow at compressing; and a part of the machine is enough, as long as it starts.
LEFT_OUT = ("/usr/lib/modules/*/kernel/drivers", "/usr/lib/python3*", "/usr/lib/grub/x86_64-efi*", "/opt/rear")
# rear's own work, which the vendors' clients know nothing of.
WORK = ("/tmp/rear.*", "/var/cache/rear", "/var/lib/rear/output")
QUICK = f"BACKUP_COMPRESSION=none\nBACKUP_PROG_EXCLUDE=( {' '.join(map(repr, LEFT_OUT))} '/tmp/*' )\n"
CONFIGURATIONS = {
    "pxe": f"OUTPUT=PXE\nOUTPUT_URL=file:///{OUTPUT}/tftp\nBACKUP=TSM\nRESCUE_ALLOW_SECRETS=( '/etc/adsm/TSM.*' )\n",
    "nsr": "OUTPUT=ISO\nBACKUP=NSR\nNSRSERVER=vault\nNSR_CLIENT_NAME=web1\nNSR_RESULT_SAVE=yes\n"
    "RESCUE_ALLOW_SECRETS=( /nsr/res/nsrladb )\n",
    "tape": f"OUTPUT=OBDR\nBACKUP=TAPE\nTAPE_BLOCK_SIZE={tape.BLOCK_SIZE}\n{QUICK}",
    # Beside a rescue system of 80 MiB there is room for a part of the backup, and the rest fits on one more.
    "discs": f"OUTPUT=ISO\nBACKUP=CDROM\nISO_MAX_SIZE=200MiB\n{QUICK}",
}
# What differs as each run has its own; and the card may be in another slot than beside all those disks.
MAY_DIFFER = ("/etc/rear/local.conf", "/nsr/*", "/etc/systemd/network/10-rear-*.link")

# The server is known by a name of /etc/hosts alone.
NETWORK = f"""\
set -e
card=$(basename $(dirname $(grep -l {CARD.mac} /sys/class/net/*/address)))
ip link set $card up
ip address add 10.0.2.15/24 dev $card
ip route add default via 10.0.2.2
echo '10.0.2.2 vault' >> /etc/hosts
"""
FOLDERS = "mkdir -p /etc/rear /etc/adsm /var/log/tsm /nsr/logs /nsr/tmp /nsr/res/nsrladb /usr/lib/nsr\n"
EXCLUDE = r"""
for folder in {folders}; do
    echo "exclude.dir $folder" >> /etc/inclexcl
    printf '<< %s >>\nskip: %s\n' "${{folder%/*}}" "${{folder##*/}}" >> /.nsr
done
"""
PREPARE = f"""\
{NETWORK}
mkfs.ext4 -q -U 0f2c5d4e-1b7a-4c38-9a56-d3e8f7b6a102 -L home /dev/vdb
sed -i /BACKUP/d /etc/fstab
echo 'LABEL=home /home ext4 defaults 0 2' >> /etc/fstab
mount /home
chmod 711 /home
{FOLDERS}
python3 /root/odd.py /srv
python3 /root/odd.py /home
{EXCLUDE.format(folders=" ".join(LEFT_OUT + WORK))}
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

# The first partition of the machine's disk begins at 1 MiB; what a test does there happens in namespaces of its own.
INSIDE = 'mount -o loop,offset=1048576 "$1" /mnt && mount -o loop "$2" /mnt/home && shift 2 && "$@"'
# By the host's Python: there may be none inside, and it is slow in an emulated machine.
LIST = """
import json, os, stat, sys, zlib
script, listed = open(sys.argv[1]).read(), os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600)
os.chroot("/mnt")
os.chdir("/")
sys.argv[1] = listed
exec(script)
"""
# Below the current directory, where the last partition of a stick is mounted.
HELD = "find . -path ./lost+found -prune -o -type f -print"


@dataclass(frozen=True)
class Saved:
    """What the machine has left in a folder that is shared: copy what is written to.

    `said` is what it said on the way, by names.
    """

    folder: Path
    port: int
    said: dict[str, Any]

    @property
    def files(self) -> Path:
        """The list of all files of the machine."""
        return self.folder / "files.json"

    @property
    def discs(self) -> list[Path]:
        """The rescue discs with the backup on them, the one that boots first."""
        return sorted((self.folder / "output").glob("*.iso"))

    def copy(self, name: str, folder: Path) -> Path:
        """A disk or a tape to write to."""
        subprocess.run(["cp", "--sparse=always", self.folder / name, folder / name], check=True)
        return folder / name

    @contextmanager
    def server(self) -> Iterator[Vault]:
        """The server of the vendors' clients, for as long as the block runs.

        The rescue systems know its port, so it is for one test at a time.
        """
        users = {NODE: SECRET, CLIENT: SECRET}
        with cache.locked(self.folder / "lock"), vault(self.folder / "vault", users, self.port) as running:
            yield running


def saved() -> Saved:
    """The machine, unless it has done that before, by all methods but a stick."""
    sources = (inspect.getsource(sys.modules[__name__]), *(vendors.program(name).decode() for name in PROGRAMS))
    scripts = compare.ODD_FILES, compare.LISTING, *CONFIGURATIONS.values()
    key = cache.digest(machines.made(BIOS).name, debian.rear_disk().name, *scripts, *sources)
    folder = cache.cached("methods", key, _make)
    about = json.loads((folder / "about.json").read_text())
    return Saved(folder, about["port"], about["said"])


def blank(folder: Path) -> list[qemu.Disk]:
    """The machine's disks, as new."""
    return [drive.blank(folder) for drive in (*BIOS.drives, HOME)]


def check(disks: list[qemu.Disk], original: Path, left_out: Sequence[str] = LEFT_OUT) -> None:
    """Nothing of the original's list but what was left out is missing here, by the recovery's own report as well."""
    report = json.loads(inside(disks, "sh", "-c", "cat /mnt/var/log/rear/recovery-*.json"))
    assert report["problems"] == []
    listed = files_of(disks, disks[0].path.with_name("recovered.json"))
    may_differ = (*MAY_DIFFER, *(f"{folder}*" for folder in left_out))
    different = compare.differences(original, listed, may_differ)
    assert different == {}, different


def files_of(disks: list[qemu.Disk], listed: Path) -> Path:
    """The list of all files on a machine's disks."""
    script = listed.with_suffix(".py")
    script.write_text(compare.LISTING)
    inside(disks, sys.executable, "-c", LIST, script, listed)
    return listed


def inside(disks: list[qemu.Disk], *argv: str | Path) -> str:
    """Run a program of the host that finds a machine's file systems at /mnt."""
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", INSIDE, "sh"]
    command += [f"{disk.path}" for disk in disks]
    done = subprocess.run([*command, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _make(folder: Path) -> None:
    folder.mkdir()
    (folder / "vault").mkdir()
    disks = [*machines.copy(BIOS, folder / "original"), HOME.blank(folder / "original")]
    # The drive shows the beginning of a tape as a CD, this machine as a disk.
    image = qemu.Disk(qemu.blank(folder / "image", 512), "image", "usb")
    said: dict[str, Any] = {}
    with ExitStack() as services:
        server = services.enter_context(vault(folder / "vault", {NODE: SECRET, CLIENT: SECRET}))
        drive = services.enter_context(tape.drive(tape.cartridge(folder / "tape", 1024)))
        with qemu.Machine(
            disks=[*disks, image, machines.rear_disk()],
            nics=[CARD],
            devices=drive.devices,
            accelerator=machines.accelerator(),
            transcript=cache.transcript("original-methods"),
        ) as vm:
            machines.log_in(vm, BIOS)
            machines.install_rear(vm)
            _prepare(vm, server.port)
            for name in CONFIGURATIONS:
                _save(vm, name, said)
            backups.shut_down(vm)
    inside(disks, "cp", "--recursive", f"/mnt/{OUTPUT}", folder / "output")
    files_of(disks, folder / "files.json")
    (folder / "about.json").write_text(json.dumps({"said": said, "port": server.port}))
    shutil.rmtree(folder / "original")


def _save(vm: qemu.Machine, name: str, said: dict[str, Any]) -> None:
    """Save it by a method."""
    vm.put("/etc/rear/local.conf", f"{CONFIGURATIONS[name]}KERNEL_CMDLINE='{debian.PARAMETERS}'\n".encode())
    if name in BEFORE:
        BEFORE[name](vm, said)
    said[name] = vm.check("rear mkbackup", timeout=2400)
    assert vm.sh(f"grep -F '{SECRET}' /tmp/rear-debian12.log").status == 1
    if name in AFTER:
        AFTER[name](vm, said)


def _prepare(vm: qemu.Machine, port: int) -> None:
    """Another disk, a network, and both clients."""
    vm.put("/root/odd.py", compare.ODD_FILES.encode())
    vm.put("/run/prepare.sh", PREPARE.encode())
    vm.check("bash /run/prepare.sh")
    install_clients(vm, port)


def install_clients(vm: qemu.Machine | guests.Machine, port: int) -> None:
    """Both clients as their vendors install them, where `FOLDERS` are."""
    vm.put("/run/dsmc", vendors.program("dsmc"))
    vm.put("/run/install.py", INSTALL_TSM.encode())
    vm.check("python3 /run/install.py")
    vm.put("/opt/tivoli/tsm/client/ba/bin/dsm.opt", b"SErvername VAULT\n")
    vm.put("/opt/tivoli/tsm/client/ba/bin/dsm.sys", DSM_SYS.format(port=port).encode())
    vm.check("touch /etc/adsm/TSM.sth")
    vm.check(f"printf %s '{SECRET}' | base64 > /etc/adsm/TSM.KDB; chmod 600 /etc/adsm/*")
    vm.put("/usr/sbin/save", vendors.program("save"))
    vm.check("cd /usr/sbin; chmod 755 save; for name in mminfo nsrexecd recover; do cp save $name; done")
    vm.put("/nsr/res/nsrladb/nsrla.json", json.dumps({"key": SECRET, "port": port}).encode())
    vm.check("chmod 700 /nsr/res/nsrladb; nsrexecd -s vault")


def _format_tape(vm: qemu.Machine, said: dict[str, Any]) -> None:
    vm.check("rear format --yes /dev/nst0", timeout=900)


def _copy_tape(vm: qemu.Machine, said: dict[str, Any]) -> None:
    """What a drive in the mode of a CD shows: behind 20 records, in records of 2048 bytes."""
    disk = vm.check("echo /dev/disk/by-id/usb-*_image-0:0")
    vm.check(f"exec 3</dev/nst0; dd bs=512 <&3 of=/dev/null && dd ibs=2048 obs=1M <&3 of={disk}", timeout=900)


def _discs_need_their_media(vm: qemu.Machine, said: dict[str, Any]) -> None:
    said["mkbackuponly"] = vm.sh("rear mkbackuponly").__dict__


def _verify_discs(vm: qemu.Machine, said: dict[str, Any]) -> None:
    said["discs verified"] = vm.check(f"cd /{OUTPUT} && sha256sum --check --quiet *.sha256 && ls -A")


BEFORE: dict[str, Callable[[qemu.Machine, dict[str, Any]], None]] = {
    "tape": _format_tape, "discs": _discs_need_their_media,
}  # fmt: skip
AFTER: dict[str, Callable[[qemu.Machine, dict[str, Any]], None]] = {
    "tape": _copy_tape, "discs": _verify_discs,
}  # fmt: skip
