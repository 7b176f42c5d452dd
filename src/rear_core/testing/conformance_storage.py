# SPDX-License-Identifier: GPL-3.0-or-later
"""What every storage technology has to be like; `conformance` has these tests among its own.

They try it on the recordings and layouts that its author supplies. No device is touched.
"""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import fields
from itertools import chain
from uuid import UUID

from ..contents import Contents, merge
from ..errors import Refused
from ..rescue.modules import normalize
from ..rescue.programs import base_contents
from ..storage import disk
from ..storage.command import Command, Site
from ..storage.filesystem import FileSystem
from ..storage.inventory import Device
from ..storage.kinds import contents, item_types, lacking, notes, refusals
from ..storage.layout import Item, dumps, loads
from ..storage.mount import Mount
from ..storage.present import Machine
from ..storage.resize import Sizes, fit
from ..storage.teardown import teardown
from .harness import Harness
from .performing import is_line
from .stored import Case, Load, cases, makes_device, own_items, planned, within

__all__ = [
    "test_its_commands_have_reasons_and_name_what_they_destroy", "test_its_identifiers_and_names_are_kept",
    "test_its_items_are_the_same_in_layout_json", "test_its_notes_and_refusals_are_texts",
    "test_its_plan_starts_what_the_rescue_system_carries", "test_its_root_names_its_kernel_modules",
    "test_its_storage_answers_for_another_size", "test_what_runs_of_it_is_stopped_before_a_wipe",
]  # fmt: skip

USED = 1 << 20


def test_its_items_are_the_same_in_layout_json(harness: Harness) -> None:
    """Each item comes back from layout.json as it was, with the fields that no comparison looks at."""
    for case in cases(harness):
        text = dumps(case.layout)
        again = loads(text, item_types(case.kinds))
        for item in own_items(case):
            assert repr(again[item.id]) == repr(item), f"{item.id} is another one after it was written and read"
            hash(again[item.id])
        assert dumps(again) == text


def test_its_root_names_its_kernel_modules(harness: Harness) -> None:
    """A root file system on it is reached: what has a driver names its module, and the rescue system has that, too."""
    for case in cases(harness):
        mounted = {need for mount in case.layout.of(Mount) for need in mount.needs}
        known = {normalize(name) for part in contents(case.layout, case.kinds) for name in (*part.modules, *part.load)}
        for item in own_items(case):
            if makes_device(item) or (isinstance(item, FileSystem) and item.id in mounted):
                assert item.modules, f"`modules` of {item.type!r} is empty: nothing has its driver put into initramfs"
            # ext4 also reads ext2 and ext3; md's `linear` is what a kernel has or has not.
            missing = {normalize(name) for name in item.modules} - known - {"ext2", "ext3"}
            assert not missing, f"{item.type!r} needs the modules {missing}, and `contents` does not name them"


def test_what_runs_of_it_is_stopped_before_a_wipe(harness: Harness) -> None:
    """What stands on disks of a recorded machine is stopped before these are erased, and nothing else by its `stop`."""
    found = cases(harness)
    unseen = {item.type for case in found for item in own_items(case) if makes_device(item)}
    for case in found:
        for device in case.devices.values():
            if not device.parents or device.type == "part":
                wrong = stopping(case, device)
                assert not wrong, f"`stop` stops {device.path}, which is a {device.type} and no device of its own"
        for path, item in case.running.items():
            unseen.discard(item.type)
            device = case.devices[path]
            stops = stopping(case, device)
            assert stops, f"{path} ({device.type}) runs, and no `stop` stops it: its disk cannot be erased"
            commands = teardown(Machine(case.devices, (), frozenset(), ()), case.roots, case.kinds)
            wiped = next((number for number, one in enumerate(commands) if one.destroys), len(commands))
            assert stops[0] in commands[:wiped], f"{path} is stopped after something was erased"
    assert not unseen, (
        f"Supply.machines shows no device of {sorted(unseen)}: record a machine on which one runs, and have"
        " `capture` put the path of its device into the field `device` of the item"
    )


def stopping(case: Case, device: Device) -> list[Command]:
    """What stops a device, as the technologies say that are tried."""
    return [command for kind in case.own if kind.stop and (command := kind.stop(device))]


def test_its_storage_answers_for_another_size(harness: Harness) -> None:
    """On a disk of half or twice the size it is fitted, or refused by name; what it can lose, it takes off."""
    for case in cases(harness):
        used = {mount.target: USED for mount in case.layout.of(Mount)}
        sizes = Sizes({item.id: item for item in case.layout}, used)
        for item in own_items(case):
            if size := case.site().size(item.needs[0]) if item.needs else 0:
                spare = item.spare(sizes, size)
                assert 0 <= spare <= size, f"{item} can lose {spare} of {size} bytes"
            assert item.fits(sizes, size) in (True, False) and item.any_size(sizes) in (True, False)
            if makes_device(item):
                passes_on(case, item)
        for one in case.disks_below_own():
            for size in (one.size // 2, one.size * 2):
                fitted = fit(case.layout, {one.id: size}, used)
                assert all(map(is_line, fitted.problems)), fitted.problems
                if not fitted.problems:
                    answered(case, Site(fitted.layout, case.disks, fitted.resized))


def passes_on(case: Case, item: Item) -> None:
    """What a device says that it can lose, it takes from what lies on it."""
    items = {one.id: one for one in case.layout if item.id not in {below.id for below in case.layout.below(one.id)}}
    load = Load("load", (item.id,))
    sizes = Sizes({**items, item.id: item, load.id: load}, {})
    size = case.site().size(item.needs[0]) or 1 << 40
    assert not item.fits(sizes, 4096), f"{item} fits on 4096 bytes, as its `fits` says, and what lies on it does not"
    if item.any_size(sizes) and (spare := item.spare(sizes, size)):
        assert item.fits(sizes, size - spare), f"{item} does not fit on the {size - spare} bytes that `spare` leaves it"
        item.shrink(sizes, spare)
        assert sizes.notes or sizes.resized, f"{item} can lose {spare} bytes, and its `shrink` takes them from nothing"


def answered(case: Case, site: Site) -> None:
    """A plan for disks of another size, or refusals by name."""
    if not refusals(site, case.kinds):
        with suppress(Refused):
            planned(case, site)


def test_its_commands_have_reasons_and_name_what_they_destroy(harness: Harness) -> None:
    """Each command is a list of words with a reason; the first that writes to a device names what is lost on it."""
    for case in cases(harness):
        written: set[str] = set()
        for item, commands in planned(case, case.site()).items():
            for command in commands:
                well_formed(item, command, case)
                words = {word.rpartition("=")[2] for word in command.argv}
                touched = (words & case.below(item)) - written
                if touched and item.is_storage:
                    what = f"{item}: `{' '.join(command.argv)}`"
                    assert command.destroys, f"{what} writes to {', '.join(touched)} and does not name what is lost"
                    written |= touched
        for item in own_items(case):
            restored = [kind.restored for kind in case.own if kind.restored and type(item) in kind.items]
            for command in chain.from_iterable(later(item, case.site()) for later in restored):
                well_formed(item, command, case)


def well_formed(item: Item, command: Command, case: Case) -> None:
    """Words in a tuple, a reason of one line, and no name of a device within the text of a script."""
    assert isinstance(command, Command), f"{item}: {command!r} is no Command"
    assert isinstance(command.argv, tuple) and all(isinstance(word, str) for word in command.argv), (
        f"{item}: {command.argv!r} is no tuple of texts"
    )
    program = command.argv[0] if command.argv else ""
    assert program and not re.search(r"\s", program), f"{item}: {program!r} is no program but a line for a shell"
    assert is_line(command.reason), f"{item}: `{program}` has no reason: {command.reason!r}"
    if program in ("sh", "bash") and "-c" in command.argv:
        script = command.argv[command.argv.index("-c") + 1]
        named = [path for path in case.below(item) if path in script]
        assert not named, f"{item}: {named[0]} stands in a script, where a name is code: hand it over as an argument"


def test_its_plan_starts_what_the_rescue_system_carries(harness: Harness) -> None:
    """What recreates, starts and stops it is among the required programs; what its capture asks is carried at all."""
    for case in cases(harness):
        declared = [kind.contents(case.layout) for kind in case.own if any(map(kind.items.__contains__, case.types))]
        for part in declared:
            assert isinstance(part, Contents), f"`contents` gives {part!r}, which are no Contents"
            texts = [field.name for field in fields(part) if isinstance(getattr(part, field.name), str)]
            assert not texts, f"Contents.{texts[0]} is one text: its letters would be taken for names"
        carried = merge([base_contents(), disk.KIND.contents(case.layout), *declared])
        started = {command.argv[0] for commands in planned(case, case.site()).values() for command in commands}
        for device in case.devices.values():
            ends = [end(device) for kind in case.own for end in (kind.stop, kind.release) if end]
            started |= {command.argv[0] for command in ends if command}
        for item in own_items(case):
            pairs = [kind.read_only(item) for kind in case.own if kind.read_only and type(item) in kind.items]
            started |= {argv[0] for pair in pairs if pair for argv in pair}
        missing = sorted(started - {*carried.programs})
        assert not missing, f"a recovery starts {missing}, which `contents` does not require"
        lacking = sorted(case.asked - {*carried.programs, *carried.optional_programs})
        assert not lacking, f"`capture` asks {lacking}, which `contents` does not name"


def test_its_identifiers_and_names_are_kept(harness: Harness) -> None:
    """Each identifier, and the name of each device, is handed to the commands that make it, or declared as renewed."""
    for case in cases(harness):
        commands = [command for made in planned(case, case.site()).values() for command in made]
        text = "\n".join(part for command in commands for part in (*command.argv, command.input))
        data = b"".join(decoded(command.input) for command in commands)
        for item in own_items(case):
            if not item.is_storage or not item.needs:
                continue
            new = {getattr(item, name) for name in item.renewed}
            for tag, value in item.identifiers.items():
                # The kernel makes the PARTUUID of a partition of an MBR of the disk's identifier and its number.
                given = value[:-3] if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{2}", value) else value
                if value not in new:
                    # Of `group/name` both are told.
                    kept = all(within(word, text) or is_in(word, data) for word in given.split("/"))
                    assert kept, f"{item}: {tag}={value} is in no command"
            shown, below = getattr(item, "device", ""), case.below(item)
            assert makes_device(item) or shown in ("", *below) or type(item) in disk.KIND.items, (
                f"{item}: its `place` is that of what it lies on, and what lies on it would be written over it"
            )
            if makes_device(item):
                paths = {case.site().device(item.id), *item.device_paths}
                names = {path.rpartition("/")[2] for path in paths}
                kept = any(within(name, text) or is_in(name, data) for name in names)
                assert kept, f"{item}: none of its names is in any command: {', '.join(sorted(names))}"


def decoded(text: str) -> bytes:
    """The bytes that base64 stands for, none for other text."""
    try:
        return b64decode(text, validate=False) if re.fullmatch(r"[A-Za-z0-9+/=\s]{16,}", text) else b""
    except ValueError:
        return b""


def is_in(value: str, data: bytes) -> bool:
    """Whether an identifier is in binary data: as text, or as the bytes of a UUID."""
    try:
        forms = [value.encode(), UUID(value).bytes]
    except ValueError:
        forms = [value.encode()]
    return any(form in data for form in forms)


def test_its_notes_and_refusals_are_texts(harness: Harness) -> None:
    """Each is a sentence about one item; what runs without a part of what it needs is still itself, without that."""
    for case in cases(harness):
        for site in (case.site(), case.site(resized={item.id for item in case.layout})):
            for line in (*notes(site, case.own), *refusals(site, case.own)):
                said = line.partition(": ")[2]
                assert is_line(said) and len(said) > 3, f"{line!r} says nothing: yield one text for each note"
        for item in own_items(case):
            for need in item.needs:
                left = lacking(item, {need}, case.own)
                assert left is None or (left.id == item.id and need not in left.needs), (
                    f"`lacking` of {item} without {need} is {left}, which needs that still or is another one"
                )
