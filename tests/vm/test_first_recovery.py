# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine comes back, and starts, in the virtual machine that docs/tutorial/first-recovery.md has a reader start."""

from __future__ import annotations

import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab import backups, cache, docs, machines, qemu
from lab.designs.debian import BIOS
from rear_drill.console import Console

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]

DOWN = "\x1b[B"
PROMPT = r"RESCUE debian12:\S* # "
# Where /dev/kvm is known to hang, it is not there.
WITHOUT_KVM = 'mount --bind /dev/null /dev/kvm; exec sh -c "$0"'


class Terminal(Console):
    """A terminal in which somebody has started a virtual machine by a line of the shell."""

    @contextmanager
    def running(self, line: str, transcript: Path) -> Iterator[Terminal]:
        hang = Path("/dev/kvm").exists() and machines.accelerator() == qemu.EMULATED
        argv = ["unshare", "--mount", "sh", "-c", WITHOUT_KVM, line] if hang else ["sh", "-c", line]
        with ExitStack() as undo:
            ours, theirs = (undo.enter_context(end) for end in socket.socketpair())
            started = undo.enter_context(subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno()))
            undo.callback(started.kill)
            theirs.close()
            self._connect(ours, transcript, undo)
            yield self


def test_the_machine_comes_back_where_the_reader_looks_on(tmp_path: Path) -> None:
    saved = backups.backed_up(BIOS)
    place, empty = saved.place.copy(tmp_path / "backup"), tmp_path / "empty.img"
    replaced = {
        "/var/tmp/empty.img": str(empty), "=20G": f"={BIOS.drives[0].size}M",
        "/var/lib/rear/output/rear-web1.iso": str(saved.iso), "/dev/sdX": str(place.path),
    }  # fmt: skip
    lines = docs.typed("tutorial/first-recovery.md", "Do it yourself")
    for example, real in replaced.items():
        lines = [line.replace(example, shlex.quote(real)) for line in lines]
    create, start, plan, recover, remove = lines
    subprocess.run(["sh", "-c", create], check=True)
    with Terminal().running(f"exec {start}", cache.transcript("first-recovery")) as vm:
        vm.expect("Recover debian12 automatically", 600)
        vm.expect("Rescue shell", 60)
        for key in (DOWN, DOWN, "\r"):
            vm.send(key)
        vm.shell(PROMPT, 900)
        assert "taken: disk " in vm.check(plan, 300)
        assert "The recovery is complete" in vm.check(recover, 1800)
        vm.send("poweroff\n")
        vm.ended(300)
    without = start.replace(f"-cdrom {shlex.quote(str(saved.iso))}", "")
    assert without != start
    with Terminal().running(f"exec {without}", cache.transcript("first-recovery-started")) as vm:
        vm.expect("debian12 login: ", 900)
    subprocess.run(["sh", "-c", remove], check=True)
    assert not empty.exists()
