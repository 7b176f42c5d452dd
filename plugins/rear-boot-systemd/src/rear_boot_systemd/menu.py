# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of systemd-boot: entries of the Boot Loader Specification, and which of them it starts by default.

By https://uapi-group.org/specifications/specs/boot_loader_specification: type 1 are the files loader/entries/*.conf,
type 2 the unified kernel images EFI/Linux/*.efi. systemd-boot reads both on the EFI system partition and on the
extended boot loader partition; its own configuration is loader.conf(5).
"""

from __future__ import annotations

import fnmatch
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rear_core import architectures, recovered
from rear_core.boot.efi_variables import read_loader_variable
from rear_core.boot.loader import Entry
from rear_core.errors import RearError
from rear_core.system.os_release import assignments

from .image import Image, read_image
from .versions import newest_first

# Where the two partitions are mounted: bootctl(1), kernel-install(8). Both can be the same one.
FOLDERS = ("/efi", "/boot", "/boot/efi")
ENTRIES = "loader/entries"
IMAGES = "EFI/Linux"
# A longer one is no entry that anybody has written.
MOST_TEXT = 1 << 16
# By `uname -m`: how the UEFI Specification calls an architecture.
# The name of an entry with what boot counting adds: TOKEN-6.1+3-1.conf has three tries left, and one that failed.
COUNTED = re.compile(r"(?P<name>.*?)(?:\+(?P<left>\d+)(?:-(?P<done>\d+))?)?(?P<ending>\.(?:conf|efi))", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """An entry of the menu, with what its place is found by; `path` is the file that it is, in the recovered system.

    `hidden` says why systemd-boot does not show it.
    """

    entry: Entry
    path: str
    sort_key: str = ""
    machine_id: str = ""
    version: str = ""
    hidden: str = ""

    @property
    def tries(self) -> tuple[bool, int, int]:
        """Whether it has failed for good; the tries that it has left, the most first; those that failed."""
        found = COUNTED.fullmatch(Path(self.path).name)
        left, done = (found["left"], found["done"]) if found else (None, None)
        return left is not None and not int(left[:9]), -int((left or "0")[:9]), int((done or "0")[:9])

    @property
    def order(self) -> tuple[Any, ...]:
        """What it is sorted by ("Sorting" of the specification)."""
        name = self.entry.id.rpartition(".")[0]
        by_key = (self.machine_id, newest_first(self.version)) if self.sort_key else ("", newest_first(""))
        failed, left, done = self.tries
        return (failed, not self.sort_key, self.sort_key, *by_key, newest_first(name), left, done)


def entries(target: Path) -> list[Entry]:
    """The entries of the menu with a kernel below a folder, the default one first, those that are not shown last."""
    items = [item for item in read_menu(target) if item.entry.kernel]
    chosen = default(target, items)
    items.sort(key=lambda item: (bool(item.hidden), item is not chosen))
    return [item.entry for item in items]


def notes(target: Path) -> list[str]:
    """What of the menu the user should know."""
    items = read_menu(target)
    chosen = default(target, items)
    found = [f"systemd-boot does not show {item.path}: {item.hidden}" for item in items if item.hidden]
    if chosen is not None and not chosen.entry.kernel:
        found.append(f"systemd-boot starts {chosen.entry.title!r} by default, which is no kernel of this system")
    return found


def read_menu(target: Path) -> list[Item]:
    """All entries, in the order of the menu."""
    found = [item for folder in folders(target) for item in (*_type_1(target, folder), *_type_2(target, folder))]
    return sorted(found, key=lambda item: item.order)


def folders(target: Path) -> list[str]:
    """The folders of a system that have entries, or a place for them, each once."""
    found: dict[Path, str] = {}
    for folder in FOLDERS:
        path = recovered.inside(target, folder)
        if any((path / name).is_dir() for name in (ENTRIES, IMAGES)):
            found.setdefault(path, folder)
    return list(found.values())


def default(target: Path, items: Sequence[Item]) -> Item | None:
    """What systemd-boot starts of the menu: a choice that the firmware keeps, that of loader.conf, or the first."""
    shown = [item for item in items if not item.hidden]
    for pattern in _patterns(target):
        for item in shown:
            if fnmatch.fnmatchcase(item.entry.id.lower(), pattern.lower()):
                return item
    return shown[0] if shown else None


def _patterns(target: Path) -> Iterator[str]:
    last = read_loader_variable("LoaderEntryLastBooted")
    configured = [value for folder in FOLDERS for value in _configured(recovered.inside(target, folder))]
    for pattern in filter(None, (read_loader_variable("LoaderEntryDefault"), *configured)):
        # With this word it starts what it has started before.
        yield last if pattern == "@saved" else pattern


def _configured(folder: Path) -> list[str]:
    path = folder / "loader/loader.conf"
    return parse(recovered.read(path)).get("default", [])[-1:] if path.is_file() else []


def parse(text: str) -> dict[str, list[str]]:
    """The values of each word of loader.conf or an entry."""
    found: dict[str, list[str]] = {}
    for line in text[:MOST_TEXT].split("\n"):
        words = line.split(None, 1)
        if len(words) == 2 and not words[0].startswith("#"):
            found.setdefault(words[0], []).append(words[1].strip())
    return found


def _type_1(target: Path, folder: str) -> Iterator[Item]:
    for name, path in recovered.find(target, f"{folder}/{ENTRIES}/*.[cC][oO][nN][fF]"):
        try:
            yield type_1(target, folder, name, recovered.read(path))
        except RearError as error:
            yield _unreadable(name, error)


def type_1(target: Path, folder: str, name: str, text: str) -> Item:
    """The entry that a file of that name has; its paths begin at the root of the partition that it is on."""
    fields = parse(text)
    one = {key: values[-1] for key, values in fields.items()}
    # `uki` and `efi` can lead to a unified kernel image; an `efi` that is none is another program.
    program = place(folder, one.get("linux") or one.get("uki") or one.get("efi") or "")
    image = _image(target, program)
    unified = image if image and image.is_unified else None
    initramfs = tuple(place(folder, value) for value in fields.get("initrd", []))
    options = " ".join(fields.get("options", []))
    entry = Entry(
        title=one.get("title") or Path(name).name,
        id=identifier(Path(name).name),
        kernel=program if unified or "linux" in one else "",
        initramfs=(program,) if unified and ".initrd" in unified.sections else initramfs,
        arguments=tuple((options or (unified.text(".cmdline") if unified else "")).split()),
        version=one.get("version", ""),
        part=unified.sections.get(".initrd") if unified else None,
    )
    sort_key, machine_id, version = (one.get(key, "") for key in ("sort-key", "machine-id", "version"))
    return Item(entry, name, sort_key, machine_id, version, _hidden(target, program, one))


def _hidden(target: Path, program: str, one: dict[str, str]) -> str:
    known = architectures.find(platform.machine())
    own = known.efi if known else ""
    if own and one.get("architecture", own).lower() != own:
        return f"it is for {one['architecture']}"
    if not program:
        return "it names no kernel"
    return "" if recovered.inside(target, program).is_file() else f"{program} is missing"


def _image(target: Path, program: str) -> Image | None:
    if not program:
        return None
    path = recovered.inside(target, program)
    try:
        return read_image(path) if path.is_file() else None
    except RearError:
        return None  # as the kernels of some architectures


def _type_2(target: Path, folder: str) -> Iterator[Item]:
    for name, path in recovered.find(target, f"{folder}/{IMAGES}/*.[eE][fF][iI]"):
        try:
            image = read_image(path)
            if not image.is_unified:
                raise RearError("it has no kernel")
            yield type_2(name, image, _addons(path, recovered.inside(target, folder)))
        except RearError as error:
            yield _unreadable(name, error)


def _unreadable(name: str, error: RearError) -> Item:
    return Item(Entry(Path(name).name, identifier(Path(name).name)), name, hidden=error.message)


def type_2(name: str, image: Image, addons: str = "") -> Item:
    """The entry that a unified kernel image is, with the parameters that addons have for it."""
    if ".osrel" not in image.sections:
        raise RearError("it does not tell its operating system")
    system = assignments(image.text(".osrel"))
    title, key, version = (
        next((system[name] for name in names if system.get(name)), "")
        for names in (("PRETTY_NAME", "IMAGE_ID", "NAME", "ID"), ("IMAGE_ID", "ID"),
                      ("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"))
    )  # fmt: skip
    own_name = identifier(Path(name).name)
    entry = Entry(
        title=title,
        id=own_name,
        kernel=name,
        initramfs=(name,) if ".initrd" in image.sections else (),
        arguments=tuple(f"{image.text('.cmdline')} {addons}".split()),
        # TOKEN-VERSION.efi is what kernel-install(8) calls them.
        version=image.text(".uname") or Path(own_name).stem.partition("-")[2],
        part=image.sections.get(".initrd"),
    )
    return Item(entry, name, key, version=version)


def _addons(path: Path, folder: Path) -> str:
    """The parameters of the addons for one image, and of those for all (systemd-stub(7))."""
    places = (folder / "loader/addons", path.with_name(path.name + ".extra.d"))
    found = [addon for place in places for addon in sorted(place.glob("*.addon.efi"))]
    return " ".join(read_image(addon).text(".cmdline") for addon in found)


def identifier(name: str) -> str:
    """The name of an entry without what boot counting adds."""
    found = COUNTED.fullmatch(name)
    return found["name"] + found["ending"] if found else name


def place(folder: str, value: str) -> str:
    """Where a path of an entry is in the recovered system."""
    path = value.replace("\\", "/").strip("/")
    return f"{folder}/{path}" if path else ""
