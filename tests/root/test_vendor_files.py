# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vendor's client brings back is weighed on real file systems, each by itself."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from lab.archives import MakeRun
from lab.loops import mounted
from rear_core.archive import external
from rear_core.archive.external import Found
from rear_core.archive.shares import usage

pytestmark = pytest.mark.root

TMPFS = ("-t", "tmpfs", "none")


@pytest.mark.parametrize(
    ("parts", "said", "lacking"), [(10, "", False), (8, "408 of 510 files", False), (2, "102 of 510 files", True)]
)
def test_a_file_system_of_which_most_is_gone_is_told_beside_one_that_is_whole(
    tmp_path: Path, make_run: MakeRun, undo: ExitStack, parts: int, said: str, lacking: bool
) -> None:
    run = make_run()
    run.options = replace(run.options, target=tmp_path / "target")
    here, systems = {}, []
    for path in ("/", "/home"):
        here[path] = undo.enter_context(mounted(tmp_path / "here" / path.strip("/"), *TMPFS))
        for part in map(str, range(10)):
            (here[path] / part).mkdir()
            for name in range(50):
                (here[path] / part / f"{name}").touch()
        described = external._described(str(here[path]), {str(here[path]): usage(here[path]).bytes}, [])
        systems.append(replace(described, path=path, names=("0",)))
        undo.enter_context(mounted(run.target / path.strip("/"), *TMPFS))
    for essential in ("etc/passwd", "usr/bin"):
        (run.target / essential).mkdir(parents=True)
    run.backup = Found("x", tuple(systems))
    with external.restoring(run):
        for path, count in (("/", 10), ("/home", parts)):
            for part in map(str, range(count)):
                shutil.copytree(here[path] / part, run.target / path.strip("/") / part)
    told = [f"only {said} of /home were restored (counted when described)"] if said else []
    assert run.report.warnings == told
    assert run.recovery.missing == (told if lacking else [])
