# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: Relax-and-Recover 2.7, 2.9 and rear make a rescue ISO of the same Debian 12 tree, measured in one run.

Then whole commands that save and restore are measured beside the bare pipelines.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import throughput
from .cache import directory
from .chroot import Chroot
from .debian import newest_original, with_rear
from .rescue import ISO

ROUNDS = 3
MEGABYTE = 1_000_000
# Of the speed that the bare pipelines have.
SPEED = {"save": 0.95, "restore": 0.9}

# The kernel of the tree is not the one that runs here, and there is no disk to find its boot loader on.
ORIGINAL_CONF = "OUTPUT=ISO\nKERNEL_VERSION={kernel}\nBOOTLOADER={loader}\n"
# The original has its own scripts and trees in /usr/share/rear.
DEFAULT_CONF = "SHARE_DIR=/opt/rear/share\n"
EVERYTHING_CONF = DEFAULT_CONF + "MODULES=( all_modules )\n"


@dataclass(frozen=True)
class Effort:
    """What a command took: seconds of wall and processor time, peak memory of its biggest process in MB."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Made:
    """A rescue image and the effort it took; sizes in MB."""

    title: str
    effort: Effort
    initramfs: float
    iso: float


@dataclass(frozen=True)
class Goal:
    """A ratio to the original, or a number, that must not be exceeded."""

    title: str
    value: float
    limit: float

    @property
    def reached(self) -> bool:
        return self.value <= self.limit


def main() -> int:
    """Print the tables; 1 when a goal was missed."""
    layers = with_rear("rear")
    kernel = next((layers[-1] / "lib/modules").iterdir()).name
    # Both read their files from memory, so that whoever comes first has no disadvantage.
    subprocess.run(["tar", "--create", "--file=/dev/zero", "--directory", layers[-1], "."], check=True)
    # Not below /tmp, which may be in memory: images and trees are big.
    with tempfile.TemporaryDirectory(dir=directory(), prefix="bench-") as path:
        upper = Path(path)
        originals = []
        for version, loader, above in ("2.7", "GRUB", ()), ("2.9", "GRUB2", (newest_original(),)):
            conf = ORIGINAL_CONF.format(kernel=kernel, loader=loader)
            with machine((*above, *layers), upper / version, conf) as chroot:
                originals.append(make(chroot, f"Relax-and-Recover {version}", "/usr/sbin/rear", 1))
        original = min(originals, key=lambda made: made.effort.wall)
        with machine(layers, upper / "all", EVERYTHING_CONF) as chroot:
            everything = make(chroot, "rear, all modules and firmware", "/usr/local/sbin/rear", ROUNDS, cold)
        with machine(layers, upper / "default", DEFAULT_CONF) as chroot:
            default = make(chroot, "rear, default contents", "/usr/local/sbin/rear", ROUNDS, cold)
            again = make(chroot, "rear, nothing changed", "/usr/local/sbin/rear", ROUNDS)
            looks = {command: measure(chroot, *command.split()).cpu for command in ("rear --help", "rear plugins list")}
    raced, of_many = throughput.measured(), throughput.memory_of_many()
    goals = [
        Goal("wall time, all modules / original", everything.effort.wall / original.effort.wall, 1 / 4),
        Goal("wall time, default / original", default.effort.wall / original.effort.wall, 1 / 20),
        Goal("wall time, nothing changed / original", again.effort.wall / original.effort.wall, 1 / 40),
        Goal("initramfs, default / original", default.initramfs / original.initramfs, 0.6),
        Goal("ISO image, default / original", default.iso / original.iso, 0.6),
        *(Goal(f"seconds of processor time, {command}", cpu, 0.15) for command, cpu in looks.items()),
        *(Goal(f"wall time, {one.title} / bare", one.ours / one.bare, 1 / SPEED[one.work]) for one in raced),
        *(Goal("MiB of memory, 1,000,000 files", peak / (1 << 20), 100) for peak in of_many),
    ]
    show([*originals, everything, default, again], goals)
    throughput.show(raced, of_many)
    return 0 if all(goal.reached for goal in goals) else 1


def machine(layers: Sequence[Path], upper: Path, configuration: str) -> Chroot:
    """A chroot of the tree with this local.conf."""
    (upper / "etc/rear").mkdir(parents=True)
    (upper / "etc/rear/local.conf").write_text(configuration)
    return Chroot(layers, upper)


def cold(chroot: Chroot) -> None:
    """Forget what earlier runs packed."""
    for path in (chroot.root / "var/cache/rear").glob("*"):
        path.unlink()


def make(
    chroot: Chroot, title: str, rear: str, rounds: int, before: Callable[[Chroot], None] = lambda chroot: None
) -> Made:
    """Make images; the effort of the round whose wall time is the median."""
    efforts = []
    for _ in range(rounds):
        before(chroot)
        efforts.append(measure(chroot, rear, "mkrescue"))
    median = statistics.median_low(effort.wall for effort in efforts)
    (effort,) = [effort for effort in efforts if effort.wall == median]
    iso = chroot.root / ISO
    return Made(title, effort, initramfs_size(iso) / MEGABYTE, iso.stat().st_size / MEGABYTE)


def measure(chroot: Chroot, *argv: str) -> Effort:
    """Run a command that must succeed."""
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = chroot.start(*argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(argv)} failed:\n{output.read().decode(errors='replace')}")
    return Effort(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MEGABYTE)


def initramfs_size(iso: Path) -> int:
    """The size of the file in an ISO image whose name begins with "init".

    >>> xorriso -indev rescue.iso -find / -name "init*" -exec lsdl --
    -rw-------    1 0        0        73201152 Nov 22 23:51 '/boot/initramfs.img'
    """
    argv = ["xorriso", "-indev", os.fspath(iso), "-find", "/", "-type", "f", "-name", "init*", "-exec", "lsdl", "--"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    (size,) = [int(line.split()[4]) for line in listed.splitlines() if line.startswith("-")]
    return size


def show(images: Sequence[Made], goals: Sequence[Goal]) -> None:
    """Print what was measured and what had to be reached."""
    print(f"{'':32}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'initramfs MB':>14}{'ISO MB':>9}")
    for made in images:
        effort = made.effort
        numbers = f"{effort.wall:9.1f}{effort.cpu:9.1f}{effort.memory:9.0f}{made.initramfs:14.1f}{made.iso:9.1f}"
        print(f"{made.title:32}{numbers}")
    print(f"\n{'':60}{'measured':>10}{'at most':>10}")
    for goal in goals:
        print(f"{goal.title:60}{goal.value:10.3f}{goal.limit:10.3f}  {'reached' if goal.reached else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
