# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk with an MBR, recovered to one that is larger than 2 TiB."""

from __future__ import annotations

import json

import pytest

from lab import guests

from .disks import Lab

pytestmark = [pytest.mark.uml, pytest.mark.long]

SYSTEM = """\
sfdisk --quiet --label dos $d <<END
label-id: 0x8f2d0b5c
size=40MiB, type=83, bootable
type=5
size=100MiB, type=83
END
udevadm settle
mkfs.ext4 -q -L system -U 3f0e4cf4-7f2f-4d5e-9d0c-2d6f6a4f0001 ${d}1
mkfs.ext4 -q -L data ${d}5
mount ${d}1 /srv/data --mkdir
mount ${d}5 /srv/more --mkdir
"""
TIB_IN_MIB = 1 << 20


@pytest.mark.parametrize(("settings", "label", "reached"), [("", "dos", 2), ("MBR_TO_GPT=yes", "gpt", 3)])
def test_an_mbr_becomes_a_gpt_where_that_is_asked_for(lab: Lab, settings: str, label: str, reached: int) -> None:
    lab.plug(SYSTEM)
    lab.configure(settings)
    lab.describe()
    lab.unplug()
    lab.disks = [guests.Disk(guests.blank(lab.folder / "large", 3 * TIB_IN_MIB), lab.disks[0].serial)]
    device = lab.guest.attach(*lab.disks)[0]
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    assert ("MBR_TO_GPT changes that" in answer.output) == (not settings)
    table = json.loads(lab.guest.check(f"sfdisk --json {device} 2>/dev/null"))["partitiontable"]
    assert table["label"] == label
    last = table["partitions"][-1]
    assert last["node"] == f"{device}5"
    end = (last["start"] + last["size"]) * 512
    # The end of the small disk was free as well.
    assert (reached << 40) - (64 << 20) < end <= reached << 40
    # Only its last file system has another size.
    assert "Differs: partition" not in answer.output
    names = lab.guest.check(f"blkid --cache-file /dev/null --match-tag LABEL --output value {device}1 {device}5")
    assert names.split() == ["system", "data"]
