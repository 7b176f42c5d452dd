# SPDX-License-Identifier: GPL-3.0-or-later
"""What LVM's filters hide from a recovered system, and what they hide from a rescue system: nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rear_core.finalize.lvm_devices import LIST, accepts, check_filters, filters
from rear_core.plugins import Plugins
from rear_core.rescue.tree import Tree
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Shell
from rear_core.storage.command import Site
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies.lvm import LogicalVolume
from rear_core.storage.technologies.lvm.running import configure
from rear_core.testing.fake_shell import FakeShell
from unit.finalize.storage import LAYOUT

OF_A_SAN = 'devices {\n\t# filter = [ "a|.*|" ]\n\tfilter = [ "a|^/dev/sda|", "r|.*|" ] # one disk\n}\n'


def put(target: Path, text: str, name: str = "etc/lvm/lvm.conf") -> None:
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / name).write_text(text)


def recovered(target: Path, *, root: bool) -> Run:
    """A machine whose volume group lies on /dev/mapper/crypt; its root file system may."""
    run = Run(evaluate(Sources(), [], {}), Plugins([]), Options(target=target))
    own = next(item for item in LAYOUT if isinstance(item, LogicalVolume))
    items = [item for item in LAYOUT if not isinstance(item, Mount)]
    items += [Mount("mount:/" if root else "mount:/srv", (own.id,), "/" if root else "/srv", "ext4")]
    disks = {"disk:one": "/dev/vda", "disk:two": "/dev/vdb", "disk:left": "/dev/sdc"}
    run.rebuilt = Rebuilt(Site(make(items), disks), disks)
    rows = [{"name": "/dev/mapper/crypt", "kname": "/dev/dm-77"}]
    run.sh = FakeShell(
        {
            "lsblk --json --list --paths --output NAME,KNAME": json.dumps({"blockdevices": rows}),
            "blkid --cache-file /dev/null --output export": "",
        }
    )
    return run


@pytest.mark.parametrize("root", [True, False])
def test_a_group_that_a_filter_hides_is_named(tmp_path: Path, root: bool) -> None:
    put(tmp_path, OF_A_SAN)
    run = recovered(tmp_path, root=root)
    check_filters(run)
    told, silent = run.recovery.problems, run.recovery.differences
    if not root:
        told, silent = silent, told
    assert silent == []
    (line,) = told
    assert line.startswith("/dev/mapper/crypt is hidden from LVM by the filter in /etc/lvm/lvm.conf")


@pytest.mark.parametrize(
    "text", ["", "devices { }", OF_A_SAN.replace("sda", "mapper/"), OF_A_SAN.replace("^/dev/sda", "dm-77$")]
)
def test_a_filter_that_still_holds_is_no_matter(tmp_path: Path, text: str) -> None:
    put(tmp_path, text)
    run = recovered(tmp_path, root=True)
    check_filters(run)
    assert run.recovery.problems == run.recovery.differences == []


def test_a_filter_counts_for_nothing_where_lvm_has_a_list(tmp_path: Path) -> None:
    put(tmp_path, OF_A_SAN)
    put(tmp_path, "", LIST[1:])
    run = recovered(tmp_path, root=True)
    check_filters(run)
    assert run.recovery.problems == []


def test_filters_are_read_as_lvm_reads_them(tmp_path: Path) -> None:
    put(tmp_path, 'devices {\n filter = [ "a|/dev/sd[ab]|",\n   "r#x\\"y#" ]\n}\ndevices/global_filter="r/x/"\n')
    put(tmp_path, 'devices { filter = "a|^/dev/vda|" global_filter = [] }', "etc/lvm/lvmlocal.conf")
    assert filters(tmp_path) == [["a|^/dev/vda|", "a|/dev/sd[ab]|", 'r#x"y#']]


@pytest.mark.parametrize(
    ("patterns", "names", "seen"),
    [
        (["a|loop|", "r|.*|"], ["/dev/loop0"], True),
        (["a|loop|", "r|.*|"], ["/dev/sda", "/dev/disk/by-id/loop"], True),
        (["r|/dev/sdb|"], ["/dev/sda"], True),
        (["r|/dev/sdb|"], ["/dev/sdb", "/dev/disk/by-id/x"], False),
        (["r|(|"], ["/dev/sdb"], True),
    ],
)
def test_one_accepted_name_of_a_device_is_enough(patterns: list[str], names: list[str], seen: bool) -> None:
    assert accepts(patterns, names) == seen


@pytest.mark.skipif(Shell().which("lvm") is None, reason="LVM is not installed")
@pytest.mark.parametrize("local", ["", 'local {\n\textra_system_ids = [ "x" ]\n}\n'])
def test_a_rescue_system_sees_all_disks_whatever_the_machine_hides(tmp_path: Path, local: str) -> None:
    hidden = OF_A_SAN.replace("}\n", 'global_filter = [ "r|.*|" ]\n# use_devicesfile = 1\n}\n')
    put(tmp_path, hidden)
    put(tmp_path, local, "etc/lvm/lvmlocal.conf")
    configure(Tree(tmp_path))
    asked = [f"devices/{name}" for name in ("filter", "global_filter", "use_devicesfile")]
    environment = {"LVM_SYSTEM_DIR": str(tmp_path / "etc/lvm")}
    found = Shell().query("lvm", "lvmconfig", "--type", "current", *asked, env=environment)
    assert 'filter=["a|.*|"' in found and 'global_filter=["a|.*|"]' in found.replace('="a|.*|"', '=["a|.*|"]')
    assert "use_devicesfile=0" in found


def test_a_rescue_system_without_lvm_gets_no_configuration_of_it(tmp_path: Path) -> None:
    configure(Tree(tmp_path))
    assert not (tmp_path / "etc").exists()
