# SPDX-License-Identifier: GPL-3.0-or-later
"""A root file system made of layers, alive in namespaces of its own: whatever happens in it ends with it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}

# What the host has is hidden: its disks, which some hosts let nobody read, and the command line of its kernel. The
# network card is one end of a cable, with the address that QEMU gives to a machine behind its NAT.
# The first process of a process namespace inherits orphans. With SIGCHLD ignored (which
# bash can do and dash cannot) the kernel reaps them, so that a killed program does not live on as a zombie; cat
# then waits for the end of its input.
HOLD = """
set -e
mount -t proc proc /proc
unshare --net sleep infinity &
until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link set lo up
ip link add eth0 address 52:54:00:00:00:01 type veth peer name wire netns $!
nsenter --target $! --net ip link set wire up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
mount -t proc proc "$4/proc"
mount -t sysfs sysfs "$4/sys"
mount -t tmpfs -o mode=755 tmpfs "$4/sys/block"
mount --rbind /dev "$4/dev"
mount -t tmpfs -o mode=755 tmpfs "$4/run"
mkdir "$4/run/lock"
echo 'BOOT_IMAGE=/boot/vmlinuz root=LABEL=debian12 ro quiet console=tty0 console=ttyS0,115200' > "$4/run/cmdline"
mount --bind "$4/run/cmdline" "$4/proc/cmdline"
hostname debian12
trap '' CHLD
exec chroot "$4" bash -c 'echo ready; exec cat'
"""


class Chroot:
    """Layers (the first lies on top) below a writable directory, with /proc, /sys, /dev and /run.

    Inside a `with` block mounts and processes belong to private namespaces, shared by all programs run here;
    at its end the kernel ends them all. `root` shows the tree to this process.
    """

    def __init__(self, layers: Sequence[Path], upper: Path) -> None:
        self.layers = layers
        self.upper = upper
        self._holder: subprocess.Popen[str] | None = None
        self._process = 0

    @property
    def root(self) -> Path:
        """The tree as seen from here; valid inside the block only."""
        return Path(f"/proc/{self._process}/root")

    def __enter__(self) -> Chroot:
        work, mounted = (self.upper.with_name(self.upper.name + suffix) for suffix in (".work", ".root"))
        for path in (self.upper, work, mounted):
            path.mkdir(parents=True, exist_ok=True)
        lower = ":".join(map(os.fspath, self.layers))
        namespaces = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--kill-child"]
        self._holder = subprocess.Popen(
            [*namespaces, "bash", "-c", HOLD, "hold", lower, self.upper, work, mounted],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            self.__exit__(None, None, None)
            raise RuntimeError(f"cannot set up a chroot of {lower}")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text()
        self._process = int(children)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._holder is not None
        self._holder.kill()  # --kill-child takes the namespace's first process along, and that one all others
        self._holder.communicate()

    def start(self, *argv: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a program inside; the process returned is nsenter, which ends as the program does."""
        enter = ["nsenter", f"--target={self._process}", "--mount", "--pid", "--net", "--uts", "--root", "--wd"]
        return subprocess.Popen([*enter, *argv], env={**ENVIRONMENT, **(env or {})}, text=True, **options)

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 600,
        stdout: int | IO[str] = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end; both streams come back together in `stdout`."""
        process = self.start(*argv, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        if check and process.returncode:
            raise AssertionError(f"{' '.join(argv)} ended with {process.returncode}:\n{output}")
        return subprocess.CompletedProcess(argv, process.returncode, output)
