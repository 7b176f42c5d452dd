# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovered system must know to log in to the target of its root file system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rear_core.boot.loader import Entry
from rear_core.finalize import initramfs, iscsi, recorded
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.inventory import COLUMNS
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.iscsi import IscsiUnit
from rear_core.testing.fake_shell import FakeShell

OLD, NEW = "iqn.2026-11.example:old", "iqn.2026-11.example:new"
PORTALS = ("192.0.2.1:3260", "192.0.2.2:3260")
SETTINGS = f'ISCSI_TARGET_NAME="{OLD}"\nISCSI_TARGET_IP="192.0.2.1 192.0.2.2"\n'


def put(target: Path, text: str, name: str) -> Path:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def machine(target: Path, mountpoint: str = "/", options: str = "defaults") -> Run:
    """A machine with a file system on a unit of the old target."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(target=target, config_dir=target / "etc/rear"))
    unit = IscsiUnit(f"iscsi:{OLD}/1", (), OLD, "1", PORTALS)
    disk = Disk("disk:a", (unit.id,), 1 << 30, device="/dev/sda", transport="iscsi")
    ext = Ext("fs:1", (disk.id,), "1", version=4)
    mount = Mount(f"mount:{mountpoint}", (ext.id,), mountpoint, "ext4", fstab_options=options)
    run.layout = make([unit, disk, ext, mount])
    run.rebuilt = Rebuilt(Site(run.layout, {disk.id: "/dev/sdb"}), {disk.id: "/dev/sdb"})
    return run


def here(run: Run, target: str, *portals: str) -> None:
    """The paths that lead to the new disk."""
    rows = [
        {"name": f"sd{letter}", "kname": f"sd{letter}", "maj:min": "8:0", "type": "disk", "size": 1 << 30,
         "tran": "iscsi"}
        for letter, _ in zip("bcd", portals)
    ]  # fmt: skip
    places = {
        f"udevadm info --query=property --name=/dev/sd{letter}": f"ID_PATH=ip-{portal}-iscsi-{target}-lun-1\n"
        for letter, portal in zip("bcd", portals)
    }
    listed = f"lsblk --json --bytes --output {COLUMNS}"
    run.sh = FakeShell({listed: json.dumps({"blockdevices": rows}), "python3 -m rear_core.storage.inventory": "[]"}
                       | places)  # fmt: skip


def test_the_initramfs_is_told_the_new_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "loaders", lambda _run: [])
    run = machine(tmp_path)
    here(run, NEW, "192.0.2.9:3260")
    settings = put(tmp_path, SETTINGS, "etc/iscsi/iscsi.initramfs")
    words = put(tmp_path, f"netroot=iscsi:@192.0.2.1::3260:1:{OLD} x={OLD}2\n", "etc/cmdline.d/san.conf")
    put(tmp_path, "", f"etc/iscsi/nodes/{OLD}/record")
    iscsi.update(run)
    assert settings.read_text() == SETTINGS.replace(OLD, NEW).replace("192.0.2.1 ", "192.0.2.9 ")
    assert words.read_text() == f"netroot=iscsi:@192.0.2.9::3260:1:{NEW} x={OLD}2\n"
    assert run.recovery.rewritten == ["/etc/iscsi/iscsi.initramfs", "/etc/cmdline.d/san.conf"]
    assert any("/etc/iscsi/nodes still has" in line for line in run.recovery.differences)


def test_a_path_that_is_missing_changes_nothing(tmp_path: Path) -> None:
    run = machine(tmp_path)
    here(run, OLD, PORTALS[1])
    assert iscsi.moved(run) == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [(SETTINGS, ()), ("ISCSI_AUTO=true\n", ()), ("", ("iscsi_auto",)), ("", ("rd.iscsi.firmware=1",)),
     ("", (f"netroot=iscsi:@192.0.2.1::3260:1:{OLD}",))],
)  # fmt: skip
def test_whatever_tells_the_target_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, words: tuple[str, ...]
) -> None:
    assert problems(tmp_path, monkeypatch, settings, words, ["usr/sbin/iscsistart"]) == []


def test_what_keeps_the_initramfs_from_logging_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(tmp_path, monkeypatch, "# ISCSI_AUTO=true\n", ("root=UUID=1",), ["usr/sbin/init"])
    assert [line.split(":")[0] for line in found] == [
        "nothing tells the initramfs its iSCSI target",
        "the initramfs cannot log in to the iSCSI target",
    ]


def problems(
    target: Path, monkeypatch: pytest.MonkeyPatch, settings: str, words: tuple[str, ...], carried: list[str]
) -> list[str]:
    put(target, settings, "etc/iscsi/iscsi.initramfs")
    put(target, "InitiatorName=iqn.2026-11.example:web1\n", "etc/iscsi/initiatorname.iscsi")
    put(target, "", "boot/initrd.img")
    entry = Entry("Debian", initramfs=("/boot/initrd.img",), arguments=words)
    monkeypatch.setattr(recorded, "entries", lambda _run: [entry])
    monkeypatch.setattr(initramfs, "names", lambda *_: carried)
    run = machine(target)
    iscsi.check(run)
    assert run.recovery.differences == []
    return run.recovery.problems


@pytest.mark.parametrize(("options", "told"), [("defaults", 1), ("rw,_netdev", 0), ("nofail", 0)])
def test_a_mount_that_does_not_wait_for_the_network_is_named(tmp_path: Path, options: str, told: int) -> None:
    run = machine(tmp_path, "/srv", options)
    iscsi.check(run)
    assert len(run.recovery.differences) == told
    assert run.recovery.problems == []
