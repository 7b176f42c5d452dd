# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rescue system in the virtual machine is given, so that it gets at the backup of this machine."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rear_core import BackupAccess, Refused, Run, own_files, records
from rear_core.archive import generations
from rear_core.archive.backup import passphrase
from rear_core.archive.manifest import Manifest
from rear_core.archive.repository import FolderRepository, prefix
from rear_core.archive.restore import read_manifest
from rear_core.contents import merge
from rear_core.media.iso import make_iso
from rear_core.places.opening import opened
from rear_core.places.room import check_room
from rear_core.places.url import Url
from rear_core.settings import quote

from . import qemu

MIB = 1 << 20
LABEL = "REAR-DRILL"
# Where the rescue system gets what is not in a folder of the machine.
MOUNT = "/run/rear-drill"
# For metadata of the file systems, swap, and what a start writes.
SPARE = 1024 * MIB
BLOCK = 4096
# What goes in over a serial console.
MOST_HANDED_IN = 1 * MIB
# An address of QEMU that no recorded card has.
CARD = "52:54:00:72:65:61"

UNCOMPARED = "That each file is as the backup has it: rear compares them with backups of BACKUP=NFS alone."
THROUGH_HERE = (
    "The way to the server of the backup: a network card of its own reached it through this machine, with the address"
    " of this machine."
)


@dataclass(frozen=True)
class Given:
    """What the rescue system is given besides its own.

    `discs` are plugged in; the one named `LABEL` is mounted at `mount`, which is `base`, where BACKUP_URL leads, or
    below. `lines` are settings, `files` are written there, by their paths. `card` is one that reaches the network of
    this machine. `archive` is the path of a backup there that restored files can be compared with, `date` chooses one
    of the others, "" for the newest. `place` is what the user knows the backup by, `size` the bytes of its files,
    `layout` the checksum of the storage that it is of, as far as they are known; `unproven` is what is not shown this
    way.
    """

    place: str
    size: int = 0
    layout: str = ""
    discs: Sequence[qemu.Disk] = ()
    base: str = ""
    mount: str = ""
    card: qemu.Nic | None = None
    archive: str = ""
    date: str = ""
    unproven: Sequence[str] = ()
    lines: Sequence[str] = field(default=(), repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    key: str = field(default="", repr=False)


def given(run: Run, told: Run, iso: Path, date: str, paths: Sequence[Path]) -> Given:
    """Lay ready what the rescue system of an image needs; `told` has its configuration, `paths` are handed in as well.

    `Refused` where its backup cannot get into a virtual machine, or is not there.
    """
    access = access_of(told)
    # Before anything large is copied.
    files = dict(handed_in([*([] if access.archive else secret_files(told)), *paths]))
    if access.archive:
        return replace(_archive(run, told, date), files=files)
    if access.folder:
        found = _folder(run, told, access.folder)
    else:
        found = _server(run, told) if access.server else _media(run, iso)
    return replace(found, date=date, files=files, lines=[*secret_settings(run, told), *found.lines])


def access_of(told: Run) -> BackupAccess:
    """How the backup can be reached; `Refused` when it cannot."""
    method = " ".join(told.settings["BACKUP"])
    advice = "rehearse with the rescue image on a spare machine that reaches the backup"
    if len(told.settings["BACKUP"]) > 1:
        raise Refused(f"BACKUP has several methods ({method}), and rear can rehearse one alone", advice)
    for plugin, found in told.plugins.call_each("rear_backup_access", run=told):
        if plugin.kind == "backup" and isinstance(found, BackupAccess):
            return found
    raise Refused(f"rear cannot pass backups of BACKUP={method} to a virtual machine", advice)


def url_of(told: Run) -> Url:
    """Where the image looks for the backup."""
    url = told.settings.get("BACKUP_URL")
    if not isinstance(url, Url):
        raise Refused("the rescue image names no backup", "set BACKUP_URL and run `rear mkbackup`")
    return url


def _place(url: Url) -> tuple[str, list[str]]:
    """Where the rescue system gets what is below a URL, and the setting that says so."""
    if url.scheme == "file":
        return url.path, []
    return MOUNT, [f"BACKUP_URL={quote(Url('file', '', MOUNT))}"]


def _way(url: Url) -> str:
    if url.scheme == "nfs":
        return f"The way to {url}: its files came on a read-only disc."
    return f"How {url} gets there: its files came on a disc."


def _archive(run: Run, told: Run, date: str) -> Given:
    url = url_of(told)
    with generation(told, date) as (backup, about):
        disc = make_disc(run, backup, f"/{prefix(told)}/{backup.name}", about)
    mount, lines = _place(url)
    key = passphrase(run)
    lines += [f"BACKUP_KEY={quote(key)}"] if key else []
    own = f"{prefix(told)}/{backup.name}"
    return Given(
        f"{url}/{own}", about.bytes, about.layout, [disc], mount, mount, archive=f"{mount}/{own}", unproven=[_way(url)],
        lines=lines, key=key,
    )  # fmt: skip


@contextmanager
def generation(told: Run, date: str) -> Iterator[tuple[Path, Manifest]]:
    """The folder of the backup to use, at hand as long as it is needed, and its manifest."""
    with opened(told, url_of(told), f"{told.settings.get('BACKUP_OPTIONS')},ro") as directory:
        place = FolderRepository(told, directory)
        name = generations.choose(place.names(), date, str(place))
        yield place.home / name, read_manifest(place, name).manifest


def make_disc(run: Run, backup: Path, place: str, about: Manifest) -> qemu.Disk:
    """A disc image with the files of a backup, when there is room for it and for what will be restored."""
    files = [path for path in sorted(backup.iterdir()) if path.is_file()]
    own = sum(path.stat().st_size for path in files)
    check_room(run.build_dir, own + about.bytes * 11 // 10 + SPARE, "TMPDIR")
    path = run.build_dir / "backup.iso"
    with run.report.step("Copy the backup to a disc image", "drill"):
        make_iso(
            run.sh, path, {f"{place}/{file.name}": file for file in files},
            volume_id=LABEL, epoch=int(time.time()), bios=None, efi_image=None,
        )  # fmt: skip
    return qemu.Disk(path, bus="cdrom")


def _folder(run: Run, told: Run, folder: str) -> Given:
    url, saved = url_of(told), last_saved(run)
    with opened(told, url, f"{told.settings.get('BACKUP_OPTIONS')},ro") as directory:
        if not (directory / folder).is_dir():
            raise Refused(f"there is no folder {folder} in {url}", "run `rear mkbackup`")
        disc = copy_folder(run, directory / folder, saved.bytes)
    base, lines = _place(url)
    return Given(
        f"{url}/{folder}", saved.bytes, discs=[disc], base=base, mount=f"{base}/{folder}",
        unproven=[UNCOMPARED, _way(url)], lines=lines,
    )  # fmt: skip


def _server(run: Run, told: Run) -> Given:
    saved = last_saved(run)
    check_room(run.build_dir, saved.bytes * 11 // 10 + SPARE, "TMPDIR")
    place = saved.place or f"BACKUP={' '.join(told.settings['BACKUP'])}"
    return Given(place, saved.bytes, card=qemu.Nic(CARD, nat=True), unproven=[UNCOMPARED, THROUGH_HERE])


def _media(run: Run, iso: Path) -> Given:
    """The image itself has the backup; further ones, as rear-output-iso names them, have the rest of it."""
    saved, key = last_saved(run), passphrase(run)
    check_room(run.build_dir, saved.bytes * 11 // 10 + SPARE, "TMPDIR")
    further = sorted(iso.parent.glob(f"{glob.escape(iso.stem)}_*_[0-9][0-9].iso"))
    return Given(
        os.fspath(iso), saved.bytes, discs=[qemu.Disk(path, bus="scsi-cdrom") for path in further],
        unproven=[UNCOMPARED], lines=[f"BACKUP_KEY={quote(key)}"] if key else [],
    )  # fmt: skip


def copy_folder(run: Run, folder: Path, restored: int) -> qemu.Disk:
    """A disc image with a copy of a folder, with owners, links and attributes (mke2fs(8), -d)."""
    if run.sh.which("mkfs.ext4") is None:
        raise Refused("mkfs.ext4 is not installed", run.plugins.install_advice(["mkfs.ext4"]))
    size, count = needed(folder)
    check_room(run.build_dir, size + restored * 11 // 10 + SPARE, "TMPDIR")
    path = run.build_dir / "backup.ext4"
    path.touch(mode=0o600)
    os.truncate(path, size)
    with run.report.step("Copy the backup to a disc image", "drill"):
        run.sh.run(
            "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", "-b", f"{BLOCK}", "-N", f"{count}",
            "-L", LABEL, "-E", "root_owner=0:0", "-d", folder, path,
        )  # fmt: skip
    return qemu.Disk(path, bus="cdrom")


def needed(folder: Path) -> tuple[int, int]:
    """The bytes of a file system that holds a folder, and how many inodes it has; links count once."""
    seen: set[tuple[int, int]] = set()
    blocks = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(parent, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                # A block for its attributes, which is generous; extents of large files take little.
                blocks += -(-status.st_size // BLOCK) + 1
    inodes = len(seen) + 1024
    return (blocks * BLOCK + inodes * 256) * 21 // 20 + 64 * MIB, inodes


def last_saved(run: Run) -> records.Saved:
    """What the last backup was, as far as its record tells it."""
    found = [saved for record in records.load(run.var_dir) for saved in record.saved]
    return found[-1] if found else records.Saved("", "")


def secret_settings(run: Run, told: Run) -> Iterator[str]:
    """The settings of the backup method that no media have, with the values of this machine."""
    for plugin, setting in told.plugins.call_each("rear_settings"):
        value = run.settings.get(setting.name)
        if plugin.kind == "backup" and setting.secret and value:
            yield f"{setting.name}={quote(value)}"


def secret_files(told: Run) -> list[Path]:
    """The files of the backup method that are kept off the media: those that are on this machine."""
    found = told.plugins.call_each("rear_rescue_contents", run=told)
    patterns = merge(contents for plugin, contents in found if plugin.kind == "backup").secrets
    return [Path(path) for pattern in patterns for path in sorted(glob.glob(pattern)) if os.path.isfile(path)]


def handed_in(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Files by their paths, those of folders too, with what is in them; `Refused` for what is no file or too large."""
    left = MOST_HANDED_IN
    for given in paths:
        path = Path(os.path.abspath(given))
        # One after the other: in a large folder the first ones are too much.
        inside = (Path(parent) / name for parent, _, names in os.walk(path) for name in sorted(names))
        for file in inside if path.is_dir() else [path]:
            if not file.is_file():
                raise Refused(f"cannot hand in {file}: there is no such file", "name a file or folder of this machine")
            left -= file.stat().st_size
            if left < 0:
                raise Refused(
                    f"more than {MOST_HANDED_IN // MIB} MiB are to be handed in",
                    "hand in keys and passwords alone; RESCUE_FILES takes the rest along",
                )
            yield os.fspath(file), own_files.read(file)
