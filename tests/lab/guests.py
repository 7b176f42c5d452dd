# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests: a real kernel with devices of its own, started directly, without firmware or boot loader.

An engine runs them: user-mode Linux (`lab.uml`), or QEMU (`lab.qemu_guests`) where the machine has a KVM that works.
REAR_GUESTS names one. All else is the same, so that a test runs with either.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from rear_core.shell import Running, Shell
from rear_drill.console import Answer as Answer
from rear_drill.console import Console
from rear_drill.monitor import MachineFailed as MachineFailed
from rear_drill.qemu import Nic as Nic
from rear_drill.qemu import blank as blank

from . import debian, qemu_guests, uml
from .cache import cached, digest, scratch

PYTHON = "/opt/rear/bin/python"
HOST = "/run/host"
INIT = "/usr/local/sbin/lab-init"
PROMPT = "LAB# "
# More than a terminal takes in while the shell is busy is lost.
LONG = 1000
COMMAND_LINE = f"quiet init={INIT}"
# Patterns of a guest's disks that are none of its machine's, for EXCLUDE_DEVICES.
OWN_DISKS = "'/dev/ubd?' '/dev/vd?'"

# What starts the guest instead of systemd, which takes much longer; udevd is there for /dev/disk. To go through all
# devices, mostly terminals, would take it two seconds.
INIT_SCRIPT = r"""#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8
if ! [ -e /proc/self ]; then
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mkdir -p /dev/pts /dev/shm
    mount -t devpts devpts /dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir /run/lock
    ln -s /proc/self/fd /dev/fd
    ln -s fd/0 /dev/stdin
    ln -s fd/1 /dev/stdout
    ln -s fd/2 /dev/stderr
fi
mount -t tmpfs -o mode=1777 tmpfs /tmp
cat /etc/hostname >/proc/sys/kernel/hostname
ip link set lo up
/usr/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=block --subsystem-match=net
udevadm settle
cd /root
PS1='LAB# ' setsid --ctty --wait bash --noprofile --norc -i </dev/ttyS0 >/dev/ttyS0 2>&1
kill -TERM -1
[ ! -e /run/enter ] || exec sh /run/enter
umount --all --read-only
mount -o remount,ro /
poweroff --force
"""

# Goes over to the root file system that is mounted at /mnt, as an initramfs does.
ENTER = r"""
rm /run/enter
cd /mnt
for folder in dev proc sys run; do mount --move /$folder $folder; done
pivot_root . mnt
exec chroot . sh -c 'umount --lazy /mnt; exec "$0"' {init} <dev/ttyS0 >dev/ttyS0 2>&1
"""

# Names by serial number, as QEMU's virtio disks have them.
RULES = """\
SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", ENV{ID_SCSI_SERIAL}=="?*", SYMLINK+="disk/lab/$env{ID_SCSI_SERIAL}"
SUBSYSTEM=="block", ENV{DEVTYPE}=="partition", ENV{ID_SCSI_SERIAL}=="?*", \
    SYMLINK+="disk/lab/$env{ID_SCSI_SERIAL}-part%n"
"""

NO_TAP = (
    "A network card of a guest needs a TAP device of the host: modprobe tun; mkdir -p /dev/net; mknod /dev/net/tun c 10"
    " 200. In a container it has to be given by whoever starts that: --device /dev/net/tun."
)

# What no program of a guest reads is not copied.
IMAGE = r"""
set -e
mkdir "$2/upper" "$2/work" "$2/tree"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/tree"
cd "$2/tree"
rm -rf boot/* usr/lib/firmware usr/lib/grub usr/lib/modules/* usr/share/doc usr/share/locale usr/share/man \
    usr/lib/udev/hwdb.* var/cache/apt/* var/lib/apt/lists/*
cp -r "$3" usr/lib/modules/
depmod --basedir "$PWD" "${3##*/}"
cp "$2/init" usr/local/sbin/lab-init
chmod 755 usr/local/sbin/lab-init
cp "$2/rules" usr/lib/udev/rules.d/61-lab.rules
# udev gives virtual network cards addresses that are made of it.
echo 1a2b3c4d5e6f708192a3b4c5d6e7f809 >etc/machine-id
truncate --size=3G "$4"
mkfs.ext4 -q -L debian12 -d . "$4"
cd /
umount "$2/tree"
"""

# A disk is a backstore of the kernel's SCSI target, and a unit of one loopback target for each of its paths.
TARGET = r"""
modprobe -a configfs target_core_mod target_core_file tcm_loop sd_mod
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
"""


@dataclass(frozen=True)
class Disk:
    """A raw image that the guest sees as a SCSI disk with a serial number; its WWN is made of the serial number.

    The WWN holds only the hexadecimal digits of the serial number, so let those differ; and udev wants four characters
    at least. A disk with several `paths` is that many devices. One that is `plain` has none of that: it is a disk
    without a serial number that is there when the kernel starts.
    """

    path: Path
    serial: str = ""
    sector_size: int = 512
    paths: int = 1
    plain: bool = False
    # Of a plain one: several guests have it at once, and nobody writes to it.
    shared: bool = False


@dataclass
class Machine(Console):
    """A guest, running inside a `with` block and killed at its end.

    Starts from the image `root` (what is written to it is forgotten unless it `keeps` it) or from `initrd`. Disks of
    SCSI come when `shell` has found a prompt, or by `attach`. What the console printed goes to `transcript`, each line
    with the seconds since the start. Processes, mounts and network cards are in namespaces of their own, which end
    with the guest; `network` is the host's side of the network cards, where the one with NAT finds 10.0.2.2.
    """

    root: Path | None = None
    disks: Sequence[Disk] = ()
    nics: Sequence[Nic] = ()
    memory: int = 1024
    keeps: bool = False
    initrd: Path | None = None
    command_line: str = COMMAND_LINE
    transcript: Path | None = None

    def __enter__(self) -> Machine:
        self._files = itertools.count(1)
        self._units: dict[str, int] = {}
        with ExitStack() as undo:
            self._start(undo, undo.enter_context(scratch("guest")))
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def plain_disks(self) -> list[Disk]:
        """The disks that are there when the kernel starts."""
        return [disk for disk in self.disks if disk.plain]

    @property
    def network(self) -> Path:
        """The network namespace at the other end of the cards, for nsenter."""
        return Path(f"/proc/{self._process.pid}/ns/net")

    def seen(self, pattern: str, timeout: float) -> re.Match[str] | None:
        """What the console prints in that time, or in longer where guests are slow, and matches."""
        return super().seen(pattern, timeout * engine().slowness())

    def shell(self, prompt: str = PROMPT, timeout: float = 120) -> None:
        """Wait for the prompt of a root shell and make it fit for `sh`; then plug in the disks."""
        super().shell(prompt, timeout)
        self.check(f"mkdir -p {HOST}")
        if missing := [disk for disk in self.disks if not disk.plain and disk.serial not in self._units]:
            self.attach(*missing)

    def sh(self, command: str, timeout: float = 120) -> Answer:
        """Run a command (several lines are fine) in the shell on the console."""
        if len(command) < LONG:
            return super().sh(command, timeout)
        file = self._passed(command.encode())
        super().sh(f"{self._mount} && cat {HOST}/{file.name} >/run/command; umount --lazy {HOST}")
        file.unlink()
        return super().sh(". /run/command", timeout)

    def attach(self, *disks: Disk) -> list[str]:
        """Plug SCSI disks in; the device of each, of its first path if there are several."""
        lines = [TARGET, *(line for disk in disks for line in self._plug(disk))]
        # The kernel looks at a new disk in the background.
        lines += [
            f"until [ \"$(lsblk -dno SERIAL | grep -cx '{disk.serial}')\" = {disk.paths} ]; do sleep 0.02; done"
            for disk in disks
        ]
        lines += ["udevadm settle", "readlink -f " + " ".join(f"/dev/disk/lab/{disk.serial}" for disk in disks)]
        return self._check_shared("\n".join(lines)).splitlines()[-len(disks) :]

    def detach(self, *serials: str) -> None:
        """Pull SCSI disks out, which must not be in use any more."""
        lines = []
        for serial in serials:
            unit = self._units.pop(serial)
            lines += [
                f"[ ! -d {_target(path)}/lun/lun_{unit} ] || {{ rm {_target(path)}/lun/lun_{unit}/port;"
                f" rmdir {_target(path)}/lun/lun_{unit}; }}"
                for path in range(2)
            ]
            lines += [f"rmdir /sys/kernel/config/target/core/fileio_0/{serial}"]
        self._check_shared("\n".join([*lines, "udevadm settle"]))
        for serial in serials:
            self._on_host("umount", os.fspath(self._shared / "disks" / serial))

    def put(self, path: str, data: bytes) -> None:
        """Write a file there."""
        file = self._passed(data)
        self._check_shared(f"cat {HOST}/{file.name} >{shlex.quote(path)}")
        file.unlink()

    def get(self, path: str) -> bytes:
        """What is in a file of the guest."""
        file = self._passed()
        self._check_shared(f"cat {shlex.quote(path)} >{HOST}/{file.name} && sync {HOST}/{file.name}")
        data = file.read_bytes()
        file.unlink()
        return data

    def push(self, archive: Path, folder: str) -> None:
        """Unpack a tar archive of the host there."""
        shared = self._passed()
        self._on_host("mount", "--bind", os.fspath(archive), os.fspath(shared))
        self._check_shared(f"mkdir -p {shlex.quote(folder)} && tar -C {shlex.quote(folder)} -xf {HOST}/{shared.name}")
        self._on_host("umount", os.fspath(shared))
        shared.unlink()

    def pull(self, folder: str, archive: Path) -> None:
        """Make a tar archive on the host of a folder there."""
        file = self._passed()
        self._check_shared(f"tar -C {shlex.quote(folder)} --numeric-owner -cf {HOST}/{file.name} . && sync")
        archive.write_bytes(file.read_bytes())
        file.unlink()

    def python(self, script: str, *arguments: str, timeout: float = 120) -> str:
        """What a script of Python prints, run where rear is installed; it must succeed."""
        self.put("/run/script.py", script.encode())
        return self.check(shlex.join([PYTHON, "-B", "/run/script.py", *arguments]) + " 2>&1", timeout)

    def install_rear(self) -> None:
        """Put rear with all its plugins, of this checkout as it stands, into the guest."""
        self.push(debian.rear_disk(), "/")

    def cut_power(self) -> None:
        """End it at once: what the guest has not written to a disk is lost."""
        self._process.process.kill()
        self._process.process.wait()

    def fail_writes(self, offset: int) -> None:
        """Let every write to a disk fail from so many bytes on, as where its sectors are bad; -1 heals them.

        To the host it is a limit for the size of files. What a guest starts from is one, too.
        """
        process = int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text())
        resource.prlimit(process, resource.RLIMIT_FSIZE, (offset, resource.RLIM_INFINITY))

    def enter(self, init: str = INIT) -> None:
        """Go over to the root file system that is mounted at /mnt; then wait for a `shell` there."""
        self.put("/run/enter", ENTER.format(init=init).encode())
        self.send("exit\n")

    def power_off(self, timeout: float = 60) -> None:
        """Leave the shell, so that the guest ends in order; for one that was started by `INIT`."""
        self.send("exit\n")
        self.wait(timeout)

    def wait(self, timeout: float = 60) -> None:
        """Wait until the guest has ended by itself."""
        self.ended(timeout * engine().slowness())
        status = self._process.wait(10)
        if status:
            raise MachineFailed(f"{engine().NAME} ended with {status}", self._last_words())

    def _last_words(self) -> str:
        return f"{super()._last_words()}\n{self._stderr.read_text(errors='replace')}"

    def _start(self, undo: ExitStack, private: Path) -> None:
        self._stderr, self._shared = private / "stderr", private / "shared"
        (self._shared / "disks").mkdir(parents=True)
        console, theirs = (undo.enter_context(end) for end in socket.socketpair())
        stderr = undo.enter_context(self._stderr.open("wb"))
        namespaces = ["--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        # A limit that is reached is an error, and not the end.
        script = "\n".join(["trap '' XFSZ", *self._cables(), engine().START])
        argv = ["unshare", *namespaces, "sh", "-c", script, "sh", *engine().argv(self, private, theirs.fileno())]
        self._process: Running = undo.enter_context(
            Shell().background(*argv, output=stderr, pass_fds=[theirs.fileno()])
        )
        theirs.close()
        self._connect(console, self.transcript, undo)

    def _cables(self) -> list[str]:
        """Commands that make the other ends of the network cards."""
        lines = ["set -e", "ip link set lo up"]
        lines += [f"ip link add {wire} type bridge" for wire in sorted({nic.wire for nic in self.nics if nic.wire})]
        for number, nic in enumerate(self.nics):
            lines += [f"ip tuntap add dev card{number} mode tap || {{ echo '{NO_TAP}' >&2; exit 1; }}"]
            lines += [f"ip link set card{number} up"]
            lines += [f"ip link set card{number} master {nic.wire}; ip link set {nic.wire} up"] if nic.wire else []
            lines += [f"ip address add 10.0.2.2/24 dev card{number}"] if nic.nat else []
        return lines

    def _plug(self, disk: Disk) -> list[str]:
        """The commands that make a disk a unit of the kernel's target."""
        shared = self._shared / "disks" / disk.serial
        shared.touch()
        self._on_host("mount", "--bind", os.fspath(disk.path), os.fspath(shared))
        used = set(self._units.values())
        unit = self._units[disk.serial] = next(number for number in itertools.count() if number not in used)
        store = f"/sys/kernel/config/target/core/fileio_0/{disk.serial}"
        size = disk.path.stat().st_size
        lines = [f"mkdir -p {store}"]
        # Buffered: otherwise each sector is written to the host's disk one after the other.
        lines += [f"echo fd_dev_name={HOST}/disks/{disk.serial},fd_dev_size={size},fd_buffered_io=1 >{store}/control"]
        lines += [f"echo {disk.serial} >{store}/wwn/vpd_unit_serial", f"echo 1 >{store}/enable"]
        lines += [f"echo {disk.sector_size} >{store}/attrib/block_size"]
        for path in range(disk.paths):
            target = _target(path)
            lines += [f"mkdir -p {target}/lun/lun_{unit}"]
            lines += [f"grep -q . {target}/nexus 2>/dev/null || echo naa.600140500000010{path} >{target}/nexus"]
            lines += [f"ln -s {store} {target}/lun/lun_{unit}/port"]
        return lines

    def _passed(self, data: bytes = b"") -> Path:
        """A new file that guest and host share."""
        path = self._shared / str(next(self._files))
        path.write_bytes(data)
        return path

    def _check_shared(self, script: str) -> str:
        """What commands print, each of which must succeed, with the folder that host and guest share at `HOST`.

        It is there for no longer, as nothing that rear looks at is to be different here. What was opened stays open.
        """
        file = self._passed(f"set -e\ntrap 'umount --lazy {HOST}' EXIT\n{script}\n".encode())
        output = self.check(f"{self._mount} && (. {HOST}/{file.name})", 300)
        file.unlink()
        return output

    @property
    def _mount(self) -> str:
        """The command that makes the shared folder visible."""
        return engine().mount(self._shared, HOST)

    def _on_host(self, *argv: str) -> None:
        """Run a program of the host where the guest's kernel sees what it does."""
        namespaces = f"/proc/{self._process.pid}/ns"
        enter = ["nsenter", f"--mount={namespaces}/mnt", f"--pid={namespaces}/pid_for_children"]
        subprocess.run([*enter, *argv], check=True)


class Engine(Protocol):
    """What runs guests: a module."""

    NAME: str
    # A script that starts a guest; its arguments are those of `argv`.
    START: str
    # What a small machine needs of the modules, as patterns; and what its rescue system needs, by name.
    SMALL_MODULES: str
    RESCUE_MODULES: str

    def kernel(self) -> Path: ...
    def config(self) -> Path: ...
    def modules(self) -> Path: ...
    def slowness(self) -> float: ...
    def argv(self, machine: Machine, private: Path, console: int) -> list[str]: ...
    def mount(self, shared: Path, point: str) -> str: ...


@functools.cache
def engine() -> Engine:
    """The one that REAR_GUESTS names; otherwise QEMU with KVM, user-mode Linux, or QEMU without, in this order."""
    engines: dict[str, Engine] = {"qemu": qemu_guests, "uml": uml}
    if name := os.environ.get("REAR_GUESTS"):
        if name not in engines:
            raise RuntimeError(f"REAR_GUESTS is {name!r}, and there are {' and '.join(engines)}")
        return engines[name]
    if qemu_guests.is_virtualized():
        return qemu_guests
    try:
        uml.tree()
    except RuntimeError as error:
        print(f"{error}\nAll guests are emulated by QEMU, which takes ten times longer.", file=sys.stderr)
        return qemu_guests
    return uml


def image(*layers: Path) -> Path:
    """An ext4 image of a tree, Debian 12 unless layers say otherwise, with the kernel's modules and `INIT`.

    Never write to it: start a machine that does not keep what is written, or one of a copy.
    """
    layers = layers or (debian.tree(),)
    modules = os.fspath(engine().modules())
    parts = INIT_SCRIPT, RULES, IMAGE, modules, *(layer.name for layer in layers)

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            Path(work, "init").write_text(INIT_SCRIPT)
            Path(work, "rules").write_text(RULES)
            argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", IMAGE, "sh"]
            lower = ":".join(map(os.fspath, layers))
            subprocess.run([*argv, lower, work, modules, os.fspath(path)], check=True, timeout=600)

    return cached("guest-image", digest(*parts), make)


def _target(path: int) -> str:
    return f"/sys/kernel/config/target/loopback/naa.500140500000000{path}/tpgt_1"
