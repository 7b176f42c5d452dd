# SPDX-License-Identifier: GPL-3.0-or-later
"""What every boot loader has to be like; `conformance` has these tests among its own.

They try it on copies of the systems that its author supplies. None of its programs is run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from .. import recovered
from ..boot.chroot import has_program
from ..boot.loader import BootLoader
from ..contents import merge
from ..errors import ProgramFailed, RearError
from ..finalize.devices import Device, Storage
from ..finalize.names import naming_files, optional_words
from ..finalize.proof import problems_of_entry
from ..finalize.references import rewrite_references
from ..plugins import load
from ..rescue.programs import base_contents
from ..run import Run
from ..shell import Argument, Outcome, Shell
from ..storage.command import Site
from ..storage.disk import Disk
from ..storage.plan import Rebuilt
from ..storage.references import NamingFile
from ..system import Firmware
from .harness import Harness, Installed
from .performing import is_line, skip, unchanged
from .watch import differences, picture

__all__ = [
    "test_its_configuration_follows_other_identifiers", "test_its_detection_changes_nothing",
    "test_its_files_that_name_devices_are_listed", "test_its_installation_starts_what_is_there",
    "test_the_entries_of_its_menu_are_there", "test_what_it_lacks_to_start_is_told",
]  # fmt: skip

# A device as configuration and the kernel's parameters name it.
NAMED = re.compile(r"\b(?:PART)?(?:UUID|LABEL)=[\"']?([^\s\"',;]+)|/dev/disk/by-\w+/([^\s\"',;]+)")
DIGITS = str.maketrans("0123456789abcdefABCDEF", "123456789abcdef0BCDEF0")


@dataclass(frozen=True)
class Trial:
    """A loader and a copy of a system that it starts, recovered at `run.target`."""

    loader: BootLoader
    installed: Installed
    run: Run

    @property
    def naming(self) -> list[NamingFile]:
        """All files in which devices are looked for."""
        return naming_files(self.run.plugins.call("rear_storage_kinds"), [self.loader])

    def storage(self, *, others: bool = False) -> Storage:
        """The same devices, perhaps with `others` as identifiers."""
        found: dict[str, dict[str, str]] = {}
        assert self.run.rebuilt is not None
        layout = self.installed.layout
        for item in layout.order():
            path = self.run.rebuilt.device(item.needs[0] if item.identified_below else item.id)
            tags = {tag: other(tag, value) if others else value for tag, value in item.identifiers.items()}
            found.setdefault(path, {}).update(tags)
        devices = [Device(path, frozenset({path}), tags) for path, tags in found.items()]
        return Storage(layout, self.run.rebuilt, devices)


def other(tag: str, value: str) -> str:
    """Another identifier of the same form, where that is a number."""
    return value.translate(DIGITS) if tag in ("UUID", "PARTUUID") and len(value) > 8 else value


def trials(harness: Harness) -> list[Trial]:
    """Each loader of the plugin with each system that it starts, in a copy of its own."""
    loaders = _loaders(harness)
    if not harness.supplied:
        skip(harness.subject, "no fixture `supply` gives systems that it starts")
    systems = harness.supply.systems
    found = [_trial(harness, loader, one) for loader in loaders for one in systems if loader.name == one.loader]
    untried = [loader.name for loader in loaders if loader.name not in {trial.loader.name for trial in found}]
    assert not untried, f"Supply.systems has no system that {untried[0]} starts"
    return found


def _loaders(harness: Harness) -> list[BootLoader]:
    declare = getattr(load(harness.subject.found).module, "rear_boot_loaders", None)
    if declare is None:
        skip(harness.subject, "has no boot loader")
    return list(declare())


def _trial(harness: Harness, loader: BootLoader, installed: Installed) -> Trial:
    run = harness.run("recover")
    target = Path(tempfile.mkdtemp(prefix="system-", dir=harness.top)) / "root"
    shutil.copytree(installed.tree, target, symlinks=True)
    run.options = replace(run.options, target=target)
    run.sh = NotingShell()
    run.system = replace(run.system, firmware=Firmware(loader.firmware or "bios"))
    run.layout = installed.layout
    disks = {disk.id: disk.device for disk in installed.layout.of(Disk)} | dict(installed.disks)
    run.rebuilt = Rebuilt(Site(installed.layout, disks), disks)
    return Trial(loader, installed, run)


def test_its_detection_changes_nothing(harness: Harness) -> None:
    """`detect` looks at this machine, and what it finds can be kept as JSON."""
    for loader in _loaders(harness):
        with unchanged(harness), suppress(OSError, ProgramFailed):
            json.dumps(loader.detect(harness.run("mkrescue")))


def test_the_entries_of_its_menu_are_there(harness: Harness) -> None:
    """It finds what the menu starts: each kernel and initramfs lies in the system, and the kernel gets parameters."""
    for trial in trials(harness):
        assert trial.loader.entries, f"{trial.loader.name} has no `entries`: what it starts cannot be proven"
        entries = trial.loader.entries(trial.run.target)
        assert entries, f"`entries` of {trial.loader.name} finds nothing in {trial.installed.tree}"
        for entry in entries:
            assert entry.kernel, f"the entry {entry.title!r} has no kernel"
            for path in filter(None, (entry.hypervisor, entry.kernel, *entry.initramfs)):
                assert path.startswith("/"), f"{path} of the entry {entry.title!r} is no path of the recovered system"
                assert recovered.inside(trial.run.target, path).is_file(), f"{path} of {entry.title!r} is not there"
        # A rescue entry may have none.
        first = entries[0]
        assert first.arguments, f"the default entry {first.title!r} hands the kernel no parameters: where is its root?"
        odd = [word for word in first.arguments if not word or re.search(r"\s", word)]
        assert not odd, f"{odd[0]!r} of the entry {first.title!r} is not one parameter"


def test_its_files_that_name_devices_are_listed(harness: Harness) -> None:
    """Where a file of the system names a device by identifier, it is a naming file, and its reader finds the name."""
    for trial in trials(harness):
        target = trial.run.target
        read: dict[Path, set[str]] = {}
        for file in trial.naming:
            for _, path in recovered.find(target, file.pattern):
                read.setdefault(path.resolve(), {one.value for one in file.read(recovered.read(path))})
        for path in sorted(path for path in target.rglob("*") if path.is_file() and not path.is_symlink()):
            named = {value for line in _lines(path) for value in chain(*NAMED.findall(line)) if value}
            name = path.relative_to(target)
            words = ", ".join(sorted(named))
            assert not named or path.resolve() in read, f"/{name} names {words}: `naming_files` has no file for it"
            found = read.get(path.resolve(), set())
            unseen = sorted(word for word in named if not any(value.endswith(word) for value in found))
            assert not unseen, f"/{name} names {', '.join(unseen)}, which what reads it does not find"


def _lines(path: Path) -> list[str]:
    """The lines of a text that are no comments; none of what is no text."""
    data = path.read_bytes()
    lines = [] if b"\0" in data else data.decode(errors="replace").splitlines()
    return [line for line in lines if not line.lstrip().startswith("#")]


def test_its_configuration_follows_other_identifiers(harness: Harness) -> None:
    """When all identifiers are others, none of the old ones is left in its files; when none is, all is as it was."""
    for trial in trials(harness):
        target = trial.run.target
        old = [
            value
            for item in trial.installed.layout
            for tag, value in item.identifiers.items()
            if value != other(tag, value)
        ]
        assert trial.loader.naming_files, f"{trial.loader.name} has no `naming_files`"
        words = optional_words(trial.run.plugins.call("rear_storage_kinds"))
        files = trial.loader.naming_files(words)
        own = [(file, *found) for file in files for found in recovered.find(target, file.pattern)]
        texts = {name: recovered.read(path) for _file, name, path in own}
        for file, name, _path in own:
            places = sorted((one.start, one.end) for one in file.read(texts[name]))
            shared = [next_ for (_, end), (next_, _) in zip(places, places[1:]) if next_ < end]
            assert not shared, f"{name}: two references share the character {shared[0]}: one of them is too much"
        rewrite_references(target, trial.storage(), trial.naming)
        for file, name, path in own:
            # Paths of devices become those of this trial.
            same = recovered.read(path) == texts[name] or not all(one.tag for one in file.read(texts[name]))
            assert same, f"{name} changes with no identifier: `start` and `end` do not enclose `value`"
        before = {name: _around(file, texts[name]) for file, name, _path in own}
        rewrite_references(target, trial.storage(others=True), trial.naming)
        for file, name, path in own:
            text = "\n".join(_lines(path))
            # What has it in a name, as an entry of a menu does, is still called so.
            left = [value for value in old if re.search(rf"(?<![\w-]){re.escape(value)}(?!\w)", text, re.IGNORECASE)]
            assert not left, f"{name} still names {left[0]}, which is another identifier now"
            after = _around(file, recovered.read(path))
            for stand_in in trial.installed.disks.values():
                after = re.sub(rf"{re.escape(stand_in)}[0-9]*", "", after)
            assert after == before[name], f"more than names of devices is another in {name}"


def _around(file: NamingFile, text: str) -> str:
    """A text without the names of devices that are found in it."""
    for one in sorted(file.read(text), key=lambda found: found.start, reverse=True):
        text = text[: one.start] + text[one.end :]
    return text


def test_its_installation_starts_what_is_there(harness: Harness) -> None:
    """`install` starts programs of the rescue system that are declared, or those of the recovered system inside it."""
    for trial in trials(harness):
        run = trial.run
        assert trial.loader.install, f"{trial.loader.name} has no `install`"
        assert isinstance(run.sh, NotingShell)
        contents = merge([base_contents(), *run.plugins.call("rear_rescue_contents", run=run)])
        carried = {Path(name).name for name in (*contents.programs, *contents.optional_programs)}
        before = picture(run.target)
        with suppress(RearError):  # what the programs would have done was not done
            done = trial.loader.install(run, trial.installed.facts)
            assert not isinstance(done, str), "`install` gives one text: it gives a line for each thing done"
            did = run.sh.started or differences(before, picture(run.target))
            assert did or not done, f"`install` says {done}, and has started no program and changed no file"
        for argv in run.sh.started:
            inside = argv[0] == "chroot" and argv[1] == str(run.target)
            if inside:
                assert has_program(run, argv[2]), f"{argv[2]} is started in the recovered system, which has it not"
            assert Path(argv[0]).name in carried, f"{argv[0]} is started by `install`, and not in rear_rescue_contents"


def test_what_it_lacks_to_start_is_told(harness: Harness) -> None:
    """`verify` changes nothing, is content with the system, and names each file of the loader that is missing."""
    for trial in trials(harness):
        run, loader = trial.run, trial.loader
        assert loader.verify, f"{loader.name} has no `verify`"
        facts = trial.installed.facts
        before = picture(run.target)
        assert list(loader.verify(run, facts)) == [], "`verify` finds something wrong with a system that starts"
        assert differences(before, picture(run.target)) == []
        assert trial.installed.files, f"Installed.files names no file of {loader.name}"
        for name in trial.installed.files:
            path = Path(name) if name in trial.installed.disks.values() else recovered.inside(run.target, name)
            with _away(path):
                told = list(loader.verify(run, facts))
                assert told, f"{name} is missing, and `verify` finds nothing wrong"
                assert all(map(is_line, told)), told
        first = loader.entries(run.target)[0] if loader.entries else None
        if first:
            with _away(recovered.inside(run.target, first.kernel)):
                found = loader.entries(run.target) if loader.entries else []
                kinds = run.plugins.call("rear_storage_kinds")
                told = problems_of_entry(run.target, loader.name, next(iter(found), None), trial.storage(), kinds)
                named = [line for line in told if first.kernel in line or "no entry" in line]
                assert named, f"the kernel {first.kernel} is missing, and nothing says so"


@contextmanager
def _away(path: Path) -> Iterator[None]:
    """A block in which a file is not there."""
    beside = path.with_name(f"{path.name}.away")
    path.rename(beside)
    yield
    beside.rename(path)


@dataclass
class NotingShell(Shell):
    """Starts nothing: each program ends well and prints nothing. `started` is what would have been run."""

    started: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, *argv: Argument, **_: Any) -> Outcome:
        """Note the command."""
        words = tuple(os.fspath(word) for word in argv)
        self.started.append(words)
        return Outcome(words, 0, "", "", 0)

    def pipe(self, *stages: Sequence[Argument], **_: Any) -> list[Outcome]:
        """Note the commands."""
        return [self.run(*stage) for stage in stages]

    def which(self, program: str) -> Path | None:
        """Each program is there."""
        return Path("/usr/bin") / program
