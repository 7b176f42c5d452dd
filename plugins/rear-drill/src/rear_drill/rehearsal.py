# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovers in a virtual machine: boots the rescue image, recovers, compares, starts the result and switches it off."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rear_core import RearError, Run
from rear_core.errors import ExitCode, Interrupted
from rear_core.rescue.python import SITE

from .access import LABEL, Given
from .image import Entry
from .qemu import Machine, MachineFailed
from .verdict import BOOT, COMPARE, RECOVER, START, Verdict

DOWN = "\x1b[B"
RESCUE_PROMPT = r"RESCUE \S+:\S* # "
TARGET = "/mnt/local"
# Files in the memory of the rescue system.
CONFIGURATION = "/run/rear-drill.conf"
KEY = "/run/rear-drill.key"
SCRIPT = "/run/rear-drill.py"
RUN_SCRIPT = f'import sys, runpy; sys.path.insert(0, "{SITE}"); runpy.run_path(sys.argv.pop(1), run_name="__main__")'

# The network of QEMU (-netdev user): no other way leads anywhere, and the recorded names may be known to this machine.
CONNECT = """\
card=$(grep -lix {mac} /sys/class/net/*/address); card=${{card%/address}}; card=${{card##*/}}
ip route flush table main; ip -6 route flush table main
rm -f /etc/resolv.conf; echo nameserver 10.0.2.3 >/etc/resolv.conf
ip link set "$card" up && ip address replace 10.0.2.15/24 dev "$card" && ip route replace default via 10.0.2.2"""

# Emulated machines on a busy host are slow.
BOOT_SECONDS = 1200
START_SECONDS = 1800
OFF_SECONDS = 600
QUIET_SECONDS = 45
# A boot loader is slow at making a key of a passphrase, and what it does not read it takes for its menu.
DERIVE_SECONDS = 120
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
    """What is rehearsed: `rescue` boots the image and has all that is `given` to it, `result` has the same disks alone.

    `entry` is taken from the boot menu. `configuration` is what the rescue system is told besides its own,
    `passphrase` that of the `volumes` new LUKS volumes, "" for none. `results` is for what is kept, `deadline` a time
    of time.monotonic().
    """

    rescue: Machine
    result: Machine
    entry: Entry
    given: Given
    configuration: str = field(repr=False)
    results: Path
    deadline: float
    volumes: int = 0
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
                report = read_report(vm, plan, verdict)
            if plan.given.archive:
                with stage(run, verdict, COMPARE):
                    compare(vm, plan, verdict, report["rewritten"])
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
    """`rear -n recover` with the backup from where it is given."""
    vm.check("umask 077")
    base, place = shlex.quote(plan.given.base), shlex.quote(plan.given.mount)
    if place != base:
        # Scripts of the administrator mount nothing there if something is mounted already.
        vm.check(f"mkdir -p {base} && mount -t tmpfs -o mode=700 tmpfs {base}")
    if plan.given.mount:
        vm.check(f"mkdir -p {place} && mount --read-only LABEL={LABEL} {place}")
    if plan.given.card:
        vm.check(CONNECT.format(mac=plan.given.card.mac))
    for path, data in plan.given.files.items():
        vm.check(f"mkdir -p {shlex.quote(os.path.dirname(path))}")
        put(vm, path, data)
    put(vm, CONFIGURATION, plan.configuration.encode())
    put(vm, KEY, f"{plan.given.key}\n".encode())
    chosen = f" --backup {shlex.quote(plan.given.date)}" if plan.given.date else ""
    answer = vm.sh(f"rear -n -C {CONFIGURATION} recover{chosen}", plan.left())
    if answer.status not in (ExitCode.DONE, ExitCode.UNTOLD):
        raise RearError(f"`rear recover` ended with exit status {answer.status}: {reason(answer.output)}")


def reason(output: str) -> str:
    """What a command of rear said it failed of."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
    return (errors or lines or ["no output"])[-1].strip()


def read_report(vm: Machine, plan: Plan, verdict: Verdict) -> Mapping[str, Any]:
    """What the recovery says of itself in the recovered system."""
    vm.check(f"rear -n -C {CONFIGURATION} mountonly", plan.left())
    report = json.loads(vm.check(f'cat "$(ls {TARGET}/var/log/rear/recovery-*.json | tail -n 1)"'))
    verdict.phases = report["seconds"]
    verdict.done = report["done"]
    verdict.differences = report["differences"]
    # An image of before has none.
    verdict.plan, verdict.steps = report.get("plan", ""), report.get("steps", [])
    assert isinstance(report, dict)
    return report


def compare(vm: Machine, plan: Plan, verdict: Verdict, rewritten: Iterable[str]) -> None:
    """Compare every restored file with the backup, but for those that the recovery says it has rewritten."""
    put(vm, SCRIPT, Path(__file__).with_name("compare.py").read_bytes())
    arguments = shlex.join(["-c", RUN_SCRIPT, SCRIPT, plan.given.archive, TARGET])
    said = vm.check(f"python3 -IS {arguments} <{KEY}", plan.left())
    found = json.loads(said.splitlines()[-1])
    verdict.files_compared = found["members"]
    verdict.files_different = list(unexplained(found["different"], rewritten))


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
    # It may ask on its screen alone, for each volume, and for one of them the boot loader did so before.
    left, quiet = plan.volumes + bool(plan.volumes), QUIET_SECONDS
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
            moved, quiet_since, quiet = now, time.monotonic(), QUIET_SECONDS
        if time.monotonic() - quiet_since > quiet:
            if not left:
                return
            vm.type(f"{plan.passphrase}\n")
            left, quiet_since, quiet = left - 1, time.monotonic(), DERIVE_SECONDS
    raise RearError(f"it has not started after {START_SECONDS} seconds")
