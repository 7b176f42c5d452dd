# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks all that a rehearsal needs, then rehearses and reports."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rear_core import Refused, Run, durable, records
from rear_core.archive import generations, headers
from rear_core.archive.backup import layout_id, passphrase
from rear_core.archive.manifest import Manifest
from rear_core.archive.repository import FolderRepository, prefix
from rear_core.archive.restore import read_manifest
from rear_core.builtin.rehearsed import kept_plan
from rear_core.builtin.storage import load_layout
from rear_core.cli.session import at_work, open_run, told
from rear_core.finalize.recorded import description
from rear_core.media.iso import make_iso
from rear_core.network.model import load as load_network
from rear_core.pages import drawn
from rear_core.places.opening import opened
from rear_core.places.room import check_room
from rear_core.places.url import Url
from rear_core.rescue.memory import available
from rear_core.run import Options
from rear_core.settings import quote
from rear_core.storage.compare import human_size
from rear_core.storage.spared import backup_disks

from . import hardware, image, qemu, rehearsal, verdict

MIB = 1 << 20
METHODS = ("NFS", "NETFS")
# Where the rescue system gets a backup that is not in a folder of the machine.
MOUNT = "/run/rear-drill"
# For metadata of the file systems, swap, and what a start writes.
SPARE = 1024 * MIB


@dataclass(frozen=True)
class Wishes:
    """The options of the command: MiB, processors, minutes, the date of the backup."""

    memory: int
    cpus: int
    time_limit: int
    backup: str


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
    return " ".join(run.settings["BACKUP"]).upper() in METHODS and "ISO_DIR" in run.settings.declared


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


@contextmanager
def generation(told: Run, date: str) -> Iterator[tuple[Path, Manifest]]:
    """The folder of the backup to use, at hand as long as it is needed, and its manifest."""
    method = " ".join(told.settings["BACKUP"])
    if method.upper() not in METHODS:
        raise Refused(
            f"rear cannot pass backups of BACKUP={method} to a virtual machine, which has no network",
            "rehearse with the rescue image on a spare machine that reaches the backup",
        )
    with opened(told, url_of(told), f"{told.settings.get('BACKUP_OPTIONS')},ro") as directory:
        place = FolderRepository(told, directory)
        name = generations.choose(place.names(), date, str(place))
        yield place.home / name, read_manifest(place, name).manifest


def url_of(told: Run) -> Url:
    """Where the image looks for the backup."""
    url = told.settings.get("BACKUP_URL")
    if not isinstance(url, Url):
        raise Refused("the rescue image names no backup", "set BACKUP_URL and run `rear mkbackup`")
    return url


def laid_ready(
    run: Run, told: Run, found: image.Image, firmware: str, wishes: Wishes
) -> tuple[rehearsal.Plan, verdict.Verdict]:
    """The disc with the backup, the blank disks, the two machines, and a verdict that is still open."""
    assert told.layout is not None
    recorded = hardware.recorded_disks(told.layout, backup_disks(told, told.layout))
    with generation(told, wishes.backup) as (backup, about):
        disc = make_disc(run, backup, f"/{prefix(told)}/{backup.name}", about)
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
        result, cdrom=found.path, disks=[*disks, disc], transcript=results / "rescue.log", reboots=False
    )  # fmt: skip
    url = url_of(told)
    mount = url.path if url.scheme == "file" else MOUNT
    key = passphrase(run)
    new_key = secrets.token_hex(12) if any(item.has_passphrase for item in told.layout) else ""
    run.report.mask(new_key)
    plan = rehearsal.Plan(
        rescue, result, found.shell, mount, f"{mount}/{prefix(told)}/{backup.name}",
        configuration(
            "" if url.scheme == "file" else mount, key, new_key,
            headers=headers.wanted(told), plan=bool(told.settings.get("REHEARSED_PLAN")),
        ), results,
        time.monotonic() + wishes.time_limit * 60, key, new_key,
    )  # fmt: skip
    return plan, verdict.Verdict(
        date=stamp, hostname=run.system.hostname, image=str(found.path), backup=f"{url}/{prefix(told)}/{backup.name}",
        backup_bytes=about.bytes, firmware=firmware, memory=wishes.memory, cpus=wishes.cpus,
        emulated=accelerator == qemu.EMULATED,
        disks=[f"{disk}, {human_size(disk.size)}, {drive.bus}" for disk, drive in zip(recorded, disks)],
        unproven=list(hardware.limits(recorded, told.layout, url)), notes=list(notes(run, told, about)),
    )  # fmt: skip


def make_disc(run: Run, backup: Path, place: str, about: Manifest) -> qemu.Disk:
    """A disc image with the files of a backup, when there is room for it and for what will be restored."""
    files = [path for path in sorted(backup.iterdir()) if path.is_file()]
    own = sum(path.stat().st_size for path in files)
    check_room(run.build_dir, own + about.bytes * 11 // 10 + SPARE, "TMPDIR")
    path = run.build_dir / "backup.iso"
    with run.report.step("Copy the backup to a disc image", "drill"):
        make_iso(
            run.sh, path, {f"{place}/{file.name}": file for file in files},
            volume_id=rehearsal.LABEL, epoch=int(time.time()), bios=None, efi_image=None,
        )  # fmt: skip
    return qemu.Disk(path, bus="cdrom")


def configuration(backup: str, key: str, new_key: str, headers: bool = False, plan: bool = False) -> str:
    """What the rescue system is told besides its own: where the backup is, and secrets that are never on media.

    Kept headers of LUKS volumes are not put back: the passphrases that open them are nowhere. A plan that is wanted is
    that of another rehearsal.
    """
    lines = ["DISK_MAPPING=()"]
    lines += [f"BACKUP_URL={quote(Url('file', '', backup))}"] if backup else []
    lines += [f"BACKUP_KEY={quote(key)}"] if key else []
    lines += [f"LUKS_PASSPHRASE={quote(new_key)}"] if new_key else []
    lines += ["LUKS_HEADER_BACKUP=no"] if headers else []
    lines += ["REHEARSED_PLAN="] if plan else []
    return "".join(f"{line}\n" for line in lines)


def notes(run: Run, told: Run, about: Manifest) -> Iterator[str]:
    """What does not fit together although it may well work."""
    own, carried = (of.recovery_dir / "layout.json" for of in (run, told))
    if own.is_file() and own.read_bytes() != carried.read_bytes():
        yield "the description of the storage changed after this image was created: run `rear mkrescue`"
    if about.layout and about.layout != layout_id(told):
        yield "the description of the storage changed after this backup: run `rear mkbackup`"
