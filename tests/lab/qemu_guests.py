# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU as the engine of guests: Debian's own kernel, started without firmware and boot loader.

With a KVM that works it is as quick as user-mode Linux, else the processor is emulated.
"""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import debian, qemu
from .cache import cached, digest

if TYPE_CHECKING:
    from .guests import Machine

NAME = "QEMU"
START = 'exec "$@"'
SMALL_MODULES = """
    kernel/arch/x86/crypto kernel/block kernel/crypto kernel/lib kernel/drivers/block/loop.ko
    kernel/drivers/block/virtio_blk.ko kernel/drivers/cdrom kernel/drivers/md kernel/drivers/net/net_failover.ko
    kernel/drivers/net/virtio_net.ko kernel/drivers/scsi/*.ko kernel/drivers/target kernel/drivers/virtio kernel/fs/*.ko
    kernel/fs/9p kernel/fs/btrfs kernel/fs/configfs kernel/fs/ext4 kernel/fs/fat kernel/fs/fscache kernel/fs/isofs
    kernel/fs/jbd2 kernel/fs/netfs kernel/fs/nls kernel/fs/overlayfs kernel/fs/squashfs kernel/fs/xfs kernel/net/9p
    kernel/net/core
"""
RESCUE_MODULES = "virtio_pci virtio_net 9pnet_virtio 9p"
# Emulated, a switch from one program to the other is slow by what keeps them from each other's secrets.
PARAMETERS = f"console=ttyS0 mitigations=off {debian.PARAMETERS}"
# Each takes one mount of the folder that host and guest share, which lasts for as long as a disk in it is plugged in.
CHANNELS = ("shared1", "shared2", "shared3", "shared4", "shared5", "shared6")

# What mounts the root file system: klibc's programs, and modules in the order in which they are loaded.
INITRAMFS = r"""
set -e
mkdir -p "$3"/dev "$3"/lib "$3"/modules "$3"/proc "$3"/root
cp -r "$1/usr/lib/klibc/bin" "$3"
cp "$1"/usr/lib/klibc-*.so "$3/lib"
modules=$(modprobe --dirname "$1" --set-version "$2" --show-depends --all \
    virtio_pci virtio_blk virtio_net 9pnet_virtio ext4 | awk '$1 == "insmod" && !seen[$2]++ {print $2}')
cp $modules "$3/modules"
cat >"$3/init" <<END
#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
$(for module in $modules; do echo "insmod /modules/${module##*/}"; done)
mount -t ext4 /dev/vda /root
for word in \$(cat /proc/cmdline); do
    case \$word in init=*) init=\${word#init=} ;; esac
done
umount /proc
mount -o move /dev /root/dev
exec run-init /root \$init </root/dev/console >/root/dev/console 2>&1
END
chmod 755 "$3/init"
cd "$3"
find . | cpio --quiet --create --format=newc --file "$4"
"""


def kernel() -> Path:
    """The program."""
    return debian.kernel()


def config() -> Path:
    """What it was configured with."""
    return debian.tree() / f"boot/config-{modules().name}"


def modules() -> Path:
    """The folder of its modules, named by its version."""
    (found,) = (debian.tree() / "usr/lib/modules").iterdir()
    return found


def initramfs() -> Path:
    """What starts a machine from its root file system."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            argv = ["sh", "-c", INITRAMFS, "sh", f"{debian.tree()}", modules().name, work, f"{path}"]
            subprocess.run(argv, check=True, timeout=60)

    return cached("qemu-initramfs", digest(INITRAMFS, debian.tree().name), make)


@functools.cache
def accelerator() -> list[str]:
    """QEMU's options for virtualization where it works, else for emulation: tried once after each start of the host."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    key = digest(boot, os.fspath(kernel()))
    tried = cached("accelerator", key, lambda path: _write_lines(path, qemu.accelerator(kernel())))
    return tried.read_text().splitlines()


def is_virtualized() -> bool:
    """Whether KVM works."""
    return "kvm" in accelerator()


def slowness() -> float:
    """How many times longer a guest takes than one of user-mode Linux."""
    return 1 if is_virtualized() else 10


def argv(machine: Machine, private: Path, console: int) -> list[str]:
    """The arguments of `START`: the directory `private` has the folder that is shared, the console is a socket."""
    argv = [qemu.PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-no-reboot"]
    argv += ["-m", f"{machine.memory}", *accelerator()]
    argv += ["-chardev", f"socket,id=console,fd={console}", "-serial", "chardev:console"]
    argv += ["-kernel", os.fspath(kernel()), "-initrd", os.fspath(machine.initrd or initramfs())]
    argv += ["-append", f"{PARAMETERS} {machine.command_line}"]
    if machine.root:
        argv += _disk("root", machine.root, "off" if machine.keeps else "on")
    for number, disk in enumerate(machine.plain_disks):
        argv += _disk(f"disk{number}", disk.path, "on" if disk.shared else "off")
    argv += ["-fsdev", f"local,id=shared,path={private / 'shared'},security_model=none,multidevs=remap"]
    for channel in CHANNELS:
        argv += ["-device", f"virtio-9p-pci,fsdev=shared,mount_tag={channel}"]
    for number, nic in enumerate(machine.nics):
        argv += ["-netdev", f"tap,id=card{number},ifname=card{number},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,netdev=card{number},mac={nic.mac},romfile="]
    return argv


def mount(shared: Path, point: str) -> str:
    """The command of the guest that mounts the folder of the host, by the first channel that is free."""
    command = f"mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 $channel {point}"
    return f"for channel in {' '.join(CHANNELS)}; do ! {command} 2>/dev/null || break; done && mountpoint -q {point}"


def _disk(name: str, path: Path, snapshot: str) -> list[str]:
    """One that keeps what is written unless it is a snapshot; several guests may have it, so it is not locked."""
    drive = f"if=none,id={name},format=raw,file={path},snapshot={snapshot},cache=unsafe,file.locking=off"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={name}"]


def _write_lines(path: Path, lines: tuple[str, ...]) -> None:
    path.write_text("\n".join(lines))
