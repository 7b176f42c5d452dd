# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine in a guest that saves itself by methods that need a server, a tape drive or discs.

At the end it makes what boots a real machine, too: a tape and discs with Debian's own kernel, which QEMU starts.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import cache, compare, debian, guests, methods, small, tape, vendors
from .methods import CARD, CLIENT, NODE, SECRET
from .vendors.server import Vault, vault

# Media are made on its own disk.
STORAGE = small.PLAIN.storage.replace("600MiB", "1500MiB")
DESIGN = replace(small.PLAIN, name="methods", disks=[2048], storage=STORAGE, backup=0, nics=[CARD])
OUTPUT = "/var/lib/rear/output"
USERS = {NODE: SECRET, CLIENT: SECRET}
CONFIGURATIONS = {
    "tsm": f"OUTPUT=PXE\nOUTPUT_URL=file://{OUTPUT}/tftp\nBACKUP=TSM\nRESCUE_ALLOW_SECRETS=( '/etc/adsm/TSM.*' )\n",
    "nsr": methods.CONFIGURATIONS["nsr"],
    "tape": f"OUTPUT=OBDR\nBACKUP=TAPE\nTAPE_BLOCK_SIZE={tape.BLOCK_SIZE}\nBACKUP_COMPRESSION=none\n"
    "RESCUE_BINARIES=( iscsistart )\nRESCUE_MODULES=( iscsi_tcp )\n",
    # Beside a rescue system of 80 MiB there is room for a part of the backup, and the rest fits on one more.
    "discs": "OUTPUT=ISO\nBACKUP=CDROM\nBACKUP_COMPRESSION=none\nISO_MAX_SIZE=300MiB\n",
}
# What `make test` recovers from; to save to the others costs a minute more whenever rear has changed.
DAILY, MORE = ("tsm", "tape"), ("nsr", "discs")
# What differs as each run has its own.
MAY_DIFFER = (*small.MAY_DIFFER, "/etc/rear/local.conf", "/nsr/*", "/etc/systemd/network/10-rear-*.link")
PREPARE = f"""\
{methods.NETWORK}
{methods.FOLDERS}
python3 /run/odd.py /srv
{methods.EXCLUDE.format(folders=" ".join(methods.WORK))}
"""
# What a drive in the mode of a CD shows: behind 20 records, in records of 2048 bytes. What was opened as st0 rewinds.
READ_IMAGE = "(: </dev/st0; exec </dev/nst0; dd bs=512 of=/dev/null && dd ibs=2048 obs=1M of=/run/image)"
# Of Debian's kernel, what finds a disc in QEMU, and a disk to restore to.
KERNEL = r"""
cd "$1"
version=$(ls usr/lib/modules)
cd usr/lib/modules/$version/kernel
exec tar --create --numeric-owner --file="$2" --directory="$1" boot/vmlinuz-$version boot/config-$version \
    $(cd ..; for name in modules.*; do echo usr/lib/modules/$version/$name; done) \
    $(for name in drivers/ata drivers/block drivers/cdrom drivers/scsi/s[dr]_mod.ko \
        drivers/scsi/scsi_common.ko drivers/scsi/scsi_mod.ko drivers/virtio fs/ext4 fs/isofs fs/jbd2 fs/nls \
        fs/mbcache.ko arch block crypto lib; do
        echo "usr/lib/modules/$version/kernel/$name"; done)
"""
# The backup on discs for QEMU is there to be found and read.
BOOTABLE = {
    "tape": "OUTPUT=OBDR\n",
    "discs": "OUTPUT=ISO\nBACKUP=CDROM\nBACKUP_COMPRESSION=none\nISO_MAX_SIZE=65MiB\n"
    "BACKUP_PROG_EXCLUDE=( '/[!se]*' /usr/share )\n",
}


@dataclass(frozen=True)
class Saved:
    """What the machine has left in a folder that is shared: copy what is written to.

    `said` is what it said on the way, by methods, `facts` are what the tools say of its storage.
    """

    folder: Path
    port: int
    said: dict[str, Any]
    facts: list[str]

    @property
    def files(self) -> Path:
        """The list of all files."""
        return self.folder / "files.json"

    @property
    def discs(self) -> list[Path]:
        """The rescue discs with the backup on them, the one that boots first."""
        return sorted(self.folder.glob("discs/*.iso"))

    def initramfs(self, method: str) -> Path:
        """The rescue system that was made together with a method's backup."""
        return self.folder / f"{method}.img"

    def tape(self, folder: Path) -> Path:
        """The tape to write to."""
        subprocess.run(["cp", "--sparse=always", self.folder / "tape", folder / "tape"], check=True)
        return folder / "tape"

    @contextmanager
    def server(self, network: Path) -> Iterator[Vault]:
        """The server of the vendors' clients, for as long as the block runs."""
        with vault(self.folder / "vault", USERS, self.port, network) as running:
            yield running


def saved(names: Sequence[str] = DAILY) -> Saved:
    """The machine, by these methods, unless it has done that before."""
    sources = (inspect.getsource(module) for module in (sys.modules[__name__], small, methods, tape))
    programs = (vendors.program(name).decode() for name in methods.PROGRAMS)
    key = cache.digest(
        small.tree().name, debian.rear_disk().name, guests.image().name, tape.initiator().name, *sources, *programs,
        compare.ODD_FILES, compare.LISTING, *names,
    )  # fmt: skip
    folder = cache.cached("small-methods", key, lambda path: _make(path, names))
    about = json.loads((folder / "about.json").read_text())
    return Saved(folder, about["port"], about["said"], about["facts"])


def bootable(method: str) -> Path:
    """What QEMU boots, made by the same machine with Debian's kernel: `discs`, or in image.iso the CD of a `tape`."""
    made = saved()
    key = cache.digest(made.folder.name, debian.tree().name, method)
    return cache.cached("small-bootable", key, lambda path: _make_bootable(made, path, method))


def _make(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir()
    (folder / "vault").mkdir()
    said: dict[str, Any] = {}
    disks = [*DESIGN.blank(folder, "0a"), guests.Disk(small.tree(), plain=True, shared=True)]
    with small.running(DESIGN, disks, "small-methods") as vm, ExitStack() as services:
        small.install(vm, DESIGN)
        vm.push(tape.initiator(), "/")
        vm.put("/run/prepare.sh", PREPARE.encode())
        vm.check("bash /run/prepare.sh")
        server = services.enter_context(vault(folder / "vault", USERS, network=vm.network))
        drive = services.enter_context(tape.drive(tape.cartridge(folder / "tape", 1024), vm.network))
        methods.install_clients(vm, server.port)
        vm.check(drive.login)
        for method in names:
            said[method] = _save(vm, "mkbackup", CONFIGURATIONS[method])
            _take(vm, method, folder, server)
        said["mkbackuponly"] = vm.sh("rear mkbackuponly").__dict__
        (folder / "files.json").write_bytes(small.listed(vm))
        found = small.facts(vm)
        vm.power_off()
    about = {"said": said, "port": server.port, "facts": found}
    (folder / "about.json").write_text(json.dumps(about))


def _save(vm: guests.Machine, command: str, configuration: str) -> str:
    """Have the machine save itself; the passwords of its clients are not in the log."""
    vm.put("/etc/rear/local.conf", f"{configuration}{small.in_guest()}".encode())
    if "OBDR" in configuration:
        vm.check("rear format --yes /dev/nst0", 300)
    said = vm.check(f"rear {command}", 600)
    assert vm.sh(f"grep -F '{SECRET}' /tmp/rear-debian12.log").status == 1
    return said


def _take(vm: guests.Machine, method: str, folder: Path, server: Vault) -> None:
    """The rescue system that came with a backup, from where a machine would start it."""
    initramfs, image = folder / f"{method}.img", folder / "image"
    if method == "tsm":
        initramfs.write_bytes(vm.get(vm.check(f"ls {OUTPUT}/tftp/rear/debian12/*/initramfs.img")))
    elif method == "nsr":
        small.take_initramfs(server.media(CLIENT, methods.ISO), initramfs)
    elif method == "tape":
        vm.check(READ_IMAGE)
        image.write_bytes(vm.get("/run/image"))
        small.take_initramfs(image, initramfs)
    else:
        _take_discs(vm, folder / "discs")
        small.take_initramfs(folder / "discs" / methods.ISO, initramfs)
    image.unlink(missing_ok=True)
    vm.check(f"rm -rf {OUTPUT}/* /run/image")


def _take_discs(vm: guests.Machine, folder: Path) -> None:
    folder.mkdir(parents=True)
    vm.check(f"cd {OUTPUT} && sha256sum --check --quiet *.sha256; cd")
    for path in vm.check(f"find {OUTPUT} -type f").splitlines():
        (folder / Path(path).name).write_bytes(vm.get(path))


def _make_bootable(made: Saved, folder: Path, method: str) -> None:
    folder.mkdir()
    system = folder / "0a01"
    subprocess.run(["cp", "--sparse=always", made.folder / system.name, system], check=True)
    with small.running(DESIGN, [guests.Disk(system, system.name)], "small-bootable") as vm, ExitStack() as services:
        small.start(vm, DESIGN)
        # The cables are there only now.
        drive = services.enter_context(tape.drive(tape.cartridge(folder / "tape", 256), vm.network))
        vm.check(f"({methods.NETWORK})\n{drive.login}")
        version = _put_kernel(vm, folder)
        vm.check("head -c 40M /dev/urandom >/srv/large")
        command = "mkrescue" if method == "tape" else "mkbackup"
        configuration = f"{BOOTABLE[method]}KERNEL_CMDLINE='console=ttyS0 {debian.PARAMETERS}'\n"
        _save(vm, f"-r {version} {command}", configuration)
        if method == "tape":
            vm.check(READ_IMAGE)
            (folder / "image.iso").write_bytes(vm.get("/run/image"))
        else:
            _take_discs(vm, folder / "discs")
        vm.power_off()
    system.unlink()
    (folder / "tape").unlink()


def _put_kernel(vm: guests.Machine, folder: Path) -> str:
    """Install Debian's kernel; its version."""
    with tempfile.NamedTemporaryFile(dir=folder) as archive:
        subprocess.run(["bash", "-c", KERNEL, "bash", debian.tree(), archive.name], check=True)
        vm.push(Path(archive.name), "/")
    version = next((debian.tree() / "usr/lib/modules").iterdir()).name
    vm.check(f"depmod {version}")
    return version
