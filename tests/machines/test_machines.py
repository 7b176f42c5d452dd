# SPDX-License-Identifier: GPL-3.0-or-later
"""What recorded machines printed becomes the layout that is kept beside it.

A machine is a folder: `commands/` as recorded by `python3 -m rear_core.testing.fake_shell FOLDER`, the golden
`layout.json` and `warnings.txt`, and `include.txt` when disks were named on the command line. New golden
files are written with `pytest tests/machines --update-golden`; read them before you commit them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from machines import compared
from rear_core.storage.capture import capture
from rear_core.storage.compare import compare
from rear_core.storage.kinds import contents, item_types
from rear_core.storage.layout import dumps, load, loads
from rear_core.storage.technologies import CORE_KINDS
from rear_core.testing.fake_shell import LATER, FakeShell

MACHINES = sorted(path.parent for path in Path(__file__).parent.glob("*/commands"))


@pytest.fixture(params=MACHINES, ids=lambda path: path.name)
def machine(request: pytest.FixtureRequest) -> Path:
    """The folder of a machine."""
    path: Path = request.param
    return path


def test_a_machine_is_described_as_expected(machine: Path, request: pytest.FixtureRequest) -> None:
    warnings: list[str] = []
    include = machine / "include.txt"
    layout = capture(
        FakeShell(machine / "commands"),
        warn=warnings.append,
        include=include.read_text().split() if include.exists() else (),
    )
    said = "".join(f"{line}\n" for line in warnings)
    if request.config.getoption("--update-golden"):
        (machine / "layout.json").write_text(dumps(layout))
        (machine / "warnings.txt").write_text(said)
    assert dumps(layout) == (machine / "layout.json").read_text()
    assert said == (machine / "warnings.txt").read_text()
    golden = load(machine / "layout.json", item_types(CORE_KINDS))
    assert compare(golden, layout) == []


def test_every_recorded_command_is_still_asked(machine: Path) -> None:
    shell = FakeShell(machine / "commands")
    include = machine / "include.txt"
    capture(shell, include=include.read_text().split() if include.exists() else ())
    recorded = {path.read_text(errors="surrogateescape").split("\n")[0][2:] for path in machine.glob("commands/*.txt")}
    assert recorded == {command for command in shell.asked if command in recorded or not command.startswith(LATER)}


def test_the_order_puts_everything_after_what_it_needs(machine: Path) -> None:
    layout = load(machine / "layout.json", item_types(CORE_KINDS))
    done: set[str] = set()
    for item in layout.order():
        assert done.issuperset(item.needs)
        done.add(item.id)
    assert len(done) == len(layout)


def test_the_rescue_system_gets_the_tools_of_every_technology(machine: Path) -> None:
    layout = load(machine / "layout.json", item_types(CORE_KINDS))
    programs = {name for part in contents(layout, CORE_KINDS) for name in part.programs}
    needed = {
        "ext": "mke2fs",
        "xfs": "mkfs.xfs",
        "btrfs": "mkfs.btrfs",
        "vfat": "mkfs.vfat",
        "swap": "mkswap",
        "swap file": "mkswap",
        "luks": "cryptsetup",
        "md": "mdadm",
        "vg": "lvm",
        "multipath disk": "multipath",
        "disk": "sfdisk",
    }
    present = {needed[item.type] for item in layout if item.type in needed}
    assert present <= programs
    assert programs.isdisjoint(set(needed.values()) - present)


def test_udev_can_tell_that_a_device_of_the_device_mapper_is_there(machine: Path) -> None:
    """By `dmsetup udevcomplete`, a rule that comes with all others; who has made the device waits for that."""
    layout = load(machine / "layout.json", item_types(CORE_KINDS))
    for part in contents(layout, CORE_KINDS):
        if any(module.startswith("dm_") for module in part.modules):
            assert "dmsetup" in part.programs


def test_a_golden_layout_reads_back_the_same(machine: Path) -> None:
    text = (machine / "layout.json").read_text()
    assert dumps(loads(text, item_types(CORE_KINDS))) == text


def test_every_machine_that_nobody_ran_is_named_as_such() -> None:
    told = {row.test for row in compared.ALL}
    root = Path(__file__).parent.parent.parent
    assert [place for place in told if not (root / place).exists()] == []
    composed = {str(path.relative_to(root)) for path in MACHINES if path.name.startswith("composed-")}
    assert composed <= told
