# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored Debian 12 whose initramfs is dracut's, taken through the phase finalize by the plugin for Red Hat."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rear_os_redhat
from rear_core.builtin import finalize, modules, system
from rear_core.errors import RearError
from rear_core.network.model import Network, save
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.rescue.initramfs import Member, write_archive
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks
from rear_core.system import Firmware, System
from rear_core.system.os_release import read_os_release

from . import debian
from .cache import cached, digest
from .debian import CHECKOUT
from .loops import MBR, disk_with_boot

MIB = 1 << 20
UUID = "7c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f"
# As Red Hat and SUSE have it: only what this machine needs. The machine that boots the image is another one, with
# virtio disks. An ACPI table makes dracut put an uncompressed archive before the compressed one, as microcode does.
CONFIGURATION = """
hostonly="yes"
hostonly_cmdline="no"
compress="zstd -3"
add_drivers+=" virtio_blk virtio_pci "
omit_dracutmodules+=" i18n multipath nvdimm overlay-root lunmask terminfo virtiofs qemu "
acpi_override="yes"
acpi_table_dir="/etc/acpi-tables"
"""
SOURCES = ("src/rear_core/finalize", "src/rear_core/boot", "src/rear_core/builtin", "plugins/rear-os-redhat/src")


@dataclass(frozen=True)
class Recovered:
    """The initramfs that the phase has made, what it reported, and the names in the image by dracut's own lsinitrd."""

    image: Path
    report: dict[str, Any]
    listed: list[str]


def recovered() -> Recovered:
    """The outcome of the phase, made once for the sources as they stand."""
    files = sorted(path for folder in SOURCES for path in (CHECKOUT / folder).rglob("*.py"))
    tree = debian.tree()
    key = digest(tree.name, *(path.read_bytes() for path in (*files, Path(__file__))))
    made = cached("dracut", key, lambda path: _make(tree, path))
    facts = json.loads((made / "facts.json").read_text())
    return Recovered(made / "initramfs", facts["report"], facts["listed"])


def _make(tree: Path, result: Path) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        report = Report(terminal=io.StringIO())
        report.open_log(folder / "rear.log")
        stack.callback(report.close)
        plugins = Plugins(modules())
        options = Options(config_dir=folder / "etc", target=folder / "target")
        run = Run(evaluate(Sources(), plugins.settings(), {}), plugins, options, report)
        for part in ("target", "upper", "work"):
            (folder / part).mkdir()
        layers = f"lowerdir={tree},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        run.sh.run("mount", "--types", "overlay", "overlay", "--options", layers, run.target)
        stack.callback(run.sh.run, "umount", run.target)
        stack.enter_context(run.undo)
        image = _restore(run, folder)
        steps = [*finalize.rear_finalize(), *rear_os_redhat.rear_finalize()]
        try:
            for step in sorted(steps, key=lambda step: step.number):
                step.action(run)
        except RearError as error:
            run.recovery.problems.append(error.message)
        # Its lists begin below a line of `=`: first dracut's modules, then, by `ls -l`, the files.
        told = run.sh.run("chroot", run.target, "lsinitrd", f"/boot/{image.name}").stdout
        result.mkdir()
        shutil.copyfile(image, result / "initramfs")
        facts = {"report": asdict(run.recovery), "listed": _listed(told)}
        (result / "facts.json").write_text(json.dumps(facts))


def _listed(told: str) -> list[str]:
    # -rw-r--r--   1 root     root          124 Nov 23 02:31 etc/conf.d/systemd.conf
    # lrwxrwxrwx   1 root     root            7 Nov 23 02:31 bin -> usr/bin
    name = r"^[-dlcbps][-rwxsStT]{9} .*? [A-Z][a-z]{2} [ \d]\d +[\d:]{4,5} (.+?)(?: -> .*)?$"
    return re.findall(name, told, re.MULTILINE)


def _restore(run: Run, folder: Path) -> Path:
    """A disk that GRUB starts from and a file system on /boot whose initramfs carries nothing; returns its path."""
    kernel = debian.kernel()
    version = kernel.name.partition("-")[2]
    disk, boot = disk_with_boot(run, folder, MBR, "-U", UUID)
    shutil.copy(kernel, run.target / "boot")
    initramfs = run.target / "boot" / f"initramfs-{version}.img"
    with initramfs.open("wb") as file:
        write_archive(file, [Member("init", 0o100755)], 0)
    for place, text in {
        "boot/grub/grub.cfg": "insmod blscfg\nblscfg\n",
        f"boot/loader/entries/abc-{version}.conf": f"title Debian\nversion {version}\nlinux /{kernel.name}\n"
        f"initrd /{initramfs.name}\noptions root=UUID={UUID} ro\n",
        "etc/fstab": f"UUID={UUID} / ext4 rw 0 1\n",
        "etc/dracut.conf.d/machine.conf": CONFIGURATION,
        "etc/acpi-tables/empty.aml": "no table\n",
    }.items():
        (run.target / place).parent.mkdir(parents=True, exist_ok=True)
        (run.target / place).write_text(text)
    _describe(run, disk, boot)
    return initramfs


def _describe(run: Run, disk: str, boot: str) -> None:
    """The root is ext4 on the second disk, /usr lies encrypted on the first."""
    run.layout = make(
        [
            Disk("disk:one", (), 160 * MIB, device="/dev/sda"),
            Disk("disk:two", (), 159 * MIB, device="/dev/sdb"),
            Ext(f"fs:{UUID}", ("disk:two",), UUID, version=4),
            Luks("luks:x", ("disk:one",), 2, "x", "aes", 512, "sha256", name="x", device="/dev/mapper/x"),
            Ext("fs:usr", ("luks:x",), "usr", version=4),
            Mount("mount:/", (f"fs:{UUID}",), "/", "ext4"),
            Mount("mount:/usr", ("fs:usr", "mount:/"), "/usr", "ext4"),
        ]
    )
    disks = {"disk:one": disk, "disk:two": boot}
    run.rebuilt = Rebuilt(Site(run.layout, disks), disks, hardware_changed=True)
    run.system = System(read_os_release(run.target), "web1", "x86_64", "6.1", Firmware("bios"))
    facts = {"boot_sectors": [{"device": "/dev/sda", "core_place": "after the MBR"}]}
    system.write_description(
        run, {"system": {"hostname": "web1", "firmware": {"mode": "bios"}}, "boot_loaders": {"GRUB BIOS": facts}}
    )
    save(Network(), run.recovery_dir / "network.json")
