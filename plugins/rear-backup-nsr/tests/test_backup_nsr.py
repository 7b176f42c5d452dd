# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=NSR against the stand-ins of NetWorker's programs, which refuse what is not documented."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

import rear_backup_nsr
from lab import vendors
from lab.vendors.server import Vault, vault
from rear_backup_nsr import client
from rear_core import ConfigurationError, RearError, Refused, Run, builtin
from rear_core.archive.external import Ended, FileSystem
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse

pytestmark = pytest.mark.slow

KEY = "the client's private key"
NOON = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
CONFIG = "NSRSERVER=localhost\nNSR_CLIENT_NAME=web1\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Vault]:
    (tmp_path / "vault").mkdir()
    with vault(tmp_path / "vault", {"web1": KEY}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: Vault) -> Path:
    """A client that is set up; nsrexecd runs."""
    path = tmp_path / "client"
    (path / "nsr/res/nsrladb").mkdir(parents=True)
    (path / "nsr/logs").mkdir()
    vendors.install(path, *vendors.NETWORKER)
    (path / "nsr/res/nsrladb/nsrla.json").write_text(json.dumps({"key": KEY, "port": server.port}))
    (path / "nsr/logs/nsrexecd.pid").write_text(str(os.getpid()))
    return path


def make_run(folder: Path, config: str = "", backup: str = "") -> Run:
    sources = Sources(assignments=tuple(parse(CONFIG + config, "local.conf")))
    shared = Plugins(builtin.modules()).call("rear_settings")
    settings = evaluate(sources, [*shared, *rear_backup_nsr.rear_settings()], {})
    top = folder.parent
    (top / "etc/recovery").mkdir(parents=True, exist_ok=True)
    chosen = Options(config_dir=top / "etc", target=top / "target", backup=backup)
    report = Report(terminal=io.StringIO(), verbose=True)
    run = Run(settings, Plugins([rear_backup_nsr]), chosen, report, build_dir=top)
    run.sh = vendors.LabShell(report.log, {"NSR_ROOT": f"{folder}/nsr"}, folder)
    return run


def remember(run: Run, *paths: str) -> None:
    document = {"version": 1, "file_systems": [asdict(FileSystem(path)) for path in paths]}
    (run.recovery_dir / "files.json").write_text(json.dumps(document))


def a_system(path: Path, word: str = "here") -> Path:
    for place in ("etc", "usr/bin", "home"):
        (path / place).mkdir(parents=True, exist_ok=True)
    (path / "etc/passwd").write_text(word)
    return path


def terminal(run: Run) -> str:
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_media_carry_the_client_but_not_its_key() -> None:
    contents = rear_backup_nsr.rear_rescue_contents()
    assert {"recover", "nsrexecd", "mminfo"} <= set(contents.programs)
    assert "/nsr/res" in contents.files
    assert "/nsr/res/nsrladb" in contents.secrets


def test_prep_asks_the_server(folder: Path, server: Vault) -> None:
    run = make_run(folder)
    rear_backup_nsr.check_client(run)
    assert "localhost has 0 save sets of web1" in terminal(run)
    server.nodes["web1"] = "another key"
    with pytest.raises(Refused, match="does not answer for the client web1: mminfo: Unable to connect"):
        rear_backup_nsr.check_client(make_run(folder))


def test_without_a_server_the_setting_is_named(folder: Path) -> None:
    run = make_run(folder, "NSRSERVER=\n")
    if not client.SERVERS.exists():
        with pytest.raises(ConfigurationError, match="NSRSERVER"):
            rear_backup_nsr.check_client(run)


def test_each_file_system_is_saved_as_a_save_set(folder: Path, server: Vault, tmp_path: Path) -> None:
    data = a_system(tmp_path / "data")
    run = make_run(folder, "NSR_POOL_NAME=Default\nNSR_RETENTION_TIME='2 weeks'\n")
    remember(run, str(data / "etc"), str(data / "home"))
    rear_backup_nsr.save_files(run)
    assert [entry["path"] for entry in server.saved("web1")] == [f"{data}/etc", f"{data}/home"]
    found = client.save_sets(run, None)
    assert set(found) == {f"{data}/etc", f"{data}/home"}
    assert client.save_sets(run, found[f"{data}/etc"].replace(year=2000)) == {}


def test_saving_fails_when_the_client_does(folder: Path, tmp_path: Path) -> None:
    run = make_run(folder)
    remember(run, f"{tmp_path}/gone")
    with pytest.raises(RearError, match="save ended with 1: save: cannot stat"):
        rear_backup_nsr.save_files(run)


def test_the_files_of_a_point_in_time_come_back(folder: Path, server: Vault, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "anna").mkdir(parents=True)
    server.put("web1", "/home", home, NOON)
    for number, word in enumerate(("old", "new")):
        server.put("web1", "/", a_system(tmp_path / "root", word), NOON + 3600 * number)
    for config, backup, word in (
        ("", "", "new"),
        ("NSR_RECOVER_TIME='2026-11-22 12:30:00'", "", "old"),
        ("", time.strftime("%Y-%m-%dT%H%M", time.gmtime(NOON + 1800)), "old"),
    ):
        run = make_run(folder, config, backup)
        remember(run, "/", "/home")
        rear_backup_nsr.check_backup(run)
        rear_backup_nsr.restore_files(run)
        assert (run.target / "etc/passwd").read_text() == word
        assert (run.target / "home/anna").is_dir()
        assert run.report.warnings == []
    run = make_run(folder, "NSR_RECOVER_TIME=2026-11-21")
    with pytest.raises(Refused, match="no backup of 2026-11-21 23:59:59 or before of / /home"):
        rear_backup_nsr.check_backup(run)


def test_save_sets_are_listed_by_their_time_in_utc(folder: Path, server: Vault, tmp_path: Path) -> None:
    root = a_system(tmp_path / "root")
    for path, when in (("/", NOON + 3600), ("/", NOON), ("/home", NOON)):
        server.put("web1", path, root, when)
    run = make_run(folder)
    rear_backup_nsr.list_backups(run)
    names = [time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(NOON + seconds)) for seconds in (0, 3600)]
    assert [(found.name, found.state) for found in run.kept] == [(names[0], "has /, /home"), (names[1], "has /")]


def test_every_file_system_must_be_there_and_more_is_told(folder: Path, server: Vault, tmp_path: Path) -> None:
    root = a_system(tmp_path / "root")
    server.put("web1", "/", root, NOON)
    run = make_run(folder)
    remember(run, "/", "/srv")
    with pytest.raises(Refused, match="no backup of /srv"):
        rear_backup_nsr.check_backup(run)
    server.put("web1", "/data", root, NOON)
    run = make_run(folder)
    remember(run, "/")
    rear_backup_nsr.check_backup(run)
    assert "the server also has /data" in run.report.warnings[0]


def test_the_server_restores_where_the_client_may_not(
    folder: Path, server: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("web1", "/", a_system(tmp_path / "root"), NOON)
    run = make_run(folder, "NSR_SERVER_RESTORE=yes\n")
    remember(run, "/")
    with pytest.raises(Refused, match="NSR_SERVER_RESTORE waits for an administrator"):
        rear_backup_nsr.check_backup(run)
    answers = iter([True, True, True])
    monkeypatch.setattr("rear_core.questions.is_interactive", lambda _run: True)
    monkeypatch.setattr("rear_core.questions.confirm", lambda *_words, **_how: next(answers))
    rear_backup_nsr.check_backup(run)

    class Console(vendors.LabShell):
        """Where nobody types, and what the server does meanwhile."""

        opened = 0

        def attach(self, *argv: object, **_: object) -> int:
            assert argv[0] == "bash"
            Console.opened += 1
            if Console.opened == 2:
                a_system(run.target)
                (run.target / "boot").mkdir()
                (run.target / "boot/vmlinuz-6.1").touch()
            return 0

    run.sh = Console(run.report.log, {"NSR_ROOT": f"{folder}/nsr"}, folder)
    rear_backup_nsr.restore_files(run)
    assert Console.opened == 2
    assert "On localhost start a directed recovery from the client web1 to it." in terminal(run)
    assert "Nothing was restored of /" in terminal(run)


def test_a_failure_of_recover_ends_the_recovery(folder: Path, server: Vault, tmp_path: Path) -> None:
    server.put("web1", "/", a_system(tmp_path / "root"), NOON)
    run = make_run(folder)
    remember(run, "/")
    rear_backup_nsr.check_backup(run)
    (folder / "nsr/logs/nsrexecd.pid").unlink()
    with pytest.raises(RearError, match="recover ended with 1: recover: nsrexecd on this host is unavailable"):
        rear_backup_nsr.restore_files(run)


def test_files_that_do_not_come_back_fail_the_run_in_the_words_of_the_client(
    folder: Path, server: Vault, tmp_path: Path
) -> None:
    server.put("web1", "/", a_system(tmp_path / "root"), NOON)
    (folder / "nsr/standin-skips").write_text("home/anna\nhome/bert\n")
    run = make_run(folder)
    remember(run, "/")
    rear_backup_nsr.check_backup(run)
    rear_backup_nsr.restore_files(run)
    (lack,) = run.recovery.missing
    assert lack.startswith("restoring: the client failed with 2 files: recover: cannot create ")
    assert "home/bert: Permission denied" in lack
    assert run.report.warnings == [lack]


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("39078:recover: Unable to set the owner of ./home/anna", True),
        ("./home/anna: cannot create: No space left on device", True),
        ("Permission denied: /home/anna", True),
        ("./var/log/error.log", False),
        ("/srv/what has failed/cannot", False),
        ("Recovering 3 files within /srv/failed into /mnt/local/srv/failed", False),
        ("Received 3 file(s) from NSR server `error'", False),
    ],
)
def test_what_failed_is_told_from_names_of_files(line: str, failed: bool) -> None:
    told: list[str] = []
    rear_backup_nsr.judge(Ended(0, (), (line,)), "restoring", told.append)
    assert bool(told) == failed


def test_media_are_saved_when_it_is_wished(folder: Path, tmp_path: Path) -> None:
    assert list(rear_backup_nsr.rear_output(make_run(folder))) == []
    run = make_run(folder, "NSR_RESULT_SAVE=yes")
    (step,) = rear_backup_nsr.rear_output(run)
    (tmp_path / "rescue.iso").write_text("x")
    run.results = [tmp_path / "rescue.iso"]
    step.action(run)
    assert run.report.warnings == []
    run.results = [tmp_path / "gone.iso"]
    step.action(run)
    assert "were not saved" in run.report.warnings[0]


def test_a_running_program_is_found_by_its_name() -> None:
    assert client.is_running(Path("/proc/self/comm").read_text().strip())
    assert not client.is_running("no-such-daemon")
