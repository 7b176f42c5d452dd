# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=TSM against the stand-in of dsmc, which refuses whatever IBM does not document."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pexpect
import pytest

import rear_backup_tsm
from lab import vendors
from lab.vendors.server import Vault, vault
from rear_backup_tsm import client, options
from rear_core import ConfigurationError, RearError, Refused, Run, builtin
from rear_core.archive.external import Ended, FileSystem
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse

pytestmark = pytest.mark.slow

NODE, PASSWORD = "WEB1", "correct horse"
NOON = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
DSM_SYS = """\
* The servers of this site
SErvername  OTHER
   TCPServeraddress  192.0.2.1
SErvername  VAULT
   COMMMethod          TCPip
   TCPServeraddress    127.0.0.1
   TCPPort             {port}
   NODename            web1
   PASSWORDAccess      generate
   PASSWORDDIR         {folder}/adsm
   INCLExcl            {folder}/inclexcl
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Vault]:
    (tmp_path / "vault").mkdir()
    with vault(tmp_path / "vault", {NODE: PASSWORD}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: Vault) -> Path:
    """A client that is set up, with its password stored."""
    path = tmp_path / "client"
    (path / "adsm").mkdir(parents=True)
    vendors.install(path, "dsmc")
    (path / "dsm.opt").write_text("SErvername\tVAULT\n")
    (path / "dsm.sys").write_text(DSM_SYS.format(port=server.port, folder=path))
    (path / "inclexcl").write_text(f"exclude.dir {path.parent}/data/cache\n")
    (path / "adsm/TSM.KDB").write_bytes(base64.b64encode(PASSWORD.encode()))
    (path / "adsm/TSM.sth").write_bytes(b"key")
    return path


def make_run(folder: Path, config: str = "", backup: str = "", unattended: bool = True) -> Run:
    sources = Sources(assignments=tuple(parse(f"TSM_CLIENT_DIR={folder}\n{config}", "local.conf")))
    shared = Plugins(builtin.modules()).call("rear_settings")
    settings = evaluate(sources, [*shared, *rear_backup_tsm.rear_settings()], {})
    top = folder.parent
    (top / "etc/recovery").mkdir(parents=True, exist_ok=True)
    (top / "work").mkdir(exist_ok=True)
    chosen = Options(config_dir=top / "etc", target=top / "target", backup=backup, unattended=unattended)
    report = Report(terminal=io.StringIO(), verbose=True)
    run = Run(settings, Plugins([rear_backup_tsm]), chosen, report, build_dir=top / "work")
    run.sh = vendors.LabShell(log=report.log, folder=folder)
    return run


def remember(run: Run, *paths: str) -> None:
    document = {"version": 1, "file_systems": [asdict(FileSystem(path)) for path in paths]}
    (run.recovery_dir / "files.json").write_text(json.dumps(document))


def a_system(path: Path, word: str = "here") -> Path:
    for place in ("etc", "usr/bin"):
        (path / place).mkdir(parents=True, exist_ok=True)
    (path / "etc/passwd").write_text(word)
    return path


def terminal(run: Run) -> str:
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_the_server_that_dsm_opt_names_is_read_with_its_abbreviations(folder: Path, server: Vault) -> None:
    used = options.read(folder)
    assert used["nodename"] == ["web1"]
    assert used["inclexcl"] == [f"{folder}/inclexcl"]
    assert options.password_dir(used) == f"{folder}/adsm"
    (folder / "dsm.opt").write_text("se other\n")
    assert options.password_dir(options.read(folder)) == "/etc/adsm"
    (folder / "dsm.opt").write_text("SERVERNAME nobody\n")
    with pytest.raises(ConfigurationError, match="no server 'nobody'"):
        options.read(folder)


def test_media_carry_the_client_but_not_its_password(folder: Path) -> None:
    contents = rear_backup_tsm.rear_rescue_contents(make_run(folder))
    assert contents.programs == ["dsmc"]
    assert {f"{folder}/dsm.sys", f"{folder}/inclexcl", f"{folder}/adsm"} <= set(contents.files)
    assert str(folder) in contents.library_directories
    assert "*/TSM.KDB" in contents.secrets


def test_prep_asks_the_server(folder: Path, server: Vault) -> None:
    run = make_run(folder)
    rear_backup_tsm.check_client(run)
    assert "VAULT accepts the node WEB1" in terminal(run)
    server.nodes[NODE] = "changed"
    with pytest.raises(Refused, match="ANS1025E"):
        rear_backup_tsm.check_client(make_run(folder))
    del server.nodes[NODE]
    with pytest.raises(Refused, match="ANS1353E"):
        rear_backup_tsm.check_client(make_run(folder))
    (folder / "dsm.sys").write_text((folder / "dsm.sys").read_text().replace("generate", "prompt"))
    with pytest.raises(ConfigurationError, match="asks for its password"):
        rear_backup_tsm.check_client(make_run(folder))


def test_a_server_that_is_down_is_refused(folder: Path, server: Vault) -> None:
    (folder / "dsm.sys").write_text(DSM_SYS.format(port=1, folder=folder))
    with pytest.raises(Refused, match="ANS1017E"):
        rear_backup_tsm.check_client(make_run(folder))


def test_what_is_saved_comes_back(folder: Path, server: Vault, tmp_path: Path) -> None:
    data = a_system(tmp_path / "data")
    (data / "etc/odd\nname").write_text("x")
    (data / "cache").mkdir()
    run = make_run(folder, "TSM_DSMC_BACKUP_OPTIONS=( -changingretries=2 )\n")
    remember(run, str(data))
    rear_backup_tsm.look_for_backups(run)
    assert "no backup of" in run.report.warnings[0]
    rear_backup_tsm.save_files(run)
    assert f"Saved {data}: " in terminal(run)
    unknown = make_run(folder, "TSM_DSMC_BACKUP_OPTIONS=( -nosuch=1 )\n")
    with pytest.raises(RearError, match="dsmc ended with 12"):
        rear_backup_tsm.save_files(unknown)

    run = make_run(folder)
    rear_backup_tsm.look_for_backups(run)
    rear_backup_tsm.log_in(run)
    rear_backup_tsm.check_backup(run)
    rear_backup_tsm.restore_files(run)
    assert run.report.warnings == []
    rear_backup_tsm.list_backups(run)
    assert [found.state for found in run.kept] == [f"has {data}"]
    restored = Path(f"{run.target}{data}")
    assert (restored / "etc/passwd").read_text() == "here"
    assert (restored / "etc/odd\nname").exists()
    assert not (restored / "cache").exists()
    assert PASSWORD not in terminal(run)


def test_the_files_of_a_point_in_time_come_back(folder: Path, server: Vault, tmp_path: Path) -> None:
    for number, word in enumerate(("old", "new")):
        server.put(NODE, "/", a_system(tmp_path / "root", word), NOON + 3600 * number)
    for config, backup, word in (
        ("", "", "new"),
        ("TSM_RESTORE_PIT_DATE=2026-11-22\nTSM_RESTORE_PIT_TIME=12:30:00", "", "old"),
        ("TSM_RESTORE_PIT_DATE=2026-11-22", "", "new"),
        ("", time.strftime("%Y-%m-%dT%H%M", time.gmtime(NOON + 1800)), "old"),
    ):
        run = make_run(folder, config, backup)
        remember(run, "/")
        rear_backup_tsm.check_backup(run)
        rear_backup_tsm.restore_files(run)
        assert (run.target / "etc/passwd").read_text() == word
    run = make_run(folder, "TSM_RESTORE_PIT_DATE=2026-11-21")
    with pytest.raises(Refused, match="no backup of 2026-11-21 23:59:59 or before of /"):
        rear_backup_tsm.check_backup(run)


def test_every_file_system_must_be_there(folder: Path, server: Vault, tmp_path: Path) -> None:
    server.put(NODE, "/", a_system(tmp_path / "root"), NOON)
    run = make_run(folder)
    remember(run, "/", "/home", "/srv")
    with pytest.raises(Refused, match="no backup of /home /srv"):
        rear_backup_tsm.check_backup(run)
    run = make_run(folder, "TSM_FILESPACES=( / )")
    rear_backup_tsm.check_backup(run)
    assert run.report.warnings == [f"{path} is not restored and will be empty" for path in ("/home", "/srv")]


def test_files_that_do_not_come_back_fail_the_run_by_their_names(folder: Path, server: Vault, tmp_path: Path) -> None:
    server.put(NODE, "/", a_system(tmp_path / "root"), NOON)
    (folder / "standin-skips").write_text("5")
    run = make_run(folder)
    remember(run, "/")
    run.report.open_log(tmp_path / "log")
    rear_backup_tsm.check_backup(run)
    rear_backup_tsm.restore_files(run)
    lack = "restoring /: 5 files were not processed (dsmc ended with 4): //0, //1, //2 ...; the log has all"
    # The machine is made to start all the same.
    assert run.recovery.missing == [lack]
    assert run.report.warnings == [lack]
    run.report.close()
    assert "dsmerror.log: " in (tmp_path / "log").read_text()
    assert "ANS4042E" in (tmp_path / "log").read_text()


def test_an_error_of_the_client_ends_the_recovery(folder: Path, server: Vault, tmp_path: Path) -> None:
    server.put(NODE, "/", a_system(tmp_path / "root"), NOON)
    run = make_run(folder, "TSM_DSMC_RESTORE_OPTIONS=( -no-such-option=1 )")
    remember(run, "/")
    rear_backup_tsm.check_backup(run)
    with pytest.raises(RearError, match="dsmc ended with 12: ANS1107E Invalid option/value: '-no-such-option=1'"):
        rear_backup_tsm.restore_files(run)


def test_without_a_stored_password_nobody_can_be_asked(folder: Path) -> None:
    (folder / "adsm/TSM.KDB").unlink()
    with pytest.raises(Refused, match="no stored password") as caught:
        rear_backup_tsm.log_in(make_run(folder))
    assert f"RESCUE_ALLOW_SECRETS+=( '{folder}/adsm/TSM.*' )" in caught.value.hint


def test_a_node_can_act_for_another(folder: Path, server: Vault, tmp_path: Path) -> None:
    server.nodes["CLUSTER"] = PASSWORD
    server.put("CLUSTER", "/", a_system(tmp_path / "root", "cluster"), NOON)
    run = make_run(folder, "TSM_ASNODENAME=cluster")
    remember(run, "/")
    rear_backup_tsm.check_backup(run)
    rear_backup_tsm.restore_files(run)
    assert (run.target / "etc/passwd").read_text() == "cluster"


def test_media_are_archived_when_it_is_wished(folder: Path, tmp_path: Path) -> None:
    assert list(rear_backup_tsm.rear_output(make_run(folder))) == []
    run = make_run(folder, "TSM_RESULT_SAVE=yes\nTSM_ARCHIVE_MGMT_CLASS=MEDIA")
    (step,) = rear_backup_tsm.rear_output(run)
    (tmp_path / "rescue.iso").write_text("x")
    run.results = [tmp_path / "rescue.iso"]
    step.action(run)
    assert run.report.warnings == []
    run.results = [tmp_path / "gone.iso"]
    step.action(run)
    assert "were not archived" in run.report.warnings[0]


def test_files_that_are_not_saved_are_a_warning(folder: Path, server: Vault, tmp_path: Path) -> None:
    run = make_run(folder)
    lines = ("ANS1228E Sending of object '/home/it's' failed.", "Total number of objects failed:             1")
    rear_backup_tsm.judge(run, Ended(4, (), lines), "saving /home", run.report.warn)
    rear_backup_tsm.judge(run, Ended(8, (), ()), "saving /home", run.report.warn)
    assert run.report.warnings == [
        "saving /home: 1 files were not processed (dsmc ended with 4): /home/it's; the log has all",
        "saving /home: dsmc had warnings; the log has them",
    ]
    assert run.recovery.missing == []


def test_numbers_at_the_end_are_read() -> None:
    lines = ("Total number of objects restored:       6,491", "Total number of objects failed:             2")
    assert client.total(lines, "restored") == 6491
    assert client.total(lines, "failed") == 2
    assert client.total((), "failed") == 0


def test_the_client_asks_for_a_password_that_is_not_on_the_media(folder: Path, server: Vault) -> None:
    (folder / "adsm/TSM.KDB").unlink()
    here, tests = Path(__file__).parent, Path(vendors.__file__).parents[2]
    script = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(tests)!r}]\n"
        "import pathlib, rear_backup_tsm, test_backup_tsm as test\n"
        f"run = test.make_run(pathlib.Path({str(folder)!r}), unattended=False)\n"
        "rear_backup_tsm.log_in(run)\n"
        "rear_backup_tsm.check_client(run)\n"
    )
    console = pexpect.spawn(sys.executable, ["-c", script], encoding="utf-8", timeout=30)
    console.expect("Please enter your user id <WEB1>: ")
    console.sendline("")
    console.expect('Please enter password for user id "WEB1": ')
    console.sendline(PASSWORD)
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0
    assert (folder / "adsm/TSM.KDB").stat().st_mode & 0o777 == 0o600
