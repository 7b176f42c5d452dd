# SPDX-License-Identifier: GPL-3.0-or-later
"""Byte code for the rescue system: never checked against its source, hence valid there whatever the times say."""

from __future__ import annotations

import importlib.util
import marshal
import os
import struct
import sys
from pathlib import Path

# Flags of a pyc file (PEP 552): 0 checks time and size of the source, 1 its hash without looking, 3 its hash.
BY_TIME, BY_HASH_UNCHECKED = 0, 1
# Before version 3 marshal writes no back references, which depend on who else held an object: not reproducible.
MARSHAL_VERSION = 2


def unchecked_bytecode(source: str, target: str) -> bytes | None:
    """The pyc file of a source, or None for a source that cannot be compiled (a template, another Python's syntax).

    Byte code that Python or the package manager made is taken when it belongs to the source, as compiling a whole
    standard library takes seconds; `target` is the source's path in the rescue system, for messages of new code.
    """
    text = Path(source).read_bytes()
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", BY_HASH_UNCHECKED) + importlib.util.source_hash(text)
    code = _existing(source, text)
    if code is None:
        try:
            code = marshal.dumps(compile(text, target, "exec", dont_inherit=True, optimize=0), MARSHAL_VERSION)
        except (SyntaxError, ValueError):
            return None
    return head + code


def place_of_bytecode(target: str) -> str:
    """Where Python looks for the byte code of a source in the rescue system, wherever it does so on this machine.

    >>> place_of_bytecode("/lib/acme/one.py").replace(str(sys.implementation.cache_tag), "cpython-311")
    '/lib/acme/__pycache__/one.cpython-311.pyc'
    """
    folder, name = os.path.split(target)
    return f"{folder}/__pycache__/{name[: -len('.py')]}.{sys.implementation.cache_tag}.pyc"


def _existing(source: str, text: bytes) -> bytes | None:
    try:
        data = Path(importlib.util.cache_from_source(source, optimization="")).read_bytes()
    except OSError:
        return None
    if data[:4] != importlib.util.MAGIC_NUMBER or len(data) <= 16:
        return None
    flags, mtime, size = struct.unpack("<III", data[4:16])
    if flags == BY_TIME:
        valid = (mtime, size) == (int(os.stat(source).st_mtime) & 0xFFFFFFFF, len(text) & 0xFFFFFFFF)
    else:
        valid = data[8:16] == importlib.util.source_hash(text)
    return data[16:] if valid else None
