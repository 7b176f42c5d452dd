# SPDX-License-Identifier: GPL-3.0-or-later
"""Too little room is told before anything is made."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rear_core import Refused, Run, builtin
from rear_core.builtin import pack, rescue
from rear_core.plugins import Plugins
from rear_core.rescue import memory
from rear_core.run import Options
from rear_core.settings import evaluate
from rear_core.settings.files import load

pytestmark = pytest.mark.root


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB."""
    (place := tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "rear-test", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def run_with(tmp_path: Path, setting: str) -> Run:
    (tmp_path / "local.conf").write_text(f"{setting}\n")
    settings = evaluate(load(tmp_path, ["local.conf"]), Plugins(builtin.modules()).settings(), {})
    return Run(settings, Plugins([]), Options(config_dir=tmp_path))


def test_the_cache_needs_room_until_it_is_filled(tmp_path: Path, small: Path) -> None:
    run = run_with(tmp_path, f"CACHE_DIR={small}/cache")
    with pytest.raises(Refused, match="20 MiB free, but rear needs 100 MiB") as caught:
        rescue.check_cache(run)
    assert "CACHE_DIR" in caught.value.hint
    assert not list(small.iterdir())
    (small / "cache").mkdir()
    with (small / "cache/programs-1.cpio").open("wb") as segment:
        segment.truncate(rescue.CACHE_SIZE)
    rescue.check_cache(run)


def test_the_memory_of_the_tree_is_given_back_once_it_is_packed(tmp_path: Path) -> None:
    run = run_with(tmp_path, f"TMPDIR={tmp_path}")
    run.build_dir = tmp_path
    run.rootfs_dir.mkdir()
    with run.undo:
        assert memory.mount(run.sh, run.rootfs_dir, 1, run.undo) and run.rootfs_dir.is_mount()
        last = max(Plugins([pack]).call("rear_pack", run=run), key=lambda step: step.number)
        last.action(run)
        assert not run.rootfs_dir.is_mount()


def test_the_work_area_needs_room(tmp_path: Path, small: Path) -> None:
    with pytest.raises(Refused, match="20 MiB free") as caught:
        rescue.check_space(run_with(tmp_path, f"TMPDIR={small}"))
    assert "TMPDIR" in caught.value.hint
