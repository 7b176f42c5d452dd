# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=CDROM: real images of three discs, made and restored; drives and their discs are stood in for."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import rear_backup_cdrom
import rear_output_iso
from rear_backup_cdrom import discs as discs_module
from rear_backup_cdrom.discs import Discs
from rear_core import Refused, RescueImage, Run, archive, builtin
from rear_core.archive import backup, coverage, manifest
from rear_core.errors import Interrupted, ProgramFailed
from rear_core.media.grub import find_modules
from rear_core.media.iso import file_extents
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Outcome, Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.workflow import WORKFLOWS

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (find_modules("i386-pc") and Shell().which("xorriso")), reason="GRUB for BIOS or xorriso is not installed"
    ),
]

# Beside a small rescue system 2.5 MiB are left on the first disc.
SIZE = "20MiB"
MIB = 1 << 20


class Drives(Shell):
    """Drives and sticks with images in them, as the kernel and mount(8) would show them.

    What somebody puts into the first drive one after the other stands in `changer`. To mount an image is to unpack it
    into memory.
    """

    def __init__(self, inside: Mapping[str, Path | None], changer: Sequence[Path] = ()) -> None:
        super().__init__()
        self.inside = dict(inside)
        self.changer = list(changer)

    def run(self, *argv: Any, **options: Any) -> Outcome:
        words = tuple(map(os.fspath, argv))
        if words[0] == "lsblk":
            names = ["/dev/vda", *self.inside]
            rows = [{"name": name, "type": kind(name), "pkname": name[:-1] if kind(name) == "part" else None}
                    for name in names]  # fmt: skip
            return Outcome(words, 0, json.dumps({"blockdevices": rows}), "", 0)
        if words[0] == "blkid":
            image = self.inside.get(words[-1])
            return Outcome(words, 0 if image else 2, "TYPE=iso9660\nLABEL=REAR\n" if image else "", "", 0)
        if words[:3] == ("mount", "--types", "iso9660"):
            assert "ro" in words[4].split(",")
            image = self.inside.get(words[5]) or Path(words[5])
            super().run("mount", "-t", "tmpfs", "none", words[6])
            try:
                unpack = ("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", words[6])
                return super().run(*unpack)
            except ProgramFailed:
                super().run("umount", words[6])
                raise
        return super().run(*argv, **options)


def kind(name: str) -> str:
    """What lsblk calls a device."""
    return "rom" if name.startswith("/dev/sr") else "part" if name[-1].isdigit() else "disk"


class Console(io.StringIO):
    """Somebody at a terminal who changes the disc before he presses Enter; a mounted one cannot be changed."""

    def __init__(self, typed: str, drives: Drives, work: Path) -> None:
        super().__init__(typed)
        self.drives = drives
        self.work = work

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        assert not [line for line in mounts_below(self.work) if "/discs/dev-sr" in line]
        if self.drives.changer:
            self.drives.inside["/dev/sr0"] = self.drives.changer.pop(0)
        return super().readline()


def settings_of(tmp_path: Path, owner: str) -> tuple[Plugins, Any]:
    plugins = Plugins([*builtin.modules(), rear_backup_cdrom, rear_output_iso])
    text = (
        f"BACKUP=CDROM\nISO_DIR={tmp_path}/output\nISO_PREFIX=rear-{owner}\nISO_MAX_SIZE={SIZE}\nBACKUP_PREFIX={owner}\n"
        f"VAR_DIR={tmp_path}/var\nBACKUP_COMPRESSION=none\n"
    )
    return plugins, evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), plugins.settings(), {})


def make_set(tmp_path: Path, owner: str, size: int) -> list[Path]:
    """The images of a backup of one file with `size` random bytes; what was saved stays in the folder tree."""
    plugins, settings = settings_of(tmp_path, owner)
    options = Options(config_dir=tmp_path / "etc")
    run = Run(settings, plugins, options, Report(terminal=io.StringIO()), phases=WORKFLOWS["mkbackup"])
    run.build_dir = tmp_path / "build"
    (tmp_path / "tree").mkdir(parents=True)
    (tmp_path / "tree/noise").write_bytes(os.urandom(size))
    run.build_dir.mkdir()
    run.system = System(OperatingSystem("debian"), owner, "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    for name in ("kernel", "initramfs"):
        (run.build_dir / name).write_bytes(name.encode() * 10000)
    run.image = RescueImage(run.build_dir / "kernel", run.build_dir / "initramfs", "6.1", "console=ttyS0")
    covered = coverage.Covered("/", "", "", coverage.SAVED, bytes=size)
    with run.undo:
        rear_backup_cdrom.check_media(run)
        backup.store(run, Discs(run), coverage.Selection((f".{tmp_path}/tree",), (), (covered,)))
        for step in sorted(rear_output_iso.rear_output(run), key=lambda step: step.number):
            step.action(run)
    assert not [path for path in (tmp_path / "output").iterdir() if path.name.endswith(".part")]
    return run.results


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the three discs of web1 as 1.iso to 3.iso, an older one of it as old1.iso, two of web2 as b1.iso
    and b2.iso, and what was saved."""
    folder = tmp_path_factory.mktemp("discs")
    sets = (("old", "old", "web1", MIB, 1), ("b", "web2", "web2", 4 * MIB, 2), ("", "web1", "web1", 23 * MIB, 3))
    for name, place, owner, size, count in sets:
        time.sleep(1)  # backups are told apart by the second they were made in
        made = make_set(folder / place, owner, size)
        assert len(made) == count
        for number, path in enumerate(made, start=1):
            os.link(path, folder / f"{name}{number}.iso")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def recover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs verify and restore; `typed` is what somebody types at the console, None when nobody is there."""
    monkeypatch.setattr(discs_module, "DRIVE_SECONDS", 0)

    def go(
        drives: Drives, typed: str | None = None, folder: Path = tmp_path, date: str = "", target: Path | None = None
    ) -> Run:
        plugins, settings = settings_of(folder, "web1")
        where = target or tmp_path / "restored"
        options = Options(target=where, config_dir=tmp_path, unattended=typed is None, backup=date)
        run = Run(settings, plugins, options, Report(terminal=io.StringIO()), drives, phases=WORKFLOWS["restoreonly"])
        run.build_dir = tmp_path / "work"
        run.build_dir.mkdir(exist_ok=True)
        monkeypatch.setattr("sys.stdin", Console(typed, drives, run.build_dir) if typed is not None else io.StringIO())
        with run.undo:
            for step in (*rear_backup_cdrom.rear_verify(), *rear_backup_cdrom.rear_restore()):
                step.action(run)
        return run

    return go


def said(run_or_report: Any) -> str:
    return str(run_or_report._terminal.getvalue())


def same(three: Path, tmp_path: Path) -> bool:
    saved = three / "web1/tree/noise"
    return Path(f"{tmp_path}/restored{saved}").read_bytes() == saved.read_bytes()


def mounts_below(path: Path) -> list[str]:
    below = f" {path}/".replace("//", "/")
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if below in line]


def test_discs_that_are_all_there_need_nobody(tmp_path: Path, three: Path, recover: Callable[..., Run]) -> None:
    """In two drives, on a stick that one was copied to, and one of another machine beside."""
    inside = {"/dev/sr0": three / "3.iso", "/dev/sdb": three / "2.iso", "/dev/sdb1": three / "2.iso",
              "/dev/sr1": three / "1.iso", "/dev/sdc": three / "b2.iso"}  # fmt: skip
    run = recover(Drives(inside))
    assert same(three, tmp_path)
    assert said(run.report).count("Found disc 2 of 3") == 1
    assert "in /dev/sdb\n" in said(run.report)
    assert mounts_below(tmp_path) == []


def test_one_drive_is_fed_by_somebody(
    tmp_path: Path, three: Path, recover: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Checked from the last disc to the first, then restored from the first to the last."""
    order = [three / f"{name}.iso" for name in ("3", "2", "1", "2", "3")]
    drives = Drives({"/dev/sr0": three / "1.iso"}, order)
    run = recover(drives, "\n" * 5)
    assert same(three, tmp_path)
    assert drives.changer == []
    assert said(run.report).count("Needed: disc 2 of 3 of the backup 20") == 2
    assert capsys.readouterr().err.count("Put it into a drive") == 5
    assert mounts_below(tmp_path) == []


def test_a_wrong_disc_is_named_and_another_one_asked_for(
    tmp_path: Path, three: Path, recover: Callable[..., Run]
) -> None:
    order = [three / f"{name}.iso" for name in ("b2", "2", "3", "2", "1", "2", "3")]
    run = recover(Drives({"/dev/sr0": three / "1.iso"}, order), "\n" * 7)
    assert same(three, tmp_path)
    assert "Found: disc 2 of 2 of the backup" in said(run.report)
    assert "of web2 in /dev/sr0" in said(run.report)
    assert said(run.report).count("Needed: disc 3 of 3") == 4


def test_missing_discs_are_named_when_nobody_is_there(tmp_path: Path, three: Path, recover: Callable[..., Run]) -> None:
    with pytest.raises(Refused, match=r"disc 2 of 3 .*, disc 3 of 3 .* of web1; found: disc 1 of 3"):
        recover(Drives({"/dev/sr0": three / "1.iso"}))
    assert not (tmp_path / "restored").exists()
    assert mounts_below(tmp_path) == []


def test_only_discs_of_another_machine_are_refused_by_name(three: Path, recover: Callable[..., Run]) -> None:
    with pytest.raises(Refused, match=r"a disc with a backup of web1; found: disc 1 of 2 .* of web2 in /dev/sr0"):
        recover(Drives({"/dev/sr0": three / "b1.iso"}))


def test_somebody_may_give_up(three: Path, recover: Callable[..., Run]) -> None:
    with pytest.raises(Interrupted, match="waiting for disc 3 of 3"):
        recover(Drives({"/dev/sr0": three / "1.iso"}, [three / "1.iso"]), "q\n")


def damaged(tmp_path: Path, image: Path, name: str, text: bytes) -> Path:
    """A copy of an image in which something is written over the file of this name."""
    copy = tmp_path / "damaged.iso"
    shutil.copyfile(image, copy)
    (extents,) = [found for path, found in file_extents(Shell(), image).items() if path.endswith(name)]
    with copy.open("r+b") as file:
        file.seek(extents[0].start + extents[0].size // 2)
        file.write(text)
    return copy


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_disc_is_named_before_anything_is_written(
    tmp_path: Path, three: Path, recover: Callable[..., Run], number: int
) -> None:
    inside = {f"/dev/sr{n}": three / f"{n}.iso" for n in (1, 2, 3)}
    inside[f"/dev/sr{number}"] = damaged(tmp_path, three / f"{number}.iso", f".{number:02d}", b"damage")
    with pytest.raises(Refused, match=f"volume {number} of the archive .* in the discs of web1 is damaged"):
        recover(Drives(inside))
    assert not (tmp_path / "restored").exists()


def test_a_disc_with_a_damaged_manifest_does_not_count(
    tmp_path: Path, three: Path, recover: Callable[..., Run]
) -> None:
    bad = damaged(tmp_path, three / "2.iso", "manifest.json", b"\xff")
    with pytest.raises(Refused, match=r"disc 2 of 3 .* /dev/sr2, which cannot be read \(.*manifest"):
        recover(Drives({"/dev/sr1": three / "1.iso", "/dev/sr2": bad, "/dev/sr3": three / "3.iso"}))


def test_a_truncated_image_on_a_stick_is_refused(tmp_path: Path, three: Path, recover: Callable[..., Run]) -> None:
    cut = tmp_path / "cut.iso"
    cut.write_bytes((three / "2.iso").read_bytes()[: 10 << 20])
    with pytest.raises(Refused):
        recover(Drives({"/dev/sr1": three / "1.iso", "/dev/sdb": cut, "/dev/sr3": three / "3.iso"}))
    assert not (tmp_path / "restored").exists()


def test_images_that_were_never_burned_serve_as_well(tmp_path: Path, three: Path, recover: Callable[..., Run]) -> None:
    run = recover(Drives({"/dev/sr0": None}), folder=three / "web1")
    assert same(three, tmp_path)
    assert "rear-web1.iso" in said(run.report)


def test_the_newest_backup_is_taken_unless_a_date_says_otherwise(
    tmp_path: Path, three: Path, recover: Callable[..., Run]
) -> None:
    inside = {"/dev/sr0": three / "old1.iso", **{f"/dev/sr{n}": three / f"{n}.iso" for n in (1, 2, 3)}}
    recover(Drives(inside))
    assert same(three, tmp_path)
    old = three / "old/tree/noise"
    (found,) = [name for name in file_extents(Shell(), three / "old1.iso") if name.endswith(manifest.NAME)]
    recover(Drives(inside), date=found.split("/")[3], target=tmp_path / "other")
    assert Path(f"{tmp_path}/other{old}").read_bytes() == old.read_bytes()


def test_the_newest_backup_is_the_one_made_last_whatever_the_clock_said(
    tmp_path: Path, recover: Callable[..., Run]
) -> None:
    (tmp_path / "last/etc/recovery").mkdir(parents=True)
    (tmp_path / "last/etc/recovery/discs.json").write_text('{"backups": 8}')
    (last,) = make_set(tmp_path / "last", "web1", MIB)
    time.sleep(1)
    (first,) = make_set(tmp_path / "first", "web1", MIB)
    recover(Drives({"/dev/sr0": last, "/dev/sr1": first}))
    saved = tmp_path / "last/tree/noise"
    assert Path(f"{tmp_path}/restored{saved}").read_bytes() == saved.read_bytes()


def test_a_single_disc_is_also_a_folder_of_backups(tmp_path: Path, three: Path) -> None:
    plugins, settings = settings_of(tmp_path, "web1")
    Shell().run("xorriso", "-osirrox", "on", "-indev", three / "old1.iso", "-extract", "/backup", tmp_path / "mnt")
    options = Options(target=tmp_path / "restored", config_dir=tmp_path, unattended=True)
    run = Run(settings, plugins, options, Report(terminal=io.StringIO()), build_dir=tmp_path)
    archive.check(run, tmp_path / "mnt")
    archive.restore(run, tmp_path / "mnt")
    saved = three / "old/tree/noise"
    assert Path(f"{tmp_path}/restored{saved}").read_bytes() == saved.read_bytes()
