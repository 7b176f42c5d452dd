# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a backup is made and restored, next to the bare pipelines that do nothing else, on the same files."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path

from . import cache
from .chroot import Chroot
from .debian import with_rear

ROUNDS = 5
COPIES = 3
CONFIGURATION = "OUTPUT=ISO\nBACKUP_URL=file:///fast/backup\nBACKUP_PROG_INCLUDE=( / )\nBACKUP_KEEP=1\n"
LEAVE_OUT = "--exclude=./proc --exclude=./sys --exclude=./dev --exclude=./run --exclude=./tmp --exclude=./fast"
TAR = f"tar --create --file=- --one-file-system --xattrs --xattrs-include='*' --sparse {LEAVE_OUT} --directory=/ ."
BARE = {
    "tar | zstd": f"{TAR} | zstd -T0 --quiet > /fast/bare.tar.zst",
    "tar | gzip": f"{TAR} | gzip > /fast/bare.tar.gz",
    "zstd -d | tar": "mkdir /fast/bare && zstd -dcq /fast/bare.tar.zst |"
    " tar --extract --file=- --xattrs --xattrs-include='*' --numeric-owner --directory=/fast/bare",
}


def measured() -> dict[str, float]:
    """The seconds of each way to save and restore a Debian tree and some copies of it, from and to memory.

    The fastest round of each counts, as whatever else the machine does only ever adds to it.
    """
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=cache.directory(), prefix="bench-") as path:
        upper = Path(path, "upper")
        (upper / "etc/rear").mkdir(parents=True)
        (upper / "etc/rear/local.conf").write_text(CONFIGURATION)
        with Chroot(with_rear(), upper) as chroot:
            for number in range(COPIES):
                chroot.run("sh", "-c", f"mkdir -p /srv/{number} && cp -a /usr /etc /var /srv/{number}")
            chroot.run("sh", "-c", "mkdir /fast && mount -t tmpfs tmpfs /fast && mkdir /fast/backup")
            chroot.run("sh", "-c", f"{TAR} | cat > /dev/null")  # the files are in memory now
            for number in range(ROUNDS):
                chroot.run("sh", "-c", "rm -rf /fast/bare* /fast/restored")
                for way, script in BARE.items():
                    if way != "tar | gzip" or number == 0:  # slow, and far from the rest
                        found.setdefault(way, []).append(_timed(chroot, script))
                chroot.run("sh", "-c", "rm -rf /fast/bare*")
                saved = chroot.run("rear", "mkbackuponly").stdout
                found.setdefault("rear mkbackuponly", []).append(_step(saved, "Save the files"))
                restored = chroot.run("rear", "-n", "recover", "--demo", "/fast/restored").stdout
                found.setdefault("rear recover --demo", []).append(_step(restored, "Restore the files"))
    return {way: min(seconds) for way, seconds in found.items()}


def _timed(chroot: Chroot, script: str) -> float:
    started = time.monotonic()
    chroot.run("bash", "-o", "pipefail", "-e", "-c", script)
    return time.monotonic() - started


def _step(output: str, title: str) -> float:
    """The seconds of a step: what comes before and after it is no throughput."""
    found = re.search(rf"{title} \(([\d.]+) s\)", output)
    if found is None:
        raise subprocess.SubprocessError(f"no step {title!r} in:\n{output}")
    return float(found[1])
