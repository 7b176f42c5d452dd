# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin, on a disk of loop devices."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.loops import attached
from rear_core import Run
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate
from rear_core.shell import Shell
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply
from rear_output_usb.disk import make_file_systems, partition_table

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

DISTRIBUTION = "rear-output-usb"
SIZE = 2 << 30


@pytest.fixture
def supply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supply]:
    """A disk made as by `rear format`, whose partitions are loop devices of their own; lsblk has to be told of that."""
    if os.geteuid() != 0:
        yield Supply(cannot_run="a disk is made of loop devices, which needs root")
        return
    path = tmp_path_factory.mktemp("disk")
    image = path / "image"
    image.touch()
    with ExitStack() as undo:
        make_table(image)
        rows = Shell().json("sfdisk", "--json", image)["partitiontable"]["partitions"]
        places = [(f"--offset={row['start'] * 512}", f"--sizelimit={row['size'] * 512}") for row in rows]
        disk, efi, data = (attached(undo, image, *place) for place in ((), *places[1:]))

        def renew() -> None:
            make_table(image)
            make_file_systems(Run(evaluate(Sources(), [], {}), Plugins([])), efi, data, "REAR-000")

        renew()
        _show(path / "lsblk", disk, efi, data)
        yield Supply(f"USB_DEVICE={data}\n", programs=path, renew=renew)


def make_table(image: Path) -> None:
    """Make an empty disk with its partitions."""
    os.truncate(image, 0)
    os.truncate(image, SIZE)
    Shell().run("sfdisk", image, input=partition_table("REAR-000", 512))


def _show(lsblk: Path, disk: str, *partitions: str) -> None:
    parts = [{"name": name[5:], "kname": name[5:], "type": "part"} for name in partitions]
    tree = {"name": disk[5:], "kname": disk[5:], "type": "disk", "size": SIZE, "log-sec": 512, "children": parts}
    lsblk.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps({'blockdevices': [tree]})}\nEND\n")
    lsblk.chmod(0o755)
