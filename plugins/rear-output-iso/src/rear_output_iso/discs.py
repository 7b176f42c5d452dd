# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of one run: how large they may be, how they are called, the further ones with the rest of a backup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from rear_core import ProgramFailed, RearError, Refused, Run
from rear_core.archive import manifest, signature
from rear_core.archive.described import signers
from rear_core.archive.generations import LARGEST, OTHER_KEY
from rear_core.archive.repository import identity
from rear_core.durable import flush
from rear_core.interruption import held
from rear_core.media.carried import ROOT, Carried, CarriedFile, Room
from rear_core.media.iso import file_extents, make_iso, verify_iso
from rear_core.media.rescue_iso import epoch
from rear_core.places.delivery import beside, checksum, put_in_place, sums_of
from rear_core.system.identity import may_be_one

MIB = 1 << 20
# What a rescue system has needed so far; the exact number is known when it is packed.
USUAL_SIZE = 300 * MIB
BOOT_LOADER_SIZE = 16 * MIB
# Volume descriptors, folders and the padding of an image without boot loaders, and that files begin at full blocks.
DATA_OVERHEAD = 2 * MIB

# Decimal or binary, as their makers print them; binary as 1G of dd(1). Without a unit it is MiB.
UNITS = {
    "": MIB, "K": 1 << 10, "KIB": 1 << 10, "KB": 10**3, "M": MIB, "MIB": MIB, "MB": 10**6,
    "G": 1 << 30, "GIB": 1 << 30, "GB": 10**9,
}  # fmt: skip
# The smallest disc that is sold under each name, in bytes.
DISCS = {"CD": 700 * MIB, "DVD": 4_700_372_992, "DVD-DL": 8_543_666_176, "BD": 25_025_314_816, "BD-DL": 50_050_629_632}


def size_of(text: str) -> int | None:
    """The bytes of a medium, None for no limit; raises `ValueError`.

    >>> size_of("4.7GB"), size_of("700"), size_of("DVD")
    (4700000000, 734003200, 4700372992)
    """
    if not text:
        return None
    if text.upper() in DISCS:
        return DISCS[text.upper()]
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    if not found or found[2].upper() not in UNITS:
        raise ValueError(f"must be a size such as 4700MB, 4.3GiB or 700 (MiB), or one of {', '.join(DISCS)}")
    return int(float(found[1]) * UNITS[found[2].upper()])


def room(run: Run) -> Room:
    """What fits beside the rescue system, and on each further image."""
    limit = size_of(run.settings["ISO_MAX_SIZE"])
    directory = Path(run.settings["ISO_DIR"])
    if limit is None:
        return Room(directory)
    return Room(directory, max(limit - rescue_size(run), 0), max(limit - DATA_OVERHEAD, 0))


def rescue_size(run: Run) -> int:
    """The bytes of an image with nothing but the rescue system, a few more than it will have."""
    if run.image is None:
        return USUAL_SIZE
    return run.image.size + BOOT_LOADER_SIZE


def image_path(run: Run) -> Path:
    """Where the finished image is kept on this machine."""
    name = run.settings["ISO_PREFIX"] or f"rear-{run.system.hostname}"
    return Path(run.settings["ISO_DIR"], f"{name}.iso")


def further_path(first: Path, carried: Carried, number: int) -> Path:
    """Where a further image is kept: its name tells its set, so that the previous one stays until all are there."""
    return first.with_name(f"{first.stem}_{carried.name}_{number:02d}.iso")


def further_paths(run: Run) -> list[Path]:
    """The further images of this run in their order."""
    count = len(run.carried.media) if run.carried else 0
    return [further_path(image_path(run), run.carried, number) for number in range(2, count + 1) if run.carried]


def remove_older(first: Path, current: list[Path], *, keep_old: bool = False) -> None:
    """Remove what other runs left of further images, also unfinished ones: the first image of their set is gone.

    With `keep_old` the newest finished set among them stays, whose first image may be kept as well.
    """
    stem = re.escape(first.stem)
    pattern = re.compile(rf"\.?{stem}_(\d{{4}}-\d\d-\d\dT\d{{6}}Z)_\d{{2,}}\.iso(\.sha256)?(\.part)?")
    kept = {name for path in current for name in (path.name, f"{path.name}.sha256")}
    others = {path: found[1] for path in first.parent.iterdir() if (found := pattern.fullmatch(path.name))}
    before = max((date for path, date in others.items() if path.suffix == ".iso" and path.name not in kept), default="")
    for path, date in others.items():
        if path.name not in kept and not (keep_old and date == before and path.suffix != ".part"):
            path.unlink()


def label(run: Run, number: int) -> str:
    """The volume label of an image: REAR-ISO, REAR-ISO_02 ..."""
    volume_id = str(run.settings["ISO_VOLID"])
    return volume_id if number == 1 else f"{volume_id[:28]}_{number:02d}"


def carries_backup(run: Run, path: Path) -> bool:
    """Whether there is a finished image that holds a backup, or a part of one."""
    try:
        return path.exists() and any(name.startswith(f"{ROOT}/") for name in file_extents(run.sh, path))
    except ProgramFailed:  # it is no image
        return False


def check_owner(run: Run, path: Path) -> None:
    """Raise `Refused` for an image or disc with a backup of another machine, by its identity or by its key."""
    own, keys = identity(run), [key for key in (signature.public_key(run), *signers(run)) if key]
    for name, made in _manifests(run, path):
        other = not may_be_one(made.manifest.machine, own)
        # Clones without a UUID of their own have one identity.
        signed = bool(keys and made.signature) and not signature.verify(run, made.text, made.signature, keys)
        if other or signed:
            whose = (
                f"another machine ({made.manifest.hostname})" if other else f"{made.manifest.hostname}, and {OTHER_KEY}"
            )
            raise Refused(
                f"{path} carries {name}, a backup of {whose}",
                "insert another disc, set ISO_PREFIX or another ISO_DIR and OUTPUT_URL, or remove it by hand",
            )


def _manifests(run: Run, path: Path) -> Iterator[tuple[str, manifest.Sealed]]:
    """The manifests of the backups that an image or disc carries, with the names of their folders."""
    try:
        extents = file_extents(run.sh, path) if path.exists() else {}
    except ProgramFailed:  # it is no image, or no disc is there
        return
    for name, places in extents.items():
        if name.startswith(f"{ROOT}/") and name.endswith(f"/{manifest.NAME}"):
            size = sum(place.size for place in places)
            found = None
            with suppress(RearError, OSError, ValueError), path.open("rb") as file:
                text = b""
                for place in places if size <= LARGEST else ():
                    file.seek(place.start)
                    text += file.read(place.size)
                found = manifest.loads(text.decode())
            if found:
                yield name[len(ROOT) + 1 :].rpartition("/")[0], found


def sources(files: Mapping[str, CarriedFile]) -> dict[str, Path]:
    """The files as `make_iso` takes them."""
    return {name: file.source for name, file in files.items()}


def sums(files: Mapping[str, CarriedFile]) -> dict[str, str]:
    """The files as `verify_iso` takes them."""
    return {name: file.sha256 for name, file in files.items()}


def make_further(run: Run) -> None:
    """Write the further images beside their places and prove each; what it was made from is then removed."""
    assert run.carried is not None
    for number, path in enumerate(further_paths(run), start=2):
        files = run.carried.media[number - 1]
        part = beside(path)
        part.parent.mkdir(parents=True, exist_ok=True)
        run.undo.callback(part.unlink, missing_ok=True)
        make_iso(run.sh, part, sources(files), volume_id=label(run, number), epoch=epoch(), bios=None, efi_image=None)
        verify_iso(run.sh, part, {}, None, sums(files))
        check_size(run, part)
        discard(files)


def check_size(run: Run, image: Path) -> None:
    """Raise `RearError` when an image is larger than the medium it is for."""
    limit, size = size_of(run.settings["ISO_MAX_SIZE"]), image.stat().st_size
    if limit is not None and size > limit:
        raise RearError(
            f"the image has {-(-size // MIB)} MiB, a medium {limit // MIB} MiB (ISO_MAX_SIZE)",
            "use larger media, or make the rescue system smaller: MODULES, RESCUE_FILES",
        )


def discard(files: Mapping[str, CarriedFile]) -> None:
    """Remove what is on its medium now."""
    for file in files.values():
        file.source.unlink(missing_ok=True)


def put_all_in_place(run: Run) -> list[Path]:
    """Give all images their names, the first last: with it the set changes. Return where they are."""
    first, further = image_path(run), further_paths(run)
    with ExitStack() as undo:
        for path in further:
            undo.callback(sums_of(path).unlink, missing_ok=True)
            undo.callback(path.unlink, missing_ok=True)
            put_in_place(path, checksum(beside(path)))
        # All that takes time or may well fail comes before the point of no return.
        sha256 = checksum(beside(first))
        flush(beside(first))
        # Whatever ends it while the first gets its name, or after that: the further ones may belong to it by then.
        undo.pop_all()
    keep_old = run.settings["KEEP_OLD_OUTPUT_COPY"]
    with held():
        put_in_place(first, sha256, keep_old=keep_old)
        remove_older(first, further, keep_old=keep_old)
    return [first, *further]
