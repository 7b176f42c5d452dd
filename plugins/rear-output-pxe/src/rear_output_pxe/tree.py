# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree on the server: versions of the rescue system, boot loaders, and menus that lead to the newest version."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from rear_core import Refused, Run
from rear_core.archive import signature
from rear_core.archive.repository import identity
from rear_core.media.menu import AUTO, boot_menu
from rear_core.places.delivery import checksum
from rear_core.places.place import Place
from rear_core.run import DRIVERS
from rear_core.system.identity import may_be_one, told_apart
from rear_core.template import render

from . import serving
from .loaders import Loader, files_of, find_loaders, firmware_of, loader_names, what_to_install
from .lock import locked
from .nodes import DEFAULT, PLACES, file_names, nodes

MARK = "# Written by rear"
FORMAT = "%Y-%m-%dT%H%M%SZ"
KERNEL, INITRAMFS, SUMS = "vmlinuz", "initramfs.img", "SHA256SUMS"
MENU_SECONDS = 10
# In the list of versions, for an identity that is not known.
NOTHING = "-"
# What a boot loader reads before it knows the machine: one for all.
FINDERS = {"grub/grub.cfg": "PXE_find.grub", "boot.ipxe": "PXE_find.ipxe"}


def home(run: Run) -> str:
    """The folder of this machine in the tree."""
    return f"rear/{run.settings['PXE_PREFIX'] or run.system.hostname}"


def menus(run: Run, version: str, command_line: str, *, unattended: bool) -> dict[str, str]:
    """The menu of this machine by boot loader."""
    folder = f"{home(run)}/{version}"
    note = f"{MARK} for {run.system.hostname}; the next run replaces it.\n"

    def menu(template: str, place: str) -> str:
        return boot_menu(
            run, template,
            title=run.system.hostname, kernel=f"{place}/{KERNEL}", initramfs=f"{place}/{INITRAMFS}",
            command_line=command_line, timeout=MENU_SECONDS, unattended=unattended,
        )  # fmt: skip

    # PXELINUX begins where it was loaded from.
    way = serving.way(run, f"{folder}/{SUMS}")
    return {
        "pxelinux": note + menu("PXE_per_node_config", folder),
        "grub": note + way.grub_first + menu("grub.cfg.j2", f"{way.grub}/{folder}"),
        "ipxe": "#!ipxe\n" + note + way.ipxe_first + menu("PXE_per_node_script.ipxe", f"{way.ipxe}/{folder}"),
    }


def is_unattended(run: Run) -> bool:
    """Whether the menu of this machine recovers it without a question."""
    return bool(run.settings["PXE_RECOVER_MODE"] == "unattended")


def menu_files(run: Run) -> dict[str, str]:
    """The names of all files that hold the menu, with their boot loaders."""
    names = {name: loader for loader in PLACES for node in nodes(run) for name in file_names(node, loader)}
    if run.settings["PXE_DEFAULT"]:
        names.update({folder + DEFAULT: loader for loader, folder in PLACES.items()})
    return names


def check_menus(run: Run, place: Place) -> None:
    """Raise unless all menus can be rendered, and no other tool has written a file in their place."""
    menus(run, "version", "", unattended=is_unattended(run))
    finders(run)
    own = {name: loader for name, loader in menu_files(run).items() if not name.endswith(DEFAULT)}
    for name in own:
        if foreign(place, name):
            raise Refused(f"{name} on the server is not from rear", "move it away, or change PXE_NODE_BY")


def finders(run: Run) -> dict[str, str]:
    """The files by which boot loaders find the menu of the machine they run on."""
    note = f"{MARK}, for all machines.\n"
    return {name: ("#!ipxe\n" if name.endswith("ipxe") else "") + note + render(run, FINDERS[name]) for name in FINDERS}


@contextmanager
def made_loaders(run: Run, place: Place) -> Iterator[Mapping[str, Path]]:
    """The files of boot loaders that the server shall get, by their names; what of them has to be made is made here.

    PXE_BOOT_LOADERS says what becomes of those it has.
    """
    wish = run.settings["PXE_BOOT_LOADERS"]
    wanted: dict[str, Path] = {}
    with TemporaryDirectory(dir=run.build_dir) as work:
        for loader in find_loaders(run) if wish != "none" else ():
            if wish == "replace" or place.read(loader.boot_file) is None:
                wanted.update(files_of(run, loader, Path(work)))
            elif absent := [name for name in sorted(loader.files) if place.read(name) is None]:
                run.report.warn(
                    f"{loader.boot_file} on the server lacks modules that rear's menus need: {', '.join(absent)}"
                )
        yield wanted


def put_loaders(run: Run, place: Place, loaders: Mapping[str, Path]) -> None:
    """Put boot loaders and their finders on the server."""
    if run.settings["PXE_BOOT_LOADERS"] == "none":
        return
    replace, texts = run.settings["PXE_BOOT_LOADERS"] == "replace", finders(run)
    for name in [] if replace else [name for name in texts if foreign(place, name)]:
        run.report.warn(f"{name} on the server is not from rear and stays: make it load rear's menus")
        del texts[name]
    if loaders or any(place.read(name) != text.encode() for name, text in texts.items()):
        with locked(run, place) as renew:
            for name, path in sorted(loaders.items()):
                renew()
                place.put(path, name, checksum(path))
            for name, text in texts.items():
                renew()
                write(run, place, name, text)


def check_loaders(run: Run, place: Place) -> None:
    """Raise `Refused` when neither the server nor this machine has a boot loader for the firmware of this machine."""
    firmware, secure_boot = firmware_of(run), run.system.firmware.secure_boot
    fit = [loader for loader in find_loaders(run) if loader.firmware == firmware and (loader.signed or not secure_boot)]
    if run.settings["PXE_BOOT_LOADERS"] == "none" or fit:
        return
    if not any(place.read(name) is not None for name in loader_names(run, firmware)):
        advice = run.plugins.install_advice([what_to_install(run)])
        raise Refused(
            f"no boot loader is installed for network boot of machines with {firmware.upper()}",
            f"{advice}; or set PXE_BOOT_LOADERS=none if the server has its own",
        )


@dataclass(frozen=True)
class Version:
    """A version of the rescue system on the server; without `complete` its run did not come to its end.

    `machine` is the identity of its machine, by which clones of one name are told apart, "" where it is not known;
    `signer` is the mark of the key that signs its backups, by which those of one identity are.
    """

    name: str
    complete: bool
    machine: str = ""
    signer: str = ""

    def __str__(self) -> str:
        words = [self.machine or NOTHING, self.signer] if self.signer else [self.machine]
        return " ".join([self.name, "complete" if self.complete else "begun", *words]).rstrip()

    def is_of(self, machine: str, keys: Collection[str]) -> bool:
        """Whether it may be a machine's own, as far as its identity and its keys, by their marks, tell."""
        return may_be_one(self.machine, machine) and not signature.is_other(self.signer, keys)


def put_version(run: Run, place: Place) -> list[Version]:
    """Put the rescue system on the server as a new version, the last in the list; nothing leads to it yet.

    The list is written before the files, so that what a run leaves behind that is killed can be removed later.
    """
    assert run.image is not None
    known = versions(run, place)
    new = _new_name([version.name for version in known])
    made = Version(new, True, identity(run), signature.own_mark(run))
    _write_list(run, place, [*known, replace(made, complete=False)])
    folder = f"{home(run)}/{new}"
    sums = ""
    for name, path in ((KERNEL, run.image.kernel), (INITRAMFS, run.image.initramfs), (DRIVERS, run.image.drivers)):
        if path:
            digest = checksum(path)
            place.put(path, f"{folder}/{name}", digest)
            sums += f"{digest}  {name}\n"
    write(run, place, f"{folder}/{SUMS}", sums)
    return [*known, made]


def switch(run: Run, place: Place, known: list[Version], more: Mapping[str, str]) -> None:
    """Have all menus lead to the newest version; `more` are those of it that never recover without a question."""
    assert run.image is not None
    place_of_drivers = serving.http_name(run, f"{home(run)}/{known[-1].name}/{DRIVERS}")
    command_line = run.image.command_line_for(place_of_drivers)
    harmless = AUTO.sub("", command_line).strip()
    for files, words, unattended in ((menu_files(run), command_line, is_unattended(run)), (more, harmless, False)):
        texts = menus(run, known[-1].name, words, unattended=unattended)
        for name, loader in files.items():
            write(run, place, name, texts[loader])
    _write_list(run, place, known)


def retire(run: Run, place: Place, known: list[Version]) -> None:
    """Remove versions beyond PXE_KEEP, and what runs left behind that did not come to their end.

    Those of another machine of this name stay: its own menus lead to them.
    """
    machine, keys = identity(run), signature.known_marks(run)
    own = [version for version in known if version.is_of(machine, keys)]
    keep = [version for version in own if version.complete][-run.settings["PXE_KEEP"] :]
    gone = [version for version in own if version not in keep]
    for version in gone:
        place.remove(f"{home(run)}/{version.name}", [KERNEL, INITRAMFS, DRIVERS, SUMS])
    _write_list(run, place, [version for version in known if version not in gone])


def warn_of_others(run: Run, place: Place) -> None:
    """Name other machines that have their rescue systems in the folder of this one."""
    own, keys = identity(run), signature.known_marks(run)
    for other in sorted({each.machine for each in versions(run, place) if not each.is_of(own, keys)}):
        run.report.warn(
            f"{home(run)} on the server has rescue systems of another machine ({told_apart(other, own)}):"
            " they stay; PXE_PREFIX gives each a folder of its own"
        )


def versions(run: Run, place: Place) -> list[Version]:
    """The versions of this machine, and of others of its name, oldest first."""
    text = place.read(f"{home(run)}/versions") or b""
    lines = [line.split() for line in text.decode(errors="replace").splitlines()]
    words = [line for line in lines if len(line) in (2, 3, 4) and _is_name(line[0])]
    return [
        Version(name, state == "complete", *(word * (word != NOTHING) for word in more)) for name, state, *more in words
    ]


def _write_list(run: Run, place: Place, known: list[Version]) -> None:
    write(run, place, f"{home(run)}/versions", "".join(f"{version}\n" for version in known))


def _new_name(known: list[str]) -> str:
    """The time (UTC); also after the clock was set back the newest by name is the one that was made last."""
    name, newest = datetime.now(timezone.utc).strftime(FORMAT), max(known, default="")
    return name if name > newest else (datetime.strptime(newest, FORMAT) + timedelta(seconds=1)).strftime(FORMAT)


def _is_name(text: str) -> bool:
    try:
        datetime.strptime(text, FORMAT)
    except ValueError:
        return False
    return True


def foreign(place: Place, name: str) -> bool:
    """Whether another tool has written a file."""
    content = place.read(name)
    return content is not None and MARK.encode() not in content


def write(run: Run, place: Place, name: str, text: str) -> None:
    """Put a small text, unless it is there already."""
    if place.read(name) == text.encode():
        return
    with TemporaryDirectory(dir=run.build_dir) as work:
        path = Path(work, "file")
        path.write_text(text)
        place.put(path, name, checksum(path))


def boot_files(loaders: list[Loader]) -> Mapping[str, str]:
    """What a DHCP server hands out, by the firmware it is for."""
    return {loader.boot_file: f"{loader.name} for {loader.firmware.upper()}" for loader in loaders}
