# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside an initramfs, however it is put together."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from typing import Any

import pytest

from rear_core.errors import RearError
from rear_core.finalize.initramfs import modules_in, names
from rear_core.rescue.initramfs import COMPRESSORS, Member, write_archive
from rear_core.shell import Outcome, Shell

REAL = sorted(Path("/boot").glob("initrd.img-*"))


def archive(*files: str) -> bytes:
    file = io.BytesIO()
    write_archive(file, [Member(name, stat.S_IFREG | 0o644, content=name.encode()) for name in files], 0)
    return file.getvalue()


def compressed(tmp_path: Path, method: str, data: bytes) -> bytes:
    (tmp_path / "plain").write_bytes(data)
    with (tmp_path / "plain").open("rb") as source, (tmp_path / "packed").open("wb") as sink:
        Shell().run(*COMPRESSORS[method], stdin=source, stdout=sink)
    return (tmp_path / "packed").read_bytes()


@pytest.mark.parametrize("method", COMPRESSORS)
@pytest.mark.parametrize("early", [False, True])
def test_every_part_is_read(tmp_path: Path, method: str, early: bool) -> None:
    if Shell().which(method) is None:
        pytest.skip(f"{method} is not installed")
    main = archive("usr/lib/modules/6.1/kernel/drivers/ata/ahci.ko", "lib/nvme-core.ko.xz", "init")
    path = tmp_path / "initrd"
    # Microcode comes first, uncompressed, and is filled up with zeros.
    first = archive("kernel/x86/microcode/GenuineIntel.bin") + bytes(1024) if early else b""
    path.write_bytes(first + compressed(tmp_path, method, main))
    assert modules_in(Shell(), path, tmp_path) == {"ahci", "nvme_core"}
    assert ("kernel/x86/microcode/GenuineIntel.bin" in names(Shell(), path, tmp_path)) == early


@pytest.mark.parametrize("content", [b"", bytes(512)])
def test_an_empty_file_has_nothing_in_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "initrd").write_bytes(content)
    assert names(Shell(), tmp_path / "initrd", tmp_path) == []


def test_something_else_and_a_broken_archive_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"MZ is a kernel")
    with pytest.raises(RearError, match="initrd is not an initramfs: it begins with 4d5a"):
        names(Shell(), path, tmp_path)
    path.write_bytes(archive("init", "bin/sh")[:200])
    with pytest.raises(RearError, match="damaged"):
        names(Shell(), path, tmp_path)


@pytest.mark.skipif(
    not REAL or Shell().which("lsinitramfs") is None, reason="this machine has no initramfs and lsinitramfs to compare"
)
def test_a_real_one_reads_as_the_distribution_reads_it(tmp_path: Path) -> None:
    listed = Shell().query("lsinitramfs", REAL[0]).splitlines()
    assert sorted(names(Shell(), REAL[0], tmp_path)) == sorted(listed)


def test_only_what_was_made_anew_is_read_again(tmp_path: Path) -> None:
    class Counting(Shell):
        count = 0

        def run(self, *argv: Any, **options: Any) -> Outcome:
            Counting.count += 1
            return super().run(*argv, **options)

    sh, path = Counting(), tmp_path / "initrd"
    for module in ("ahci", "nvme"):
        (tmp_path / "new").write_bytes(compressed(tmp_path, "gzip", archive(f"lib/{module}.ko")))
        (tmp_path / "new").replace(path)
        assert [modules_in(sh, path, tmp_path) for _ in range(2)] == [{module}] * 2
    assert Counting.count == 2
