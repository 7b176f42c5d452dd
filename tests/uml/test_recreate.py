# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM, software RAID and LUKS made again on other disks of a guest, and described again: nothing else differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab import cache, guests

# The table of layouts has each of these technologies by itself.
pytestmark = [pytest.mark.uml, pytest.mark.long, pytest.mark.timeout(600)]

# What lies on two disks is made again on two others.
OLD, NEW = ("lab1", "lab2"), ("lab5", "lab6")
PASSPHRASE = "correct horse battery"

MAKE = r"""
set -e
one=/dev/disk/lab/lab1 two=/dev/disk/lab/lab2
sfdisk --quiet $one <<END
label: gpt
first-lba: 2048
size=64MiB, type=U, name="EFI System"
size=256MiB, type=R, name=boot
size=256MiB, type=R, name=secret
type=V, name="LVM data", attrs="GUID:63"
END
sfdisk --quiet $two <<END
label: dos
size=256MiB, type=fd, bootable
type=5
size=256MiB, type=fd
type=8e
END
udevadm settle
mkfs.vfat -F 32 -n EFI $one-part1 >/dev/null
mdadm --quiet --create /dev/md/boot --run --level=1 --metadata=1.0 --raid-devices=2 --name=boot \
    --bitmap=internal $one-part2 $two-part1
mdadm --quiet --create /dev/md/secret --run --level=1 --raid-devices=2 --name=secret --bitmap=none \
    $one-part3 $two-part5
mkfs.ext4 -q -L boot -m 3 /dev/md/boot
printf 'old passphrase' >/run/old-key
cryptsetup luksFormat -q --type luks2 --label vault --subsystem lab --pbkdf argon2id --pbkdf-memory 16384 \
    --pbkdf-force-iterations 4 --pbkdf-parallel 1 --sector-size 4096 /dev/md/secret /run/old-key
cryptsetup open --allow-discards --persistent --key-file /run/old-key /dev/md/secret vault
mkfs.ext4 -q -L vault /dev/mapper/vault
pvcreate -qq $one-part4 $two-part6
vgcreate -qq -s 8m --addtag lab da-ta $one-part4 $two-part6
lvcreate -qq -y -n linear -L 64m da-ta $one-part4
lvcreate -qq -y -n striped -i 2 -I 64k -L 128m da-ta
lvextend -qq -L 128m da-ta/linear $two-part6
lvcreate -qq -y -n mirror --type raid1 -m 1 -L 64m da-ta
lvcreate -qq -y --type thin-pool -n pool -L 512m --poolmetadatasize 16m -c 128k da-ta
lvcreate -qq -y -n thin -V 1g --thinpool pool da-ta
mkswap -q -L labswap /dev/da-ta/striped
mkfs.ext3 -q -L linear /dev/da-ta/linear
mkfs.ext2 -q -L mirror /dev/da-ta/mirror
mkfs.xfs -q -K -L thin /dev/da-ta/thin
mkdir -p /srv/vault /srv/thin
mount /dev/mapper/vault /srv/vault
mount -o noatime /dev/da-ta/thin /srv/thin
udevadm settle
"""
# The original is gone before it is made again, as its identifiers must be unique.
LOSE = r"""
set -e
umount /srv/vault /srv/thin
vgchange -qq -an da-ta; cryptsetup close vault; mdadm --quiet --stop /dev/md/boot /dev/md/secret
udevadm settle
"""
# What `rear recover` does between its checks and the restore of files; its root must be in memory, this one's is not.
RECREATE = r"""
import json, sys
from pathlib import Path
from rear_core.builtin import existing, planning, recreate, resuming
from rear_core.builtin.storage import load_layout
from rear_core.cli.session import open_run
from rear_core.run import Options
from rear_core.storage.compare import compare

run = open_run(Options(unattended=True, config_dir=Path(sys.argv[1]), target=Path("/mnt/local")))
planning.load_description(run)
planning.make_plan(run)
planning.check_tools(run)
recreate.get_passphrases(run)
recreate.take_down(run)
recreate.build(run)
recreate.mount(run)
recreate.compare(run)
facts = {
    "differences": run.rebuilt.differences, "changed": run.rebuilt.changed_identifiers, "notes": run.rebuilt.notes,
    "hardware": run.rebuilt.hardware_changed, "mapping": run.rebuilt.mapping,
    "paths": {item.id: run.rebuilt.device(item.id) for item in run.layout},
    # Looked at here: an array that is stopped and assembled again may get another number.
    "absent": [item.id for item in run.layout if not Path(run.rebuilt.device(item.id)).is_block_device()],
    "resumable": resuming.is_built(run), "warnings": run.report.warnings,
    "mounted": Path("/proc/mounts").read_text().count("/mnt/local"),
}
run.undo.close()
facts["left"] = Path("/proc/mounts").read_text().count("/mnt/local")
run.sh.run("lvm", "vgchange", "--activate=n", "da-ta")
run.sh.run("cryptsetup", "close", "vault")
run.sh.run("mdadm", "--stop", "--scan")
existing.mount_present(run)
facts["again"] = Path("/proc/mounts").read_text().count("/mnt/local")
recreate.unmount(run)
print("FACTS " + json.dumps(facts))
"""
CONF = f"""\
EXCLUDE_DEVICES=( {guests.OWN_DISKS} )
LUKS_PASSPHRASE='correct horse battery'
DISK_MAPPING=( lab1={{0}} lab2={{1}} )
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guests.Machine]:
    """A guest of its own, as two of its disks do not come back."""
    folder = tmp_path_factory.mktemp("recreate")
    disks = [guests.Disk(guests.blank(folder / serial, 4096), serial) for serial in (*OLD, *NEW)]
    with guests.Machine(root=guests.image(), disks=disks, transcript=cache.transcript("uml-recreate")) as running:
        running.shell()
        running.install_rear()
        yield running


@pytest.fixture(scope="module")
def facts(guest: guests.Machine) -> dict[str, Any]:
    """What came of describing the original, losing it, and making it again on the other disks."""
    names = [guest.check(f"readlink -f /dev/disk/lab/{serial}") for serial in NEW]
    guest.check(f"(\n{MAKE}\n)", timeout=600)
    guest.check("mkdir -p /root/etc")
    guest.put("/root/etc/local.conf", CONF.format(*names).encode())
    guest.check("rear -c /root/etc savelayout", timeout=300)
    guest.check("rear -c /root/etc layout plan --script > /root/etc/plan.sh 2>&1", timeout=300)
    guest.check(f"(\n{LOSE}\n)", timeout=300)
    guest.detach(*OLD)
    # Leftovers of another machine, active, on one of the disks that are used again.
    guest.check(f"pvcreate -qq -y {names[0]} && vgcreate -qq old {names[0]} && lvcreate -qq -y -n lv -L 64m old")
    text = guest.python(RECREATE, "/root/etc", timeout=600)
    return {**json.loads(text[text.index("FACTS ") + 6 :].splitlines()[0]), "names": names}


def test_nothing_differs_not_even_the_uuids_that_lvm_chooses(facts: dict[str, Any]) -> None:
    assert facts["differences"] == []
    assert facts["changed"] == {}


def test_every_item_is_found_on_its_new_device(facts: dict[str, Any]) -> None:
    first, second = facts["names"]
    assert sorted(facts["mapping"].values()) == [first, second] and facts["hardware"]
    assert {f"{second}1", f"{second}5", f"{second}6", f"{first}4"} <= set(facts["paths"].values())
    assert facts["absent"] == []


def test_file_systems_were_mounted_while_it_lasted(facts: dict[str, Any]) -> None:
    assert (facts["mounted"], facts["left"]) == (2, 0)
    # By `rear mountonly`, after everything was stopped.
    assert facts["again"] == 2


def test_the_new_passphrase_opens_the_volume(facts: dict[str, Any], guest: guests.Machine) -> None:
    path = next(path for id, path in facts["paths"].items() if id.startswith("md:") and "luks" not in id)
    assert path.startswith("/dev/md")
    secret = guest.check("blkid -t LABEL=vault -o device | grep /dev/md").strip()
    opened = f"printf '{PASSPHRASE}' | cryptsetup open --test-passphrase --key-file - {secret}"
    assert guest.sh(opened, timeout=120).status == 0
    assert "allow-discards" in guest.check(f"cryptsetup luksDump {secret} | grep Flags")


def test_a_later_run_would_resume(facts: dict[str, Any]) -> None:
    assert facts["resumable"]


def test_the_plan_of_the_running_machine_changes_nothing(facts: dict[str, Any], guest: guests.Machine) -> None:
    assert facts["mapping"]
    text = guest.check("cat /root/etc/plan.sh")
    assert f"sfdisk --wipe always --wipe-partitions always {facts['names'][0]} " in text
    assert "lvm lvcreate" in text and "DESTROYS" in text
    assert guest.sh("sh -n /root/etc/plan.sh").status == 0
    tree = guest.check("rear -c /root/etc layout show")
    assert "  volume group da-ta" in tree
    difference = guest.sh("rear -c /root/etc layout diff", timeout=300)
    assert difference.status == 1 and "mount /srv/thin is missing" in difference.output
    assert "uuid" not in difference.output
