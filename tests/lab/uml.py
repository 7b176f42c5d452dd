# SPDX-License-Identifier: GPL-3.0-or-later
"""User-mode Linux as the engine of guests: the kernel is a program of the host, up in seconds without KVM."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import cached, digest

if TYPE_CHECKING:
    from .guests import Machine

NAME = "user-mode Linux"
# Older releases have kernels that trace each program with ptrace, which makes them eight times slower.
SUITE = "forky"
PACKAGES = "user-mode-linux,libc6"

# The kernel wants a newer C library than the host may have. It starts itself again by /proc/self/exe, so that its
# loader has to be in the usual place, where no program of the host must find it: it has a mount namespace for itself,
# which sees what is mounted later in that of the guest. Its memory is a file that is mapped, which /dev/shm may forbid.
# The kernel and each program in it are processes that wait for each other, which on two processors takes twice as long.
START = r"""
processor=$1
shift
mount --make-rshared /
exec taskset --cpu-list "$processor" unshare --mount --propagation=slave sh -c '
set -e
tree=$1
shift
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount --bind "$tree/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" /lib64/ld-linux-x86-64.so.2
LD_LIBRARY_PATH=$tree/usr/lib/x86_64-linux-gnu TMPDIR=/dev/shm exec "$tree/usr/bin/linux.uml" "$@"
' sh "$@"
"""
SMALL_MODULES = """
    kernel/drivers/md kernel/drivers/target kernel/drivers/scsi kernel/drivers/block kernel/drivers/cdrom kernel/fs/fat
    kernel/fs/nls kernel/fs/configfs kernel/fs/overlayfs kernel/fs/squashfs kernel/fs/isofs kernel/lib kernel/crypto
    kernel/security
"""
RESCUE_MODULES = ""


def tree() -> Path:
    """A tree with the kernel, its modules and its C library."""

    def make(path: Path) -> None:
        argv = ["mmdebstrap", "--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"']
        argv += [f"--include={PACKAGES}", SUITE, os.fspath(path)]
        try:
            subprocess.run(argv, check=True, capture_output=True, text=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            raise RuntimeError(
                f"user-mode Linux cannot be had, and its guests cannot be started without: {shlex.join(argv)}:\n{said}"
            ) from error

    return cached("uml-kernel", digest(SUITE, PACKAGES), make)


def kernel() -> Path:
    """The program."""
    return tree() / "usr/bin/linux.uml"


def config() -> Path:
    """What it was configured with, compressed."""
    return tree() / "usr/share/doc/user-mode-linux/config.gz"


def modules() -> Path:
    """The folder of its modules, named by its version."""
    (found,) = (tree() / "usr/lib/uml/modules").iterdir()
    return found


def processor() -> int:
    """The one for all guests of this process; those of other workers get others."""
    allowed = sorted(os.sched_getaffinity(0))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").lstrip("gw")
    return allowed[int(worker or os.getpid()) % len(allowed)]


def slowness() -> float:
    """How many times longer a guest takes than one of user-mode Linux."""
    return 1


def argv(machine: Machine, private: Path, console: int) -> list[str]:
    """The arguments of `START`: what is the guest's own is in the directory `private`, the console is a socket."""
    for path in (private, machine.root, machine.initrd, *(disk.path for disk in machine.plain_disks)):
        if path and re.search(r"[\s,:\"]", f"{path}"):
            raise RuntimeError(
                f"the command line of the kernel cannot name {str(path)!r}: set TMPDIR, or REAR_TEST_CACHE, to a folder"
                " without blanks, commas, colons and quotes in its path"
            )
    argv = [f"{processor()}", os.fspath(tree()), f"mem={machine.memory}M", f"uml_dir={private}/"]
    argv += ["noreboot", "seccomp=auto"]
    argv += ["con=null", f"ssl0=fd:{console}", "console=ttyS0"]
    if machine.root:
        argv += [f"ubd0={machine.root}" if machine.keeps else f"ubd0={private}/root.cow,{machine.root}"]
        argv += ["root=/dev/ubda", "rw"]
    for number, disk in enumerate(machine.plain_disks, 1 if machine.root else 0):
        argv += [f"ubd{number}{'rc' if disk.shared else ''}={disk.path}"]
    argv += [f"initrd={machine.initrd}"] if machine.initrd else []
    argv += [
        f"vec{number}:transport=tap,ifname=card{number},gro=1,mac={nic.mac}" for number, nic in enumerate(machine.nics)
    ]
    return [*argv, *machine.command_line.split()]


def mount(shared: Path, point: str) -> str:
    """The command of the guest that mounts the folder of the host."""
    return f"mount -t hostfs -o {shlex.quote(os.fspath(shared))} hostfs {point}"
