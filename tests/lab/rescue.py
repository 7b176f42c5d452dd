# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue ISO of the Debian tree, as `rear mkrescue` makes it there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .cache import cached, digest
from .chroot import Chroot
from .debian import with_rear

ISO = "var/lib/rear/output/rear-debian12.iso"
SETUP = "2"


@dataclass(frozen=True)
class Rescue:
    """The image, and the key that opens the rescue system's sshd to root."""

    iso: Path
    key: Path


def rescue() -> Rescue:
    """The rescue ISO of the tree with this checkout's rear."""
    layers = with_rear()

    def make(path: Path) -> None:
        path.mkdir()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path / "key"], check=True)
        with tempfile.TemporaryDirectory(dir=path) as upper, Chroot(layers, Path(upper) / "upper") as chroot:
            ssh = chroot.root / "root/.ssh"
            ssh.mkdir(mode=0o700, exist_ok=True)
            shutil.copy(path / "key.pub", ssh / "authorized_keys")
            chroot.run("rear", "mkrescue")
            shutil.copy(chroot.root / ISO, path / "rescue.iso")

    made = cached("rescue", digest(SETUP, *(layer.name for layer in layers)), make)
    return Rescue(made / "rescue.iso", made / "key")
