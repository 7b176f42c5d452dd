# SPDX-License-Identifier: GPL-3.0-or-later
"""Byte code is valid whatever the times say, reproducible, and never stale."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from rear_core.rescue.bytecode import place_of_bytecode, unchecked_bytecode


def installed(source: Path, code: bytes) -> None:
    cached = Path(importlib.util.cache_from_source(os.fspath(source), optimization=""))
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(code)


@pytest.mark.parametrize("mode", [None, *py_compile.PycInvalidationMode])
def test_byte_code_is_used_whatever_the_times_say(tmp_path: Path, mode: py_compile.PycInvalidationMode | None) -> None:
    source = tmp_path / "module.py"
    source.write_text("value = 42\n")
    if mode:
        py_compile.compile(os.fspath(source), doraise=True, invalidation_mode=mode)
    code = unchecked_bytecode(os.fspath(source), "/somewhere/module.py")
    assert code is not None
    installed(source, code)
    # Python would compile this anew if it looked at the source, and fail.
    source.write_text("raise SystemExit('compiled again')\n")
    script = f"import sys; sys.path.insert(0, {os.fspath(tmp_path)!r}); import module; print(module.value)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


def test_stale_byte_code_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("value = 1\n")
    py_compile.compile(os.fspath(source), doraise=True)
    source.write_text("value = 4242\n")
    code = unchecked_bytecode(os.fspath(source), "/module.py")
    source.with_name("other.py").write_text("value = 4242\n")
    assert code == unchecked_bytecode(os.fspath(source.with_name("other.py")), "/module.py")


def test_the_header_does_not_depend_on_the_time_of_the_source(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("def f(): return ('a', 'b')\n")
    codes = []
    for time in (1, 2_000_000_000):
        os.utime(source, (time, time))
        codes.append(unchecked_bytecode(os.fspath(source), "/module.py"))
    assert codes[0] == codes[1]


def test_what_cannot_be_compiled_has_no_byte_code(tmp_path: Path) -> None:
    source = tmp_path / "template.py"
    source.write_text("{{ not python }} !\n")
    assert unchecked_bytecode(os.fspath(source), "/template.py") is None


def test_byte_code_lies_beside_its_source_wherever_this_machine_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = importlib.util.cache_from_source("/lib/one.py", optimization="")
    monkeypatch.setattr(sys, "pycache_prefix", os.fspath(tmp_path))
    assert place_of_bytecode("/lib/one.py") == usual
