# SPDX-License-Identifier: GPL-3.0-or-later
"""Recoveries and backups that are struck at a random moment, by the thousand; a seed says by what and when.

After each the next `rear recover` has to end with the same machine, and no disk that was not chosen has changed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from signal import Signals

from . import cache, compare, guests, small
from .methods import LIST
from .small import MIRROR, PLAIN

# A machine that is recovered by the hundred is a small one: enough to have its boot loader installed.
LEFT_OUT = (
    "/opt/rear/*", "/usr/lib/python3*", "/usr/lib/systemd/*", "/usr/lib/openssh/*", "/usr/lib/modules/*/kernel/*",
    "/usr/lib/udev/*", "/usr/lib/x86_64-linux-gnu/systemd/*", "/var/lib/dpkg/*", "/usr/share/[!g]*", "/boot/config-*",
    "/usr/bin/p*", "/usr/lib/x86_64-linux-gnu/perl-base/*", "/usr/lib/x86_64-linux-gnu/gconv/*",
    "/usr/lib/x86_64-linux-gnu/libperl*", "/usr/lib/x86_64-linux-gnu/libgnutls*", "/usr/lib/x86_64-linux-gnu/libapt*",
    "/usr/lib/klibc/*", "/usr/lib/terminfo/*",
)  # fmt: skip
DESIGNS = {
    design.name: replace(design, name=f"faults-{design.name}", left_out=LEFT_OUT, same_as=design)
    for design in (PLAIN, MIRROR)
}

# What strikes, and how often of a hundred.
KINDS = {
    "power": 26,  # of the machine that is recovered
    "power, twice": 12,
    "power while saving": 8,
    "killed": 16,  # rear alone
    "signal": 8,
    "disk fails": 8,  # every read and write of a chosen disk, or writes from some place on, and then no more
    "backup fails": 7,
    "disk vanishes": 5,  # and comes back, maybe under another name
    "disk exchanged": 5,
    "disk full": 5,
}
SIGNALS = ("TERM", "HUP")
CONFIGURED = "/sys/kernel/config/target"
# What a whole recovery takes where nothing else runs; a busy machine needs longer, which is known after the first.
SECONDS = {"plain": 8.0, "mirror": 18.0, "saving": 16.0}
LIMIT = 300
# Where the disks of a bench are, and what they take at most.
MEMORY = "/dev/shm"
ROOM = 6 << 30

RESUMED = "resuming it"

# Start it and leave; wait for a moment or its end, and say if it still runs; wait for its end and print what
# it said. Nothing looks again and again: starting programs is what is slow in a guest.
BEGIN = """\
rm -f /run/pid
{{ setsid --wait sh -c '{command} >/run/said 2>&1 & echo $! >/run/pid; wait $!' & job=$!; }} 2>/dev/null
until [ -s /run/pid ]; do sleep 0.05; done
"""
MOMENT = """\
{{ sleep {seconds:.3f} & nap=$!; wait -n $job $nap; kill $nap; wait $nap; }} 2>/dev/null
! kill -0 $(cat /run/pid) 2>/dev/null || echo it runs
"""
ENDED = """\
wait $job
(status=$?; cat /run/said; exit $status)
"""


@dataclass(frozen=True)
class Case:
    """What strikes which machine, and at which parts of the time that a recovery takes; `choice` is among disks and
    signals."""

    seed: int
    design: str
    kind: str
    moments: tuple[float, ...]
    choice: int

    @classmethod
    def drawn(cls, seed: int) -> Case:
        """The case of a seed, always the same."""
        dice = random.Random(seed)
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        design = dice.choice(list(DESIGNS))
        return cls(seed, design, kind, (dice.random(), dice.random()), dice.randrange(1000))


@dataclass
class Result:
    """What came of a case: how often a run went on or began anew; `problem` is empty when all is as it should be.

    What ended before its moment came was not `struck` at all.
    """

    case: Case
    struck: bool = False
    resumed: int = 0
    anew: int = 0
    went_on: bool = False
    restarted: bool = False
    seconds: float = 0
    problem: str = ""
    said: list[str] = field(default_factory=list)


class Broken(Exception):
    """A promise that was not kept."""


def expect(holds: bool, promise: str, said: object = "") -> None:
    """Raise `Broken` where it does not hold."""
    if not holds:
        raise Broken(f"{promise}\n{said}" if said else promise)


class Bench:
    """Disks for the recoveries of one machine, and a guest with its rescue system where one runs."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.design, self.folder = name, DESIGNS[name], folder
        self.saved = small.saved(self.design)
        self.backup = self.saved.copy(small.BACKUP, folder)
        self.foreign = small.foreign(folder)
        self.untouched = {disk.serial: compare.contents(disk.path) for disk in (self.backup, self.foreign)}
        self.word = "0b"
        self.seconds = SECONDS[name] * guests.engine().slowness()
        self._undo = ExitStack()
        self._vm: guests.Machine | None = None
        self.renew()

    def renew(self) -> None:
        """New disks, empty. To start anew is quicker than to stop all that is on the old ones."""
        self.drop()
        self.word = "0b"
        self.disks = self.design.blank(self.folder, self.word)

    @property
    def vm(self) -> guests.Machine:
        """The guest, at a prompt of the rescue system."""
        if self._vm is None:
            disks = [self.foreign, *self.disks, self.backup]
            # Each start has its own.
            name = f"{self.design.name}-{self.folder.name}"
            self._vm = self._undo.enter_context(small.rescue(self.saved, disks, name))
            self._vm.shell(small.RESCUE_PROMPT)
            self.map()
        return self._vm

    def drop(self) -> None:
        """Cut the power."""
        self._undo.close()
        self._vm = None

    def exchange(self) -> None:
        """Other disks, larger and empty, in the places of those that were chosen."""
        self.drop()
        self.word = "0d"
        self.disks = self.design.blank(self.folder, self.word, 64)

    def disk(self, case: Case) -> str:
        """The serial number of the chosen disk that a case strikes."""
        return self.disks[case.choice % len(self.disks)].serial

    def map(self) -> None:
        """Let the new disks take the places of the old ones."""
        line = f"DISK_MAPPING=( {small.mapping(self.design, self.word)} )"
        self.vm.check(f"sed -i /^DISK_MAPPING/d /etc/rear/local.conf; echo '{line}' >>/etc/rear/local.conf")

    def begin(self) -> None:
        """Start to recover."""
        self.vm.check(BEGIN.format(command=small.RECOVER))

    def wait(self, part: float) -> bool:
        """Wait for a moment of the recovery that runs, or for its end; whether it still runs."""
        return bool(self.vm.check(MOMENT.format(seconds=part * self.seconds), LIMIT))

    def ended(self) -> guests.Answer:
        """What the recovery said at its end."""
        return self.vm.sh(ENDED, LIMIT)

    def recover(self) -> guests.Answer:
        """A whole one."""
        self.begin()
        began = time.monotonic()
        answer = self.ended()
        if answer.status == 0 and RESUMED not in answer.output:
            self.seconds = (self.seconds + time.monotonic() - began) / 2
        return answer

    def check_others(self) -> None:
        """Nobody wrote to the disk of somebody else, or to the one with the backup."""
        for disk in (self.foreign, self.backup):
            expect(compare.contents(disk.path) == self.untouched[disk.serial], f"the disk {disk.serial} was written to")

    def check_recovered(self, answer: guests.Answer) -> None:
        """The machine is what it was."""
        expect(answer.status == 0, f"the last recovery ended with {answer.status}", answer.output)
        expect("It can boot" in answer.output, "nobody says that it can boot", answer.output)
        found = self.vm.check(small.DEVICES).splitlines()
        wanted = self.saved.facts[: len(found)]
        expect(found == wanted, "the storage differs", "\n".join(sorted(set(found) ^ set(wanted))))
        files = self.folder / "files.json"
        files.write_bytes(self._listed())
        left_out = [pattern for folder in self.design.left_out for pattern in (folder, folder.removesuffix("/*"))]
        different = compare.differences(self.saved.files, files, [*small.MAY_DIFFER, *left_out, "/boot/grub/*"])
        expect(different == {}, "files differ", different)

    def _listed(self) -> bytes:
        vm = self.vm
        vm.check("btrfs device scan >/dev/null; mkdir -p /run/look")
        for line in self.design.fstab.splitlines():
            source, folder, fstype, options = line.split()[:4]
            if folder.startswith("/"):
                vm.check(f"mount -t {fstype} -o ro,{options} {source} /run/look{folder.rstrip('/')}")
        vm.put("/run/listing.py", compare.LISTING.encode())
        vm.put("/run/list.py", LIST.replace("/mnt", "/run/look").encode())
        vm.check("python3 -B /run/list.py /run/listing.py /run/files.json")
        vm.check("umount --recursive /run/look")
        return vm.get("/run/files.json")


def strike(bench: Bench, case: Case, result: Result) -> None:
    """Have a recovery struck, and go on until the machine is there again; raises `Broken`."""
    bench.begin()
    result.struck = bench.wait(case.moments[0])
    answer = STRIKES[case.kind](bench, case, result)
    if answer is not None and answer.status not in (0, 130):
        expect("ERROR: " in answer.output, "it failed without a word", answer.output)
        expect("fault of rear" not in answer.output, "it ended with a bug", answer.output)
        result.said.append(_error(answer))
    again(bench, result, answer)


def _error(answer: guests.Answer) -> str:
    return next((line for line in answer.output.splitlines() if "ERROR: " in line), "")


def cut_power(bench: Bench, case: Case, _: Result) -> None:
    """Once, or again while the recovery is begun anew."""
    bench.drop()
    if case.kind == "power, twice":
        bench.begin()
        bench.wait(case.moments[1])
        bench.drop()


def exchange(bench: Bench, _: Case, __: Result) -> None:
    """Other disks than those that were chosen are refused, until they are chosen."""
    bench.exchange()
    before = [compare.contents(disk.path) for disk in bench.disks]
    bench.vm.check("sed -i s/0d0/0b0/ /etc/rear/local.conf")
    refused = bench.recover()
    expect(refused.status == 3, "disks that nobody chose were not refused", refused.output)
    expect([compare.contents(disk.path) for disk in bench.disks] == before, "disks that nobody chose were written to")
    bench.map()


def kill(bench: Bench, _: Case, __: Result) -> None:
    """Nothing of rear can be undone then."""
    bench.vm.check("kill -KILL $(cat /run/pid) 2>/dev/null; true")
    bench.ended()


def interrupt(bench: Bench, case: Case, _: Result) -> guests.Answer | None:
    """It undoes what it has begun."""
    signal = SIGNALS[case.choice % len(SIGNALS)]
    bench.vm.check(f"kill -{signal} $(cat /run/pid) 2>/dev/null; true")
    answer = bench.ended()
    said = [line for line in answer.output.splitlines() if not line.startswith("[1]+")]
    if answer.status == 128 + Signals[f"SIG{signal}"] and not said:
        # A Python that has hardly started is ended by the signal itself: nothing was begun.
        return None
    expect(answer.status in (0, 130), f"SIG{signal} ended it with {answer.status}", answer.output)
    expect("/mnt/local" not in bench.vm.check("cat /proc/mounts"), "file systems stayed mounted", answer.output)
    return answer


def fill(bench: Bench, _: Case, __: Result) -> guests.Answer:
    """Somebody else takes all the room of the root file system."""
    bench.vm.check("findmnt /mnt/local >/dev/null && dd if=/dev/zero of=/mnt/local/fill bs=1M 2>/dev/null; true")
    answer = bench.ended()
    if answer.status:
        told = answer.output + bench.vm.check("cat /tmp/rear-*.log")
        expect("No space left on device" in told, "nobody says that the disk is full", answer.output)
    # A full disk stays full for the next run, and mounted where it was being filled; that is for somebody to see to.
    if "stays mounted" in answer.output:
        bench.vm.check("umount --recursive /mnt/local")
    root = bench.design.fstab.split()[0]
    bench.vm.check(f"mkdir -p /run/look; ! mount {root} /run/look || {{ rm -f /run/look/fill; umount /run/look; }}")
    return answer


def pull_out(bench: Bench, case: Case, result: Result) -> guests.Answer:
    """A chosen disk goes away, and comes back when the run has ended."""
    serial = bench.disk(case)
    port = bench.vm.check(f"find {CONFIGURED}/loopback -name port -lname '*/{serial}'")
    bench.vm.check(f"rm {port}")
    answer = bench.ended()
    bench.vm.check(f"ln -s {CONFIGURED}/core/fileio_0/{serial} {port}")
    bench.vm.check(f"until [ -e /dev/disk/lab/{serial} ]; do sleep 0.05; done; udevadm settle", 30)
    result.went_on = answer.status == 0
    return answer


def spoil(bench: Bench, case: Case, _: Result) -> guests.Answer:
    """What lies beyond some place of the chosen disks cannot be written; a run that says nothing has to be right."""
    size = max(disk.path.stat().st_size for disk in bench.disks)
    bench.vm.fail_writes(int(case.moments[1] * size))
    answer = bench.ended()
    bench.vm.fail_writes(-1)
    return answer


def fail(bench: Bench, case: Case, result: Result) -> guests.Answer:
    """A chosen disk, or the one with the backup, gives errors until the run has ended."""
    if case.kind == "disk fails" and case.choice % 2:
        return spoil(bench, case, result)
    serial = small.BACKUP if case.kind == "backup fails" else bench.disk(case)
    state = bench.vm.check(f"echo /sys/block/$(basename $(readlink -f /dev/disk/lab/{serial}))/device/state")
    bench.vm.check(f"echo offline >{state}")
    answer = bench.ended()
    bench.vm.check(f"echo running >{state}")
    result.went_on = answer.status == 0
    return answer


# What a strike gives back is what the recovery said, where it came to an end.
STRIKES: dict[str, Callable[[Bench, Case, Result], guests.Answer | None]] = {
    "power": cut_power, "power, twice": cut_power, "killed": kill, "signal": interrupt, "disk fails": fail,
    "backup fails": fail, "disk vanishes": pull_out, "disk exchanged": exchange, "disk full": fill,
}  # fmt: skip


def again(bench: Bench, result: Result, before: guests.Answer | None) -> None:
    """Recover until it succeeds: at once, or after the rescue system was started again, as it says."""
    answer = before
    if answer is None or answer.status or result.went_on:
        answer = bench.recover()
        _count(result, answer)
    if answer.status and before is not None:
        # What is left of a disk that failed may be in use until the kernel starts anew.
        result.restarted = True
        result.said.append(_error(answer))
        bench.drop()
        answer = bench.recover()
        _count(result, answer)
    bench.check_recovered(answer)


def _count(result: Result, answer: guests.Answer) -> None:
    if RESUMED in answer.output:
        result.resumed += 1
    else:
        result.anew += 1


def save(bench: Bench, case: Case, result: Result) -> None:
    """Cut the power of a machine that saves itself: what it had saved before is whole."""
    design, saved = bench.design, bench.saved
    with tempfile.TemporaryDirectory(dir=bench.folder) as work:
        disks = [saved.copy(serial, Path(work)) for serial in (*design.serials("0a"), small.BACKUP)]
        with small.running(design, disks, f"{design.name}-{bench.folder.name}-saving") as vm:
            small.start(vm, design)
            vm.check(BEGIN.format(command="rear mkbackup"))
            seconds = case.moments[0] * SECONDS["saving"] * guests.engine().slowness()
            result.struck = bool(vm.check(MOMENT.format(seconds=seconds), LIMIT))
            vm.cut_power()
        whole = whole_backups(disks[-1].path, Path(work))
        expect(bool(whole), "no backup is whole any more")
        # And the next one is made.
        with small.running(design, disks, f"{design.name}-{bench.folder.name}-saving") as vm:
            small.start(vm, design)
            answer = vm.sh("rear mkbackup", LIMIT)
            expect(answer.status == 0, "the next backup failed", answer.output)
            vm.power_off()
        expect(len(whole_backups(disks[-1].path, Path(work))) == 2, "there are not two whole backups")


CHECK = r"""
mkdir "$2/look" && mount -o loop "$1" "$2/look" && cd "$2/look"
trap 'cd /; umount "$2/look"; rmdir "$2/look"' EXIT
(cd iso && sha256sum --quiet --check *.sha256) || exit
for folder in debian12/*Z; do
    "$3" -c "$4" $folder && echo $folder
done
"""
READ = """
import sys
from pathlib import Path
from rear_core.archive import manifest, repository, volumes
folder = Path(sys.argv[1])
made = manifest.loads((folder / manifest.NAME).read_text()).manifest
(part,) = made.parts
for block in volumes.checked(repository.read(folder / made.archive), made.archive, part):
    pass
"""


def whole_backups(image: Path, work: Path) -> list[str]:
    """The backups on a disk whose archives are what their manifests say, if the rescue image is whole, too."""
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", CHECK, "sh"]
    argv += [f"{image}", f"{work}", sys.executable, READ]
    done = subprocess.run(argv, capture_output=True, text=True)
    expect(done.returncode == 0, "the rescue image or a backup is damaged", done.stdout + done.stderr)
    return done.stdout.split()


def tried(bench: Bench, case: Case) -> Result:
    """What comes of a case."""
    result = Result(case)
    began = time.monotonic()
    try:
        bench.renew()
        (save if case.kind == "power while saving" else strike)(bench, case, result)
        bench.check_others()
    except (Broken, guests.MachineFailed, AssertionError, subprocess.SubprocessError) as error:
        result.problem = f"{type(error).__name__}: {error}"
        if isinstance(error, guests.MachineFailed):
            result.problem += f"\n{error.words}"
        bench.drop()
    result.seconds = round(time.monotonic() - began, 1)
    return result


class Laboratory:
    """A bench for each design, made when it is first asked for; its disks are in memory, where that has room."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._benches: dict[str, Bench] = {}

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_: object) -> None:
        for bench in self._benches.values():
            bench.drop()
        self._undo.close()

    def _folder(self) -> AbstractContextManager[Path]:
        has_room = os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free > ROOM
        return cache.scratch("faults", MEMORY if has_room else None)

    def tried(self, seed: int) -> Result:
        """What comes of the case of a seed."""
        case = Case.drawn(seed)
        if case.design not in self._benches:
            self._benches[case.design] = Bench(case.design, self._undo.enter_context(self._folder()))
        return tried(self._benches[case.design], case)


def worker(seeds: Sequence[int], results: Path) -> list[Result]:
    """Try some seeds, one after the other, and note each result at once."""
    found = []
    with Laboratory() as laboratory:
        for seed in seeds:
            result = laboratory.tried(seed)
            found.append(result)
            with results.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
            print(shown(result), flush=True)
    return found


def shown(result: Result) -> str:
    """A line for a result, and more for a broken promise."""
    case = result.case
    words = [f"{case.seed:6}", f"{case.design:7}", f"{case.kind:18}", f"{result.seconds:6.1f} s"]
    words += [f"resumed {result.resumed}", f"anew {result.anew}", "restarted" if result.restarted else ""]
    words += [] if result.struck else ["(it had ended before)"]
    return " ".join([*words, *result.said]) + (f"\n  BROKEN: {result.problem}" if result.problem else "")


def summary(results: list[Result]) -> str:
    """The counts of a campaign, by what struck."""
    lines = [f"{'':20} tried struck resumed anew restarted equal"]
    for kind in KINDS:
        some = [result for result in results if result.case.kind == kind]
        counts = [len(some), sum(r.struck for r in some), sum(r.resumed for r in some), sum(r.anew for r in some)]
        counts += [sum(r.restarted for r in some), sum(not r.problem for r in some)]
        widths = (6, 7, 8, 5, 10, 6)
        lines.append(f"{kind:20}" + "".join(f"{count:{width}}" for count, width in zip(counts, widths)))
    return "\n".join([*lines, f"{sum(not r.problem for r in results)} of {len(results)}"])


def at_least_one(text: str) -> int:
    """A number of things to do: to do nothing is no success."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def main() -> int:
    """Try a number of seeds and tell what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=at_least_one, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="the first one")
    parser.add_argument("--jobs", type=at_least_one, default=2)
    parser.add_argument("--results", type=Path, help="faults.jsonl in the cache of the tests, unless named")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("guests need root")
    results = options.results or cache.directory() / "faults.jsonl"
    seeds = range(options.seed, options.seed + options.count)
    print(f"seeds {seeds.start} to {seeds.stop - 1}; results go to {results}", flush=True)
    # Here, as every worker would wait for the first.
    for name in sorted({Case.drawn(seed).design for seed in seeds[:100]}):
        print(f"make the machine {name}, unless it is there from an earlier run (2 minutes)", flush=True)
        small.saved(DESIGNS[name])
    shares = [seeds[job :: options.jobs] for job in range(options.jobs)]
    with ProcessPoolExecutor(options.jobs) as pool:
        found = list(itertools.chain(*pool.map(worker, shares, [results] * options.jobs)))
    print(summary(found))
    return 1 if any(result.problem for result in found) else 0


if __name__ == "__main__":
    sys.exit(main())
