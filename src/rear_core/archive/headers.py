# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers of encrypted volumes beside an encrypted archive: kept there where a setting wants it, and taken from there.

In clear they are in memory alone, and only as long as they are needed.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, RearError
from ..removal import discard
from ..storage.command import Site
from ..storage.disk import Disk
from ..storage.kinds import HeaderKeeper, header_keeper
from . import generations
from .encryption import Keys, cipher
from .manifest import Header, Manifest
from .repository import FolderRepository, FolderTarget, Repository
from .volumes import Target

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.layout import Item, Layout

MEMORY = Path("/run")
# Where a recovery has them: the same for each run, as the plan of one that is resumed is the same.
PLACE = MEMORY / "rear/headers"
# Bytes: cryptsetup makes headers of up to 128 MiB and some.
LARGEST = 256 << 20
WITHOUT_KEY = (
    "LUKS_HEADER_BACKUP keeps headers of LUKS volumes with an encrypted backup only, and this one is not encrypted",
    "set BACKUP_KEY_FILE to a file with a passphrase, or LUKS_HEADER_BACKUP=no",
)


def wanted(run: Run) -> bool:
    """Whether headers are kept with backups, and put back; only methods that can do it have the setting."""
    return bool(run.settings.get("LUKS_HEADER_BACKUP"))


def check(run: Run, encrypted: bool) -> None:
    """Raise `ConfigurationError` where headers are wanted, and the backup is not encrypted."""
    if wanted(run) and not encrypted:
        raise ConfigurationError(*WITHOUT_KEY)


def save(run: Run, target: Target, keys: Keys | None) -> tuple[Header, ...]:
    """Put the header of each encrypted volume beside the archive, encrypted with its key; () where none is wanted."""
    if not wanted(run) or not isinstance(target, FolderTarget) or run.layout is None:
        return ()
    check(run, keys is not None)
    assert keys is not None
    site = Site(run.layout, {disk.id: disk.device for disk in run.layout.of(Disk)})
    folder = Path(tempfile.mkdtemp(prefix="rear-", dir=MEMORY))
    made = []
    try:
        for item, keeper in _kept(run, run.layout):
            plain, live = folder / "header", keeper.live(item)
            keeper.save(item, site, run.sh, plain)
            name = re.sub(r"[^\w.+-]+", "-", f"header-{item.id}-{live}.enc")
            data = _ciphered(run, keys, plain.read_bytes())
            plain.unlink()
            target.add_bytes(name, data)
            made.append(Header(item.id, name, hashlib.sha256(data).hexdigest(), live))
            run.report.say(f"Saved the header of {item}: {live}")
    finally:
        discard(folder)
    return tuple(made)


def load(run: Run, repository: Repository, name: str, found: Manifest, keys: Keys | None) -> None:
    """Set `run.headers` to those of a backup that the volumes to be made can have; say why not of the others."""
    if not wanted(run) or run.plan is None or keys is None or not isinstance(repository, FolderRepository):
        return
    kept = {header.item: header for header in found.headers}
    for item, keeper in _kept(run, run.plan.site.layout):
        if item not in run.plan.volumes:
            continue
        try:
            if item.id not in kept:
                raise RearError("the backup has none")
            header = kept[item.id]
            path = _taken(run, repository.home / name / header.file, header, keys)
            if problem := keeper.unfit(item, run.plan.site, run.sh, path):
                raise RearError(problem)
        except (OSError, RearError) as error:
            reason = error.message if isinstance(error, RearError) else error.strerror
            run.report.warn(
                f"{item} gets a new header with a new passphrase, as the old one cannot be put back: {reason}"
            )
            continue
        run.headers[item.id] = path
        run.report.say(f"{item} gets its header of {found.created} back: {header.live}, also those revoked since then")


def _kept(run: Run, layout: Layout) -> Iterator[tuple[Item, HeaderKeeper]]:
    kinds = list(run.plugins.call("rear_storage_kinds"))
    for item in layout.order():
        if keeper := header_keeper(item, kinds):
            yield item, keeper


def _taken(run: Run, source: Path, header: Header, keys: Keys) -> Path:
    """The file with a header in clear, in memory until the run ends; `RearError` for one that was changed."""
    with os.fdopen(generations.open_file(source), "rb") as file:
        data = file.read(LARGEST)
    if hashlib.sha256(data).hexdigest() != header.sha256:
        raise RearError("it was changed, or is damaged")
    PLACE.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = PLACE / re.sub(r"[^\w.+-]+", "-", header.item)
    path.unlink(missing_ok=True)
    run.undo.callback(path.unlink, missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(_ciphered(run, keys, data, decrypt=True))
    return path


def _ciphered(run: Run, keys: Keys, data: bytes, *, decrypt: bool = False) -> bytes:
    """What openssl makes of bytes with the key of an archive."""
    blocks: list[bytes] = []
    with cipher(keys, decrypt=decrypt) as (argv, reading), tempfile.TemporaryFile(dir=MEMORY) as given:
        given.write(data)
        given.seek(0)
        run.sh.pipe(argv, stdin=given, take=lambda block: blocks.append(bytes(block)), pass_fds=[reading])
    return b"".join(blocks)
