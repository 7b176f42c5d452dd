# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the machine itself, by files and answers of programs."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core import records
from rear_core.doctor import drivers, machine
from rear_core.health.checks import State
from rear_core.places.url import parse_url
from rear_core.run import Run
from rear_core.shell import Outcome
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.testing.fake_shell import FakeShell


def run(commands: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **fields: Any) -> Run:
    chosen = {"RESCUE_WIRELESS": "", "SSH_ROOT_PASSWORD": "", **(settings or {})}
    given = SimpleNamespace(**chosen)
    known = type("Known", (dict,), {"declared": property(lambda self: dict(vars(given)))})(chosen)
    system = SimpleNamespace(virtualization="")
    return cast(Run, SimpleNamespace(sh=FakeShell(commands or {}), settings=known, system=system, **fields))


def states(problems: Any) -> list[tuple[State, str]]:
    return [(problem.state, problem.text) for problem in problems]


def test_a_clock_before_the_last_run_is_critical(tmp_path: Path) -> None:
    began = time.strftime(records.FORMAT, time.gmtime(time.time() + 7200))
    records.keep(tmp_path, records.Record("mkbackup", began, 60, "done", 0))
    asked = "timedatectl show --property=NTPSynchronized --value"
    behind, unset, _ = states(machine.clock(run({asked: "no\n"}, var_dir=tmp_path)))
    assert behind[0] == State.CRITICAL and "after what the clock says now" in behind[1]
    assert unset == (State.WARNING, "no time server has set it")
    # One that is right, and says nothing of its servers.
    assert states(machine.clock(run({asked: ""}, var_dir=tmp_path / "new"))) == [
        (State.OK, "not before the last run of rear")
    ]


def test_a_server_without_an_address_is_named_with_its_settings() -> None:
    urls = {
        "BACKUP_URL": parse_url("nfs://nas/b"),
        "OUTPUT_URL": parse_url("nfs://nas/o"),
        "OTHER": parse_url("nfs://[::1]/"),
    }
    found = [*machine.server_names(run({"getent ahosts nas": Outcome((), 2, "", "", 0)}, urls))]
    assert states(found)[0] == (State.CRITICAL, "the server nas of BACKUP_URL and OUTPUT_URL has no address")
    assert "/etc/hosts" in found[0].advice
    assert states(machine.server_names(run({"getent ahosts nas": "10.0.0.1 STREAM nas\n"}, urls)))[0][0] == State.OK


def test_a_machine_without_identity_and_with_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MACHINE_ID", tmp_path / "machine-id")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    for text, well in (("", False), ("uninitialized\n", False), ("0123456789abcdef" * 2 + "\n", True)):
        (tmp_path / "machine-id").write_text(text)
        assert (not [*machine.machine_id(run())]) == well
    for kib, state in ((512 << 10, State.WARNING), (750 << 10, State.OK)):
        (tmp_path / "meminfo").write_text(f"MemTotal:  {kib} kB\n")
        assert states(machine.memory(run()))[0][0] == state


def test_keys_that_nobody_can_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "authorized_keys"
    monkeypatch.setattr(machine, "KEYS", [keys])
    commands = {"sshd -t": "", f"ssh-keygen -l -f {keys}": Outcome((), 255, "", "is not a public key file", 0)}
    assert states(machine.remote_login(run(commands)))[0][0] == State.OK
    keys.write_text("nonsense\n")
    assert states(machine.remote_login(run(commands)))[0] == (
        State.WARNING, f"{keys} has no key that ssh-keygen can read",
    )  # fmt: skip


def test_drivers_are_those_of_disks_and_cards_and_of_all_that_they_hang_on(tmp_path: Path) -> None:
    """A disk of two paths, a card with its bus, a radio that the rescue system does not use, and what is virtual."""
    sys = tmp_path / "sys"
    for name in ("ahci", "sd_mod", "virtio_net", "virtio_pci", "iwlwifi"):
        (sys / "module" / name).mkdir(parents=True)
    devices = {
        "class/block/sda": ("devices/pci0/ata1/disk0", {"": "sd_mod", "..": "ahci"}),
        "class/net/eth0": ("devices/pci1/virtio1/x", {"": "virtio_net", "..": "virtio_pci"}),
        "class/net/wlan0": ("devices/pci2/a/b", {"": "iwlwifi"}),
    }
    for name, (place, modules) in devices.items():
        (sys / place).mkdir(parents=True)
        (sys / name).mkdir(parents=True)
        (sys / name / "device").symlink_to(sys / place)
        for above, module in modules.items():
            driver = sys / place / above / "driver"
            driver.mkdir()
            (driver / "module").symlink_to(sys / "module" / module)
    (sys / "class/net/wlan0/phy80211").mkdir()
    (sys / "class/net/lo").mkdir()
    (sys / "class/block/dm-0/slaves").mkdir(parents=True)
    (sys / "class/block/dm-0/slaves/sda").symlink_to(sys / "class/block/sda")
    layout = make([Disk("disk:a", (), 1, device="/dev/dm-0")])
    assert drivers.modules_in_use(run(layout=layout), sys) == {
        "sd_mod": ["sda"], "ahci": ["sda"], "virtio_net": ["eth0"], "virtio_pci": ["eth0"],
    }  # fmt: skip
