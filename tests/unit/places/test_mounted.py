# SPDX-License-Identifier: GPL-3.0-or-later
"""Places are opened, checked for room and rights, and closed again."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from rear_core import builtin
from rear_core.errors import ConfigurationError, ProgramFailed, Refused
from rear_core.places import mounted
from rear_core.places.devices import devices_named, find_device
from rear_core.places.opening import opened
from rear_core.places.room import check_room, check_writable
from rear_core.places.url import Url
from rear_core.plugins import Plugins
from rear_core.run import Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Outcome
from rear_core.testing.fake_shell import FakeShell, command_line

NFS = Url("nfs", "server", "/export")
MOUNT = "mount --types nfs --options nodev,nosuid,soft,retry=0,vers=4.2 server:/export DIR"
UMOUNT = "umount DIR"
LAZY = "umount --lazy DIR"


class Recorded(FakeShell):
    """Takes the mount point, whose name is random, for DIR; has the programs in `installed`."""

    installed: tuple[str, ...] = ("mount.nfs",)

    def which(self, program: str) -> Path | None:
        return Path("/sbin", program) if program in self.installed else None

    def run(self, *argv, **options):  # type: ignore[no-untyped-def]
        return super().run(*("DIR" if Path(word).is_absolute() else word for word in argv), **options)


class Stick(Recorded):
    """Knows the paths of devices."""

    def run(self, *argv, **options):  # type: ignore[no-untyped-def]
        private = [os.fspath(word) for word in argv if "/mount." in os.fspath(word)]
        return FakeShell.run(self, *("DIR" if os.fspath(word) in private else word for word in argv), **options)


def make_run(tmp_path: Path, answers: dict[str, Outcome | str]) -> Run:
    return Run(evaluate(Sources(), [], {}), Plugins([]), build_dir=tmp_path, sh=Recorded(answers))


def test_a_folder_is_itself(tmp_path: Path) -> None:
    with opened(make_run(tmp_path, {}), Url("file", "", "/srv/rear")) as directory:
        assert directory == Path("/srv/rear")


def test_an_export_is_mounted_privately_and_unmounted(tmp_path: Path) -> None:
    run = make_run(tmp_path, {MOUNT: "", UMOUNT: ""})
    with opened(run, NFS, "vers=4.2") as directory:
        assert directory.stat().st_mode & 0o777 == 0o700
    assert isinstance(run.sh, FakeShell)
    assert run.sh.asked == [MOUNT, UMOUNT]
    assert list(tmp_path.iterdir()) == []


def test_without_an_nfs_client_the_package_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, {})
    assert isinstance(run.sh, Recorded)
    run.sh.installed = ()
    with pytest.raises(Refused, match=r"without mount\.nfs") as caught, opened(run, NFS):
        pass
    assert "mount.nfs" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_unmounted_after_a_failure(tmp_path: Path) -> None:
    run = make_run(tmp_path, {MOUNT: "", UMOUNT: ""})
    with pytest.raises(ZeroDivisionError), opened(run, NFS, "vers=4.2"):
        raise ZeroDivisionError
    assert isinstance(run.sh, FakeShell)
    assert run.sh.asked[-1] == UMOUNT
    assert list(tmp_path.iterdir()) == []


def test_a_busy_export_is_unmounted_lazily_with_a_warning(tmp_path: Path) -> None:
    busy = Outcome(("umount", "DIR"), 32, "", "umount: DIR: target is busy.", 0)
    run = make_run(tmp_path, {MOUNT: "", UMOUNT: busy, LAZY: ""})
    with opened(run, NFS, "vers=4.2"):
        pass
    [warning] = run.report.warnings
    assert "nfs://server/export" in warning


LABEL = "/dev/disk/by-label/REAR-000"
BLKID = "blkid --cache-file /dev/null --match-token LABEL=REAR-000 --output device"


def test_a_disk_is_found_by_its_label_and_mounted_privately(tmp_path: Path) -> None:
    mount = "mount --options nodev,nosuid,rw,noatime /dev/sdx3 DIR"
    run = Run(evaluate(Sources(), [], {}), Plugins([]), build_dir=tmp_path)
    run.sh = Stick({BLKID: "/dev/sdx3\n", mount: "", UMOUNT: ""})
    with opened(run, Url("usb", "", LABEL), "rw,noatime") as directory:
        assert directory.name == "rear" and directory.parent.parent == tmp_path
        # The folder is made by whoever writes there.
        check_writable(directory, "usb:///")
        assert not directory.exists()
    assert run.sh.asked == [BLKID, mount, UMOUNT]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_does_not_come_is_refused() -> None:
    started = time.monotonic()
    with pytest.raises(Refused, match="there is no /dev/disk/by-label/REAR-000"):
        find_device(FakeShell({BLKID: Outcome(("blkid",), 2, "", "", 0)}), LABEL, seconds=0.6)
    assert time.monotonic() - started >= 0.6
    with pytest.raises(Refused, match="there is no /dev/null"):
        find_device(FakeShell({}), "/dev/null", seconds=0)


def test_two_disks_of_one_label_are_not_guessed_between() -> None:
    with pytest.raises(Refused, match="could be /dev/sdx3 or /dev/sdy3") as caught:
        find_device(FakeShell({BLKID: "/dev/sdx3\n/dev/sdy3\n"}), LABEL)
    assert "by-uuid" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("by-uuid/5d6776a6-fd96-4adb-ade1-463678c90eef", "UUID=5d6776a6-fd96-4adb-ade1-463678c90eef"),
        ("by-partlabel/REAR-000", "PARTLABEL=REAR-000"),
        (r"by-label/my\x20stick", "LABEL=my stick"),
    ],
)
def test_the_links_of_udev_are_read_as_what_they_say(name: str, token: str) -> None:
    command = command_line(["blkid", "--cache-file", "/dev/null", "--match-token", token, "--output", "device"])
    assert devices_named(FakeShell({command: "/dev/sdx3\n"}), f"/dev/disk/{name}") == ["/dev/sdx3"]


class Flaky(Recorded):
    """Its server refuses some times before it answers."""

    refusals = 2

    def run(self, *argv, **options):  # type: ignore[no-untyped-def]
        if argv[0] == "mount" and self.refusals:
            self.refusals -= 1
            raise ProgramFailed(["mount"], 32, "mount.nfs: Connection refused")
        return super().run(*argv, **options)  # type: ignore[no-untyped-call]


def test_a_server_that_comes_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounted, "RETRY_SECONDS", 0.1)
    run = make_run(tmp_path, {})
    run.sh = Flaky({MOUNT: "", UMOUNT: ""})
    with opened(run, NFS, "vers=4.2", patience=60):
        pass
    assert run.sh.refusals == 0


def test_only_so_long_and_only_where_waiting_can_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounted, "RETRY_SECONDS", 0.1)
    run = make_run(tmp_path, {})
    run.sh = Flaky({})
    run.sh.refusals = 1000
    with pytest.raises(Refused, match="Connection refused"), opened(run, NFS, patience=0.5):
        pass
    assert 990 < run.sh.refusals < 999
    denied = Outcome(("mount",), 32, "", "mount.nfs: access denied by server", 0)
    run.sh = Recorded({MOUNT: denied})
    with pytest.raises(Refused, match="access denied"), opened(run, NFS, "vers=4.2", patience=60):
        pass
    assert run.sh.asked == [MOUNT]


def test_room_is_asked_of_the_folder_that_will_hold_the_new_one(tmp_path: Path) -> None:
    check_room(tmp_path / "not/yet", 1, "ISO_DIR")
    with pytest.raises(Refused, match=r"rear needs") as caught:
        check_room(tmp_path / "not/yet", 1 << 60, "ISO_DIR")
    assert "ISO_DIR" in caught.value.hint


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="not a folder"):
        check_room(tmp_path / "file/below", 1, "ISO_DIR")


def test_what_cannot_be_written_is_refused_with_its_name() -> None:
    # Even root makes no files there.
    with pytest.raises(Refused, match="nfs://server/export cannot be written"):
        check_writable(Path("/proc"), "nfs://server/export")


def test_what_cannot_be_read_again_is_refused_before_hours_are_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(Refused, match="cannot be read back: Input/output error") as refused:
        check_writable(tmp_path, "nfs://server/export")
    assert "vers=4.1" in refused.value.hint
    monkeypatch.setattr(Path, "read_bytes", lambda _path: bytes(10))
    with pytest.raises(Refused, match="cannot be read back: it is not what was written"):
        check_writable(tmp_path, "nfs://server/export")
    assert list(tmp_path.iterdir()) == []


def shared(tmp_path: Path, options: str = "", **settings: str) -> list[str]:
    """The options of mount(8) for a share."""
    words = "nodev,nosuid,soft,uid=0,gid=0,forceuid,forcegid,file_mode=0600,dir_mode=0700"
    command = f"mount --types cifs --options {','.join(filter(None, [words, options]))} DIR DIR"
    run = make_run(tmp_path, {command: "", UMOUNT: ""})
    assert isinstance(run.sh, Recorded)
    run.sh.installed = ("mount.cifs",)
    text = "".join(f"{name}='{value}'\n" for name, value in settings.items())
    declared = Plugins(builtin.modules()).settings()
    run.settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    with opened(run, Url("cifs", "server", "/share"), options if "cred" not in options else ""):
        return run.sh.asked


def test_a_share_is_mounted_with_credentials_that_only_root_can_read(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    with pytest.raises(Refused, match="needs a user and a password"):
        shared(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot read CIFS_CREDENTIALS"):
        shared(tmp_path, f"credentials={path}", CIFS_CREDENTIALS=str(path))
    path.write_text("username=rear\npassword=x\n")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        shared(tmp_path, f"credentials={path}", CIFS_CREDENTIALS=str(path))
    path.chmod(0o600)
    if os.geteuid() == 0:
        assert shared(tmp_path, f"credentials={path}", CIFS_CREDENTIALS=str(path))
    assert shared(tmp_path, "guest,vers=3.0") and shared(tmp_path, "vers=3.0,sec=krb5")


def test_no_path_of_credentials_becomes_another_option() -> None:
    setting = next(one for one in Plugins(builtin.modules()).settings() if one.name == "CIFS_CREDENTIALS")
    assert setting.check is not None
    assert "comma" in setting.check("/root/a,guest") and "absolute" in setting.check("root") and not setting.check("")
