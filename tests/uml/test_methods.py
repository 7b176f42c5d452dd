# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine comes back whole from Storage Protect, from NetWorker, from a tape and from discs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import guests, methods, small, small_methods, tape
from lab.small_methods import DESIGN, Saved
from rear_core.media.iso import file_extents
from rear_core.shell import Shell

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def saved() -> Saved:
    return small_methods.saved()


@pytest.fixture(scope="module")
def more() -> Saved:
    return small_methods.saved(small_methods.MORE)


def recovery_of(saved: Saved, method: str, folder: Path) -> small.Recovery:
    """One by the rescue system that was made with the backup of a method."""
    return small.Recovery(DESIGN, saved.initramfs(method), folder, method)


def check(recovery: small.Recovery, saved: Saved) -> None:
    """The machine is what it was."""
    recovery.check(saved.facts, saved.files, small_methods.MAY_DIFFER)


# What differs from a tape, its client and its server, is tried without a machine in its package.
@pytest.mark.long
def test_from_storage_protect(saved: Saved, tmp_path: Path) -> None:
    assert "Saved /srv/data" in saved.said["tsm"]
    recovery = recovery_of(saved, "tsm", tmp_path)
    with recovery.rescue() as vm, saved.server(vm.network):
        assert "Restored /srv/data: " in vm.check("rear -n recover", 300)
    check(recovery, saved)
    recovery.check_start()


# To rear its client is like the one of Storage Protect.
@pytest.mark.long
def test_from_networker(more: Saved, tmp_path: Path) -> None:
    assert "Saved /srv/data" in more.said["nsr"]
    recovery = recovery_of(more, "nsr", tmp_path)
    with recovery.rescue() as vm, more.server(vm.network):
        assert "The server has /srv/data: " in vm.check("rear -n recover", 300)
    check(recovery, more)
    recovery.check_start()


def test_from_a_tape(saved: Saved, tmp_path: Path) -> None:
    recovery = recovery_of(saved, "tape", tmp_path)
    with recovery.rescue() as vm, tape.drive(saved.tape(tmp_path), vm.network) as drive:
        vm.check(drive.login)
        vm.check("rear -n recover", 300)
    check(recovery, saved)


# tests/vm/test_cdrom.py restores from discs, too.
@pytest.mark.long
def test_from_two_discs_that_are_on_sticks(more: Saved, tmp_path: Path) -> None:
    recovery = recovery_of(more, "discs", tmp_path)
    with recovery.rescue(*(guests.Disk(disc, f"0c0{number}") for number, disc in enumerate(more.discs))) as vm:
        vm.check("rear -n recover", 300)
    check(recovery, more)


@pytest.mark.long
def test_what_fits_on_no_disc_is_on_several(more: Saved) -> None:
    refused = more.said["mkbackuponly"]
    assert refused["status"] == 2 and "rear mkbackup" in refused["output"]
    first, second = more.discs
    assert first.name == methods.ISO
    assert max(path.stat().st_size for path in (first, second)) <= 300 << 20
    assert not [name for name in file_extents(Shell(), second) if name.startswith("/boot")]
    kept = [path.name for path in first.parent.iterdir()]
    assert not [name for name in kept if name.startswith(".")]
    assert {f"{disc.name}{suffix}" for disc in (first, second) for suffix in ("", ".sha256")} <= set(kept)
