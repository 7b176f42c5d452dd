# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian machine with its own kernel and boot loader: as a tree, with rear installed, as a disk.

It is one of Debian 12 unless another release is asked for; its name is debian12 whatever it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

from . import arm64
from .cache import cached, digest
from .chroot import Chroot

CHECKOUT = Path(__file__).parents[2]
LABEL = "debian12"
# Of the kernel, where it is emulated: messages are slow, and now and then the emulator hangs in the tests of ciphers.
PARAMETERS = "quiet cryptomgr.notests"
COMMAND_LINE = f"root=LABEL={LABEL} rw console=ttyS0 {PARAMETERS}"


@dataclass(frozen=True)
class Release:
    """A release of Debian, with its Python, and what it has `instead` of packages of Debian 12, which may be nothing.

    `features` of ext4 are those that its programs do not know, as mkfs.ext4 leaves them out. `machine` is its
    architecture, in the words of uname(2), and `console` its serial one.
    """

    suite: str
    python: str
    instead: Mapping[str, str] = field(default_factory=dict)
    features: str = ""
    machine: str = "x86_64"
    console: str = "ttyS0"

    def packages(self, more: Sequence[str]) -> list[str]:
        """The packages of a machine, and more."""
        return [name for each in (*PACKAGES.split(), *more) if (name := self.instead.get(each, each))]


# Since Debian 13 a system need not have logins.
LOGIN = {"procps": "procps,login"}
BOOKWORM, TRIXIE = Release("bookworm", "3.11"), Release("trixie", "3.13", LOGIN)
BULLSEYE = Release("bullseye", "3.9", {"procps": "procps,usrmerge"}, "^orphan_file,^metadata_csum_seed")
FORKY = Release(
    "forky",
    "3.14",
    {"initramfs-tools": "dracut", "cryptsetup-initramfs": "cryptsetup-bin", "isc-dhcp-client": "dhcpcd-base"} | LOGIN,
)
# Each program of it is emulated to install it, so that it has less.
ARM64 = Release(
    "trixie",
    "3.13",
    {
        "linux-image-amd64": "linux-image-arm64", "grub-efi-amd64-bin": "grub-efi-arm64-bin",
        "grub-efi-amd64-signed": "grub-efi-arm64-signed", "grub-pc-bin": "", "cryptsetup-initramfs": "",
        "multipath-tools": "", "bcache-tools": "", "thin-provisioning-tools": "", "btrfs-progs": "", "cifs-utils": "",
        "libteam-utils": "", "ca-certificates": "", "dracut-core": "", "mdadm": "",
    } | LOGIN,
    machine=arm64.NAME,
    console=arm64.CONSOLE,
)  # fmt: skip
PACKAGES = """
    linux-image-amd64 initramfs-tools firmware-linux-free systemd-sysv udev dbus kmod zstd
    grub-pc-bin grub-efi-amd64-bin grub-efi-amd64-signed shim-signed efibootmgr
    lvm2 thin-provisioning-tools mdadm cryptsetup-initramfs multipath-tools bcache-tools
    e2fsprogs xfsprogs btrfs-progs dosfstools fdisk parted gdisk acl attr
    iproute2 iputils-ping ethtool netbase isc-dhcp-client openssh-server nfs-common cifs-utils libteam-utils
    python3 python3-venv xorriso mtools cpio xz-utils kbd procps less file ca-certificates dracut-core
"""

MULTIPATH = 'chroot "$1" systemctl disable multipathd.service'
# A root shell on the serial console, no work in the background, the root file system found by its label.
CUSTOMISE = r"""
set -e
echo debian12 > "$1/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 debian12\n' > "$1/etc/hosts"
echo 'nameserver 10.0.2.3' > "$1/etc/resolv.conf"
echo 'LABEL=debian12 / ext4 errors=remount-ro 0 1' > "$1/etc/fstab"
mkdir -p "$1/etc/systemd/system/serial-getty@ttyS0.service.d" "$1/opt/rear"
cat > "$1/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf" <<END
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I vt220
END
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer mdcheck_continue.timer mdcheck_start.timer mdmonitor-oneshot.timer; do
    chroot "$1" systemctl mask "$unit"
done
chroot "$1" systemctl disable multipathd.service
ln -s /opt/rear/bin/rear "$1/usr/local/sbin/rear"
"""

# Installers are half of a virtual environment's files, and rear has no use for them.
INSTALL = r"""
set -e
python3 -m venv /opt/rear
/opt/rear/bin/pip install --quiet --no-index --find-links=/var/tmp/wheels "$@"
/opt/rear/bin/pip uninstall --quiet --yes setuptools pip
rm -r /var/tmp/wheels
"""

DISK = r"""
set -e
mkdir "$2/upper" "$2/work" "$2/tree"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/tree"
cd "$2/tree/usr/lib/modules/"*
keep() {
    folder=kernel/$1
    shift
    for path in "$folder"/*/; do
        path=${path%/}
        case " $* " in
            *" ${path##*/} "*) ;;
            *) rm -r "$path" ;;
        esac
    done
}
keep . arch block crypto drivers fs lib mm net security virt
keep net 802 8021q bridge core dns_resolver ipv4 ipv6 key llc netlink packet sunrpc tls unix xfrm $7
keep fs autofs btrfs configfs efivarfs exportfs ext4 fat fscache fuse isofs jbd2 lockd netfs nfs nfs_common nls \
    overlayfs quota squashfs xfs
keep drivers acpi ata base block cdrom char dax dca firmware gpio hid hv i2c input md message net nvdimm nvme pci phy \
    pps ptp rtc scsi thermal tty usb virtio
keep drivers/input keyboard mouse serio
keep drivers/net bonding ethernet mdio phy team
keep drivers/net/ethernet intel realtek
keep drivers/net/ethernet/intel e1000 e1000e igb
keep drivers/scsi device_handler
keep drivers/usb class common core host storage
rm -rf kernel/arch/x86/kvm kernel/drivers/block/drbd kernel/drivers/md/bcache kernel/lib/test_* \
    kernel/net/sunrpc/xprtrdma
depmod --basedir "$2/tree" "${PWD##*/}"
cd "$2/tree"
# What no program of it reads, or one that nobody runs: a third of the files. Releases differ in what they have.
rm -rf etc/ssl/certs/*.[0p]* usr/lib/python3*/lib2to3 usr/lib/python3*/pydoc_data usr/lib/python3*/test \
    usr/lib/file usr/lib/grub/*/*installer* usr/lib/grub/*/monolithic usr/lib/udev/hwdb.* \
    usr/lib/x86_64-linux-gnu/libicu* usr/lib/x86_64-linux-gnu/libperl* usr/lib/x86_64-linux-gnu/perl \
    usr/sbin/xfs_scrub* usr/share/bash-completion usr/share/bug usr/share/ca-certificates usr/share/doc usr/share/info \
    usr/share/lintian usr/share/locale usr/share/man usr/share/misc usr/share/perl usr/share/perl5/Debconf \
    usr/share/python-wheels var/cache/debconf var/lib/dpkg/info
# One program of dracut also serves initramfs-tools.
[ "$5" = True ] || find etc usr var -depth -name '*dracut*' ! -path 'usr/lib/dracut*' -exec rm -r {} +
[ "$5" = True ] || rm -rf usr/lib/dracut/modules.d
# The menu of each machine needs these two, and each more takes seconds.
find etc/grub.d -name '[0-9]*' ! -name 00_header ! -name 10_linux -exec chmod -x {} +
mount -t proc proc proc
# An initramfs of what machines start with; a hook for anything else costs seconds at each start.
if [ -e etc/initramfs-tools/initramfs.conf ]; then
    cd usr/share/initramfs-tools/hooks
    rm -f bcache btrfs crypt[gkop]* cryptroot-unlock keymap sg3-utils thermal
    cd "$2/tree/etc/initramfs-tools"
    sed -i s/MODULES=most/MODULES=list/ initramfs.conf
    printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ext4 >modules
    cp -a "$2/files/." "$2/tree"
    chroot "$2/tree" update-initramfs -u -k all
else
    cp -a "$2/files/." "$2/tree"
    version=$(ls usr/lib/modules)
    mount --bind /dev dev
    chroot "$2/tree" dracut --force --kver "$version" "/boot/initrd.img-$version"
    umount dev
fi
# Without one each start is a first start, and units are enabled anew.
chroot "$2/tree" systemd-machine-id-setup
chroot "$2/tree" systemctl --quiet disable rpcbind.service rpcbind.socket nfs-client.target
umount "$2/tree/proc"
mkdir "$4"
cp "$2/tree"/boot/initrd.img-* "$4/initrd.img"
cd /
truncate --size=2G "$4/disk"
mkfs.ext4 -q ${6:+-O "$6"} -L "$3" -d "$2/tree" "$4/disk"
umount "$2/tree"
"""


def tree(*more: str, release: Release = BOOKWORM) -> Path:
    """The root file system of a Debian machine, with these packages besides; never write to it."""
    packages = ",".join(release.packages(more))
    customise = CUSTOMISE
    if release.machine == arm64.NAME:
        customise = CUSTOMISE.replace("ttyS0", release.console).replace(MULTIPATH, "")
        # Also for what is made of the tree.
        arm64.emulate_programs()

    def make(path: Path) -> None:
        if release.machine == arm64.NAME:
            arm64.make_tree(release.suite, packages, customise, path)
            return
        run(
            "mmdebstrap", "--mode=root", "--variant=apt", "--aptopt=APT::Install-Recommends 0",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            f"--include={packages}", f"--customize-hook={customise}", release.suite, path, timeout=1200,
        )  # fmt: skip

    return cached("tree", digest(release.suite, packages, customise), make)


def wheels() -> Path:
    """A directory of wheels: every distribution of this checkout as it stands."""
    sources = distributions()
    files = [path for source in sources.values() for path in _source_files(source)]
    names = "\n".join(os.fspath(path.relative_to(CHECKOUT)) for path in files)
    key = digest(names, *(path.read_bytes() for path in files))

    def make(path: Path) -> None:
        # Built from copies: setuptools leaves its traces beside the sources and packs old ones again.
        with tempfile.TemporaryDirectory() as copies:
            for name, source in sources.items():
                for file in _source_files(source):
                    target = Path(copies, name, file.relative_to(source))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file, target)
            run(
                sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                f"--wheel-dir={path}", *(Path(copies, name) for name in sources),
            )  # fmt: skip

    return cached("wheels", key, make)


def dependencies(python: str = BOOKWORM.python, machine: str = BOOKWORM.machine) -> Path:
    """A directory of wheels: all that ours depend on, for a version of Python on an architecture."""
    own = wheels()
    requirements = [source.joinpath("pyproject.toml").read_bytes() for source in distributions().values()]

    def make(path: Path) -> None:
        pip = (sys.executable, "-m", "pip")
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28, 34)]
        # blkinfo is published as source only, and pip wants wheels when it collects for another Python.
        run(*pip, "wheel", "--quiet", "--no-deps", f"--wheel-dir={path}", "blkinfo>=0.2.0")
        run(
            *pip, "download", "--quiet", "--only-binary=:all:", f"--python-version={python}", *platforms,
            f"--find-links={own}", f"--find-links={path}", f"--dest={path}", *sorted(own.glob("*.whl")),
        )  # fmt: skip
        for wheel in own.glob("*.whl"):
            (path / wheel.name).unlink()

    return cached("dependencies", digest(python, machine, *requirements), make)


def with_rear(*more: str, release: Release = BOOKWORM) -> tuple[Path, ...]:
    """Layers for a Chroot: the tree with rear and all its plugins in the virtual environment /opt/rear."""
    base = tree(*more, release=release)
    if release.machine == arm64.NAME:
        return _with_rear_of_arm64(release), base
    own, others = wheels(), dependencies(release.python, release.machine)

    def make(path: Path) -> None:
        with Chroot([base], path) as chroot:
            for source in (own, others):
                shutil.copytree(source, chroot.root / "var/tmp/wheels", dirs_exist_ok=True)
            chroot.run("sh", "-c", INSTALL, "sh", *distributions())
        shutil.rmtree(path.with_name(path.name + ".work"))
        path.with_name(path.name + ".root").rmdir()

    return cached("with-rear", digest(INSTALL, base.name, own.name, others.name), make), base


def _with_rear_of_arm64(release: Release) -> Path:
    """That of a PC with the same release, but for what was compiled."""
    layer, others = with_rear(release=TRIXIE)[0], dependencies(release.python, release.machine)

    def make(path: Path) -> None:
        run("cp", "--archive", "--reflink=auto", layer, path)
        place = path / f"opt/rear/lib/python{release.python}/site-packages"
        for file in place.rglob(f"*{TRIXIE.machine}*.so"):
            file.unlink()
        for wheel in others.glob(f"*_{release.machine}.whl"):
            with ZipFile(wheel) as archive:
                archive.extractall(place, [name for name in archive.namelist() if name.endswith((".so", "/RECORD"))])

    return cached("arm64-rear", digest(layer.name, others.name), make)


def newest_original() -> Path:
    """A layer for a Chroot: the Relax-and-Recover of Debian forky, a set of scripts, over that of the tree."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            run(
                "mmdebstrap", "--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"',
                "--include=rear", "forky", f"{work}/tree", timeout=1200,
            )  # fmt: skip
            for name in ("usr/sbin/rear", "usr/share/rear", "etc/rear"):
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(Path(work, "tree", name), path / name)
        # Nothing of the older one shows through (overlayfs).
        os.setxattr(path / "usr/share/rear", "trusted.overlay.opaque", b"y")

    return cached("newest-original", digest("forky"), make)


@dataclass(frozen=True)
class Disk:
    """A disk without partitions, an ext4 file system labelled debian12; the tree's kernel starts it with the initrd."""

    path: Path
    initrd: Path


def disk(
    *layers: Path, files: Iterable[tuple[str, str]] = (), dracut: bool = False, features: str = "", modules: str = ""
) -> Disk:
    """The tree with rear, or these layers, on a disk, with more files, and with dracut only if that is wanted.

    A virtual machine has no use for most drivers, nor a test for manuals, and all of it is copied, saved and restored
    many times. `modules` are folders of network drivers, as `netfilter`, that are kept besides.
    """
    layers = layers or with_rear()

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            Path(work, "files").mkdir()
            for name, text in files:
                file = Path(f"{work}/files{name}")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            run(
                "unshare", "--mount", "--propagation=private",
                "sh", "-c", DISK, "sh", ":".join(map(os.fspath, layers)), work, LABEL, path, str(dracut), features,
                modules,
            )  # fmt: skip

    made = cached(
        "disk",
        digest(
            DISK, *(layer.name for layer in layers), *map(repr, files), str(dracut), *filter(None, [features, modules])
        ),
        make,
    )
    return Disk(made / "disk", made / "initrd.img")


def rear_disk(release: Release = BOOKWORM) -> Path:
    """A disk that is a tar archive of rear's virtual environment, for machines made of the bare tree."""
    installed = with_rear(release=release)[0]

    def make(path: Path) -> None:
        run("tar", "--create", "--numeric-owner", "--file", path, "--directory", installed, "opt/rear")

    return cached("rear-disk", digest(installed.name), make)


def kernel() -> Path:
    """The tree's kernel."""
    return _only(tree() / "boot", "vmlinuz-*")


def initrd() -> Path:
    """The initramfs that belongs to it."""
    return _only(tree() / "boot", "initrd.img-*")


def distributions() -> dict[str, Path]:
    """Every distribution of this checkout by name, with the directory of its sources."""
    plugins = sorted(path.parent for path in CHECKOUT.glob("plugins/*/pyproject.toml"))
    return {"rear-core": CHECKOUT, **{path.name: path for path in plugins}}


def _source_files(source: Path) -> list[Path]:
    wanted = [*(source / name for name in ("LICENSE", "README.md", "pyproject.toml")), *(source / "src").rglob("*")]
    return sorted(
        path
        for path in wanted
        if path.is_file() and "__pycache__" not in path.parts and not path.parent.name.endswith(".egg-info")
    )


def _only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def run(*argv: str | Path, timeout: float = 600) -> None:
    """A program; `RuntimeError` with what it said where it fails."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}")
