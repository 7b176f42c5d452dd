# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rescue system of a rehearsal is given to get at the backup, by the methods as they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rear_core import Refused, Run, records
from rear_core.cli.session import open_run
from rear_core.run import Options
from rear_core.shell import Shell
from rear_core.system import Firmware, OperatingSystem, System
from rear_drill import access
from rear_drill.access import LABEL, MOUNT, Given

DEBUGFS = Shell().which("debugfs")
needs_e2fsprogs = pytest.mark.skipif(not DEBUGFS, reason="e2fsprogs is not installed")


def made(folder: Path, name: str, conf: str) -> Run:
    """A run of the machine web1 with a configuration, in a folder of its own."""
    config = folder / name
    config.mkdir(mode=0o700)
    text = f"OS_FAMILY=debian\nVAR_DIR={folder}/var\nISO_DIR={folder}\n{conf}"
    (config / "local.conf").write_text(text)
    run = open_run(Options(config_dir=config))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1.0-13-amd64", Firmware("bios"))
    run.build_dir = folder / f"{name}.work"
    run.build_dir.mkdir(mode=0o700)
    return run


def laid_ready(folder: Path, conf: str, own: str = "", *, date: str = "", hand_in: tuple[Path, ...] = ()) -> Given:
    """What an image with this configuration is given on a machine that has more in its own."""
    run, told = made(folder, "own", conf + own), made(folder, "image", conf)
    return access.given(run, told, folder / "rear-web1.iso", date, hand_in)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("several words\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of backups: of two machines by rsync, and of all by restic and Borg."""
    (srv := tmp_path / "srv").mkdir()
    for name in ("restic", "borg", "rsync/web1/one", "rsync/web2"):
        (srv / name).mkdir(parents=True)
        (srv / name / "data").write_bytes(name.encode())
    os.link(srv / "rsync/web1/one/data", srv / "rsync/web1/again")
    os.chown(srv / "rsync/web1/one/data", os.getuid(), os.getgid())
    (srv / "rsync/web1/one/data").chmod(0o4711)
    return srv


def listed(disc: Path, path: str) -> str:
    return Shell().query(str(DEBUGFS), "-R", path, disc)


@needs_e2fsprogs
@pytest.mark.parametrize(
    ("method", "folder"),
    [("RESTIC", "restic"), ("BORG", "borg"), ("RSYNC", "rsync/web1")],
    ids=["RESTIC", "BORG", "RSYNC"],
)
def test_a_folder_goes_in_on_a_disc(tmp_path: Path, place: Path, secret: Path, method: str, folder: str) -> None:
    names = {"RESTIC": "RESTIC_PASSWORD_FILE", "BORG": "BORG_PASSPHRASE_FILE"}
    conf = f"BACKUP={method}\nBACKUP_URL=file://{place}\n"
    conf += f"{names[method]}={secret}\n" if method in names else ""
    found = laid_ready(tmp_path, conf, date="2026-11-22")
    (disc,) = found.discs
    assert (disc.bus, found.mount, found.date, found.archive) == ("cdrom", f"{place}/{folder}", "2026-11-22", "")
    assert stat.S_IMODE(disc.path.stat().st_mode) == 0o600
    assert Shell().query("blkid", "-p", "-o", "value", "-s", "LABEL", disc.path).strip() == LABEL
    assert found.files == ({str(secret): b"several words\n"} if method in names else {})
    assert not found.lines and found.card is None
    if method == "RSYNC":
        assert "Mode:  04711" in (said := listed(disc.path, "stat /one/data")) and "Links: 2" in said
        assert "web2" not in listed(disc.path, "ls -l /")


@needs_e2fsprogs
def test_a_share_goes_in_at_a_place_of_its_own(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    monkeypatch.setattr(access, "opened", contextmanager(lambda *_: iter([place])))
    found = laid_ready(tmp_path, "BACKUP=RSYNC\nBACKUP_URL=nfs://nas/export\n")
    assert found.mount == f"{MOUNT}/rsync/web1" and found.lines == [f"BACKUP_URL=file://{MOUNT}"]
    assert "The way to nfs://nas/export" in " ".join(found.unproven)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    with pytest.raises(Refused, match="there is no folder restic in file:///"):
        laid_ready(tmp_path, f"BACKUP=RESTIC\nBACKUP_URL=file://{tmp_path}/srv\n")


@pytest.mark.parametrize(
    "conf",
    [
        "BACKUP=RESTIC\nRESTIC_REPOSITORY=s3:https://s3/bucket\n", "BACKUP=BORG\nBORG_REPOSITORY=ssh://ada@nas/./borg\n",
        "BACKUP=RSYNC\nRSYNC_REPOSITORY=ada@nas:/rsync\n", "BACKUP=TSM\n",
        "BACKUP=EXTERNAL\nEXTERNAL_RESTORE=( true )\n",
    ],
)  # fmt: skip
def test_a_server_is_reached_by_a_card_of_its_own(tmp_path: Path, secret: Path, conf: str) -> None:
    keep = records.Saved("RESTIC", "2026-11-22T183000Z", "the place", 10, 5 << 20)
    record = records.Record("mkbackup", "2026-11-22T183000Z", 1, "done", 0, saved=(keep,))
    (tmp_path / "var").mkdir()
    records.keep(tmp_path / "var", record)
    own = "RESTIC_ENVIRONMENT=( AWS_SECRET_ACCESS_KEY='s e' )\n" if "s3" in conf else ""
    found = laid_ready(tmp_path, conf, own, hand_in=(secret,))
    assert found.card and not found.card.restrict and not found.discs and not found.mount
    assert (found.place, found.size) == ("the place", 5 << 20)
    assert found.lines == (["RESTIC_ENVIRONMENT=( 'AWS_SECRET_ACCESS_KEY=s e' )"] if own else [])
    assert found.files == {str(secret): b"several words\n"}
    assert "s e" not in repr(found) and "several" not in repr(found)


def test_what_the_image_carries_comes_with_its_further_discs(tmp_path: Path) -> None:
    for name in ("rear-web1.iso", "rear-web1_2026-11-22T183000Z_02.iso", "rear-web2_2026-11-22T183000Z_02.iso"):
        (tmp_path / name).touch()
    found = laid_ready(tmp_path, "BACKUP=CDROM\n", "BACKUP_KEY='several words'\n")
    assert [disc.path.name for disc in found.discs] == ["rear-web1_2026-11-22T183000Z_02.iso"]
    assert found.lines == ["BACKUP_KEY='several words'"] and found.card is None


def test_several_methods_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"several methods \(NFS RESTIC\)"):
        laid_ready(tmp_path, "BACKUP=( NFS RESTIC )\nBACKUP_PARTS=( RESTIC:/srv )\nBACKUP_URL=nfs://nas/b\n")


def test_a_folder_is_handed_in_with_all_its_files(tmp_path: Path, secret: Path) -> None:
    (keys := tmp_path / "keys/inner").mkdir(parents=True)
    (keys / "id").write_bytes(b"\0key")
    assert dict(access.handed_in([tmp_path / "keys"])) == {str(keys / "id"): b"\0key"}
    with pytest.raises(Refused, match="there is no such file"):
        list(access.handed_in([tmp_path / "nosuch"]))
    os.truncate(secret, 1 << 40)
    with pytest.raises(Refused, match="more than 1 MiB"):
        list(access.handed_in([secret]))


def test_what_cannot_be_handed_in_is_said_before_a_repository_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot hand in"):
        laid_ready(tmp_path, "BACKUP=RESTIC\nBACKUP_URL=file:///srv/none\n", hand_in=(tmp_path / "nosuch",))
