# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written for sfdisk is read by it as it was meant."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable, script
from rear_core.storage.layout import make

MIB = 1 << 20
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@pytest.mark.parametrize("name", ["a\nEND\nid>PWN #", '"; $(id) `id` \\', "tab\tand\x1b[2K\x7f", "\xe9t\xe9"])
def test_a_partition_keeps_any_name(tmp_path: Path, name: str) -> None:
    disk = Disk("disk:x", (), 8 * MIB, "/dev/x")
    table = PartitionTable("table:x", ("disk:x",), "gpt")
    partition = Partition("partition:x", ("table:x",), 1, MIB, MIB, LINUX, name=name)
    text = script(table, Site(make([disk, table, partition]), {"disk:x": "/dev/x"}))
    image = tmp_path / "image"
    image.write_bytes(bytes(disk.size))
    subprocess.run(["sfdisk", "--quiet", image], input=text, text=True, check=True)
    found = json.loads(subprocess.run(["sfdisk", "--json", image], stdout=subprocess.PIPE, check=True).stdout)
    assert [row["name"] for row in found["partitiontable"]["partitions"]] == [name]
