# SPDX-License-Identifier: GPL-3.0-or-later
"""What files get from the folder that they are made in is set before they are restored."""

from __future__ import annotations

import pytest

from lab.guests import PYTHON

from .disks import Lab

pytestmark = [pytest.mark.uml, pytest.mark.long]

# From one file system to another, with the files between.
BETWEEN = """\
import subprocess
from dataclasses import replace
from pathlib import Path
from rear_core.system import file_attributes

recorded = [replace(each, path=each.path[len("/srv/old"):]) for each in file_attributes.find("/srv/old")]
file_attributes.prepare(Path("/srv/new"), recorded)
subprocess.run("tar -C /srv/old -c . | tar -C /srv/new -x", shell=True, check=True)
print([*file_attributes.restore(Path("/srv/new"), recorded)], [(each.path, each.letters) for each in recorded])
"""
# No kernel here can mount an ext4 with names in any case, whose folders are made by the same code.
MAKE = """\
set -e
cd /dev/disk/lab
for where in old new; do
    set -- $where-data $where-realtime
    mkfs.xfs -q -f -r rtdev=$2,extsize=64k $1
    mkdir -p /srv/$where
    mount -o rtdev=$PWD/$2 $1 /srv/$where
done
mkdir /srv/old/folder
xfs_io -c 'chattr +t' /srv/old/folder
echo text >/srv/old/folder/file
sync
"""


def test_files_come_into_the_realtime_section_where_they_were(lab: Lab) -> None:
    lab.plug("true", 4, 320)
    script = MAKE
    for disk, name in zip(lab.disks, ("old-data", "old-realtime", "new-data", "new-realtime")):
        script = script.replace("cd /dev/disk/lab\n", f"cd /dev/disk/lab\nln -sf {disk.serial} {name}\n")
    lab.guest.put("/run/make", script.encode())
    lab.guest.check("bash /run/make")
    lab.guest.put("/run/between.py", BETWEEN.encode())
    assert lab.guest.check(f"{PYTHON} -B /run/between.py").strip() == "[] [('/folder', 'r')]"
    lab.guest.check("xfs_io -c lsattr /srv/new/folder/file | grep -q '^r'")
    lab.guest.check("umount /srv/old /srv/new")
