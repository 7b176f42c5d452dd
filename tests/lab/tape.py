# SPDX-License-Identifier: GPL-3.0-or-later
"""A SCSI tape drive for virtual machines, and cartridges for it: tgt emulates it, QEMU attaches it by iSCSI."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import cache, debian, tgt

TARGET = "iqn.2026-11.lab:tape"
INITIATOR = "open-iscsi"
FILES = ("sbin/iscsistart", "usr/lib/x86_64-linux-gnu/libopeniscsiusr.so*")
# tgtd loses the end of a record that fills more than half of what is asked for, but not all. What tar writes without a
# compressor is a multiple of 131072 bytes: records of this size are all full.
BLOCK_SIZE = 65536


def initiator() -> Path:
    """An archive with what makes Linux log in to the drive: one program with its libraries, which needs no service."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            tree = Path(work, "tree")
            subprocess.run(
                ["mmdebstrap", "--variant=extract", f"--include={INITIATOR}", debian.BOOKWORM.suite, tree],
                check=True, capture_output=True, timeout=600,
            )  # fmt: skip
            wanted = [name.relative_to(tree) for pattern in FILES for name in tree.glob(pattern)]
            argv = ["tar", "--create", "--numeric-owner", "--transform=s,^sbin,usr/sbin,", f"--file={path}"]
            subprocess.run([*argv, f"--directory={tree}", *wanted], check=True)

    return cache.cached("initiator", cache.digest(debian.BOOKWORM.suite, INITIATOR, *FILES), make)


def cartridge(path: Path, size: int) -> Path:
    """An empty tape of `size` MiB."""
    subprocess.run(
        ["tgtimg", "--op", "new", "--device-type", "tape", "--barcode", path.name, "--size", str(size),
         "--type", "data", "--file", path],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@dataclass(frozen=True)
class Drive(tgt.Daemon):
    """A drive, which is the unit of an iSCSI target."""

    @property
    def devices(self) -> tuple[str, ...]:
        """QEMU's arguments for a machine that has the drive on a SCSI host adapter of its own."""
        url = f"iscsi://127.0.0.1:{self.port}/{TARGET}/1"
        return (
            "-device", "virtio-scsi-pci,id=tape",
            "-drive", f"if=none,id=tape0,format=raw,file={url},file.initiator-name=iqn.2026-11.lab:qemu",
            "-device", "scsi-generic,bus=tape.0,drive=tape0",
        )  # fmt: skip

    @property
    def login(self) -> str:
        """The command for a guest that has the `initiator`, after which the drive is /dev/nst0."""
        return (
            f"modprobe -a iscsi_tcp st && iscsistart -i iqn.2026-11.lab:uml -t {TARGET} -g 1 -a 10.0.2.2 -p {self.port}"
            " && udevadm settle && [ -c /dev/nst0 ]"
        )

    def insert(self, tape: Path) -> None:
        """Take out what is in the drive, and put a tape in."""
        for change in ("online=0", f"path={tape}", "online=1"):
            self.control("logicalunit", "update", *tgt.LUN, "--params", change)


@contextmanager
def drive(tape: Path, network: Path | None = None) -> Iterator[Drive]:
    """A drive with a tape in it, for as long as the block runs.

    With `network`, the namespace of a guest's cables, its target is there at 10.0.2.2 instead.
    """
    address = "10.0.2.2" if network else "127.0.0.1"
    with tgt.running(address, network) as daemon:
        initiators = "ALL" if network else address
        daemon.offer(TARGET, tape, "--device-type", "tape", "--bstype", "ssc", initiators=initiators)
        yield Drive(daemon.port, daemon.socket)
