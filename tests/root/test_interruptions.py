# SPDX-License-Identifier: GPL-3.0-or-later
"""However `rear mkrescue` ends, the last good image stays as it is, and the next run clears up."""

from __future__ import annotations

import hashlib
import random
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from lab.chroot import Chroot
from lab.debian import with_rear
from lab.rescue import ISO

pytestmark = pytest.mark.root

MOMENTS = 4
MKRESCUE = ("rear", "-v", "mkrescue")
# With the clock of the image fixed, each whole image has the same bytes.
CLOCK = {"SOURCE_DATE_EPOCH": "1700000000"}


class Machine:
    """The Debian tree with an image made in it, and how many lines were printed until it was in its place."""

    def __init__(self, chroot: Chroot) -> None:
        self.chroot = chroot
        self.lines = self.make().partition("/var/lib/rear/output/")[0].count("\n")
        self.iso = chroot.root / ISO
        self.image = self.digest()

    def make(self) -> str:
        """Make an image to the end."""
        return self.chroot.run(*MKRESCUE, env=CLOCK).stdout

    def start(self, part: float = 0) -> subprocess.Popen[str]:
        """Start making an image from nothing, and come back when this part of its lines was printed."""
        for path in (self.chroot.root / "var/cache/rear").iterdir():
            path.unlink()
        process = self.chroot.start(*MKRESCUE, env=CLOCK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        for _ in range(1 + int(part * self.lines)):
            process.stdout.readline()
        return process

    def pid(self) -> int:
        """The process that makes the image; others of that name are its children."""
        return int(self.chroot.run("pgrep", "--oldest", "--full", " ".join(MKRESCUE)).stdout)

    def kill(self, number: signal.Signals) -> None:
        self.chroot.run("kill", f"-{number}", str(self.pid()))

    def digest(self) -> str:
        """The checksum of the image, also checked against the one beside it, which comes after it."""
        found = hashlib.sha256(self.iso.read_bytes()).hexdigest()
        beside = self.iso.with_name(f"{self.iso.name}.sha256")
        assert not beside.exists() or beside.read_text().split() == [found, self.iso.name]
        return found

    def leftovers(self) -> list[str]:
        """Work areas, unfinished files, mounts below work areas, programs that still run."""
        root = self.chroot.root
        names = [path.name for path in (*(root / "tmp").glob("rear.*"), *self.iso.parent.iterdir())]
        files = [name for name in names if name not in (self.iso.name, f"{self.iso.name}.sha256")]
        cache = [path.name for path in (root / "var/cache/rear").iterdir()]
        files += [name for name in cache if not re.fullmatch(r"[a-z]+-[0-9a-f]{32}\.(cpio|sha256)", name)]
        mounts = [line for line in (root / "proc/1/mounts").read_text().splitlines() if "/rear." in line]
        programs = self.chroot.run("ps", "--no-headers", "-e", "--format", "args").stdout.splitlines()
        own = ("sleep infinity", "cat", "ps ")
        return files + mounts + [program for program in programs if not program.startswith(own)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Chroot(with_rear(), tmp_path_factory.mktemp("machine") / "upper") as chroot:
        yield Machine(chroot)


def moments(number: signal.Signals) -> list[float]:
    """Parts of a run after which it is interrupted: by chance, but the same ones each time."""
    chance = random.Random(number)
    return sorted(chance.uniform(0, 1) for _ in range(MOMENTS))


@pytest.mark.parametrize("moment", moments(signal.SIGTERM))
def test_sigterm_undoes_everything_at_once(machine: Machine, moment: float) -> None:
    for _ in range(5):
        with machine.start(moment) as process:
            machine.kill(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
        if process.returncode:
            break
        # It took less time than the one that was measured.
        moment *= 0.8
    assert process.returncode == 130, output
    assert "stopped by SIGTERM" in output
    assert machine.digest() == machine.image
    assert machine.leftovers() == []


@pytest.mark.parametrize("moment", moments(signal.SIGKILL))
def test_sigkill_harms_nothing_and_the_next_run_clears_up(machine: Machine, moment: float) -> None:
    with machine.start(moment):
        machine.kill(signal.SIGKILL)
    assert machine.digest() == machine.image
    machine.make()
    assert machine.leftovers() == []
    assert machine.digest() == machine.image


def test_a_second_run_says_who_is_running(machine: Machine) -> None:
    with machine.start(0.2) as first:
        second = machine.chroot.run("rear", "mkrescue", check=False)
        assert second.returncode == 3
        assert f"rear is already running: process {machine.pid()}, rear mkrescue" in second.stdout
        output, _ = first.communicate(timeout=300)
    assert first.returncode == 0, output
