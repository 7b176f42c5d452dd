# SPDX-License-Identifier: GPL-3.0-or-later
"""Small Debian machines that save themselves and come back in guests, all but their firmware.

GRUB is installed as on a real machine, but nothing starts by it: a guest takes the storage into use and goes over to
the root file system there, whose init is then process 1.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import cache, compare, debian, guests

RESCUE_PROMPT = r"RESCUE debian12:\S* # "
SYSTEMD_PROMPT = "root@debian12:~# "
ISO = "/srv/backup/iso/rear-debian12.iso"
# The disk with the backup, and the one of somebody else.
BACKUP, FOREIGN = "0e01", "0f01"
PASSPHRASE = "correct horse battery"
RECOVER = f'LUKS_PASSPHRASE="{PASSPHRASE}" rear -n recover'

# LVM writes down what it has seen.
MAY_DIFFER = ("/etc/lvm/archive/*", "/etc/lvm/backup/*")

# An administrator has made it immutable.
FIXED = "/etc/fixed"

# What is on the disks, but for the one with the backup and those that are whole file systems. Of an array that could
# not be made, as its disk was pulled out, the kernel keeps an empty device.
DEVICES = (
    "udevadm settle; lsblk -rno TYPE,FSTYPE,LABEL,UUID,PARTUUID,PARTLABEL,PARTTYPE,PARTFLAGS"
    " | grep -Ev '^disk|^md *$' | sort -u"
)
TELL = rf"""
{DEVICES}
swapon --noheadings --show=TYPE,SIZE,UUID,LABEL
mdadm --detail --scan
vgs --noheadings --options vg_name,vg_extent_size,vg_uuid
lvs --noheadings --options vg_name,lv_name,segtype,stripes,lv_size,lv_attr,pool_lv,chunk_size,zero,lv_uuid
pvs --noheadings --options pv_uuid,vg_name | sort
lsattr -d {FIXED}
for folder in / /boot /srv/data /srv/logs /srv/vault; do findmnt -rno TARGET,FSTYPE,LABEL,UUID,FSROOT $folder; done
true
"""

# What no program of a small machine reads is not copied, so that it is saved and restored in seconds.
TREE = r"""
set -e
modules=$3 needed=$4 kernel=$5 config=$6 image=$7
mkdir "$2/upper" "$2/work" "$2/tree"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/tree"
cd "$2/tree"
version=${modules##*/}
rm -rf boot/* etc/ssl/certs/*.[0p]* usr/lib/firmware usr/lib/modules/* usr/lib/grub/x86_64* usr/lib/shim \
    usr/lib/dracut etc/dracut* usr/lib/python3*/lib2to3 usr/lib/python3*/pydoc_data usr/lib/python3*/test \
    usr/lib/udev/hwdb.* usr/lib/x86_64-linux-gnu/perl usr/lib/x86_64-linux-gnu/libicu* \
    usr/share/bash-completion usr/share/bug usr/share/ca-certificates usr/share/doc usr/share/info \
    usr/share/lintian usr/share/locale usr/share/man usr/share/perl usr/share/perl5/Debconf usr/share/python-wheels \
    usr/share/zoneinfo usr/share/i18n usr/lib/file/magic* usr/share/misc \
    var/cache/* var/lib/apt/lists/* var/lib/dpkg/info
find etc/grub.d -name '[0-9]*' ! -name 00_header ! -name 10_linux -exec chmod -x {} +
mkdir -p usr/lib/modules/$version
(cd "$modules" && cp --parents -r modules.* $needed "$2/tree/usr/lib/modules/$version")
depmod --basedir "$PWD" $version
cp "$kernel" boot/vmlinuz-$version
zcat --force "$config" >boot/config-$version
cp "$2/init" usr/local/sbin/lab-init
chmod 755 usr/local/sbin/lab-init
cp "$2/rules" usr/lib/udev/rules.d/61-lab.rules
echo 1a2b3c4d5e6f708192a3b4c5d6e7f809 >etc/machine-id
# There is no module for its mount.
ln -s /dev/null etc/systemd/system/run-rpc_pipefs.mount
rm -f usr/share/initramfs-tools/hooks/btrfs usr/share/initramfs-tools/hooks/keymap
cd etc/initramfs-tools
sed -i s/MODULES=most/MODULES=list/ initramfs.conf
printf '%s\n' sd_mod ext4 >modules
chroot "$2/tree" update-initramfs -c -k $version
cd /
truncate --size=1G "$image"
mkfs.ext4 -q -m 0 -L small-tree -d "$2/tree" "$image"
e2fsck -fp "$image" >/dev/null || true
resize2fs -M "$image" >/dev/null
umount "$2/tree"
"""


def tree(*packages: str) -> Path:
    """The root file system of a small machine as an ext4 image of its smallest size, without rear; with more
    packages."""
    base = debian.tree(*packages)
    engine = guests.engine()
    kernel = [f"{engine.modules()}", engine.SMALL_MODULES, f"{engine.kernel()}", f"{engine.config()}"]
    parts = TREE, guests.INIT_SCRIPT, guests.RULES, base.name, *kernel

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            Path(work, "init").write_text(guests.INIT_SCRIPT)
            Path(work, "rules").write_text(guests.RULES)
            argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", TREE, "sh"]
            subprocess.run([*argv, f"{base}", work, *kernel, f"{path}"], check=True, timeout=600)

    return cache.cached("small-tree", cache.digest(*parts), make)


@dataclass(frozen=True)
class Design:
    """How a machine is made: a script for bash makes its storage on the disks $a and $b, of so many MiB, below /mnt.

    `taken` takes the storage into use and mounts the root file system there. It comes back on disks that are `larger`.
    The disk with its backup has `backup` MiB; without one it is configured by somebody else.
    """

    name: str
    disks: Sequence[int]
    storage: str
    fstab: str
    taken: str = "mount LABEL=root /mnt"
    crypttab: str = ""
    larger: int = 0
    # What the backup leaves out: a machine that is recovered by the hundred is best a small one. It is the same as
    # another one, and only saves itself anew.
    left_out: Sequence[str] = ()
    same_as: Design | None = None
    backup: int = 768
    nics: Sequence[guests.Nic] = ()

    def serials(self, word: str) -> list[str]:
        """The serial numbers of the old ("0a") or of new disks."""
        return [f"{word}0{number}" for number in range(1, len(self.disks) + 1)]

    def blank(self, folder: Path, word: str, larger: int = 0) -> list[guests.Disk]:
        """Empty disks for it."""
        return [
            guests.Disk(guests.blank(folder / serial, size + larger), serial)
            for serial, size in zip(self.serials(word), self.disks)
        ]


PRELUDE = r"""
set -e
put_root() {
    dd if=$(findfs LABEL=small-tree) of="$1" bs=4M status=none
    e2fsck -fp "$1" || [ $? = 1 ]
    resize2fs "$1"
    tune2fs -U random -L root "$1"
    mount "$1" /mnt
}
"""
SETTLE = r"""
for folder in dev proc sys run; do mount --rbind /$folder /mnt/$folder; done
! grep -q ' /boot ' /mnt/etc/fstab || chroot /mnt mount /boot
for disk in $a $b; do chroot /mnt grub-install --target=i386-pc $disk; done
chroot /mnt update-grub
sync
# The shell goes on with its own.
! mountpoint -q /mnt/boot || umount /mnt/boot
for folder in run sys proc dev; do umount --lazy --recursive /mnt/$folder; done
"""
GRUB = """\
GRUB_TIMEOUT=1
GRUB_TERMINAL=console
GRUB_DISABLE_OS_PROBER=true
GRUB_DISABLE_RECOVERY=true
GRUB_DISABLE_SUBMENU=true
"""
CONF = """\
OUTPUT=ISO
ISO_DIR=/srv/backup/iso
BACKUP=NFS
BACKUP_URL=file:///srv/backup
{in_guest}\
BACKUP_PROG_EXCLUDE+=( {left_out} )
"""
MOUNT = """\
#!/bin/sh
set -e
mkdir -p /srv/backup
mountpoint -q /srv/backup || mount -o ro LABEL=BACKUP /srv/backup
"""
FSTAB = "LABEL=BACKUP /srv/backup ext4 defaults 0 2\n"

PLAIN = Design(
    "plain",
    [1024],
    """
sfdisk -q -X gpt $a <<END
size=1MiB, type=21686148-6449-6E6F-744E-656564454649
size=600MiB, name=root
size=32MiB, type=S
name=data
END
udevadm settle
put_root $a-part2
mkswap -q -L swap $a-part3
mkfs.xfs -q -K -L data $a-part4
""",
    "LABEL=root / ext4 errors=remount-ro 0 1\nLABEL=data /srv/data xfs noatime 0 2\nLABEL=swap none swap sw 0 0\n",
    larger=512,
)

# Boot file system and system on mirrors of other kinds; a volume that is encrypted, and btrfs over both disks.
MIRROR = Design(
    "mirror",
    [1400, 1400],
    f"""
for disk in $a $b; do
    sfdisk -q -X gpt $disk <<END
size=1MiB, type=21686148-6449-6E6F-744E-656564454649
size=100MiB, type=R, name=boot
size=200MiB, name=tree
type=V, name=system
END
done
udevadm settle
mdadm --quiet --create /dev/md/boot --run --level=1 --metadata=1.0 --raid-devices=2 --name=boot --homehost=debian12 \\
    --bitmap=internal $a-part2 $b-part2
mkfs.ext4 -q -L boot /dev/md/boot
pvcreate -qq $a-part4 $b-part4
vgcreate -qq sys-tem $a-part4 $b-part4
lvcreate -qq -y -n root --type raid1 -m 1 -L 560m sys-tem
lvcreate -qq -y -n swap -L 32m sys-tem
lvcreate -qq -y --type thin-pool -n pool -L 64m sys-tem
lvcreate -qq -y -n vault -V 300m --thinpool pool sys-tem
put_root /dev/sys-tem/root
mount LABEL=boot /run/boot --mkdir
cp -a /mnt/boot/. /run/boot
umount /run/boot
rm -r /mnt/boot/*
printf '{PASSPHRASE}' >/run/key
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/sys-tem/vault /run/key
cryptsetup open --key-file /run/key /dev/sys-tem/vault vault
mkfs.ext4 -q -L vault /dev/mapper/vault
cryptsetup close vault
mkswap -q -L swap /dev/sys-tem/swap
mkfs.btrfs -q -L tree -m raid1 -d raid1 $a-part3 $b-part3
mount LABEL=tree /run/tree --mkdir
btrfs -q subvolume create /run/tree/@data
btrfs -q subvolume create /run/tree/@logs
umount /run/tree
(echo MAILADDR root; mdadm --detail --scan) >/mnt/etc/mdadm/mdadm.conf
""",
    "/dev/sys-tem/root / ext4 errors=remount-ro 0 1\nLABEL=boot /boot ext4 defaults 0 2\n"
    "/dev/mapper/vault /srv/vault ext4 defaults 0 2\nLABEL=tree /srv/data btrfs subvol=@data 0 0\n"
    "LABEL=tree /srv/logs btrfs subvol=@logs,noatime 0 0\nLABEL=swap none swap sw 0 0\n",
    taken="vgchange -qq -ay; udevadm settle; mount /dev/sys-tem/root /mnt; btrfs -q device scan",
    crypttab="vault /dev/sys-tem/vault none luks\n",
)
DESIGNS = {design.name: design for design in (PLAIN, MIRROR)}


@dataclass(frozen=True)
class Saved:
    """A machine that has saved itself: its disks, the one with the backup, its rescue system, and what it was.

    `files` is a list of all files for `compare.differences`, `facts` are what the tools say. Shared: copy the disks.
    """

    folder: Path
    design: Design

    @property
    def initramfs(self) -> Path:
        return self.folder / "initramfs.img"

    @property
    def files(self) -> Path:
        return self.folder / "files.json"

    @property
    def facts(self) -> list[str]:
        """What the tools say of the storage."""
        found: list[str] = json.loads((self.folder / "facts.json").read_text())
        return found

    def copy(self, serial: str, folder: Path) -> guests.Disk:
        """One of its disks, or the one with the backup, to write to."""
        subprocess.run(["cp", "--sparse=always", self.folder / serial, folder / serial], check=True)
        return guests.Disk(folder / serial, serial)


def saved(design: Design) -> Saved:
    """The machine, unless it was made and has saved itself before."""
    scripts = PRELUDE, SETTLE, GRUB, CONF, MOUNT, FSTAB, TELL, compare.ODD_FILES, compare.LISTING
    made_of = tree().name, debian.rear_disk().name, guests.image().name, in_guest(), repr(design)
    key = cache.digest(*made_of, *scripts)
    return Saved(cache.cached(f"small-{design.name}", key, lambda path: _make(design, path)), design)


def running(design: Design, disks: Sequence[guests.Disk], transcript: str) -> guests.Machine:
    """A guest from which `start` goes over to the machine on these disks."""
    return guests.Machine(
        root=guests.image(), disks=disks, nics=design.nics, transcript=cache.transcript(transcript), memory=1536
    )


def start(vm: guests.Machine, design: Design) -> None:
    """Take the storage into use and go over to its root file system, without its services."""
    vm.shell()
    vm.check(design.taken)
    vm.enter()
    vm.shell()
    _use(vm, design)


def start_services(vm: guests.Machine, design: Design) -> None:
    """Take the storage into use and have systemd start the machine, up to its prompt."""
    vm.shell()
    vm.check(design.taken)
    vm.enter("/sbin/init")
    if design.crypttab:
        vm.expect("enter passphrase for disk", timeout=60)
        vm.send(f"{PASSPHRASE}\n")
    vm.shell(SYSTEMD_PROMPT)


def mapping(design: Design, word: str) -> str:
    """The setting that lets new disks take the places of the old ones."""
    pairs = zip(design.serials("0a"), design.serials(word))
    return " ".join(f"{old}=/dev/disk/lab/{new}" for old, new in pairs)


def rescue(saved: Saved, disks: Sequence[guests.Disk], transcript: str) -> guests.Machine:
    """A guest that starts the machine's own rescue system; wait for `RESCUE_PROMPT`."""
    return rescue_of(saved.initramfs, saved.design, disks, transcript)


def rescue_of(initramfs: Path, design: Design, disks: Sequence[guests.Disk], transcript: str) -> guests.Machine:
    """Likewise, of a machine with several."""
    return guests.Machine(
        initrd=initramfs, disks=disks, nics=design.nics, transcript=cache.transcript(transcript),
        command_line="rear.auto=shell",
    )  # fmt: skip


def foreign(folder: Path) -> guests.Disk:
    """The disk of somebody else."""
    disk = guests.Disk(guests.blank(folder / FOREIGN, 64), FOREIGN)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", disk.path], check=True)
    return disk


class Recovery:
    """The recovery of a machine to new disks by a rescue system of its own; `name` is that of its transcripts."""

    def __init__(self, design: Design, initramfs: Path, folder: Path, name: str) -> None:
        self.design, self.initramfs, self.folder, self.name = design, initramfs, folder, name
        self.new = design.blank(folder, "0b", design.larger)
        self.foreign = foreign(folder)
        self.untouched = self.foreign.path.read_bytes()

    @contextmanager
    def rescue(self, *more: guests.Disk) -> Iterator[guests.Machine]:
        """The guest at its prompt, told which disks to take; it has to end by itself."""
        # With the disk of somebody else in its place, so that the new disks have other names.
        disks = [self.foreign, *self.new, *more]
        with rescue_of(self.initramfs, self.design, disks, f"recover-{self.name}") as vm:
            vm.shell(RESCUE_PROMPT)
            vm.check(f'echo "DISK_MAPPING=( {mapping(self.design, "0b")} )" >>/etc/rear/local.conf')
            yield vm
            vm.send("poweroff\n")
            vm.wait()

    def check(self, was: list[str], files: Path, may_differ: Sequence[str], *more: guests.Disk) -> None:
        """The machine is what it was, by its tools and file by file, and nobody wrote to the disk of somebody else."""
        assert self.foreign.path.read_bytes() == self.untouched
        with running(self.design, [*self.new, *more], f"recovered-{self.name}") as vm:
            start(vm, self.design)
            report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
            assert report["problems"] == []
            assert facts(vm) == was
            found = self.folder / "files.json"
            found.write_bytes(listed(vm))
            vm.power_off()
        different = compare.differences(files, found, may_differ)
        assert different == {}, different

    def check_start(self, *more: guests.Disk) -> None:
        """The machine starts with all its services."""
        with running(self.design, [*self.new, *more], f"started-{self.name}") as vm:
            start_services(vm, self.design)
            state = vm.sh("systemctl is-system-running --wait").output
            assert state == "running", vm.sh("systemctl --failed --no-legend; journalctl -b -p warning | tail").output
            # A machine on LVM mirrors takes a minute to end.
            vm.cut_power()


def take_initramfs(iso: Path, initramfs: Path) -> Path:
    """Take it out of a rescue image."""
    argv = ["xorriso", "-osirrox", "on", "-indev", f"{iso}", "-extract", "/boot/initramfs.img", f"{initramfs}"]
    subprocess.run(argv, check=True, capture_output=True)
    return initramfs


def install(vm: guests.Machine, design: Design) -> None:
    """Make the machine, in a guest that has its disks and `tree()`; then go over to it, with odd files on its volumes.

    Whoever wants a service of the host while it runs has to start it before.
    """
    vm.shell()
    names = "\n".join(f"{letter}=/dev/disk/lab/{serial}" for letter, serial in zip("ab", design.serials("0a")))
    vm.put("/run/storage", f"{PRELUDE}{names}\n{design.storage}".encode())
    vm.check("bash /run/storage", 300)
    vm.push(debian.rear_disk(), "/mnt")
    _configure(vm, design)
    vm.put("/run/settle", f"set -e\n{names}\n{SETTLE}".encode())
    vm.check("bash /run/settle", 120)
    vm.enter()
    vm.shell()
    _use(vm, design)
    vm.put("/run/odd.py", compare.ODD_FILES.encode())
    for folder in vm.check("findmnt -rno TARGET | grep ^/srv/ | grep -v backup || echo /srv").splitlines():
        vm.check(f"python3 /run/odd.py {folder}")
    vm.check(f"echo for ever >{FIXED}; chattr +i {FIXED}")


def _make(design: Design, path: Path) -> None:
    path.mkdir()
    backup = guests.Disk(guests.blank(path / BACKUP, design.backup), BACKUP)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "BACKUP", backup.path], check=True)
    with _running_first(design, path, backup) as vm:
        vm.check("rear mkbackup", 300)
        iso = vm.get(ISO)
        (path / "rescue.iso").write_bytes(iso)
        (path / "files.json").write_bytes(listed(vm))
        (path / "facts.json").write_text(json.dumps(facts(vm)))
        vm.power_off()
    take_initramfs(path / "rescue.iso", path / "initramfs.img")


@contextmanager
def _running_first(design: Design, folder: Path, backup: guests.Disk) -> Iterator[guests.Machine]:
    """The machine on disks of its own in a folder, which has not saved itself yet."""
    if design.same_as is None:
        attached = [*design.blank(folder, "0a"), backup, guests.Disk(tree(), plain=True, shared=True)]
        with running(design, attached, f"small-{design.name}") as vm:
            install(vm, design)
            yield vm
        return
    other = saved(design.same_as)
    attached = [*(other.copy(serial, folder) for serial in design.serials("0a")), backup]
    with running(design, attached, f"small-{design.name}") as vm:
        start(vm, design)
        _put_configuration(vm, design, "")
        yield vm


def in_guest() -> str:
    """Settings of every machine: the disks of the guest itself are none of its own, which come by these modules."""
    modules = f"target_core_mod target_core_file tcm_loop configfs sd_mod {guests.engine().RESCUE_MODULES}"
    return f"EXCLUDE_DEVICES=( {guests.OWN_DISKS} )\nRESCUE_MODULES+=( {modules} )\n"


def _use(vm: guests.Machine, design: Design) -> None:
    """Mount what its fstab names, as its services would."""
    for line in design.crypttab.splitlines():
        name, device = line.split()[:2]
        vm.check(f"printf '{PASSPHRASE}' | cryptsetup open --key-file - {device} {name}")
    vm.check("mount -a && swapon -a")


def _put_configuration(vm: guests.Machine, design: Design, root: str) -> None:
    text = CONF.format(left_out=" ".join(map(repr, design.left_out)), in_guest=in_guest())
    vm.put(f"{root}/etc/rear/local.conf", text.encode())


def _configure(vm: guests.Machine, design: Design) -> None:
    vm.check("mkdir -p /mnt/etc/rear/config /mnt/srv/backup")
    for line in design.fstab.splitlines():
        if line.split()[1].startswith("/"):
            vm.check(f"mkdir -p /mnt{line.split()[1]}")
    files = {
        "/etc/fstab": design.fstab + (FSTAB if design.backup else ""),
        "/etc/crypttab": design.crypttab,
        "/etc/default/grub": GRUB,
        **({"/etc/rear/config/50_mount.sh": MOUNT} if design.backup else {}),
    }
    for name, text in files.items():
        vm.put(f"/mnt{name}", text.encode())
    if design.backup:
        _put_configuration(vm, design, "/mnt")
    vm.check("chmod -f 755 /mnt/etc/rear/config/*.sh || true")


def facts(vm: guests.Machine) -> list[str]:
    """What the tools say of the storage."""
    vm.put("/run/tell", TELL.encode())
    return vm.check("bash /run/tell").splitlines()


def listed(vm: guests.Machine) -> bytes:
    """The list of all files of the machine."""
    vm.put("/run/listing.py", compare.LISTING.encode())
    vm.check("python3 -B /run/listing.py /run/files.json")
    return vm.get("/run/files.json")
