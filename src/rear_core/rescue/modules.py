# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel modules the rescue system carries: what a recovery on other hardware can need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import RearError

ALL = "all_modules"

# Paths below the module directory, by their beginning. Whatever these need comes along by modules.dep.
TAKEN = (
    # Everything small that others need: checksums, ciphers, compression.
    "kernel/arch/", "kernel/block/", "kernel/crypto/", "kernel/lib/", "kernel/mm/",
    # Storage: disks, controllers, volume managers, tapes, optical drives.
    "kernel/drivers/ata/", "kernel/drivers/block/", "kernel/drivers/cdrom/", "kernel/drivers/dax/",
    "kernel/drivers/firewire/", "kernel/drivers/md/", "kernel/drivers/memstick/", "kernel/drivers/message/",
    "kernel/drivers/misc/cardreader/", "kernel/drivers/mmc/", "kernel/drivers/nvdimm/", "kernel/drivers/nvme/",
    "kernel/drivers/s390/", "kernel/drivers/scsi/", "kernel/drivers/ufs/", "kernel/drivers/usb/storage/",
    "kernel/drivers/misc/enclosure", "kernel/drivers/hwmon/drivetemp",
    # Buses and what sits between processor and device.
    "kernel/drivers/acpi/", "kernel/drivers/base/", "kernel/drivers/bus/", "kernel/drivers/clk/",
    "kernel/drivers/dca/", "kernel/drivers/dma/", "kernel/drivers/gpio/", "kernel/drivers/iommu/",
    "kernel/drivers/i2c/busses/", "kernel/drivers/mfd/", "kernel/drivers/nvmem/", "kernel/drivers/pci/",
    "kernel/drivers/phy/", "kernel/drivers/pinctrl/", "kernel/drivers/regulator/", "kernel/drivers/reset/",
    "kernel/drivers/rtc/", "kernel/drivers/soc/", "kernel/drivers/spi/", "kernel/drivers/thunderbolt/",
    "kernel/drivers/usb/common/", "kernel/drivers/usb/core/", "kernel/drivers/usb/dwc", "kernel/drivers/usb/host/",
    "kernel/drivers/usb/roles/", "kernel/drivers/usb/typec/",
    # Virtual machines.
    "kernel/drivers/hv/", "kernel/drivers/misc/pvpanic/", "kernel/drivers/misc/vmw_", "kernel/drivers/virt/",
    "kernel/drivers/virtio/", "kernel/drivers/xen/",
    # Keyboards, serial consoles, screens that the firmware leaves without a text mode, firmware variables, entropy.
    "kernel/drivers/char/", "kernel/drivers/firmware/", "kernel/drivers/gpu/drm/ast/",
    "kernel/drivers/gpu/drm/hyperv/", "kernel/drivers/gpu/drm/mgag200/", "kernel/drivers/gpu/drm/tiny/",
    "kernel/drivers/gpu/drm/virtio/", "kernel/drivers/gpu/drm/vmwgfx/", "kernel/drivers/hid/",
    "kernel/drivers/input/", "kernel/drivers/tty/", "kernel/drivers/usb/class/", "kernel/drivers/usb/serial/",
    "kernel/drivers/video/fbdev/hyperv_fb", "kernel/drivers/watchdog/", "kernel/drivers/crypto/",
    # Network: cable, bonds, bridges, VLANs, tunnels; storage over the network.
    "kernel/drivers/infiniband/", "kernel/drivers/net/", "kernel/drivers/pps/", "kernel/drivers/ptp/",
    "kernel/net/802/", "kernel/net/8021q/", "kernel/net/9p/", "kernel/net/bridge/", "kernel/net/ceph/",
    "kernel/net/core/", "kernel/net/dns_resolver/", "kernel/net/ipv4/", "kernel/net/ipv6/", "kernel/net/key/",
    "kernel/net/llc/", "kernel/net/netlink/", "kernel/net/packet/", "kernel/net/psample/", "kernel/net/sched/sch_fq",
    "kernel/net/sunrpc/", "kernel/net/tls/", "kernel/net/unix/", "kernel/net/vmw_vsock/", "kernel/net/xfrm/",
    "kernel/security/", "kernel/fs/",
    # Modules that the administrator or a vendor added: storage drivers and file systems most of all.
    "extra/", "extramodules/", "updates/", "weak-updates/",
)  # fmt: skip
LEFT_OUT = (
    "kernel/drivers/infiniband/hw/", "kernel/drivers/infiniband/sw/", "kernel/drivers/input/gameport/",
    "kernel/drivers/input/joystick/", "kernel/drivers/input/touchscreen/", "kernel/drivers/net/arcnet/",
    "kernel/drivers/net/can/", "kernel/drivers/net/dsa/", "kernel/drivers/net/ethernet/marvell/prestera/",
    "kernel/drivers/net/ethernet/mellanox/mlxsw/", "kernel/drivers/net/ethernet/cavium/liquidio/",
    "kernel/drivers/net/fddi/", "kernel/drivers/net/hamradio/", "kernel/drivers/net/ieee802154/",
    "kernel/drivers/net/ppp/", "kernel/drivers/net/slip/", "kernel/drivers/net/wan/", "kernel/drivers/net/wireless/",
    "kernel/drivers/net/wwan/", "kernel/drivers/scsi/pcmcia/", "kernel/drivers/scsi/scsi_debug",
    # File systems of old computers, of bare flash and of clusters: a machine that has one names its module.
    "kernel/fs/adfs/", "kernel/fs/affs/", "kernel/fs/afs/", "kernel/fs/befs/", "kernel/fs/bfs/", "kernel/fs/coda/",
    "kernel/fs/dlm/", "kernel/fs/efs/", "kernel/fs/freevxfs/", "kernel/fs/gfs2/", "kernel/fs/hpfs/",
    "kernel/fs/jffs2/", "kernel/fs/minix/", "kernel/fs/nfsd/", "kernel/fs/nilfs2/", "kernel/fs/ocfs2/",
    "kernel/fs/omfs/", "kernel/fs/orangefs/", "kernel/fs/qnx4/", "kernel/fs/qnx6/", "kernel/fs/romfs/",
    "kernel/fs/sysv/", "kernel/fs/ubifs/", "kernel/fs/ufs/", "kernel/fs/zonefs/", "kernel/arch/x86/kvm/",
    "kernel/arch/x86/events/",
    "kernel/lib/test_", "kernel/drivers/char/pcmcia/", "kernel/drivers/tty/ipwireless/",
)  # fmt: skip
# Odd devices of otherwise useful kinds that would bring these along are left out as well.
NOT_WORTH = (
    "kernel/drivers/bluetooth/", "kernel/drivers/media/", "kernel/drivers/soundwire/", "kernel/net/bluetooth/",
    "kernel/net/mac80211/", "kernel/net/wireless/", "kernel/sound/",
)  # fmt: skip
# Drivers of big graphics cards need firmware of hundreds of MiB, for a text console that works without them.
LEFT_OUT_NAMES = re.compile(r"nvidia.*|amdgpu|radeon|nouveau|i915|xe|vbox(drv|net.*)")


def normalize(name: str) -> str:
    """The kernel knows a module by one name, whatever hyphens its file has."""
    return name.replace("-", "_")


def name_of(path: str) -> str:
    """The module in a file such as kernel/fs/nls/nls_iso8859-1.ko.xz."""
    return normalize(path.rpartition("/")[2].partition(".ko")[0])


@dataclass(frozen=True)
class ModuleIndex:
    """What depmod wrote about the modules in a directory such as /lib/modules/6.1.0-13-amd64."""

    directory: Path

    @cached_property
    def dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """For each module file, relative to the directory, the files it needs (modules.dep)."""
        found = {}
        for line in self._lines("modules.dep"):
            path, _, needed = line.partition(":")
            found[path] = tuple(needed.split())
        return found

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The file of each module name."""
        return {name_of(path): path for path in self.dependencies}

    @cached_property
    def builtin(self) -> frozenset[str]:
        """Names of modules that are part of the kernel image (modules.builtin)."""
        return frozenset(name_of(line) for line in self._lines("modules.builtin"))

    @cached_property
    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """Modules by alias (modules.alias), those of hardware left out: `alias crypto-crc32c crc32c_intel`."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self._lines("modules.alias"):
            if ":" in line or "*" in line:
                continue
            words = line.split()
            if len(words) == 3 and words[0] == "alias":
                name = normalize(words[1])
                found[name] = (*found.get(name, ()), normalize(words[2]))
        return found

    @cached_property
    def soft_dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """Names that modprobe loads before or after a module (modules.softdep): `softdep ext4 pre: crypto-crc32c`."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self._lines("modules.softdep"):
            words = line.split()
            if len(words) > 2 and words[0] == "softdep":
                name = normalize(words[1])
                found[name] = (*found.get(name, ()), *(normalize(word) for word in words[2:] if word[-1] != ":"))
        return found

    def closure(self, paths: Iterable[str]) -> list[str]:
        """These module files and all that they need, sorted."""
        todo, found = list(paths), set()
        while todo:
            path = todo.pop()
            if path in found:
                continue
            found.add(path)
            todo += self.dependencies.get(path, ())
            for name in self.soft_dependencies.get(name_of(path), ()):
                todo += self.find(name)
        return sorted(found)

    def find(self, name: str) -> list[str]:
        """The files of a module or alias; none when it is built in or absent."""
        name = normalize(name)
        names = (name,) if name in self.files else self.aliases.get(name, ())
        return [self.files[candidate] for candidate in names if candidate in self.files]

    def is_builtin(self, name: str) -> bool:
        """Whether the kernel image has this module."""
        return normalize(name) in self.builtin

    def _lines(self, name: str) -> list[str]:
        path = self.directory / name
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if line and not line.startswith("#")]


def is_taken_by_default(path: str) -> bool:
    """Whether a module file, relative to the module directory, belongs to the default set."""
    return path.startswith(TAKEN) and not path.startswith(LEFT_OUT) and not LEFT_OUT_NAMES.fullmatch(name_of(path))


def select(index: ModuleIndex, wanted: Sequence[str]) -> list[str]:
    """The module files for the rescue system: all, or the default set and the wanted names, with what they need."""
    if not index.dependencies:
        raise RearError(f"{index.directory} has no modules.dep", f"run: depmod {index.directory.name}")
    if ALL in wanted:
        return _present(index, sorted(index.dependencies))
    chosen = [
        path
        for path, needed in index.dependencies.items()
        if is_taken_by_default(path) and not any(other.startswith(NOT_WORTH) for other in needed)
    ]
    for name in wanted:
        chosen += index.find(name)
    return _present(index, index.closure(chosen))


def without(index: ModuleIndex, paths: Sequence[str], excluded: Sequence[str]) -> list[str]:
    """The module files that are left without the excluded names and all modules that need one of them."""
    gone = {path for name in excluded for path in index.find(name)}
    return [path for path in paths if path not in gone and gone.isdisjoint(index.dependencies.get(path, ()))]


def _present(index: ModuleIndex, paths: list[str]) -> list[str]:
    """The same files; an error when one of them is not there, as after a kernel that was installed by halves."""
    for path in paths:
        if not (index.directory / path).is_file():
            version = index.directory.name
            raise RearError(
                f"{index.directory}/modules.dep names {path}, which is missing",
                f"reinstall the package of kernel {version}, or run: depmod {version}",
            )
    return paths
