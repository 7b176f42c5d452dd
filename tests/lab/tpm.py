# SPDX-License-Identifier: GPL-3.0-or-later
"""A TPM 2 for machines in QEMU, by swtpm: what it holds stays in a folder, as in the machine that it is soldered to."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def emulated(folder: Path) -> Iterator[list[str]]:
    """A block in which one machine can run with the TPM of that folder; yields the arguments of QEMU."""
    folder.mkdir(exist_ok=True)
    # The path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="tpm.") as place:
        socket = Path(place, "socket")
        argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={socket}"]
        process = subprocess.Popen(argv)
        try:
            while not socket.exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield [
                "-chardev", f"socket,id=tpm,path={socket}", "-tpmdev", "emulator,id=tpm,chardev=tpm",
                "-device", "tpm-tis,tpmdev=tpm",
            ]  # fmt: skip
        finally:
            process.kill()
            process.wait()
