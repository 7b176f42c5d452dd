# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks all that a rehearsal needs, then rehearses and reports."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rear_core import Refused, Run, durable, records
from rear_core.archive import headers
from rear_core.archive.backup import layout_id
from rear_core.builtin.rehearsed import kept_plan
from rear_core.builtin.storage import load_layout
from rear_core.cli.session import at_work, open_run, told
from rear_core.finalize.recorded import description
from rear_core.network.model import load as load_network
from rear_core.pages import drawn
from rear_core.rescue.memory import available
from rear_core.run import Options
from rear_core.settings import quote
from rear_core.storage.compare import human_size
from rear_core.storage.spared import backup_disks

from . import access, hardware, image, qemu, rehearsal, verdict

MIB = 1 << 20
# Letters that lie at the same place on keyboards of QWERTY, QWERTZ and AZERTY: where a system asks on its screen alone,
# keys are pressed.
KEYS = "bcdefghijklnoprstuvx"
PASSPHRASE_SIZE = 24


@dataclass(frozen=True)
class Wishes:
    """The options of the command: MiB, processors, minutes, the date of the backup, and what is handed in."""

    memory: int
    cpus: int
    time_limit: int
    backup: str
    hand_in: Sequence[Path] = ()


def drill(options: Options, iso: Path | None, wishes: Wishes) -> bool:
    """Rehearse and tell the verdict; whether the machine came back."""
    if options.simulate:
        print("\n".join(verdict.STAGES))
        return True
    run = open_run(options)
    with told(run):
        with at_work(run, "drill"):
            plan, result = prepare(run, iso, wishes)
            rehearsal.rehearse(run, plan, result)
            verdict.keep(result, plan.results, lambda: drawn(run.report, lambda: page(run, result)))
            if result.succeeded:
                keep_plan(run, result)
            else:
                run.result, run.error = "failed", result.problem
            run.outcome.rehearsal = verdict.measured(result, plan.results)
        quiet = options.quiet and result.succeeded
        for line in (*verdict.lines(result), f"Report: {plan.results}"):
            run.report.say(line) if options.json or quiet else run.report.result(line)
        if not result.succeeded:
            run.report.end()
    return result.succeeded


def page(run: Run, result: verdict.Verdict) -> str:
    """The report as HTML, beside the rehearsals before."""
    return verdict.page(result, records.load(run.var_dir))


def keep_plan(run: Run, result: verdict.Verdict) -> None:
    """Leave the plan where the next rescue media take it from: a recovery can then say how another one differs."""
    if result.plan:
        kept = json.dumps({"plan": result.plan, "rehearsed": result.date, "steps": result.steps}, indent=2)
        durable.write(kept_plan(run), f"{kept}\n")


def prepare(run: Run, iso: Path | None, wishes: Wishes) -> tuple[rehearsal.Plan, verdict.Verdict]:
    """Check everything and lay it ready; raise `Refused` with what to do when something is missing."""
    check_host(run, wishes)
    found = image.read(run.sh, iso.absolute() if iso else image.newest(images(run)), run.build_dir)
    # The image's own configuration: what it will do, whatever is configured here by now.
    told = open_run(replace(run.options, config_dir=found.configuration, config_files=()))
    told.report, told.sh, told.build_dir = run.report, run.sh, run.build_dir
    told.layout = load_layout(told)
    firmware = check_image(run, told, found)
    return laid_ready(run, told, found, firmware, wishes)


def check_host(run: Run, wishes: Wishes) -> None:
    """Refuse to begin where a virtual machine cannot run."""
    if run.system.machine != "x86_64":
        raise Refused(f"a rehearsal is not possible on {run.system.machine}", "rehearse on a spare machine")
    if run.sh.which(qemu.PROGRAM) is None:
        raise Refused(f"{qemu.PROGRAM} is not installed", run.plugins.install_advice([qemu.PROGRAM]))
    if run.sh.which("xorriso") is None:
        raise Refused("xorriso is not installed", run.plugins.install_advice(["xorriso"]))
    if available() < wishes.memory * MIB:
        raise Refused(
            f"{available() // MIB} MiB of memory are available, but the virtual machine needs {wishes.memory}",
            "give it less with --memory MIB",
        )


def is_possible(run: Run) -> bool:
    """Whether this machine, as it is configured, can be rehearsed as far as is known before its image is read."""
    try:
        check_host(run, Wishes(memory=2048, cpus=2, time_limit=240, backup=""))
    except Refused:
        return False
    accesses = [*run.plugins.call("rear_backup_access", run=run)]
    return len(run.settings["BACKUP"]) == 1 and bool(accesses) and "ISO_DIR" in run.settings.declared


def check_image(run: Run, told: Run, found: image.Image) -> str:
    """The firmware of the recorded machine; `Refused` when it is not this machine, or there is no such firmware."""
    system = description(told)["system"]
    if system["hostname"] != run.system.hostname:
        raise Refused(
            f"{found.path} is the rescue image of {system['hostname']}, this machine is {run.system.hostname}",
            "name an image of this machine",
        )
    firmware = hardware.firmware_of(system["firmware"]["mode"], system["firmware"].get("secure_boot"))
    if firmware != "bios":
        try:
            qemu.firmware_files(firmware)
        except qemu.MachineFailed as error:
            raise Refused(error.message, run.plugins.install_advice(["ovmf"])) from error
    return firmware


def images(run: Run) -> Path:
    """The folder of finished rescue images."""
    return Path(run.settings.get("ISO_DIR") or run.var_dir / "output")


def laid_ready(
    run: Run, told: Run, found: image.Image, firmware: str, wishes: Wishes
) -> tuple[rehearsal.Plan, verdict.Verdict]:
    """The disc with the backup, the blank disks, the two machines, and a verdict that is still open."""
    assert told.layout is not None
    recorded = hardware.recorded_disks(told.layout, backup_disks(told, told.layout))
    handed = access.given(run, told, found.path, wishes.backup, wishes.hand_in)
    disks = hardware.blank_disks(recorded, run.build_dir)
    accelerator = qemu.accelerator(found.kernel)
    stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    results = run.var_dir / "drill" / stamp
    results.mkdir(mode=0o700, parents=True)
    result = qemu.Machine(
        memory=wishes.memory, cpus=wishes.cpus, firmware=firmware, nvram=run.build_dir / "nvram", disks=disks,
        nics=hardware.cards(load_network(told.recovery_dir / "network.json")), accelerator=accelerator,
        transcript=results / "start.log", host=run.sh, directory=run.build_dir,
        # Some start once more after their first start: to label files, to make an entry in the firmware.
        reboots=True,
    )  # fmt: skip
    rescue = replace(
        result, cdrom=found.path, disks=[*disks, *handed.discs], transcript=results / "rescue.log", reboots=False,
        nics=[*result.nics, *filter(None, [handed.card])],
    )  # fmt: skip
    volumes = sum(item.has_passphrase for item in told.layout)
    new_key = "".join(secrets.choice(KEYS) for _ in range(PASSPHRASE_SIZE)) if volumes else ""
    run.report.mask(new_key)
    lines = configuration(
        handed.lines, new_key, headers=headers.wanted(told), plan=bool(told.settings.get("REHEARSED_PLAN"))
    )
    plan = rehearsal.Plan(
        rescue, result, found.shell, handed, lines, results, time.monotonic() + wishes.time_limit * 60, volumes, new_key
    )
    return plan, verdict.Verdict(
        date=stamp, hostname=run.system.hostname, image=str(found.path), backup=handed.place,
        backup_bytes=handed.size, firmware=firmware, memory=wishes.memory, cpus=wishes.cpus,
        emulated=accelerator == qemu.EMULATED,
        disks=[f"{disk}, {human_size(disk.size)}, {drive.bus}" for disk, drive in zip(recorded, disks)],
        unproven=[*hardware.limits(recorded, told.layout), *handed.unproven],
        notes=list(notes(run, told, handed.layout)),
    )  # fmt: skip


def configuration(given: Iterable[str], new_key: str, headers: bool = False, plan: bool = False) -> str:
    """What the rescue system is told besides its own: what is `given`, and the passphrase of new LUKS volumes.

    Kept headers of LUKS volumes are not put back: the passphrases that open them are nowhere. A plan that is wanted is
    that of another rehearsal.
    """
    lines = ["DISK_MAPPING=()", *given]
    lines += [f"LUKS_PASSPHRASE={quote(new_key)}"] if new_key else []
    lines += ["LUKS_HEADER_BACKUP=no"] if headers else []
    lines += ["REHEARSED_PLAN="] if plan else []
    return "".join(f"{line}\n" for line in lines)


def notes(run: Run, told: Run, layout: str) -> Iterator[str]:
    """What does not fit together although it may well work."""
    own, carried = (of.recovery_dir / "layout.json" for of in (run, told))
    if own.is_file() and own.read_bytes() != carried.read_bytes():
        yield "the description of the storage changed after this image was created: run `rear mkrescue`"
    if layout and layout != layout_id(told):
        yield "the description of the storage changed after this backup: run `rear mkbackup`"
