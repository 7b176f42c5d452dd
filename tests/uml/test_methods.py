# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back whole from Storage Protect, from NetWorker, from a tape and from discs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import compare, methods, small, small_methods, tape, uml
from lab.small_methods import DESIGN, Saved
from rear_core.media.iso import file_extents
from rear_core.shell import Shell

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def saved() -> Saved:
    return small_methods.saved()


class Recovery:
    """A guest with the rescue system of a method, new disks and one of somebody else, at its prompt."""

    def __init__(self, saved: Saved, method: str, folder: Path) -> None:
        self.saved, self.method, self.folder = saved, method, folder
        self.new = DESIGN.blank(folder, "0b", DESIGN.larger)
        # In its place, so that the new disks have other names.
        self.foreign = uml.Disk(uml.blank(folder / small.FOREIGN, 64), small.FOREIGN)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", self.foreign.path], check=True)
        self.untouched = self.foreign.path.read_bytes()

    @contextmanager
    def rescue(self, *more: uml.Disk) -> Iterator[uml.Machine]:
        """The guest, told which disks to take; it has to end by itself."""
        disks = [self.foreign, *self.new, *more]
        initramfs = self.saved.initramfs(self.method)
        with small.rescue_of(initramfs, DESIGN, disks, f"recover-{self.method}") as vm:
            vm.shell(small.RESCUE_PROMPT)
            vm.check(f"echo \"DISK_MAPPING=( {small.mapping(DESIGN, '0b')} )\" >>/etc/rear/local.conf")
            yield vm
            vm.send("poweroff\n")
            vm.wait()

    def check(self) -> None:
        """The machine is what it was, file by file, and nobody wrote to the disk of somebody else."""
        assert self.foreign.path.read_bytes() == self.untouched
        with small.running(DESIGN, self.new, f"recovered-{self.method}") as vm:
            small.start(vm, DESIGN)
            report = json.loads(vm.check("cat /var/log/rear/recovery-*.json"))
            assert report["problems"] == []
            assert small.facts(vm) == self.saved.facts
            files = self.folder / "files.json"
            files.write_bytes(small.listed(vm))
            vm.power_off()
        assert compare.differences(self.saved.files, files, small_methods.MAY_DIFFER) == {}


def test_from_storage_protect(saved: Saved, tmp_path: Path) -> None:
    assert "Saved /srv/data" in saved.said["tsm"]
    recovery = Recovery(saved, "tsm", tmp_path)
    with recovery.rescue() as vm, saved.server(vm.network):
        assert "Restored /srv/data: " in vm.check("rear -n recover", 300)
    recovery.check()


def test_from_networker(saved: Saved, tmp_path: Path) -> None:
    assert "Saved /srv/data" in saved.said["nsr"]
    recovery = Recovery(saved, "nsr", tmp_path)
    with recovery.rescue() as vm, saved.server(vm.network):
        assert "The server has /srv/data: " in vm.check("rear -n recover", 300)
    recovery.check()


def test_from_a_tape(saved: Saved, tmp_path: Path) -> None:
    recovery = Recovery(saved, "tape", tmp_path)
    with recovery.rescue() as vm, tape.drive(saved.tape(tmp_path), vm.network) as drive:
        vm.check(drive.login)
        vm.check("rear -n recover", 300)
    recovery.check()


def test_from_two_discs_that_are_on_sticks(saved: Saved, tmp_path: Path) -> None:
    recovery = Recovery(saved, "discs", tmp_path)
    with recovery.rescue(*(uml.Disk(disc, f"0c0{number}") for number, disc in enumerate(saved.discs))) as vm:
        vm.check("rear -n recover", 300)
    recovery.check()


def test_what_fits_on_no_disc_is_on_several(saved: Saved) -> None:
    refused = saved.said["mkbackuponly"]
    assert refused["status"] == 2 and "rear mkbackup" in refused["output"]
    first, second = saved.discs
    assert first.name == methods.ISO
    assert max(path.stat().st_size for path in (first, second)) <= 300 << 20
    assert not [name for name in file_extents(Shell(), second) if name.startswith("/boot")]
    kept = [path.name for path in first.parent.iterdir()]
    assert not [name for name in kept if name.startswith(".")]
    assert {f"{disc.name}{suffix}" for disc in (first, second) for suffix in ("", ".sha256")} <= set(kept)
