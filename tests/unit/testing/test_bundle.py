# SPDX-License-Identifier: GPL-3.0-or-later
"""A report that somebody else has made is unpacked by name and size alone; whatever is none is refused."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core.bundle import archive
from rear_core.errors import RearError, Refused
from rear_core.testing import bundle
from rear_core.testing.bundle import make_machine, unpacked

FILES = {"README.txt": b"about\n", "machine/commands/lsblk.txt": b"$ lsblk\nstatus 0\n\n", "machine/layout.json": b"{}"}


def written(path: Path, change: Callable[[tarfile.TarInfo], None], data: bytes = b"x") -> Path:
    """A report with a file more, of which something is changed."""
    member = tarfile.TarInfo("rear-report/more")
    member.size = len(data)
    change(member)
    with tarfile.open(path, "w:gz") as file:
        file.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return path


def test_a_report_is_unpacked_as_it_was_packed(tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    archive.write(path, FILES)
    assert unpacked(path) == FILES and path.stat().st_mode & 0o777 == 0o600
    assert make_machine(path, tmp_path / "made") == ["commands/lsblk.txt", "layout.json"]
    assert (tmp_path / "made/commands/lsblk.txt").read_bytes() == FILES["machine/commands/lsblk.txt"]
    with pytest.raises(Refused, match="is there already"):
        make_machine(path, tmp_path / "made")
    with pytest.raises(Refused, match="is there already"):
        archive.write(path, {})
    assert unpacked(path) == FILES and {file.name for file in tmp_path.iterdir()} == {"report.tar.gz", "made"}
    with pytest.raises(RearError, match="cannot write"):
        archive.write(tmp_path / "none/report.tar.gz", FILES)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "rear-report/../../etc/x", "rear-report/../x", "rear-report/.ssh", "other/x", "rear-report/a\nb",
        "x", "rear-report/" + "x" * 300, "rear-report/machine/commands/\x1b[2J.txt", "rear-report//x", "rear-report/",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds what no report of rear does") as caught:
        unpacked(written(tmp_path / "report.tar.gz", lambda member: setattr(member, "name", name)))
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_only_plain_files_are_unpacked(kind: bytes, tmp_path: Path) -> None:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    with pytest.raises(Refused, match="holds what no report"):
        unpacked(written(tmp_path / "report.tar.gz", change))


def test_what_is_huge_damaged_or_no_report_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.tar.gz"
    path.write_bytes(gzip.compress(bytes(bundle.LARGEST + 1), 1))
    with pytest.raises(Refused, match="more than 64 MiB"):
        unpacked(path)
    with pytest.raises(Refused, match="more than 64 MiB"):
        unpacked(written(path, lambda _member: None, bytes(bundle.LARGEST)))
    whole = archive.packed(FILES)
    for data in (b"", b"no report", whole[: len(whole) // 2], gzip.compress(b"no tar" * 200)):
        path.write_bytes(data)
        with pytest.raises(Refused, match=r"is no report of rear|has no recording|is cut off"):
            make_machine(path, tmp_path / "made")
    monkeypatch.setattr(bundle, "MOST", 2)
    path.write_bytes(whole)
    with pytest.raises(Refused):
        unpacked(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RearError, match="named pipe"):
        unpacked(path)
    assert not (tmp_path / "made").exists()


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for _ in range(2):
            file.addfile(tarfile.TarInfo("rear-report/x"))
    with pytest.raises(Refused):
        unpacked(path)
