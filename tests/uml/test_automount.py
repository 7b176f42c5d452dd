# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that systemd mounts only while somebody uses it is described and saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import guests, small

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]


@pytest.mark.long
def test_what_is_mounted_on_demand_is_mounted_for_the_description(tmp_path: Path) -> None:
    saved = small.saved(small.PLAIN)
    disks = [saved.copy(serial, tmp_path) for serial in (*small.PLAIN.serials("0a"), small.BACKUP)]
    with small.running(small.PLAIN, disks, "automount") as vm:
        small.start_services(vm, small.PLAIN)
        vm.check("umount /srv/data && sed -i s/noatime/noatime,x-systemd.automount/ /etc/fstab")
        # Small machines have no driver for it, and systemd makes no unit then.
        (driver,) = guests.engine().modules().rglob("autofs4.ko")
        vm.put("/run/autofs4.ko", driver.read_bytes())
        vm.check("insmod /run/autofs4.ko && systemctl daemon-reexec && systemctl start srv-data.automount")
        assert vm.check("findmnt -no FSTYPE /srv/data") == "autofs"
        vm.check("rear savelayout")
        layout = json.loads(vm.get("/etc/rear/recovery/layout.json"))
        (mount,) = [item for item in layout["items"] if item["id"] == "mount:/srv/data"]
        assert mount.get("mounted", True) is True
        vm.cut_power()
