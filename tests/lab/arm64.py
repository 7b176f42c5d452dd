# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with 64-bit ARM, Debian 13 and UEFI, and the virtual machines that it runs in: always emulated here.

Its tree is made by emulated programs (qemu-user-static), its disk without running any: boot loaders are copied.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import debian, qemu
from .cache import cached, digest

SUITE, PYTHON = "trixie", "3.13"
PACKAGES = """
    linux-image-arm64 initramfs-tools firmware-linux-free systemd-sysv udev dbus kmod zstd grub-efi-arm64-bin
    grub-efi-arm64-signed shim-signed efibootmgr lvm2 mdadm e2fsprogs xfsprogs dosfstools fdisk gdisk parted acl attr
    iproute2 iputils-ping netbase openssh-server python3 python3-venv xorriso mtools cpio xz-utils kbd procps login less
    file ca-certificates cryptsetup-bin
"""
FIRMWARE = Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")
# How the kernel knows programs of this architecture, and by what it runs them, also in other trees
# (Documentation/admin-guide/binfmt-misc.rst).
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ELF = (
    rb"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    rb":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
)
CUSTOMISE = debian.CUSTOMISE.replace("ttyS0", "ttyAMA0")
# Drivers of what QEMU's machine has.
INITRAMFS = """
set -e
printf '%s\\n' virtio_pci virtio_blk virtio_scsi nvme sd_mod ext4 >"$1/etc/initramfs-tools/modules"
sed -i s/MODULES=most/MODULES=list/ "$1/etc/initramfs-tools/initramfs.conf"
chroot "$1" update-initramfs -u -k all
"""
GRUB_ON_ESP = """\
search.fs_uuid {uuid} root
set prefix=($root)'/boot/grub'
configfile $prefix/grub.cfg
"""
MENU = """\
### BEGIN /etc/grub.d/10_linux ###
set timeout=1
menuentry 'Debian GNU/Linux' {{
    search --no-floppy --fs-uuid --set=root {uuid}
    linux /boot/vmlinuz-{version} root=UUID={uuid} ro console=ttyAMA0 {parameters}
    initrd /boot/initrd.img-{version}
}}
### END /etc/grub.d/10_linux ###
"""
FSTAB = """\
UUID={uuid}  /  ext4  errors=remount-ro  0  1
LABEL=ESP  /boot/efi  vfat  umask=0077  0  1
LABEL=BACKUP  /srv/backup  ext4  nofail  0  2
"""
UUID = "5c0e9a1b-7d34-4f82-a6b9-18e3d7f2c045"
MIB = 1 << 20
ESP, ROOT = (1, 128), (129, 2900)  # where the partitions begin, and their sizes, in MiB
TABLE = f"""\
label: gpt
start={ESP[0]}MiB, size={ESP[1]}MiB, type=uefi
start={ROOT[0]}MiB, size={ROOT[1]}MiB, type=linux
"""


@dataclass
class Machine(qemu.Machine):
    """One with QEMU's `virt`: firmware for UEFI, a PL011 as console, discs on a SCSI bus."""

    accelerator: tuple[str, ...] = ("-accel", "tcg,thread=multi", "-cpu", "cortex-a72")

    def argv(self, private: Path, console: int, monitor: int) -> list[str]:
        """As that of a PC, with what is different."""
        argv = super().argv(private, console, monitor)
        argv[0] = "qemu-system-aarch64"
        del argv[argv.index("-vga") : argv.index("-vga") + 2]
        if self.cdrom:
            place = argv.index("ide-cd,drive=cdrom,bus=ide.0,bootindex=0")
            argv[place : place + 1] = [
                "virtio-scsi-pci,id=discs",
                "-device",
                "scsi-cd,drive=cdrom,bus=discs.0,bootindex=0",
            ]
        return argv

    def _firmware(self, private: Path) -> list[str]:
        code, template = FIRMWARE
        nvram = self.nvram or private / "nvram"
        if not nvram.exists():
            shutil.copyfile(template, nvram)
        drives = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
        return ["-machine", "virt", *drives, "-drive", f"if=pflash,unit=1,format=raw,file={nvram}"]


def run_programs() -> None:
    """Have the kernel run programs of this architecture by an emulator."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        # F: the emulator is opened now, so that trees need not have it.
        (BINFMT / "register").write_bytes(b":qemu-aarch64:M::" + ELF + b":/usr/bin/qemu-aarch64-static:OCF")


def tree() -> Path:
    """The root file system with rear in the virtual environment /opt/rear; never write to it."""
    own, packages = debian.wheels(), ",".join(PACKAGES.split())

    def bare(path: Path) -> None:
        run_programs()
        debian.run(
            "mmdebstrap", "--mode=root", "--variant=apt", "--architectures=arm64",
            "--aptopt=APT::Install-Recommends 0", f"--include={packages}", f"--customize-hook={CUSTOMISE}",
            f"--customize-hook={INITRAMFS}", SUITE, path, timeout=3600,
        )  # fmt: skip

    def make(path: Path) -> None:
        base = cached("arm64-tree", digest(SUITE, packages, CUSTOMISE, INITRAMFS), bare)
        debian.run("cp", "--archive", "--reflink=auto", base, path)
        run_programs()
        debian.run("chroot", path, "python3", "-m", "venv", "--without-pip", "/opt/rear")
        place = path / f"opt/rear/lib/python{PYTHON}/site-packages"
        wheels = debian.dependencies(PYTHON, "aarch64")
        debian.run(
            "python3", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--only-binary=:all:",
            f"--python-version={PYTHON}", "--platform=any", *debian.platforms("aarch64"), f"--target={place}",
            *sorted(own.glob("*.whl")), *sorted(wheels.glob("*.whl")),
        )  # fmt: skip
        shutil.rmtree(place / "bin")
        program = path / "opt/rear/bin/rear"
        program.write_text("#!/opt/rear/bin/python3\nfrom rear_core.cli import main\nmain()\n")
        program.chmod(0o755)

    return cached("arm64-rear", digest(SUITE, packages, CUSTOMISE, INITRAMFS, own.name), make)


def disk() -> Path:
    """A disk that starts by the path for removable media: to be copied."""
    source = tree()

    def make(path: Path) -> None:
        (version,) = (each.name for each in (source / "lib/modules").iterdir())
        words = {"uuid": UUID, "version": version, "parameters": debian.PARAMETERS}
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            upper, merged = Path(work, "upper"), Path(work, "merged")
            for name, text in {"boot/grub/grub.cfg": MENU, "etc/fstab": FSTAB}.items():
                (upper / name).parent.mkdir(parents=True, exist_ok=True)
                (upper / name).write_text(text.format(**words))
            (upper / "boot/efi").mkdir()
            (upper / "srv/backup").mkdir(parents=True)
            debian.run("cp", "--archive", "--reflink=auto", source, merged)
            debian.run("cp", "--recursive", "--no-target-directory", upper, merged)
            debian.run("chroot", merged, "systemd-machine-id-setup")
            qemu.blank(path, ROOT[0] + ROOT[1] + 2)
            subprocess.run(["sfdisk", "--quiet", path], input=TABLE, text=True, check=True)
            offset = f"offset={ROOT[0] * MIB}"
            debian.run("mkfs.ext4", "-q", "-F", "-E", offset, "-U", UUID, "-d", merged, path, f"{ROOT[1]}M")
            _fill_esp(path, merged, Path(work, "grub.cfg"))

    return cached("arm64-disk", digest(source.name, MENU, FSTAB, GRUB_ON_ESP, TABLE, UUID), make)


def _fill_esp(path: Path, root: Path, config: Path) -> None:
    """Shim and GRUB, as the package for this architecture installs them."""
    config.write_text(GRUB_ON_ESP.format(uuid=UUID))
    sectors = ESP[1] * MIB // 512
    debian.run("mkfs.vfat", "-F", "32", "-n", "ESP", "--offset", f"{ESP[0] * MIB // 512}", path, f"{sectors // 2}")
    image = f"{path}@@{ESP[0] * MIB}"
    debian.run("mmd", "-i", image, "::/EFI", "::/EFI/debian", "::/EFI/BOOT")
    grub, shim = root / "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed", root / "usr/lib/shim/shimaa64.efi.signed"
    for source, names in {
        shim: ("debian/shimaa64.efi", "BOOT/BOOTAA64.EFI"),
        grub: ("debian/grubaa64.efi", "BOOT/grubaa64.efi"),
        config: ("debian/grub.cfg",),
    }.items():
        for name in names:
            debian.run("mcopy", "-i", image, source, f"::/EFI/{name}")
