# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the places that URLs name: those of the core, and those of plugins."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..contents import Contents
from ..errors import PluginError, RearError, Refused
from . import cifs, folder, mounted, sshfs, url
from .delivery import checksum
from .place import PRIVATE, Below, Place, PlaceKind
from .room import check_mounted, check_room, check_writable
from .url import Url

if TYPE_CHECKING:
    from ..run import Run


def _web(_run: Run, url: Url, _options: str, _mode: int) -> Place:
    from .web import Web

    return Web(url)


def _sftp(run: Run, url: Url, options: str, mode: int) -> Place:
    from .ssh import Sftp

    return Sftp(run, url, options, mode)


def _rsync_by_ssh(run: Run, url: Url, options: str, mode: int) -> Place:
    from .rsync import Rsync, by_ssh

    return Rsync(run, url, by_ssh(url, options), mode)


def _rsync(run: Run, url: Url, options: str, mode: int) -> Place:
    from .rsync import Rsync, by_daemon

    return Rsync(run, url, by_daemon(run, url, options), mode)


CORE_PLACES = (
    PlaceKind(url.FILE, folder=folder.opened),
    PlaceKind(url.NFS, folder=mounted.nfs, contents=mounted.NFS_CLIENT),
    PlaceKind(url.CIFS, folder=cifs.cifs, contents=cifs.CLIENT, asks=cifs.ASKS),
    PlaceKind(url.SSHFS, folder=sshfs.sshfs, contents=sshfs.CLIENT),
    PlaceKind(url.USB, folder=mounted.usb),
    PlaceKind(url.HTTP, files=_web),
    PlaceKind(url.HTTPS, files=_web),
    PlaceKind(url.SFTP, files=_sftp, contents=Contents(programs=["sftp", "ssh"])),
    PlaceKind(url.RSYNC_BY_SSH, files=_rsync_by_ssh, contents=Contents(programs=["rsync", "ssh"])),
    PlaceKind(url.RSYNC, files=_rsync, contents=Contents(programs=["rsync"])),
)


def kind_of(run: Run, url: Url) -> PlaceKind:
    """The kind of place that a URL means; the settings have no others."""
    kinds: tuple[PlaceKind, ...] = (*CORE_PLACES, *run.plugins.call("rear_places"))
    return next(kind for kind in kinds if kind.scheme.name == url.scheme)


@contextmanager
def opened(run: Run, url: Url, options: str = "", *, patience: float = 0) -> Iterator[Path]:
    """The folder behind a URL, mounted in a private folder if need be, and unmounted at the end.

    On a disk that is the folder `rear`, which may have to be made. For `patience` seconds a server that does not answer
    is tried again. To keep it until the run ends, `run.undo.enter_context(opened(...))`.
    """
    opener = kind_of(run, url).folder
    assert opener is not None, f"{url} is not opened as a folder"
    place = opener(run, url, options, patience)
    if isinstance(place, Path) or not isinstance(place, AbstractContextManager):
        raise _fault(url, f"is opened by {type(place).__name__}, not by a context manager")
    with place as directory:
        if not isinstance(directory, Path) or not directory.is_absolute():
            raise _fault(url, f"is opened as {directory!r}, not as an absolute path (pathlib.Path)")
        yield directory


def _fault(url: Url, problem: str) -> PluginError:
    return PluginError(
        f"the place {url.scheme}:// {problem}",
        "update or remove the package that brings it (rear plugins list), and report this fault to its author",
    )


@contextmanager
def opened_place(run: Run, url: Url, options: str = "", *, mode: int = PRIVATE, prefix: str = "") -> Iterator[Place]:
    """The place behind a URL, or the folder `prefix` below it; files put there get this mode, where the way has modes.

    `options` are those of mount(8), or words of ssh_config(5) as in "IdentityFile=/root/.ssh/rescue,Compression=yes".
    """
    kind = kind_of(run, url)
    if kind.files:
        place = kind.files(run, url, options, mode)
        yield Below(place, prefix) if prefix else place
    else:
        with opened(run, url, options) as directory:
            yield folder.Folder(directory / prefix, mode)


def free_bytes(run: Run, url: Url | None, options: str) -> int | None:
    """The room in a folder behind a URL, or where it will be made; None where only a server knows."""
    if url is None or not kind_of(run, url).folder:
        return None
    with opened(run, url, options) as directory:
        existing = next(path for path in (directory, *directory.parents) if path.exists())
        # By a program, which can be given up when a server does not answer.
        blocks, size = run.sh.query("stat", "--file-system", "--format=%a %S", existing, timeout=60).split()
    return int(blocks) * int(size)


def missing_programs(run: Run, url: Url) -> list[str]:
    """What has to be installed here to reach a place."""
    return [program for program in kind_of(run, url).contents.programs if not run.sh.which(program)]


def check_place(run: Run, url: Url, options: str, needed: int, setting: str, *, prefix: str = "") -> None:
    """Raise `Refused` unless files can be put to a place, of `needed` bytes where that can be known."""
    if kind_of(run, url).folder:
        check_mounted(run, url, setting, prefix)
        with opened(run, url, options) as directory:
            check_room(directory / prefix, needed, setting)
            if directory.exists():
                check_writable(directory / prefix, str(url))
        return
    probe = run.build_dir / f".rear-{uuid.uuid4().hex[:8]}"
    probe.write_bytes(b"rear\n")
    try:
        with opened_place(run, url, options, prefix=prefix) as place:
            # Always of one name: where it cannot be removed again there is one, not many.
            place.put(probe, ".rear-probe", checksum(probe))
            with suppress(RearError):
                place.remove("", [".rear-probe"])
    except RearError as error:
        raise Refused(f"{setting}={url}: {error.message}", error.hint or "check it by hand") from error
    finally:
        probe.unlink()
