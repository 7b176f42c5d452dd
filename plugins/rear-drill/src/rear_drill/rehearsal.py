# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovers in a virtual machine: boots the rescue image, recovers, compares, starts the result and switches it off."""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rear_core import RearError, Run
from rear_core.errors import ExitCode, Interrupted
from rear_core.rescue.python import SITE

from .image import Entry
from .qemu import Machine, MachineFailed
from .verdict import BOOT, COMPARE, RECOVER, START, Verdict

DOWN = "\x1b[B"
RESCUE_PROMPT = r"RESCUE \S+:\S* # "
TARGET = "/mnt/local"
LABEL = "REAR-DRILL"
# Files in the memory of the rescue system.
CONFIGURATION = "/run/rear-drill.conf"
KEY = "/run/rear-drill.key"
SCRIPT = "/run/rear-drill.py"
RUN_SCRIPT = f'import sys, runpy; sys.path.insert(0, "{SITE}"); runpy.run_path(sys.argv.pop(1), run_name="__main__")'

# Emulated machines on a busy host are slow.
BOOT_SECONDS = 1200
START_SECONDS = 1800
OFF_SECONDS = 600
QUIET_SECONDS = 45
BUTTON_SECONDS = 20
LOGIN = r"\S+ login: "
PASSPHRASE = r"(?i:unlock disk|enter passphrase)[^\n]*: ?$"
STUCK = (
    r"Kernel panic[^\r\n]*|You are in emergency mode|Give root password for maintenance|\(initramfs\) |grub rescue> "
    r"|No bootable device"
)

# What finalize writes: boot loaders, initramfs, its own report.
WRITTEN = re.compile(r"/boot/(grub2?|efi|EFI|loader)(/|$)|/boot/(initrd|initramfs)|/efi(/|$)|/var/log/rear(/|$)")


@dataclass(frozen=True)
class Plan:
    """What is rehearsed: `rescue` boots the image and has a disc with the backup, `result` has the same disks alone.

    `entry` is taken from the boot menu. `mount` is where the rescue system gets the disc, `generation` the path of the
    backup there, `configuration` what it is told besides its own. `key` is the passphrase of the backup, `passphrase`
    that of new LUKS volumes, "" for none. `results` is for what is kept, `deadline` a time of time.monotonic().
    """

    rescue: Machine
    result: Machine
    entry: Entry
    mount: str
    generation: str
    configuration: str
    results: Path
    deadline: float
    key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)

    def left(self, most: float = float("inf")) -> float:
        """How many seconds something may take; raise `RearError` when the time is over."""
        seconds = min(most, self.deadline - time.monotonic())
        if seconds <= 0:
            raise RearError("the time limit has passed", "give it more with --time-limit MINUTES")
        return seconds


def rehearse(run: Run, plan: Plan, verdict: Verdict) -> None:
    """Run the rehearsal to its end, or until it fails; `verdict` then says why."""
    try:
        with plan.rescue as vm, screen_of_failure(vm, plan):
            with stage(run, verdict, BOOT):
                boot(vm, plan)
            with stage(run, verdict, RECOVER):
                recover(vm, plan)
            with stage(run, verdict, COMPARE):
                compare(vm, plan, verdict)
            vm.power_off(plan.left(OFF_SECONDS))
        with plan.result as vm, screen_of_failure(vm, plan), stage(run, verdict, START):
            start(vm, plan)
    except Interrupted:
        raise
    except RearError as error:
        verdict.problem = verdict.problem or error.message
        return
    different = len(verdict.files_different)
    verdict.problem = f"{different} files differ from the backup" if different else ""


@contextmanager
def stage(run: Run, verdict: Verdict, title: str) -> Iterator[None]:
    """A line for the user and the time it took; what fails in it is the problem."""
    started = time.monotonic()
    verdict.problem = ""
    try:
        with run.report.step(title, "drill"):
            yield
    except RearError as error:
        words = error.words if isinstance(error, MachineFailed) else ""
        verdict.problem = f"{title}: {error.message}" + (f" ({reason(words)})" if words else "")
        raise
    finally:
        verdict.stages[title] = time.monotonic() - started


@contextmanager
def screen_of_failure(vm: Machine, plan: Plan) -> Iterator[None]:
    """Keep what the screen shows when something fails: not every machine tells it on its serial console."""
    try:
        yield
    except Interrupted:
        raise
    except RearError:
        screen = plan.results / "screen.png"
        screen.touch(mode=0o600)
        with suppress(MachineFailed):
            vm.screenshot(screen)
        raise


def boot(vm: Machine, plan: Plan) -> None:
    """From the firmware over the boot menu to a shell."""
    vm.expect(re.escape(plan.entry.title), plan.left(BOOT_SECONDS))
    vm.send(DOWN * plan.entry.place + "\r")
    vm.shell(RESCUE_PROMPT, plan.left(BOOT_SECONDS))


def put(vm: Machine, path: str, data: bytes) -> None:
    """Write a small file there with Python: the rescue system has no base64, which `Machine.put` uses."""
    text = base64.encodebytes(data).decode()
    decode = "import base64, sys; sys.stdout.buffer.write(base64.decodebytes(sys.stdin.buffer.read()))"
    vm.check(f"python3 -IS -c '{decode}' >{shlex.quote(path)} <<'END-OF-FILE'\n{text}END-OF-FILE")


def recover(vm: Machine, plan: Plan) -> None:
    """`rear -n recover` with the backup from the disc."""
    place = shlex.quote(plan.mount)
    vm.check("umask 077")
    vm.check(f"mkdir -p {place} && mount --read-only LABEL={LABEL} {place}")
    put(vm, CONFIGURATION, plan.configuration.encode())
    put(vm, KEY, f"{plan.key}\n".encode())
    answer = vm.sh(f"rear -n -C {CONFIGURATION} recover", plan.left())
    if answer.status not in (ExitCode.DONE, ExitCode.UNTOLD):
        raise RearError(f"`rear recover` ended with exit status {answer.status}: {reason(answer.output)}")


def reason(output: str) -> str:
    """What a command of rear said it failed of."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
    return (errors or lines or ["no output"])[-1].strip()


def compare(vm: Machine, plan: Plan, verdict: Verdict) -> None:
    """Read the report of the recovery, and compare every restored file with the backup."""
    vm.check(f"rear -n -C {CONFIGURATION} mountonly", plan.left())
    report = json.loads(vm.check(f'cat "$(ls {TARGET}/var/log/rear/recovery-*.json | tail -n 1)"'))
    verdict.phases = report["seconds"]
    verdict.done = report["done"]
    verdict.differences = report["differences"]
    # An image of before has none.
    verdict.plan, verdict.steps = report.get("plan", ""), report.get("steps", [])
    put(vm, SCRIPT, Path(__file__).with_name("compare.py").read_bytes())
    arguments = shlex.join(["-c", RUN_SCRIPT, SCRIPT, plan.generation, TARGET])
    said = vm.check(f"python3 -IS {arguments} <{KEY}", plan.left())
    found = json.loads(said.splitlines()[-1])
    verdict.files_compared = found["members"]
    verdict.files_different = list(unexplained(found["different"], report["rewritten"]))


def unexplained(different: Iterable[str], rewritten: Iterable[str]) -> Iterator[str]:
    """The differences that do not come from making the system bootable."""
    known = set(rewritten)
    for line in different:
        path = line.partition(": ")[0]
        if path not in known and not WRITTEN.match(path):
            yield line


def start(vm: Machine, plan: Plan) -> None:
    """Start the recovered system, and have it shut down as its power button does: that takes one that works."""
    wait_until_started(vm, plan)
    for _ in range(OFF_SECONDS // BUTTON_SECONDS):
        # Between two looks it may have ended.
        with suppress(MachineFailed):
            vm.press_power_button()
        with suppress(MachineFailed):
            vm.wait(plan.left(BUTTON_SECONDS))
            return
    raise RearError("it started, but does not shut down when its power button is pressed")


def wait_until_started(vm: Machine, plan: Plan) -> None:
    """Return at the login prompt; where the serial console has none, when the disks have become quiet."""
    moved, quiet_since = -1, time.monotonic()
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        seen = vm.seen(f"({STUCK})|({PASSPHRASE})|{LOGIN}", plan.left(5))
        if seen and seen[1]:
            raise RearError(f"it does not start: {seen[1].strip()}")
        if seen and seen[2]:
            vm.send(f"{plan.passphrase}\n")
        elif seen:
            return
        if (now := vm.transferred()) != moved:
            moved, quiet_since = now, time.monotonic()
        if time.monotonic() - quiet_since > QUIET_SECONDS:
            return
    raise RearError(f"it has not started after {START_SECONDS} seconds")
