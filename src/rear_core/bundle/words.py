# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that say nothing of a machine's owner, and the fields that do: names that people choose, and identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .forms import ADDRESSES, IDENTIFIERS


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of distributions, tools and almost every machine: whoever calls a volume so has told nothing.
COMMON = _set(
    """
    root boot efi esp home var usr tmp srv opt mnt media data backup backups log lib lib64 etc dev run bin sbin share
    local cache spool mail www html web sys proc snapshots snapshot rootfs swap swapfile system primary logical extended
    linux debian ubuntu fedora rocky almalinux centos rhel suse opensuse sles redhat microsoft windows basic partition
    bios mbr gpt dos disk part raid lvm crypt luks array group volume pool thin mapper uuid label partuuid partlabel
    path name none default defaults user users admin live localhost localdomain localnet loopback ip6 allnodes
    allrouters mcastprefix com org net info example invalid test lan internal server client host node iqn nqn naa eui
    mount table filesystem subvolume btrfs ext ext2 ext3 ext4 xfs vfat fat fat12 fat16 fat32 ntfs iso9660 udf zfs
    bcache tmpfs member memory file folder device service rear iso usb nvme nfs cifs smb ssh sshfs sftp http https
    rsync ftp rest rclone restic borg docker containers overlay overlay2 lxd lxc libvirt images snap flatpak grub
    sysfs devtmpfs devpts shm pts udev cgroup cgroup2 unified systemd securityfs debugfs tracefs configfs fusectl
    credentials sysctl sysusers tmpfiles setup lock netns subvolumes subvol volumes machines
    hugetlbfs hugepages mqueue pstore efivarfs efivars bpf binfmt misc autofs ramfs nsfs rpc pipefs sunrpc portal
    grub2 i386 x86 amd64 arm64 aarch64 qemu harddisk virtio cdrom dvd rom single dup linear striped mirror zero error
    """
)
# Names that the kernel, LVM and NetworkManager give by themselves.
GIVEN = re.compile(
    r"(?:sd|hd|vd|xvd)[a-z]{1,2}\d*|nvme\d+(?:n\d+)?(?:p\d+)?|mmcblk\d+(?:p\d+|boot\d)?|(?:md|dm|loop|sr|zram|ram|fd)\d*(?:p\d+)?"
    r"|ubd[a-z]\d*|dasd[a-z]+\d*|mpath[a-z]+\d*|(?:vg|lv|lvol|disk|part|raid|pool)\d*"
    r"|(?:rimage|rmeta|mimage|mlog|tdata|tmeta|cdata|cmeta|corig|cvol|pmspare)\d*"
    r"|(?:eth|wlan|bond|team|br|vlan|ib|veth|virbr|dummy|ifb|docker|lo|tun|tap|wwan)\d*|en[opsb]\d[0-9a-z]{0,11}|wl[ops]\d[0-9a-z]{0,11}"
)
# Fields of layout.json, network.json and of what tools print that hold names which people choose, or identifiers.
TELLING = _set(
    """
    id name label partlabel serial wwn uuid partuuid ptuuid ptid target targets mountpoint mountpoints source device
    vg_name lv_name lv_full_name lv_path lv_parent pv_name pool_lv origin vg_tags lv_tags pv_tags vg_uuid lv_uuid
    pv_uuid data_lv metadata_lv group members pool tags hostname host domain search ssid user path default needs place
    marks subsystem seg_pe_ranges devices paths fstab_spec key_file alias hosts fqdn
    """
)
# Fields whose words mean what they say: kinds of partitions, file systems, programs.
PLAIN = _set("type fstype code parttype pttype kind level tran transport state role")
# What is mounted there has the names that the kernel gives.
OF_KERNEL = ("/sys/", "/proc/")
FORMS = re.compile("|".join(f"(?:{form})" for form in ({**ADDRESSES, **IDENTIFIERS}).values()))
WORD = re.compile(r"[^\W_]+")


def tells_nothing(word: str) -> bool:
    """Whether a word, in small letters, may stay: it is short, a small number, or anybody's.

    >>> [tells_nothing(word) for word in ("acme", "sda1", "home", "01", "48212")]
    [False, True, True, True, False]
    """
    short = 5 if word.isdigit() else 3
    return len(word) < short or word in COMMON or GIVEN.fullmatch(word) is not None


def words(text: str) -> set[str]:
    """The words of a name that say something, in small letters; addresses and identifiers are known by their form."""
    return {word for word in WORD.findall(FORMS.sub(" ", text).lower()) if not tells_nothing(word)}


def telling(document: Any, key: str = "") -> Iterator[str]:
    """The texts of a JSON document in fields that hold names or identifiers."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from telling(value, str(name))
    elif isinstance(document, (list, tuple)):
        for value in document:
            yield from telling(value, key)
    elif isinstance(document, str) and key in TELLING and not document.startswith(OF_KERNEL):
        yield document


def texts(document: Any) -> Iterator[str]:
    """All texts of a JSON document, and the fields that are none: paths."""
    if isinstance(document, Mapping):
        yield from (str(name) for name in document if str(name).startswith("/"))
        document = list(document.values())
    if isinstance(document, (list, tuple)):
        for value in document:
            yield from texts(value)
    elif isinstance(document, str):
        yield document
