# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast files are saved and restored by whole commands, next to bare pipelines that prove nothing, pair by pair.

From memory to memory, and, where bindfs is installed, to and from a place of 50 MB/s in either direction, as a slow
server is. And the memory that a million files take. REAR_BENCH_GIB=N takes so many GiB of large files; where these do
not fit into memory, they lie on disk, and only the slow place is measured.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rear_core.removal import remove_tree

ROUNDS = 3
RATE = 50_000_000
SMALL_FILES = 300_000
MEMORY, DISK = "/dev/shm", "/var/tmp"
# GiB: three times as much has to fit into memory.
LARGE_FILES = int(os.environ.get("REAR_BENCH_GIB") or 4)
MANY_FILES = 1_000_000
GIB = 1 << 30

CONFIGURATION = """\
TMPDIR={work}
LOGFILE={work}/log
VAR_DIR={work}/var
CACHE_DIR={work}/cache
BACKUP_URL=file://{place}
BACKUP_PREFIX=bench
BACKUP_KEEP=1
EXCLUDE_MOUNTPOINTS=( '/*' )
BACKUP_PROG_INCLUDE=( {data} )
BACKUP_PROG_EXCLUDE=()
"""
ATTRIBUTES = "--xattrs --xattrs-include='*' --numeric-owner"
SAVE = (
    f"tar --create --file=- --one-file-system --sparse {ATTRIBUTES} {{data}} 2>/dev/null | zstd -T0 --quiet"
    " >{place}/bare.tar.zst && sync {place}/bare.tar.zst"
)
RESTORE = f"mkdir {{target}} && zstd -dcq {{place}}/bare.tar.zst | tar --extract --file=- {ATTRIBUTES} -C {{target}}"


@dataclass(frozen=True)
class Raced:
    """The seconds of our command and of the bare pipeline, the medians of pairs; the peak memory of ours in bytes."""

    title: str
    ours: float
    bare: float
    memory: int = 0

    @property
    def work(self) -> str:
        """What was done: save or restore."""
        return self.title.split()[0]

    @property
    def speed(self) -> float:
        """Ours as a part of that of the pipeline."""
        return self.bare / self.ours


def measured() -> list[Raced]:
    """All of it."""
    found: list[Raced] = []
    for title, make, gib in (
        (f"{SMALL_FILES:,} small files", small, 2),
        (f"{LARGE_FILES} GiB of large files", large, LARGE_FILES),
    ):
        fits = 3 * gib * GIB <= shutil.disk_usage(MEMORY).free
        with tempfile.TemporaryDirectory(dir=MEMORY if fits else DISK, prefix="rear-bench.") as path:
            work = Path(path)
            make(work / "data")
            if fits:
                with place(work, limited=False) as folder:
                    found += raced(work, work / "data", folder, f"{title}, memory", ROUNDS)
            if shutil.which("bindfs"):
                with place(work, limited=True) as folder:
                    found += raced(work, work / "data", folder, f"{title}, {RATE // 1_000_000} MB/s", 1)
    return found


def memory_of_many() -> tuple[int, int]:
    """The peak memory in bytes, the work area included, of a backup of a million empty files and of its recovery."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="rear-bench.") as path:
        work = Path(path)
        data, folder = work / "data", work / "place"
        folder.mkdir()
        for number in range(MANY_FILES):
            name = data / f"{number // 1000:04}" / f"{number:08}"
            if number % 1000 == 0:
                name.parent.mkdir(parents=True)
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        configure(work, data, folder)
        return run(work, "mkbackuponly")[1], run(work, "recover", "--demo", f"{work}/restored")[1]


def small(data: Path) -> None:
    """Files of some KiB, of text that compresses."""
    dice = random.Random(1)
    text = b"".join(
        b"%08x %s\n" % (dice.getrandbits(32), b"lorem ipsum dolor" * dice.randrange(3)) for _ in range(9999)
    )
    for number in range(SMALL_FILES):
        if number % 500 == 0:
            (data / f"{number // 500}").mkdir(parents=True)
        begin, size = dice.randrange(len(text) - 9000), dice.randrange(9000)
        (data / f"{number // 500}/{number}").write_bytes(text[begin : begin + size])


def large(data: Path) -> None:
    """Files of 1 GiB, a half of which compresses."""
    data.mkdir()
    for number in range(LARGE_FILES):
        with (data / f"{number}").open("wb", buffering=0) as file:
            for _ in range(GIB >> 20):
                file.write(os.urandom(1 << 19) + b"text that is always the same " * 18079 + bytes(5))


@contextmanager
def place(work: Path, limited: bool) -> Iterator[Path]:
    """A folder for backups in memory, with the rate limited by bindfs where wanted."""
    folder = work / "place"
    folder.mkdir()
    try:
        with ExitStack() as undo:
            if limited:
                rates = f"--read-rate={RATE}", f"--write-rate={RATE}"
                subprocess.run(["bindfs", "--multithreaded", *rates, folder, folder], check=True)
                undo.callback(lambda: subprocess.run(["umount", folder], check=True))
            yield folder
    finally:
        remove_tree(folder)


def raced(work: Path, data: Path, folder: Path, title: str, rounds: int) -> Iterator[Raced]:
    """Save and restore in turns."""
    configure(work, data, folder)
    names = {"data": f".{data}", "place": f"{folder}", "target": f"{work}/bare"}
    save: list[tuple[float, float, int]] = []
    restore: list[tuple[float, float, int]] = []
    for _ in range(rounds):
        ours = run(work, "mkbackuponly")
        save.append((ours[0], timed(SAVE.format(**names)), ours[1]))
        with cleared(work / "restored"):
            ours = run(work, "recover", "--demo", f"{work}/restored")
        with cleared(work / "bare"):
            restore.append((ours[0], timed(RESTORE.format(**names)), ours[1]))
    yield median(f"save {title}", save)
    yield median(f"restore {title}", restore)


def median(title: str, pairs: list[tuple[float, float, int]]) -> Raced:
    """The pair with the median of the ratios."""
    ours, bare, _ = sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]
    return Raced(title, ours, bare, max(memory for *_, memory in pairs))


@contextmanager
def cleared(path: Path) -> Iterator[None]:
    """A block that leaves nothing there."""
    yield
    remove_tree(path)


def configure(work: Path, data: Path, folder: Path) -> None:
    """Have rear save the data there."""
    (work / "etc").mkdir(exist_ok=True)
    (work / "etc/local.conf").write_text(CONFIGURATION.format(work=work, place=folder, data=data))


def run(work: Path, *command: str) -> tuple[float, int]:
    """The seconds of a command, and its peak memory in bytes: its processes together, and the work area."""
    began = time.monotonic()
    argv = [f"{Path(sys.executable).parent}/rear", "-c", f"{work}/etc", "-n", *command]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory(process.pid) + area(work))
            time.sleep(0.2)
        seconds = time.monotonic() - began
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(argv)} failed:\n{said.read().decode(errors='replace')}")
    return seconds, peak


def memory(pid: int) -> int:
    """The memory of rear alone: what tar and zstd take they take in the bare pipeline, too."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")), 0)


def area(work: Path) -> int:
    """What is in the work areas."""
    found = 0
    for path in work.glob("rear.*/**/*"):
        try:
            found += path.stat().st_size
        except OSError:
            continue
    return found


def timed(script: str) -> float:
    """The seconds of a pipeline."""
    began = time.monotonic()
    subprocess.run(["bash", "-o", "pipefail", "-e", "-c", script], check=True, cwd="/")
    return time.monotonic() - began


def show(found: list[Raced], of_many: tuple[int, int]) -> None:
    """Print what was measured."""
    print(f"{'':46}{'rear s':>9}{'bare s':>9}{'speed':>9}{'MiB':>7}")
    for one in found:
        print(f"{one.title:46}{one.ours:9.1f}{one.bare:9.1f}{one.speed:9.0%}{one.memory >> 20:7}")
    for command, peak in zip(("save", "restore"), of_many):
        print(f"{f'{command} {MANY_FILES:,} files':73}{peak >> 20:7}")


if __name__ == "__main__":
    show(measured(), memory_of_many())
