# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=NFS: its checks and what it brings to the rescue system."""

from __future__ import annotations

from pathlib import Path

import pytest

import rear_backup_nfs
from rear_backup_nfs import check_place, rear_prep, rear_rescue_contents, rear_settings
from rear_core import ConfigurationError, Refused, Run, builtin
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Outcome
from rear_core.testing.fake_shell import FakeShell
from rear_core.workflow import WORKFLOWS


def make_run(tmp_path: Path, config: str) -> Run:
    sources = Sources(assignments=tuple(parse(config, "local.conf")))
    shared = Plugins(builtin.modules()).call("rear_settings")
    settings = evaluate(sources, [*shared, *rear_settings()], {})
    return Run(settings, Plugins([rear_backup_nfs]), build_dir=tmp_path)


def test_a_writable_folder_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    check_place(make_run(tmp_path, f"BACKUP_URL=file://{folder}"))
    assert list(folder.iterdir()) == []


def test_a_missing_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no such folder") as caught:
        check_place(make_run(tmp_path, f"BACKUP_URL=file://{tmp_path}/none"))
    assert f"create {tmp_path}/none" in caught.value.hint
    assert not (tmp_path / "none").exists()


def test_a_wrong_url_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="BACKUP_URL"):
        make_run(tmp_path, "BACKUP_URL=smb://server/share")


def test_without_a_url_there_is_nothing_to_check(tmp_path: Path) -> None:
    check_place(make_run(tmp_path, ""))


def test_a_server_that_does_not_answer_is_refused_with_the_command_to_try(tmp_path: Path) -> None:
    run = make_run(tmp_path, "BACKUP_URL=nfs://server/export")

    class Unreachable(FakeShell):
        def which(self, program: str) -> Path | None:
            return Path("/sbin", program)

        def run(self, *argv, **options):  # type: ignore[no-untyped-def]
            # The folder's name is random; the recording has it as DIR.
            return super().run(*("DIR" if Path(word).is_absolute() else word for word in argv), **options)

    command = "mount --types nfs --options nodev,nosuid,soft,retry=0,rw,noatime server:/export DIR"
    answer = Outcome(tuple(command.split()), 32, "", "mount.nfs: Connection timed out", 60)
    run.sh = Unreachable({command: answer})
    with pytest.raises(Refused, match="Connection timed out") as caught:
        check_place(run)
    assert "mount --types nfs --options nodev,nosuid,soft,retry=0,rw,noatime server:/export" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_rescue_system_gets_the_nfs_client_only_for_nfs(tmp_path: Path) -> None:
    assert "mount.nfs" in rear_rescue_contents(make_run(tmp_path, "BACKUP_URL=nfs://server/export")).programs
    assert rear_rescue_contents(make_run(tmp_path, "BACKUP_URL=file:///srv")).programs == ("tar", "zstd", "openssl")
    assert rear_rescue_contents(make_run(tmp_path, "")).programs == ()


def test_the_rescue_system_gets_what_the_archive_needs(tmp_path: Path) -> None:
    run = make_run(tmp_path, "BACKUP_URL=nfs://server/export\nBACKUP_COMPRESSION=xz\nBACKUP_KEY='correct horse'")
    assert {"tar", "xz", "openssl"} <= set(rear_rescue_contents(run).programs)


def test_a_backup_without_a_place_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    run = make_run(tmp_path, "")
    run.phases = WORKFLOWS["mkbackup"]
    with pytest.raises(ConfigurationError, match="BACKUP_URL"):
        check_place(run)
    with pytest.raises(ConfigurationError, match="BACKUP_URL"):
        rear_backup_nfs.check_backup(run)


def test_every_phase_of_a_backup_has_its_step() -> None:
    for hook in (rear_prep, rear_backup_nfs.rear_backup, rear_backup_nfs.rear_verify, rear_backup_nfs.rear_restore):
        assert list(hook())
