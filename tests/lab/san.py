# SPDX-License-Identifier: GPL-3.0-or-later
"""A SAN for virtual machines: a disk at the other end of iSCSI, on two paths, which their network card starts from."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import cache, debian, tgt

PACKAGES = ("open-iscsi", "multipath-tools-boot")
FILES = ("usr/sbin/iscsi*", "usr/lib/x86_64-linux-gnu/libopeniscsiusr.so*", "usr/lib/x86_64-linux-gnu/libisns*")
TARGET = "iqn.2026-11.lab:root"
INITIATOR = "iqn.2026-11.lab:debian12"
# As guests see them. QEMU's network leads to a program for each connection.
PORTALS = ("10.0.2.100", "10.0.2.101")
# tgtd makes it of the numbers of target and unit.
WWID = "360000000000000000e00000000010001"
MAC = "52:54:00:00:00:5a"

# Of iPXE: it goes on with the next path where one fails, and tells the operating system what it has found (iBFT).
START = "#!ipxe\nset initiator-iqn {initiator}\nsanboot {units}\n"
# Between the connection of a guest, which is standard input and output, and a port of this machine.
RELAY = """\
import socket, sys, threading
guest, disk = socket.socket(fileno=0), socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def pass_on(source, sink):
    while data := source.recv(1 << 18):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
threading.Thread(target=pass_on, args=(guest, disk)).start()
pass_on(disk, guest)
"""


def initiator() -> Path:
    """An archive with the initiator, for guests that have no such package."""
    tree = debian.tree(*PACKAGES)

    def make(path: Path) -> None:
        wanted = [name.relative_to(tree) for pattern in FILES for name in tree.glob(pattern)]
        argv = ["tar", "--create", "--numeric-owner", f"--file={path}", f"--directory={tree}"]
        subprocess.run([*argv, *wanted], check=True)

    return cache.cached("san-initiator", cache.digest(tree.name, *FILES), make)


@contextmanager
def attached(disk: Path) -> Iterator[list[str]]:
    """A block in which a machine can have the disk at both portals; gives arguments of QEMU.

    The card starts the machine where nothing else does.
    """
    with tgt.running() as daemon, tempfile.TemporaryDirectory() as folder:
        daemon.offer(TARGET, disk)
        relay, start = Path(folder, "relay.py"), Path(folder, "san.ipxe")
        relay.write_text(RELAY)
        units = " ".join(f"iscsi:{portal}:::1:{TARGET}" for portal in PORTALS)
        start.write_text(START.format(initiator=INITIATOR, units=units))
        program = f"{sys.executable} -S {relay} {daemon.port}"
        forwards = [f"guestfwd=tcp:{portal}:3260-cmd:{program}" for portal in PORTALS]
        words = ["user", "id=san", f"tftp={folder}", f"bootfile={start.name}", *forwards]
        yield ["-netdev", ",".join(words), "-device", f"virtio-net-pci,netdev=san,mac={MAC},bootindex=90"]
