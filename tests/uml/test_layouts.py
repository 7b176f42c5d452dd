# SPDX-License-Identifier: GPL-3.0-or-later
"""Every layout of the table made, described, lost, made again on other disks, and described again: nothing differs.

The tools' own words are compared as well, so that what the description does not hold is missed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import reference

from lab import cache, guests
from lab.guests import Answer
from rear_core.errors import ExitCode

from .layouts import ALL, DAILY, KNOWN
from .made import Made, Refused, Said

pytestmark = pytest.mark.uml

CONF = f"""\
EXCLUDE_DEVICES=( {guests.OWN_DISKS} )
LUKS_PASSPHRASE='correct horse battery'
DISK_MAPPING=( {{}} )
"""

# What `rear recover` does between its checks and the restore of files.
RECREATE = r"""
import json
import subprocess
from pathlib import Path
from rear_core.builtin import planning, recreate
from rear_core.cli.session import open_run
from rear_core.run import Options

run = open_run(Options(unattended=True, config_dir=Path("/root/lab"), target=Path("/mnt/local")))
planning.load_description(run)
planning.make_plan(run)
planning.check_tools(run)
recreate.get_passphrases(run)
recreate.take_down(run)
recreate.build(run)
recreate.mount(run)
recreate.compare(run)
recreate.after_restore(run)
told = subprocess.run(["bash", "/run/tell"], capture_output=True, text=True).stdout.rstrip().splitlines()
run.undo.close()
print("FACTS " + json.dumps({
    "differences": run.rebuilt.differences, "changed": run.rebuilt.changed_identifiers, "told": told,
    "notes": run.plan.notes,
}))
"""

# What the tools say of everything but the disks, without names that the kernel gives, times and counts.
TELL = r"""
exec 2>&1
@LOOK@
lsblk -rno TYPE,SIZE,FSTYPE,LABEL,UUID,PARTUUID,PARTLABEL,PARTTYPE,PARTFLAGS | grep -v ^disk |
    awk -F'[ ]' '$1 != "part" || $6' | sort -u
for array in $(lsblk -rnpo NAME,TYPE | awk '$2 ~ /^raid/ {print $1}' | sort -u); do
    mdadm --wait $array >/dev/null
    mdadm --detail --export $array | grep -E '^MD_(LEVEL|DEVICES|METADATA|UUID|NAME)='
    mdadm --detail $array | grep -E '^ *(Chunk|Layout|Array Size|Raid Dev|Total Dev|Intent|Consistency|Spare Dev|Name)'
    mdadm --detail $array | grep -c writemostly
    for part in /sys/block/${array##*/}/slaves/*; do mdadm --examine /dev/${part##*/} | grep -c 'Bad Block Log'; done
    for part in /sys/block/${array##*/}/md/bitmap/chunksize; do [ ! -e $part ] || cat $part; done
done
lvs -a --noheadings --units b -o vg_name,lv_name,segtype,stripes,stripe_size,region_size,chunk_size,seg_size,pool_lv \
    -o+origin,discards,zero,lv_tags,lv_allocation_policy,lv_permissions,lv_read_ahead,lv_autoactivation,lv_uuid \
    -O vg_name,lv_name |
    sed -E '/\[/s/ \S+$//'
vgs --noheadings --units b -o vg_name,vg_extent_size,vg_tags,vg_mda_count,vg_autoactivation,vg_uuid -O vg_name
pvs --noheadings --units b -o pv_uuid,pe_start,pv_mda_count,pv_mda_size,pv_ba_size,pv_tags,pv_allocatable -O pv_uuid
parts=$(lsblk -rnpo NAME,FSTYPE,UUID | sort | awk '$2 && !seen[$3]++ {print $3, $1 ":" $2}' | sort)
for part in $(echo "$parts" | cut -d' ' -f2); do
    device=${part%%:*}
    case ${part##*:} in
        crypto_LUKS) cryptsetup luksDump $device |
            grep -vE '^(LUKS h|Epoch)|[Ss]alt|[Dd]igest(| ID):|^\s+([0-9a-f]{2} )+' ;;
        jbd) dumpe2fs -h $device 2>/dev/null | grep -E '^(Filesystem (volume|UUID|features)|Block|Journal u)' ;;
        ext[234])
            dumpe2fs -h $device 2>/dev/null | grep -vE '^(Last|Mount count|Lifetime|Free|Checksum:)|time|created|mmp_' |
                grep -vE '^(Journal (seq|start|check|feat|dev)|Filesystem (state|f)|Overhead|Next check|MMP.block)' ;;
        xfs) xfs_db -r -c 'version' -c 'sb 0' -c 'p blocksize dblocks logblocks sectsize inodesize agcount' \
            -c 'p imax_pct dirblklog logsunit unit width features_ro_compat features_incompat' $device 2>/dev/null ;;
        btrfs)
            btrfs inspect-internal dump-super $device | grep -E '^(label|num_dev|sectors|nodes|csum_type|fsid)'
            btrfs filesystem usage -b $device 2>/dev/null | grep -oE '^(Data|Metadata|System),[^:]*' | sort -u ;;
        vfat)
            fsck.vfat -vn $device | grep -E 'bytes|bits|FATs|root'
            dd if=$device bs=1 skip=50 count=2 status=none | od -An -tx1 ;;
        swap) swaplabel $device ;;
        bcache) bcache-super-show $device | grep -vE '^(sb.csum|dev.cache.(ordered|pos))' ;;
    esac
done
for device in $(lsblk -dnpo NAME,TYPE | awk '$2 == "disk" && $1 !~ /ubd|vd/ {print $1}'); do
    sfdisk -d $device >/run/table 2>/dev/null || continue
    sed -E 's,^/dev/\S*[^0-9]([0-9]+) :,\1 :,' /run/table | grep -vE '^(device|last-lba):'
    if grep -q '^label: gpt' /run/table; then
        # Cylinders and heads differ from tool to tool.
        sfdisk -d --label-nested dos $device | grep -oE 'start=.*'
    else
        dd if=$device bs=1 skip=446 count=64 status=none | od -An -tx1
    fi
done
for folder in /srv/data /mnt/local/srv/data; do
    if findmnt -t btrfs $folder >/dev/null; then
        btrfs subvolume list $folder | cut -d' ' -f9- | sort; btrfs filesystem df $folder | cut -d: -f1
        btrfs subvolume get-default $folder | cut -d' ' -f9-
        btrfs qgroup show -re $folder 2>/dev/null | awk '{print $4, $5}' | sort
        btrfs subvolume list -r $folder | cut -d' ' -f9- | sort
        btrfs subvolume list -R $folder | grep -oE 'received_uuid.*' | sort
        (cd $folder; find . -type d -exec lsattr -d {} + | grep -E '^\S*C' | cut -d' ' -f2- | sort)
    fi
    [ ! -d $folder ] || find $folder -name '*swap*' -type f -exec swaplabel {} \; -exec stat -c '%a %s' {} \;
done
true
"""

# udev misses what is written to a device that it does not watch.
CHANGE = "udevadm trigger --action=change " + " ".join(
    f"--sysname-match='{name}*'" for name in ("dm-", "md", "sd", "bcache")
)
LOOK = f"sync; {CHANGE}; udevadm settle\n"

# Of what lies on a disk that is larger now.
GROWN = re.compile(
    r" grew from |: (blocks|reserved (gdt )?blocks|inodes|bytes per inode|journal size|component size|last lba|extents"
    r"|size|segments|sectors) changed |: (meta|data|segments) (no longer|now) "
)

# Whatever lies on whatever.
STOP = r"""
cd /
swapoff -a
for place in $(findmnt -rno TARGET | grep -E '^/(srv|mnt/local)' | sort -r); do umount $place; done
for try in 1 2 3; do
    vgchange -qq -an
    for name in $(lsblk -rno NAME,TYPE | awk '$2 == "crypt" {print $1}' | sort -u); do cryptsetup close $name; done
    mdadm --quiet --stop --scan
    for stop in /sys/block/bcache*/bcache/stop; do [ ! -e $stop ] || echo 1 >$stop; done
    for stop in /sys/fs/bcache/*-*/stop; do [ ! -e $stop ] || echo 1 >$stop; done
    udevadm settle
    for wait in $(seq 100); do ls /sys/fs/bcache/*-*/stop /sys/block/bcache* || break; sleep 0.1; done >/dev/null
done 2>/dev/null
multipath -F 2>/dev/null
# LVM leaves alone what was a path once, and the next disk has the same WWN.
rm -f /etc/multipath/wwids /etc/multipath/bindings
# The kernel remembers disks that are gone.
btrfs device scan --forget
! lsblk -rno TYPE,KNAME | grep -qE 'raid|lvm|crypt|mpath|bcache'
"""


class Bench:
    """A guest that layouts are made in one after the other, and another one after something went wrong."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._guest: guests.Machine | None = None

    def guest(self) -> guests.Machine:
        """One that runs, with nothing on it."""
        if self._guest is None:
            transcript = cache.transcript("uml-layouts")
            self._guest = self._undo.enter_context(guests.Machine(root=guests.image(), transcript=transcript))
            self._guest.shell()
            self._guest.install_rear()
            self._guest.put("/run/tell", TELL.replace("@LOOK@", LOOK).encode())
            self._guest.check("mkdir -p /srv/data; printf 'old passphrase' >/run/key")
            # The kernel copies 1 MiB a second (md(4)) while it sees others at work: the array below is that, too.
            self._guest.check("modprobe -a dm_multipath dm_mod md_mod; echo 500000 >/proc/sys/dev/raid/speed_limit_min")
        return self._guest

    @contextmanager
    def whole(self) -> Iterator[None]:
        """End the guest where something goes wrong in it: nobody knows what it has left there."""
        try:
            yield
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """End it."""
        self._undo.close()
        self._guest = None


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench for all layouts."""
    made = Bench()
    yield made
    made.drop()


def attach(guest: guests.Machine, layout: Made, folder: Path, word: str, size: int) -> list[str]:
    """Plug in disks for a layout; the names that it knows them by."""
    disks = [
        guests.Disk(guests.blank(folder / serial, size), serial, layout.sector_size, layout.paths)
        for serial in _serials(word, layout)
    ]
    return [_map(guest, device) if layout.paths > 1 else device for device in guest.attach(*disks)]


def _map(guest: guests.Machine, device: str) -> str:
    """The disk that all paths to a device lead to."""
    guest.check(f"multipath -v0 {device}; udevadm settle")
    return guest.check(f"lsblk -lnpo NAME,TYPE {device} | awk '$2 == \"mpath\" {{print $1}}'")


def _rows(verdict: type | None) -> list[Any]:
    """The layouts of which the table says this."""
    known = [layout for layout in ALL if type(KNOWN.get(layout.name)) is (verdict or type(None))]
    marks = {layout.name: () if layout.name in DAILY else (pytest.mark.long,) for layout in known}
    return [pytest.param(layout, id=layout.name, marks=marks[layout.name]) for layout in known]


@pytest.fixture
def folder(bench: Bench, tmp_path: Path) -> Iterator[Path]:
    """Where the disks of a layout are kept while it is tried: all of them together would fill a disk."""
    yield tmp_path
    for image in tmp_path.iterdir():
        image.unlink()


@pytest.mark.parametrize("layout", _rows(None))
def test_it_comes_back_as_it_was(layout: Made, bench: Bench, folder: Path) -> None:
    with bench.whole():
        before, facts = made_again(bench.guest(), layout, folder)
    assert not re.search("unknown data|not recognize", facts["described"]), facts["described"]
    assert facts["changed"] == {}
    if layout.larger:
        # What lies on it has grown with the disk, and that is said.
        assert [line for line in facts["differences"] if not GROWN.search(line)] == []
        return
    assert facts["differences"] == []
    changes = list(difflib.unified_diff(before, facts["told"], lineterm="", n=0))
    assert not changes, "\n".join(changes)


@pytest.mark.parametrize("layout", _rows(Said))
def test_what_will_not_be_as_it_was_is_said(layout: Made, bench: Bench, folder: Path) -> None:
    """When the media are made, and again by the plan; the rest is made."""
    with bench.whole():
        before, facts = made_again(bench.guest(), layout, folder)
    assert facts["differences"] or before != facts["told"], "it comes back as it was"
    pattern = KNOWN[layout.name].pattern
    assert re.search(pattern, facts["described"]), facts["described"]
    assert re.search(pattern, "\n".join(facts["notes"])), facts["notes"]


@pytest.mark.parametrize("layout", _rows(Refused))
def test_what_cannot_be_made_again_is_refused_by_name(layout: Made, bench: Bench, folder: Path) -> None:
    with bench.whole():
        guest = bench.guest()
        answer = describe(guest, layout, folder)
        guest.check(f"(\n{STOP}\n)")
        guest.detach(*_serials("0a", layout))
    assert answer.status == ExitCode.REFUSED
    assert re.search(KNOWN[layout.name].pattern, answer.output), answer.output


def test_the_table_knows_its_layouts() -> None:
    names = [layout.name for layout in ALL]
    assert len(names) == len(set(names)) and {*KNOWN, *DAILY} <= {*names}


def test_one_of_each_technology_is_run_every_day() -> None:
    technologies = [[_technology(name) for name in some] for some in (DAILY, reference.TECHNOLOGIES)]
    assert {*technologies[0]} == {*technologies[1]}
    assert {*map(type, map(KNOWN.get, DAILY))} >= {type(None), Refused}


def _technology(name: str) -> str:
    return next(words for begin, words in reference.TECHNOLOGIES.items() if name.startswith(begin))


def describe(guest: guests.Machine, layout: Made, folder: Path) -> Answer:
    """Make a layout, and have it described."""
    guest.put("/etc/multipath.conf", layout.multipath.encode())
    old = attach(guest, layout, folder, "0a", layout.size)
    names = "".join(f"{letter}={device}\n" for letter, device in zip("abcdef", old))
    look = LOOK if layout.noticed else ""
    guest.put("/run/make", f"set -e\nkey=/run/key\n{names}{layout.script}\n{look}".encode())
    guest.check("bash /run/make")
    guest.check("rm -rf /root/lab /var/lib/rear/journal /mnt/local; mkdir /root/lab")
    guest.put("/root/lab/local.conf", CONF.format("").encode())
    return guest.sh("rear -c /root/lab savelayout")


def made_again(guest: guests.Machine, layout: Made, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """What the tools say of the original; what they say of what was made of its description, and what rear says."""
    described = describe(guest, layout, folder)
    assert described.status == 0, described.output
    before = guest.check("bash /run/tell").rstrip().splitlines()
    guest.check(f"(\n{STOP}\n)")
    guest.detach(*_serials("0a", layout))
    # In its place, so that the new disks have other names.
    guest.attach(guests.Disk(guests.blank(folder / "0c01", 64), "0c01"))
    new = attach(guest, layout, folder, "0b", layout.size + layout.larger)
    recorded = json.loads(guest.get("/root/lab/recovery/layout.json"))["items"]
    known = {item.get("serial") for item in recorded}
    pairs = [f"{serial}={device}" for serial, device in zip(_serials("0a", layout), new) if serial in known]
    guest.put("/root/lab/local.conf", CONF.format(" ".join(pairs)).encode())
    if layout.paths > 1:
        # Nobody makes the maps in the rescue system but rear.
        guest.check("multipath -F; udevadm settle")
    text = guest.python(RECREATE, timeout=240)
    facts: dict[str, Any] = json.loads(text[text.index("FACTS ") + 6 :].splitlines()[0])
    guest.check(f"(\n{STOP}\n)")
    guest.detach("0c01", *_serials("0b", layout))
    return before, {**facts, "described": described.output}


def _serials(word: str, layout: Made) -> list[str]:
    """The serial numbers of the old or the new disks: digits, as WWNs are made of them."""
    return [f"{word}0{number}" for number in range(1, layout.disks + 1)]
