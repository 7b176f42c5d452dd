# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of bcache that run when their disks are taken, and those that wait to be started."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import cache, guests, small

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

SERIALS = ("bc01", "bc02", "bc03")
CONF = f"EXCLUDE_DEVICES=( {guests.OWN_DISKS} )\n"
MAKE = r"""
set -e
a=/dev/disk/lab/bc01 b=/dev/disk/lab/bc02 c=/dev/disk/lab/bc03
make-bcache --bucket 64k --writeback --cache $c --bdev $a $b >/dev/null; udevadm settle
until [ $(cat /sys/block/bcache*/bcache/state | grep -c clean) = 2 ]; do sleep 0.1; done
one=/dev/bcache/by-uuid/$(bcache-super-show $a | awk '$1 == "dev.uuid" {print $2}')
two=/dev/bcache/by-uuid/$(bcache-super-show $b | awk '$1 == "dev.uuid" {print $2}')
mkfs.ext4 -q -L one $one
pvcreate -qq $two; vgcreate -qq vg $two; lvcreate -qq -y -n lv -L 200m vg; mkfs.ext4 -q -L two /dev/vg/lv
mkdir -p /srv/one /srv/two; mount LABEL=one /srv/one; mount /dev/vg/lv /srv/two
# More than is written back at once.
head -c 20M /dev/urandom >/srv/one/file; sync
"""
STOP = r"""
cd /
umount /srv/one /srv/two 2>/dev/null; vgchange -qq -an
for stop in /sys/block/bcache*/bcache/stop; do [ ! -e $stop ] || echo 1 >$stop; done
for stop in /sys/fs/bcache/*-*/stop; do [ ! -e $stop ] || echo 1 >$stop; done
for wait in $(seq 100); do ls /sys/fs/bcache/*-*/stop /sys/block/bcache* || break; sleep 0.1; done >/dev/null 2>&1
udevadm settle; ! lsblk -no KNAME | grep bcache
"""
# As `rear recover` does it, and then as `rear mountonly`.
RECREATE = r"""
import json
from pathlib import Path
from rear_core.builtin import planning, recreate
from rear_core.cli.session import open_run
from rear_core.run import Options

run = open_run(Options(unattended=True, config_dir=Path("/root/lab"), target=Path("/mnt/local")))
planning.load_description(run)
planning.make_plan(run)
planning.check_tools(run)
recreate.take_down(run)
recreate.build(run)
recreate.mount(run)
recreate.compare(run)
facts = {"differences": run.rebuilt.differences, "changed": run.rebuilt.changed_identifiers,
         "plan": [" ".join(command.argv) for command in run.plan.teardown], "notes": run.plan.notes}
Path("/mnt/local/srv/one/here").write_text("here")
run.undo.close()
print("FACTS " + json.dumps(facts))
"""
MOUNT = r"""
from pathlib import Path
from rear_core.builtin import existing, planning, recreate
from rear_core.cli.session import open_run
from rear_core.run import Options

run = open_run(Options(unattended=True, config_dir=Path("/root/lab"), target=Path("/mnt/local")))
planning.load_description(run)
existing.mount_present(run)
print("MOUNTED " + Path("/mnt/local/srv/one/here").read_text())
recreate.unmount(run)
"""

# A machine whose root file system has a cache on another disk; GRUB cannot read it, and has /boot.
CACHED = small.Design(
    "bcache",
    [1200, 300],
    """
for disk in $a $b; do
    sfdisk -q -X gpt $disk <<END
size=1MiB, type=21686148-6449-6E6F-744E-656564454649
$([ $disk = $b ] || echo size=100MiB, name=boot)
name=bcache
END
done
udevadm settle
mkfs.ext4 -q -L boot $a-part2
make-bcache --bucket 128k --cache $b-part2 --bdev $a-part3 >/dev/null
modprobe bcache
for part in $b-part2 $a-part3; do readlink -f $part >/sys/fs/bcache/register_quiet; done
until grep -q clean /sys/block/bcache0/bcache/state; do sleep 0.1; done
put_root /dev/bcache0
mount LABEL=boot /run/boot --mkdir
cp -a /mnt/boot/. /run/boot
umount /run/boot
rm -r /mnt/boot/*
""",
    "LABEL=root / ext4 errors=remount-ro 0 1\nLABEL=boot /boot ext4 defaults 0 2\n",
    taken="until [ -b /dev/bcache0 ]; do sleep 0.1; done; udevadm settle; mount LABEL=root /mnt",
    larger=128,
)

# On the disk without /boot GRUB has a hint to the other one, by the number of that, which is another one now.
NAMES = ("/boot/grub/i386-pc/core.img", "/boot/grub/i386-pc/load.cfg")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guests.Machine]:
    """A guest with two devices that share a cache, described."""
    folder = tmp_path_factory.mktemp("bcache")
    disks = [guests.Disk(guests.blank(folder / serial, 512), serial) for serial in SERIALS]
    with guests.Machine(root=guests.image(), disks=disks, transcript=cache.transcript("uml-bcache")) as running:
        running.shell()
        running.install_rear()
        running.check(f"(\n{MAKE}\n)", timeout=300)
        running.check("mkdir -p /root/lab")
        # As in a rescue system, where nothing is to start by itself.
        running.check("mkdir -p /run/udev/rules.d; ln -s /dev/null /run/udev/rules.d/69-bcache.rules")
        running.check("udevadm control --reload")
        running.put("/root/lab/local.conf", CONF.encode())
        running.check("rear -c /root/lab savelayout", timeout=300)
        yield running


def facts_of(guest: guests.Machine) -> dict[str, Any]:
    """What `RECREATE` prints."""
    text = guest.python(RECREATE, timeout=400)
    found: dict[str, Any] = json.loads(text[text.index("FACTS ") + 6 :].splitlines()[0])
    return found


def test_devices_that_run_are_stopped_and_made_again_on_their_own_disks(guest: guests.Machine) -> None:
    """With the mounts that stand on them taken away, as in a rescue system."""
    recorded = json.loads(guest.get("/root/lab/recovery/layout.json"))["items"]
    assert sorted(item["type"] for item in recorded if "bcache" in item["type"]) == ["bcache", "bcache", "bcache set"]
    guest.check("umount /srv/one /srv/two; lsblk -no KNAME | grep -q bcache0")
    facts = facts_of(guest)
    assert facts["differences"] == [] and facts["changed"] == {}
    stopped = [word.rpartition(" ")[2] for word in facts["plan"] if word.startswith("sh -c")]
    assert {"/sys/block/bcache0", "/sys/block/bcache1"} < {*stopped}


def test_what_does_not_run_is_started_to_be_mounted(guest: guests.Machine) -> None:
    guest.check(f"(\n{STOP}\n)")
    assert "MOUNTED here" in guest.python(MOUNT, timeout=300)


def test_a_cache_whose_devices_are_gone_is_released(guest: guests.Machine) -> None:
    """The kernel holds it, and no device shows that: one with another disk in its place is recovered."""
    guest.check(f"(\n{STOP}\n)")
    guest.check("for disk in bc01 bc02; do dd if=/dev/zero of=/dev/disk/lab/$disk bs=1M count=1; done; udevadm settle")
    guest.check("readlink -f /dev/disk/lab/bc03 >/sys/fs/bcache/register_quiet; sleep 1; ls /sys/fs/bcache/*-*/stop")
    facts = facts_of(guest)
    assert facts["differences"] == [] and facts["changed"] == {}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_machine_with_its_root_on_bcache_comes_back_and_starts(tmp_path: Path) -> None:
    """From its own rescue system, where no rule of udev starts anything."""
    saved = small.saved(CACHED)
    backup = saved.copy(small.BACKUP, tmp_path)
    recovery = small.Recovery(CACHED, saved.initramfs, tmp_path, CACHED.name)
    with recovery.rescue(backup) as vm:
        vm.check(small.RECOVER, 300)
        assert vm.check("cat /sys/block/bcache0/bcache/state").strip() in ("clean", "dirty")
    recovery.check(saved.facts, saved.files, (*small.MAY_DIFFER, *NAMES), backup)
    with small.running(CACHED, [*recovery.new, backup], f"started-{CACHED.name}") as vm:
        small.start_services(vm, CACHED)
        state = vm.sh("systemctl is-system-running --wait").output
        assert state == "running", vm.sh("systemctl --failed --no-legend; journalctl -b -p warning | tail -20").output
        vm.cut_power()
