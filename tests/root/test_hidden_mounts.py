# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted below a folder over which something else was mounted later is saved by nobody, and said to be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.archives import MakeRun
from lab.loops import mounted, run
from rear_core import builtin
from rear_core.archive.backup import selected
from rear_core.archive.repository import opened
from rear_core.builtin.storage import capture_layout
from rear_core.errors import RearError
from rear_core.mounts import devices_below, hidden_by
from rear_core.plugins import Plugins
from rear_core.storage.at_stake import at_stake
from rear_core.storage.layout import Layout
from rear_core.storage.mount import Mount

pytestmark = pytest.mark.root


@pytest.fixture
def places(loop: Callable[..., str], tmp_path: Path, undo: ExitStack) -> Iterator[tuple[Path, str, str]]:
    """A folder with a file system in it, the device of that, and that of another one, which has such a folder too."""
    folder, inner, outer = tmp_path / "data", loop("inner", 32), loop("outer", 32)
    for device in (inner, outer):
        run("mkfs.ext4", "-q", device)
    with mounted(folder, outer):
        (folder / "sub").mkdir()
    (folder / "sub").mkdir()
    with mounted(folder / "sub", inner):
        (folder / "sub/file").write_text("only here")
        yield folder, inner, outer


def test_a_mount_is_hidden_by_what_is_mounted_above_it_later(places: tuple[Path, str, str]) -> None:
    folder, _, outer = places
    assert hidden_by(f"{folder}/sub") == "" and hidden_by("/") == "" and hidden_by(f"{folder}") == ""
    with mounted(folder, outer):
        assert not (folder / "sub/file").exists()
        assert hidden_by(f"{folder}/sub") == f"{folder}" and hidden_by(f"{folder}") == ""
        # Whatever lies on a place is seen there.
        with mounted(folder / "sub", "-t", "tmpfs", "tmpfs"):
            assert hidden_by(f"{folder}/sub") == ""


def test_what_is_hidden_is_lost_with_its_disk_and_no_backup_is_made_of_the_rest(
    places: tuple[Path, str, str], make_run: MakeRun, tmp_path: Path
) -> None:
    folder, inner, outer = places
    here = make_run(f"INCLUDE_DEVICES=( {inner} {outer} )\nBACKUP_PROG_EXCLUDE=()\n")
    here.plugins = Plugins(builtin.modules())
    with mounted(folder, outer):
        here.layout = capture_layout(here)
        fates = {c.title: c.fate for stake in at_stake(here, here.layout).values() for c in stake.contents}
        assert fates[f"{folder}"] == "saved" and fates[f"{folder}/sub"] == "lost"
        assert any(f"a later mount on {folder} hides" in line for line in here.report.warnings)
        with pytest.raises(RearError, match=f"{folder}/sub .*a mount on {folder} hides it"):
            selected(here, opened(here, tmp_path))
    here.layout = capture_layout(here)
    assert all(item.mounted for item in here.layout if isinstance(item, Mount) and item.target == f"{folder}/sub")


class Looked(Exception):
    """The mounts were looked at."""


@pytest.mark.parametrize("what", ["the description", "the backup"])
def test_what_is_mounted_on_demand_is_mounted_before_the_mounts_are_looked_at(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """For each of both: what systemd has mounted goes again when nobody uses it."""
    order: list[str] = []

    def look(*_arguments: object) -> None:
        order.append("looked")
        raise Looked

    monkeypatch.setattr("rear_core.storage.mount.wake", lambda _sh, _warn: order.append("woken"))
    monkeypatch.setattr("rear_core.storage.survey.read_mounts", look)
    monkeypatch.setattr("rear_core.storage.capture.read_mounts", look)
    here = make_run()
    here.plugins, here.layout = Plugins(builtin.modules()), Layout()
    with pytest.raises(Looked):
        capture_layout(here) if what == "the description" else selected(here, opened(here, tmp_path))
    assert order == ["woken", "looked"]


@pytest.fixture
def btrfs(loop: Callable[..., str], tmp_path: Path) -> tuple[str, Path]:
    """A Btrfs with a subvolume in another one and folders beside them, and where it is to be mounted."""
    device, top = loop("btrfs", 128), tmp_path / "top"
    run("mkfs.btrfs", "-q", device)
    with mounted(top, device):
        for name in ("@", "@/home", "@data"):
            run("btrfs", "subvolume", "create", top / name)
            (top / name / "folder").mkdir()
        (top / "@data/file").write_text("saved")
        (top / "@/home/file").write_text("saved")
        (top / "folder/in").mkdir(parents=True)
    return device, tmp_path / "place"


@pytest.mark.parametrize(
    ("subvolumes", "file", "found"),
    [
        (("@/home", "@data"), "", ""),
        (("@/home", "@data"), "top", "/top"),
        (("@/home", "@data"), "folder/in/deep", "/folder/in/deep"),
        (("@/home", "@data"), "@/folder/file", "/@/folder/file"),
        (("@", "@data"), "@/folder/file", ""),
        (("@", "@data"), "top", "/top"),
        (("@", "@data"), "\udcff", r"/\udcff"),
        (("/", "@data"), "top", ""),
    ],
)
def test_files_of_a_btrfs_that_no_mount_shows_are_lost_with_its_disk(
    btrfs: tuple[str, Path], make_run: MakeRun, subvolumes: tuple[str, ...], file: str, found: str
) -> None:
    device, place = btrfs
    with mounted(place, device):
        if file:
            (place / file).symlink_to("nowhere")
    here = make_run(f"INCLUDE_DEVICES=( {device} )\nBACKUP_PROG_EXCLUDE=()\n")
    here.plugins = Plugins(builtin.modules())
    before, folders = Path("/proc/self/mountinfo").read_text(), {*Path("/run").glob("rear-*")}
    with ExitStack() as mounts:
        for number, subvolume in enumerate(subvolumes):
            mounts.enter_context(mounted(place / f"{number}", "-o", f"subvol={subvolume}", device))
        layout = capture_layout(here)
    entries = [entry for entry in layout.left_out if entry.name == f"files of btrfs on {device}"]
    assert [(entry.lost, entry.on != ()) for entry in entries] == ([(True, True)] if found else [])
    assert all(entry.reason.endswith(f", as {found}") for entry in entries)
    lost = [c.title for stake in at_stake(here, layout).values() for c in stake.lost if "btrfs" in c.title]
    assert lost == [entry.name for entry in entries]
    assert Path("/proc/self/mountinfo").read_text() == before
    # Other tests look into theirs at the same time, for a moment.
    left = {*Path("/run").glob("rear-*")} - folders
    time.sleep(5 if left else 0)
    assert not [folder for folder in left if folder.exists()]


def test_where_the_top_of_a_btrfs_cannot_be_looked_at_its_files_count_as_lost(
    btrfs: tuple[str, Path], make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, place = btrfs
    monkeypatch.setattr("rear_core.storage.technologies.btrfs.unseen.LOOK", "echo no such option >&2; exit 32")
    here = make_run(f"INCLUDE_DEVICES=( {device} )\nBACKUP_PROG_EXCLUDE=()\n")
    here.plugins = Plugins(builtin.modules())
    with mounted(place, "-o", "subvol=@data", device):
        layout = capture_layout(here)
    (entry,) = [entry for entry in layout.left_out if entry.name == f"files of btrfs on {device}"]
    assert entry.lost and entry.on and "is unknown: " in entry.reason and "no such option" in entry.reason


def test_an_overlay_whose_upper_folder_is_hidden_lies_on_itself(tmp_path: Path) -> None:
    """As in a container, or after chroot(2): its option has a path of elsewhere, which here lies in the overlay."""
    with mounted(tmp_path / "t", "-t", "tmpfs", "tmpfs"):
        for name in ("lower", "upper", "work"):
            (tmp_path / "t" / name).mkdir()
        layers = ",".join(f"{name}dir={tmp_path}/t/{name}" for name in ("lower", "upper", "work"))
        with mounted(tmp_path / "m", "-t", "overlay", "-o", layers, "overlay"):
            number = (tmp_path / "m").stat().st_dev
            with mounted(tmp_path / "t/upper", "--bind", f"{tmp_path}/m"):
                assert [*devices_below(f"{tmp_path}/m/x")] == [f"{os.major(number)}:{os.minor(number)}"]
