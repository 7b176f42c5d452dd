# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices and what tests do with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rear_core.run import Run
from rear_core.shell import Shell

MIB = 1 << 20
# One partition of type Linux, aligned as partitioning tools do.
MBR = "label: dos\nstart=2048, type=83, bootable\n"


def run(*argv: object, input: str = "") -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run([str(word) for word in argv], input=input, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout.strip()


def attached(undo: ExitStack, image: Path, *options: str, sh: Shell | None = None) -> str:
    """The loop device of an image, until `undo` is unwound."""
    shell = sh or Shell()
    device = shell.query("losetup", "--find", "--show", *options, image).strip()
    undo.callback(shell.run, "losetup", "--detach", device)
    return device


def first_partition(undo: ExitStack, disk: str, sh: Shell) -> str:
    """The first partition of a loop device, whose kernel need not know such tables, nor /dev be the kernel's own."""
    sh.run("partx", "--add", disk)
    undo.callback(sh.run, "partx", "--delete", disk)
    partition = Path(f"{disk}p1")
    if not partition.exists():
        number = Path("/sys/class/block", partition.name, "dev").read_text().strip()
        sh.run("mknod", partition, "b", *number.split(":"))
        undo.callback(partition.unlink)
    return f"{partition}"


def disk_with_boot(run: Run, folder: Path, table: str = MBR, *options: str) -> tuple[str, str]:
    """A disk of 160 MiB with that partition table, and its last partition, which is the target's /boot.

    `options` are those of mkfs.ext4.
    """
    image = folder / "disk"
    image.touch()
    os.truncate(image, 160 * MIB)
    run.sh.run("sfdisk", image, input=table)
    last = run.sh.json("sfdisk", "--json", image)["partitiontable"]["partitions"][-1]
    disk = attached(run.undo, image, sh=run.sh)
    place = (f"--offset={last['start'] * 512}", f"--sizelimit={last['size'] * 512}")
    boot = attached(run.undo, image, *place, sh=run.sh)
    run.sh.run("mkfs.ext4", "-q", *options, boot)
    run.sh.run("mount", boot, run.target / "boot")
    run.undo.callback(run.sh.run, "umount", run.target / "boot")
    return disk, boot


@contextmanager
def mounted(path: Path, *arguments: str) -> Iterator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *arguments, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)
