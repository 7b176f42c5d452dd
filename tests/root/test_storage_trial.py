# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery could not make again is known when the media are made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.archives import MakeRun
from lab.loops import run
from rear_core.errors import Refused
from rear_core.storage.capture import capture
from rear_core.storage.disk import Disk, PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.plan import without
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.trial import try_commands

pytestmark = pytest.mark.root

FINE = {
    "ext4": "mkfs.ext4 -q -L root {0}",
    "ext4, small inodes and no journal": "mkfs.ext4 -q -O ^has_journal -I 128 -N 5000 {0}",
    "ext4 with clusters": "mkfs.ext4 -q -O bigalloc -C 65536 {0}",
    "ext4, journal on another disk": "mke2fs -q -O journal_dev -b 4096 {1} && mkfs.ext4 -q -b 4096 -J device={1} {0}",
    "xfs": "mkfs.xfs -q -m reflink=1,rmapbt=1 {0}",
    "xfs with an external log": "mkfs.xfs -q -l logdev={1} {0}",
    "btrfs on two disks": "mkfs.btrfs -q -d raid1 -m raid1 {0} {1}",
    "vfat": "mkfs.vfat -n EFI {0}",
    "swap": "mkswap -L swap {0}",
}


def tried(make_run: MakeRun, commands: str, *devices: str) -> list[str]:
    """Make a file system and try how it is made again; the commands that were run on files."""
    for command in commands.split(" && "):
        run(*command.format(*devices).split())
    here = make_run()
    found = capture(here.sh, include=list(devices))
    layout = without(found, {item.id for item in found if isinstance(item, Disk) and item.device not in devices})
    lines = here.log_lines  # type: ignore[attr-defined]
    lines.clear()
    try_commands(here, layout, CORE_KINDS)
    return [line for line in lines if re.search(r"(mk\w*fs|mkswap|tune2fs)\S* .*/trial/0", line)]


@pytest.mark.parametrize("kind", FINE)
def test_what_can_be_made_again_is_made_in_a_file(make_run: MakeRun, loop: Callable[..., str], kind: str) -> None:
    assert tried(make_run, FINE[kind], loop("first", 400), loop("second", 400))


def test_what_cannot_be_made_again_is_refused_by_name(make_run: MakeRun, loop: Callable[..., str]) -> None:
    device, here = loop("first", 400), make_run()
    run("mkfs.ext4", "-q", device)
    found = capture(here.sh, include=[device])
    layout = without(found, {item.id for item in found if isinstance(item, Disk) and item.device != device})
    unknown = [replace(item, features=("from_next_year",)) if isinstance(item, Ext) else item for item in layout]
    with pytest.raises(Refused, match=rf"{device} cannot be recreated: mke2fs failed"):
        try_commands(here, make(unknown), CORE_KINDS)


@pytest.mark.parametrize("nested", ["type=ee, start=1, size=2047\nstart=2048, size=40960, bootable", "bootable"])
def test_an_mbr_before_a_gpt_is_tried_on_a_file(make_run: MakeRun, loop: Callable[..., str], nested: str) -> None:
    device = loop("first", 400)
    run("sfdisk", "--quiet", "--label", "gpt", device, input="size=20MiB\n")
    if nested == "bootable":
        run("sfdisk", "--quiet", "--label-nested", "dos", "--activate", device, "1")
    else:
        run("sfdisk", "--quiet", "--label-nested", "dos", device, input=f"grain: 512\n{nested}\n")
    here = make_run()
    found = capture(here.sh, include=[device])
    layout = without(found, {item.id for item in found if isinstance(item, Disk) and item.device != device})
    (table,) = [item for item in layout if isinstance(item, PartitionTable)]
    assert any(entry.bootable for entry in table.mbr)
    try_commands(here, layout, CORE_KINDS)
    lines = here.log_lines  # type: ignore[attr-defined]
    assert [line for line in lines if "--label-nested dos" in line and "/trial/0" in line]


def test_a_file_system_larger_than_memory_and_disk_costs_nothing(
    make_run: MakeRun, loop: Callable[..., str], tmp_path: Path
) -> None:
    device = loop("first", 10 << 20)
    assert tried(make_run, "mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 {0}", device)
    used = sum(os.stat(path).st_blocks * 512 for path in (tmp_path / "work").rglob("*"))
    assert used < 300 << 20
