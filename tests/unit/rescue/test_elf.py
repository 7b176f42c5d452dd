# SPDX-License-Identifier: GPL-3.0-or-later
"""ELF files are read as the loader reads them."""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.rescue.elf import read_elf
from rear_core.rescue.libraries import interpreters_of, libraries_of, native_loader
from rear_core.shell import Argument, Outcome, Shell


def test_a_program_names_its_loader_and_libraries() -> None:
    elf = read_elf(Path("/bin/ls").resolve())
    assert elf is not None
    assert Path(elf.interpreter).exists()
    assert any(name.startswith("libc.") for name in elf.needed)


def test_scripts_and_damaged_files_are_no_elf(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "cut").write_bytes(Path("/bin/ls").resolve().read_bytes()[:100])
    assert read_elf(tmp_path / "script") is None
    assert read_elf(tmp_path / "cut") is None


@given(st.binary(max_size=200))
def test_no_content_breaks_the_reader(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\x7fELF" + content)
        file.flush()
        read_elf(Path(file.name))


def test_the_loader_finds_all_libraries() -> None:
    loader = native_loader(Path("/bin/bash").resolve())
    found, missing = libraries_of(Shell(), [Path("/bin/bash").resolve()], loader)
    assert missing == []
    assert loader in found
    assert any("/libc." in path for path in found)
    libc = next(Path(path).resolve() for path in found if "/libc." in path)
    # A library asked about is not its own need.
    assert libraries_of(Shell(), [libc], loader)[1] == []


def test_programs_without_a_search_path_are_asked_about_together(tmp_path: Path) -> None:
    """With what each of them says of itself; only if something is missing, each is asked."""
    asked: list[tuple[str, ...]] = []

    class Counting(Shell):
        def run(self, *argv: Argument, **options: Any) -> Outcome:
            asked.append(tuple(map(str, argv)))
            return super().run(*argv, **options)

    loader = native_loader(Path("/bin/bash").resolve())
    programs = [Path(f"/bin/{name}").resolve() for name in ("bash", "ls", "tar", "mount", "find")]
    one_by_one = set().union(*(libraries_of(Shell(), [program], loader)[0] for program in programs))
    assert libraries_of(Counting(), programs, loader) == (one_by_one, [])
    assert len(asked) == 1 and {"bash", "libc.so.6"} & {*" ".join(asked[0]).split()} == {"libc.so.6"}
    broken = tmp_path / "program"
    broken.write_bytes(programs[0].read_bytes().replace(b"libtinfo", b"libvendr"))
    found, missing = libraries_of(Counting(), [*programs, broken], loader)
    assert found == one_by_one and [line.partition(" needs libvendr")[0] for line in missing] == [str(broken)]


def test_interpreters_of_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script"
    for line, expected in (
        ("#!/bin/sh -e\n", ["/bin/sh"]),
        ("#! /usr/bin/env perl\n", ["/usr/bin/env", "perl"]),
        ("#!/usr/bin/env -S perl\n", ["/usr/bin/env"]),
        ("text\n", []),
    ):
        script.write_text(line)
        assert interpreters_of(script) == expected
    assert interpreters_of(Path(sys.executable).resolve()) == []


def test_a_vendors_own_directory_is_looked_in_last(tmp_path: Path) -> None:
    """A library that needs another one of the same directory, which only the vendor's programs know of."""
    loader = native_loader(Path("/bin/bash").resolve())
    found, _ = libraries_of(Shell(), [Path("/bin/bash").resolve()], loader)
    tinfo = next(Path(path) for path in found if "/libtinfo.so" in path)
    soname = tinfo.name.encode()
    renamed = soname.replace(b"tinfo", b"vendr")
    # bash as a vendor's program: the library that it names is in no directory of the system.
    (tmp_path / "program").write_bytes(Path("/bin/bash").resolve().read_bytes().replace(soname, renamed))
    (tmp_path / renamed.decode()).write_bytes(tinfo.read_bytes())
    library = f"{tmp_path}/{renamed.decode()}"
    assert libraries_of(Shell(), [tmp_path / "program"], loader)[1] == [f"{tmp_path}/program needs {renamed.decode()}"]
    found, missing = libraries_of(Shell(), [tmp_path / "program"], loader, [str(tmp_path)])
    assert missing == []
    assert library in found


def with_notes(program: Path, *descriptions: str) -> bytes:
    """A program with notes that name libraries it opens, in the place of those that it has."""
    data = bytearray(program.read_bytes())
    notes = b""
    for text in descriptions:
        size = len(text) + 1
        notes += struct.pack("<III", 4, size, 0x407C0C0A) + b"FDO\0" + text.encode().ljust(-(-size // 4) * 4, b"\0")
    (start,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    (header, *_) = (start + at * size for at in range(count) if data[start + at * size] == 4)
    struct.pack_into("<Q", data, header + 8, len(data))
    struct.pack_into("<Q", data, header + 32, len(notes))
    return bytes(data) + notes


def described(priority: str, *names: str) -> str:
    return json.dumps([{"feature": "x", "description": "x", "priority": priority, "soname": names}])


@pytest.mark.skipif(sys.maxsize < 2**32 or sys.byteorder != "little", reason="writes one kind of ELF")
def test_what_a_program_opens_while_it_runs_comes_along(tmp_path: Path) -> None:
    """As udev opens libkmod since systemd 256: without it no driver is loaded."""
    bash = Path("/bin/bash").resolve()
    loader = native_loader(bash)
    plain, _ = libraries_of(Shell(), [bash], loader)
    program = tmp_path / "program"
    notes = [
        described("recommended", "libnowhere.so.9", "libz.so.1"),
        described("required", "libnowhere.so.8"),
        described("suggested", "liblzma.so.5"),
        "no json",
        '[{"priority": "required"}]',
    ]
    program.write_bytes(with_notes(bash, *notes))
    elf = read_elf(program)
    assert elf and elf.opened == (("libnowhere.so.9", "libz.so.1"), ("libnowhere.so.8",))
    found, missing = libraries_of(Shell(), [program], loader)
    assert missing == [] and [Path(path).name for path in found - plain] == ["libz.so.1"]
    program.write_bytes(with_notes(bash, described("recommended", "libz.so.1")))
    assert libraries_of(Shell(), [program], loader) == (found, [])
