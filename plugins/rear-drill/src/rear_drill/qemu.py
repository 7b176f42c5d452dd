# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines under QEMU, talked to over their serial console."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from rear_core import ProgramFailed
from rear_core.shell import Running, Shell

from .console import Answer as Answer
from .console import Console
from .monitor import MachineFailed as MachineFailed
from .monitor import Monitor

PROGRAM = "qemu-system-x86_64"
# Firmware: where distributions have the program and the template of its variables (Debian, Fedora, SUSE).
FIRMWARE = {
    "uefi": (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ),
    "secureboot": (
        ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
        ("/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin"),
    ),
}
DEVICES = {
    "virtio": "virtio-blk-pci",
    "sata": "ide-hd",
    "nvme": "nvme",
    "scsi": "scsi-hd",
    "usb": "usb-storage",
    "cdrom": "ide-cd",
    "scsi-cdrom": "scsi-cd",
}
# Emulated, a processor that copies strings "fast" takes one byte after the other, and deeper page tables cost more.
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "max,erms=off,fsrm=off,la57=off")
VIRTUALIZED = ("-accel", "kvm", "-cpu", "host")
KEYS = {" ": "spc", "\n": "ret"}
CONTROLLERS = {"scsi": "virtio-scsi-pci", "scsi-cdrom": "virtio-scsi-pci", "usb": "qemu-xhci"}


@dataclass(frozen=True)
class Disk:
    """A raw disk image on a bus (virtio, sata, nvme, scsi, usb; or as a further disc, read only: cdrom, scsi-cdrom).

    The firmware starts from the disks in their order, but from one that is `first` before the others. With `snapshot`
    the file stays as it is. SATA and SCSI disks may have a WWN, as 0x and 16 digits. The sizes of sectors are bytes.
    """

    path: Path
    serial: str = ""
    bus: str = "virtio"
    snapshot: bool = False
    first: bool = False
    wwn: str = ""
    logical_sector_size: int = 512
    physical_sector_size: int = 512


@dataclass(frozen=True)
class Nic:
    """A network card: alone on its own wire, on the wire named `wire`, or with `forward` behind QEMU's NAT.

    NAT comes with a DHCP server; the host is 10.0.2.2. `forward` maps the loopback's ports to the card's. With
    `boot_file` the machine starts from the network: its DHCP server names that file, its TFTP server shows the folder
    `tftp`. With `restrict` these servers are all that answers: neither the host nor its network can be reached.
    """

    mac: str
    wire: str = ""
    nat: bool = False
    restrict: bool = False
    forward: dict[int, int] = field(default_factory=dict)
    model: str = "virtio-net-pci"
    tftp: Path | None = None
    boot_file: str = ""


@dataclass
class Machine(Console):
    """A virtual machine, running inside a `with` block and killed at its end.

    Boots from `cdrom`, else from the disks in their order, or from `kernel` directly. UEFI machines keep
    variables in `nvram`, made from the template when it is not there; without it they forget them. A reboot
    ends the machine unless it `reboots`. Its firmware tells `uuid`. What the console printed goes to `transcript`,
    each line with the seconds since the start. `devices` are more arguments of QEMU, which `host` starts; `directory`
    is for its own files.
    """

    memory: int = 1024
    cpus: int = 1
    firmware: str = "bios"
    disks: Sequence[Disk] = ()
    cdrom: Path | None = None
    nics: Sequence[Nic] = ()
    kernel: Path | None = None
    initrd: Path | None = None
    command_line: str = ""
    nvram: Path | None = None
    reboots: bool = False
    accelerator: Sequence[str] = EMULATED
    transcript: Path | None = None
    uuid: str = ""
    host: Shell = field(default_factory=Shell)
    devices: Sequence[str] = ()
    directory: Path | None = None

    # What a PC has. A machine of another architecture is a subclass, with a firmware of its own.
    program: ClassVar[str] = PROGRAM
    display: ClassVar[tuple[str, ...]] = ("-vga", "std")
    disc_drive: ClassVar[tuple[str, ...]] = ("-device", "ide-cd,bus=ide.0")

    def __enter__(self) -> Machine:
        with ExitStack() as undo:
            private = tempfile.TemporaryDirectory(prefix="rear-qemu.", dir=self.directory)
            self._start(undo, Path(undo.enter_context(private)))
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def power_off(self, timeout: float = 120) -> None:
        """Have the machine end by itself, as it should."""
        self.send("poweroff\n")
        self.wait(timeout)

    def press_power_button(self) -> None:
        """Ask the operating system to shut down, as the button of a machine does (ACPI)."""
        self._monitor.ask("system_powerdown")

    def type(self, text: str) -> None:
        """Press the keys of small letters, blanks and the end of the line on its keyboard, not on its console."""
        for letter in text:
            self._monitor.ask("send-key", keys=[{"type": "qcode", "data": KEYS.get(letter, letter)}])
            # One key after the other: a program that computes meanwhile may take the last one alone.
            time.sleep(0.2)

    def change_disc(self, path: Path) -> None:
        """Put another disc into the drive of `cdrom`; one that the operating system has locked refuses."""
        self._monitor.ask("blockdev-change-medium", device="cdrom", filename=os.fspath(path), format="raw")

    def screenshot(self, path: Path) -> None:
        """Save what the screen shows as PNG."""
        self._monitor.ask("screendump", filename=os.fspath(path), format="png")

    def transferred(self) -> int:
        """The bytes that all drives have read and written so far."""
        drives = self._monitor.ask("query-blockstats")
        return sum(drive["stats"]["rd_bytes"] + drive["stats"]["wr_bytes"] for drive in drives)

    def wait(self, timeout: float = 120) -> None:
        """Wait until the machine has ended by itself."""
        self.ended(timeout)
        status = self._process.wait(10)
        if status:
            raise MachineFailed(f"QEMU ended with {status}", self._last_words())

    def argv(self, private: Path, console: int, monitor: int) -> list[str]:
        """The command line that starts this machine: copies are in the directory `private`, the numbers are sockets."""
        argv = [self.program, "-nodefaults", "-no-user-config", "-display", "none", *self.display]
        argv += ["-m", str(self.memory), "-smp", str(self.cpus), *self.accelerator]
        argv += [] if self.reboots else ["-no-reboot"]
        argv += ["-uuid", self.uuid] if self.uuid else []
        argv += ["-chardev", f"socket,id=console,fd={console}"]
        argv += ["-serial", "chardev:console"]
        argv += ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
        argv += self._firmware(private)
        if self.kernel:
            argv += ["-kernel", os.fspath(self.kernel), "-append", self.command_line]
        if self.initrd:
            argv += ["-initrd", os.fspath(self.initrd)]
        if self.cdrom:
            argv += ["-drive", f"if=none,id=cdrom,format=raw,readonly=on,file={_escaped(self.cdrom)}"]
            argv += [*self.disc_drive[:-1], f"{self.disc_drive[-1]},drive=cdrom,bootindex=0"]
        for bus in sorted({disk.bus for disk in self.disks} & set(CONTROLLERS)):
            argv += ["-device", f"{CONTROLLERS[bus]},id={bus}"]
        # QEMU fills only the first port of a SATA controller by itself.
        ports = itertools.count(1)
        for number, disk in enumerate(self.disks):
            own = f"{disk.bus}.0" if disk.bus.startswith("scsi") else ""
            argv += _disk(number, disk, f"ide.{next(ports)}" if disk.bus in ("sata", "cdrom") else own)
        for number, nic in enumerate(self.nics):
            argv += _nic(number, nic, self.firmware)
        return [*argv, *self.devices]

    def _last_words(self) -> str:
        return f"{super()._last_words()}\n{self._stderr.read_text(errors='replace')}"

    def _firmware(self, private: Path) -> list[str]:
        machine = "q35,smm=on" if self.firmware == "secureboot" else "q35"
        if self.firmware == "bios":
            return ["-machine", machine]
        argv = ["-machine", machine]
        if self.firmware == "secureboot":
            argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        return argv + self._flash(*firmware_files(self.firmware), private)

    def _flash(self, code: Path, template: Path, private: Path) -> list[str]:
        """The memory with a program and its variables."""
        nvram = self.nvram or private / "nvram"
        if not nvram.exists():
            shutil.copyfile(template, nvram)
        return [
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
            "-drive", f"if=pflash,unit=1,format=raw,file={_escaped(nvram)}",
        ]  # fmt: skip

    def _start(self, undo: ExitStack, private: Path) -> None:
        self._stderr = private / "stderr"
        console, their_console = (undo.enter_context(end) for end in socket.socketpair())
        monitor, their_monitor = (undo.enter_context(end) for end in socket.socketpair())
        theirs = [their_console, their_monitor]
        stderr = undo.enter_context(self._stderr.open("wb"))
        argv = self.argv(private, *(end.fileno() for end in theirs))
        passed = [end.fileno() for end in theirs]
        self._process: Running = undo.enter_context(self.host.background(*argv, output=stderr, pass_fds=passed))
        for end in theirs:
            end.close()
        self._monitor = undo.enter_context(closing(Monitor(monitor)))
        self._connect(console, self.transcript, undo)


def firmware_files(firmware: str) -> tuple[Path, Path]:
    """The program of a firmware and the template of its variables; `MachineFailed` when it is not installed."""
    for code, variables in FIRMWARE[firmware]:
        if os.path.exists(code) and os.path.exists(variables):
            return Path(code), Path(variables)
    raise MachineFailed(f"there is no {firmware} firmware for virtual machines")


@functools.cache
def accelerator(kernel: Path) -> tuple[str, ...]:
    """Options for hardware virtualization where it works, else for emulation.

    /dev/kvm may be there, run a firmware and yet hang every kernel. So a kernel without a root file system is
    booted: it needs about a second to panic.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    argv = [PROGRAM, *VIRTUALIZED, "-machine", "q35", "-m", "256", "-nodefaults"]
    argv += ["-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    argv += ["-kernel", os.fspath(kernel), "-append", "console=ttyS0 panic=-1"]
    try:
        works = "Kernel panic" in Shell().run(*argv, timeout=10).stdout
    except ProgramFailed:
        works = False
    return VIRTUALIZED if works else EMULATED


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def blank(path: Path, size: int) -> Path:
    """A sparse, empty disk image of `size` MiB, for its owner alone."""
    path.touch(mode=0o600)
    os.truncate(path, size << 20)
    return path


def _disk(number: int, disk: Disk, port: str) -> list[str]:
    name = f"disk{number}"
    snapshot = "on" if disk.snapshot else "off"
    kind = "readonly=on" if disk.bus.endswith("cdrom") else f"cache=unsafe,snapshot={snapshot}"
    words = [DEVICES[disk.bus], f"drive={name}", f"bootindex={1 if disk.first else number + 2}"]
    words += [f"bus={port}"] if port else []
    words += [f"serial={disk.serial.replace(',', ',,')}"] if disk.serial else []
    words += [f"wwn={disk.wwn}"] if disk.wwn else []
    if disk.physical_sector_size != 512:
        words += [f"logical_block_size={disk.logical_sector_size}", f"physical_block_size={disk.physical_sector_size}"]
    return [
        "-drive", f"if=none,id={name},format=raw,{kind},file={_escaped(disk.path)}",
        "-device", ",".join(words),
    ]  # fmt: skip


def _nic(number: int, nic: Nic, firmware: str) -> list[str]:
    name = f"nic{number}"
    # Without its ROM a card does not slow the start down; UEFI boots from the network without.
    start = ",romfile="
    if nic.nat or nic.forward or nic.boot_file:
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in nic.forward.items())
        netdev = f"user,id={name}{',restrict=on' if nic.restrict else ''}{forwards}"
        if nic.boot_file:
            assert nic.tftp is not None
            netdev += f",tftp={_escaped(nic.tftp)},bootfile={nic.boot_file}"
            start = f"{'' if firmware == 'bios' else start},bootindex=0"
    else:
        # A hub that nobody else is plugged into still gives the card a carrier.
        wire = int.from_bytes((nic.wire or name).encode()[-3:], "big")
        netdev = f"hubport,id={name},hubid={wire}"
    return ["-netdev", netdev, "-device", f"{nic.model},netdev={name},mac={nic.mac}{start}"]


def _escaped(path: Path) -> str:
    return os.fspath(path).replace(",", ",,")
