# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of place has to do; `conformance` has these tests among its own.

They put small files to the places that its author supplies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..errors import RearError
from ..places.delivery import checksum
from ..places.opening import opened_place
from ..places.place import Place
from ..places.url import parse_url
from ..plugins import load
from ..shell import Shell
from ..work_area import mounts_below, remove
from .harness import Harness
from .performing import can_run, is_line, skip

__all__ = ["test_its_places_compare_what_they_put", "test_its_places_keep_what_is_put_there"]

NAME = "web1/rear-web1.iso"


def test_its_places_keep_what_is_put_there(harness: Harness, tmp_path: Path) -> None:
    """A file is there when the place is opened again, a newer one takes its place, and what was removed is gone."""
    for url in urls(harness):
        for content in (b"old", b"new" * 100_000):
            put(harness, url, written(tmp_path, content))
            with opened(harness, url) as place:
                # Compared before: in verbose runs pytest would look for hours for all differences of so much.
                is_same = place.read(NAME) == content
                assert is_same, f"{url} has something else than the file that was put there"
        with opened(harness, url) as place:
            assert place.read("web1/no-such-file") is None, f"{url} has a file that nobody put there"
            place.remove("web1", [NAME.rpartition("/")[2]])
        with opened(harness, url) as place:
            assert place.read(NAME) is None, f"{url} still has a file that was removed"


def test_its_places_compare_what_they_put(harness: Harness, tmp_path: Path) -> None:
    """What does not have the checksum that it should have ends in an error, and the file of before stays."""
    for url in urls(harness):
        put(harness, url, written(tmp_path, b"old"))
        with opened(harness, url) as place:
            with pytest.raises(RearError) as caught:
                place.put(written(tmp_path, b"damaged"), NAME, "0" * 64)
            assert is_line(caught.value.message), f"{caught.value.message!r} is no line"
        with opened(harness, url) as place:
            place.remove("web1", [NAME.rpartition("/")[2]])


def urls(harness: Harness) -> list[str]:
    """The supplied URLs, of which each kind of place has at least one."""
    declare = getattr(load(harness.subject.found).module, "rear_places", None)
    if declare is None:
        skip(harness.subject, "has no kind of place")
    if not harness.supplied:
        skip(harness.subject, "no fixture `supply` gives the URLs of places")
    can_run(harness)
    schemes = [kind.scheme.name for kind in declare()]
    found = [url for url in harness.supply.places if url.partition(":")[0] in schemes]
    untried = sorted({*schemes} - {url.partition(":")[0] for url in found})
    assert not untried, f"Supply.places has no URL that begins with {untried[0]}://"
    return found


@contextmanager
def opened(harness: Harness, url: str) -> Iterator[Place]:
    """A place, opened by a run of its own, after which nothing of it is left mounted."""
    run = harness.run("mkbackup")
    with run.undo, opened_place(run, parse_url(url, run.plugins.schemes()), harness.supply.places[url]) as place:
        yield place
    left = mounts_below(harness.work)
    assert not left, f"{url} was closed, and these are mounted: {left}"
    remove(harness.work, Shell())


def put(harness: Harness, url: str, file: Path) -> None:
    """Put a file to a place."""
    with opened(harness, url) as place:
        place.put(file, NAME, checksum(file))


def written(folder: Path, content: bytes) -> Path:
    """A file beside the work area."""
    path = folder / "file"
    path.write_bytes(content)
    return path
