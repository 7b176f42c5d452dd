# SPDX-License-Identifier: GPL-3.0-or-later
"""ELF files are read as the loader reads them."""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rear_core.rescue.elf import read_elf
from rear_core.rescue.libraries import interpreters_of, libraries_of, native_loader
from rear_core.shell import Shell


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
