# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the restored system bootable on this machine, proves it, and reports what the recovery came to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from .. import durable
from ..contents import Contents
from ..errors import RearError, Refused
from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..boot.loader import Entry
    from ..run import Run


# What to set where the machine has to be started as it was.
FIRMWARE_ADVICE = {
    "bios": "start the rescue media in BIOS mode: switch on CSM or Legacy boot in the firmware setup, or choose the"
    " medium's boot entry without `UEFI`; give a virtual machine BIOS (SeaBIOS, generation 1)",
    "uefi": "start the rescue media in UEFI mode: switch off CSM and Legacy boot in the firmware setup, or choose"
    " the medium's boot entry with `UEFI`; give a virtual machine UEFI (OVMF, generation 2)",
}

# How many stale names the report has.
MENTIONS = 20


@hookimpl
def rear_rescue_contents() -> Contents:
    # The initramfs of the recovered system is read with the program that packs such files.
    packers = ["zstd", "gzip", "xz", "lz4", "bzip2"]
    return Contents(programs=["chroot", "mount", "umount"], optional_programs=packers)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(50, "Record the attributes of files", record_attributes)


@hookimpl
def rear_verify(run: Run) -> Iterable[Step]:
    if "finalize" in run.phases:
        yield Step(10, "Check that this firmware can start the machine", check_firmware)


@hookimpl
def rear_restore(run: Run) -> Iterable[Step]:
    if "finalize" in run.phases:
        yield Step(5, "Make files from an earlier run writable", free_files)
        yield Step(6, "Create folders whose attributes files inherit", make_inherited)


@hookimpl
def rear_finalize() -> Iterable[Step]:
    yield Step(10, "Create directories that backups do not contain", make_directories)
    yield Step(20, "Enter the recovered system", enter)
    yield Step(25, "Add new file systems to /etc/fstab", add_mounts)
    yield Step(30, "Update device names in the restored configuration", update_device_names)
    yield Step(35, "Update the names of network cards", update_card_names)
    yield Step(60, "Install the boot loader", install_boot_loaders)
    yield Step(80, "Check that the recovered system can boot", prove)
    yield Step(93, "Keep the identity of the machine", keep_identity)
    yield Step(94, "Label the files that were created", label_files)
    yield Step(95, "Restore the attributes of files", restore_attributes)
    yield Step(97, "Check that everything is written to disk", check_written)
    yield Step(99, "Report", tell)


def record_attributes(run: Run) -> None:
    """Write attributes.json: what chattr(1) has set on the files at the top of each file system."""
    from ..storage.mount import mounted
    from ..system import file_attributes

    assert run.layout is not None
    found = [attributes for top in mounted(run.layout) for attributes in file_attributes.find(top)]
    for attributes in found:
        run.report.log(f"{attributes.path}: {attributes.letters or '-'}, project {attributes.project}")
    file_attributes.save(run.recovery_dir / "attributes.json", found)


def check_firmware(run: Run) -> None:
    """Refuse to recover a machine that this kind of firmware could not start afterwards."""
    from ..boot.conversion import additions, missing
    from ..finalize import recorded
    from .storage import recorded_layout

    was, mode = recorded.description(run)["system"]["firmware"]["mode"], run.system.firmware.mode
    if was == mode:
        return
    usable = [loader for loader, facts in recorded.usable(run) if not loader.is_left_over(facts)]
    layout = recorded_layout(run)
    storage = [] if usable and additions(mode, layout) else missing(mode, layout)
    lacks = [*([] if usable else [f"a boot loader for {mode.upper()}"]), *storage]
    if lacks:
        raise Refused(
            f"the machine started by {was.upper()}, but the rescue system started by {mode.upper()}, for which the"
            f" machine lacks: {', '.join(lacks)}",
            FIRMWARE_ADVICE[was],
        )
    run.report.warn(f"the machine started by {was.upper()}; here {usable[0].name} will start it by {mode.upper()}")
    run.recovery.differences.append(f"firmware: {mode.upper()} instead of {was.upper()}")


def free_files(run: Run) -> None:
    """Whoever was killed at the very end left immutable files."""
    from ..system import file_attributes

    with suppress(RearError):
        for problem in file_attributes.free(run.target, file_attributes.load(run.recovery_dir / "attributes.json")):
            run.report.log(problem)


def make_directories(run: Run) -> None:
    """Mount points and pseudo directories; the mark for SELinux where labels did not come back."""
    from ..finalize import directories, recorded

    for name in directories.make_missing(run.target):
        run.report.log(f"created the directory {name}")
    if recorded.had_selinux(run) and directories.needs_labels(run.target):
        directories.ask_for_labels(run.target)
        run.recovery.done.append("SELinux will relabel all files at the first start, which takes a while")


def label_files(run: Run) -> None:
    """What LVM, dracut and others have written without SELinux, on a machine that has it."""
    from ..finalize import directories, recorded

    if recorded.had_selinux(run):
        directories.label_new(run.target)


def add_mounts(run: Run) -> None:
    """Those that the recorded machine did not have, as an EFI system partition."""
    from ..finalize import references
    from ..storage.mount import Mount

    assert run.rebuilt is not None and run.layout is not None
    layout, listed = run.rebuilt.site.layout, references.fstab_targets(run.target)
    for mount in layout.of(Mount):
        if mount.id not in run.layout and mount.target not in listed:
            uuid = layout[mount.needs[0]].identifiers["UUID"]
            references.add_mount(run.target, f"UUID={uuid}  {mount.target}  {mount.fstype}  umask=0077  0  1")
            run.recovery.done.append(f"{mount.target} added to /etc/fstab")


def enter(run: Run) -> None:
    """Show the devices and the kernel's files inside the target."""
    from ..boot.chroot import show_kernel

    show_kernel(run)


def update_device_names(run: Run) -> None:
    """Rewrite identifiers that changed, and note those that lead nowhere."""
    from ..finalize import leftovers, references
    from ..finalize.devices import storage_of
    from ..finalize.names import naming_files

    recovery = run.recovery
    assert run.rebuilt is not None and run.layout is not None
    owners = {getattr(item, "uuid", ""): item for item in run.layout}
    for old, new in sorted(run.rebuilt.changed_identifiers.items()):
        recovery.differences.append(f"{owners.get(old, 'item')}: UUID {new} instead of {old}")
    recovery.differences += run.rebuilt.notes
    storage = storage_of(run)
    naming = naming_files(run.plugins.call("rear_storage_kinds"), run.plugins.call("rear_boot_loaders"))
    left = leftovers.find(run.target, storage, references.opened_at_start(run.target, storage, naming))
    findings = references.rewrite_references(run.target, storage, naming)
    for finding in findings:
        run.report.detail(str(finding))
        if finding.new:
            recovery.done.append(str(finding))
            recovery.rewritten.append(finding.file)
        elif finding.optional:
            run.report.warn(str(finding))
            recovery.differences.append(str(finding))
        else:
            recovery.problems.append(str(finding))
    _tell_leftovers(run, [str(one) for one in leftovers.unknown(run.target, left, findings)])


def _tell_leftovers(run: Run, lines: list[str]) -> None:
    for line in lines:
        run.report.log(line)
    run.recovery.differences += lines[:MENTIONS]
    if len(lines) > MENTIONS:
        run.recovery.differences.append(f"{len(lines) - MENTIONS} more stale disk names: see the log")


def update_card_names(run: Run) -> None:
    """Give new network cards the names of those whose place they took."""
    from ..finalize.decision import COPIED
    from ..finalize.names import patterns_with_words
    from ..network import rename as cards
    from ..network.apply import present
    from ..network.model import load

    path = run.recovery_dir / "network.json"
    if not path.is_file():
        run.report.warn(f"{path} is missing: the firmware and kernel choose the names of network cards")
        return
    recorded, here = load(path), present(run.sh)[0]
    replaced, lost = cards.replaced_cards(recorded, here), cards.lost_cards(recorded, here)
    for name, (old, new) in sorted(replaced.items()):
        same = old.hardware_mac.lower() == new.hardware_mac.lower()
        change = f"at {new.bus} instead of {old.bus}" if same else f"{new.hardware_mac} instead of {old.hardware_mac}"
        run.recovery.differences.append(f"network card {name}: {change}")
    run.recovery.differences += [f"network card {link.name}: no card replaces it" for link in lost]
    with_words = patterns_with_words(run.plugins.call("rear_boot_loaders"))
    changes = cards.rewrite_names(run.target, replaced, with_words)
    run.recovery.done += map(str, changes)
    # Of these an initramfs has a copy.
    run.recovery.rewritten += [change.file for change in changes if change.file.startswith(COPIED)]
    run.recovery.differences += cards.mentions(run.target, replaced, lost, with_words)


def install_boot_loaders(run: Run) -> None:
    """Install each recorded boot loader; one that fails does not keep the others from it, and is a problem where the
    machine is started by it."""
    from ..finalize import recorded

    assert run.layout is not None and run.rebuilt is not None
    if "mount:/boot" in run.layout and "mount:/boot" not in run.rebuilt.site.layout:
        # Whatever is installed to a folder in its place, nothing leads from there to a kernel.
        run.recovery.problems.append("no boot loader was installed: the file system of /boot was not recreated")
        return
    usable = recorded.usable(run)
    # The last one comes first in the order in which the firmware tries them.
    for loader, facts in sorted(recorded.loaders(run), key=usable.__contains__):
        if loader.install is None:
            continue
        try:
            run.recovery.done += loader.install(run, facts)
        except RearError as error:
            line = f"{loader.name} was not installed: {error.message}"
            if (loader, facts) in usable:
                run.recovery.problems.append(line)
            else:
                run.recovery.differences.append(line)


def prove(run: Run) -> None:
    """Look for anything that keeps the recovered system from starting."""
    from ..finalize import proof, recorded
    from ..finalize.devices import storage_of

    assert run.layout is not None and run.rebuilt is not None
    problems = run.recovery.problems
    usable, storage, kinds = recorded.usable(run), storage_of(run), run.plugins.call("rear_storage_kinds")
    if not usable:
        problems.append(f"no boot loader for {run.system.firmware.mode.upper()} was recorded: install one by hand")
    for loader, facts in usable:
        problems += loader.verify(run, facts) if loader.verify else []
        run.recovery.differences += loader.notes(run.target) if loader.notes else []
        run.recovery.differences += loader.by_hand(run, facts) if loader.by_hand else []
        if not loader.entries:
            run.recovery.differences.append(f"{loader.name} does not report what it starts: rear did not check that")
            continue
        entry = next(iter(loader.entries(run.target)), None)
        problems += proof.problems_of_entry(run.target, loader.name, entry, storage, kinds)
        if entry is not None:
            needed = proof.needed_modules(run.layout, run.rebuilt)
            problems += proof.problems_of_initramfs(run.sh, run.target, entry, needed)
            _log_entry(run, entry, needed)
    for kind in kinds:
        problems += kind.keeps_from_starting(run.target) if kind.keeps_from_starting else []
    problems[:] = dict.fromkeys(problems)


def _log_entry(run: Run, entry: Entry, needed: set[str]) -> None:
    run.report.log(f"default entry: {entry.title}: {entry.kernel} {' '.join(entry.arguments)}")
    run.report.log(f"modules needed to reach the root file system: {' '.join(sorted(needed))}")


def keep_identity(run: Run) -> None:
    """On other hardware it would be another machine to its own backups."""
    from .. import recovered
    from ..archive.repository import identity
    from ..system.identity import MACHINE_ID, NAME, computed, kept
    from .clone import wanted

    if wanted(run) is not None:
        return
    recorded, here = identity(run), computed(recovered.inside(run.target, os.fspath(MACHINE_ID)))
    if recorded and recorded != here:
        path = recovered.inside(run.target, os.fspath(run.var_dir / NAME))
        durable.write(path, kept(recorded, here))
        recovered.label(path)


def make_inherited(run: Run) -> None:
    """What is wrong with the description is said when all attributes are restored."""
    from ..system import file_attributes

    with suppress(RearError):
        file_attributes.prepare(run.target, file_attributes.load(run.recovery_dir / "attributes.json"))


def restore_attributes(run: Run) -> None:
    """As the last, and only when nothing is left to be put right: what is immutable cannot be any more."""
    from ..system import file_attributes

    try:
        recorded = file_attributes.load(run.recovery_dir / "attributes.json")
    except RearError as error:
        run.recovery.differences.append(f"files lost their attributes: {error.message}")
        return
    if recorded and run.recovery.problems:
        run.recovery.differences.append("files have no attributes yet (chattr): rear sets them once nothing is wrong")
    else:
        run.recovery.differences += file_attributes.restore(run.target, recorded)


def check_written(run: Run) -> None:
    """What was written since the files were restored: names, the initramfs, the boot loader."""
    from .backup import unwritten

    run.recovery.problems += unwritten(run)


def _page(run: Run, facts: Mapping[str, str]) -> str:
    from ..pages.recovery import report_page

    return report_page(run, facts)


def tell(run: Run) -> None:
    """Say what was done and what differs, keep it in the recovered system, and fail when it will not start."""
    from ..finalize import recorded, summary
    from ..pages import drawn

    recovery = run.recovery
    for line in summary.lines(recovery):
        run.report.say(line)
    facts = {
        "date": time.strftime(summary.STAMP, time.gmtime()),
        "hostname": recorded.description(run)["system"]["hostname"],
        "backup": run.backup_name,
    }
    html = drawn(run.report, lambda: _page(run, facts))
    summary.keep(run.target, recovery, facts, run.report.log_path, html)
    if recovery.problems:
        raise RearError(
            f"{'not all' if recovery.missing else 'all'} files are restored, but the system will not start as it"
            " should:"
            f" {'; '.join(recovery.problems)}",
            f"before you restart it: mount it with `rear mountonly`, repair it with `chroot {run.target}`",
        )
    if recovery.missing:
        raise RearError(
            f"the system is restored and can start, but some files are missing: {'; '.join(recovery.missing)}",
            "restart it; the log and /var/log/rear in the recovered system name them; another backup may have them",
        )
    run.report.say("The recovery is complete.")
