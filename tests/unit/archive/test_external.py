# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vendor's client keeps: recorded when media are made, proven before a recovery, compared after it."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import pytest

from rear_core import builtin
from rear_core.archive import external
from rear_core.archive.external import FileSystem, Found
from rear_core.archive.shares import Share, Usage, usage
from rear_core.errors import ConfigurationError, RearError, Refused
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.storage.layout import Layout
from rear_core.storage.mount import Mount
from rear_core.testing.fake_shell import FakeShell


def make_run(tmp_path: Path, config: str = "", backup: str = "") -> Run:
    plugins = Plugins(builtin.modules())
    sources = Sources(assignments=tuple(parse(config, "local.conf")))
    settings = evaluate(sources, plugins.call("rear_settings"), {})
    (tmp_path / "etc/recovery").mkdir(parents=True, exist_ok=True)
    options = Options(config_dir=tmp_path / "etc", target=tmp_path / "target", backup=backup)
    return Run(settings, plugins, options, Report(terminal=io.StringIO()), build_dir=tmp_path)


def remember(run: Run, *file_systems: FileSystem) -> None:
    document = {"version": 1, "file_systems": [asdict(system) for system in file_systems]}
    (run.recovery_dir / "files.json").write_text(json.dumps(document))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a restore left: a system in `target`."""
    target = tmp_path / "target"
    for folder in ("etc", "usr/bin", "home/anna"):
        (target / folder).mkdir(parents=True)
    (target / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    return target


def test_mounted_file_systems_are_recorded_with_what_is_at_their_top(tmp_path: Path) -> None:
    for place in (tmp_path / "data/sub", tmp_path / "data/inner", tmp_path / "data/lost+found"):
        place.mkdir(parents=True)
    (tmp_path / "data").chmod(0o2750)
    mounts = [
        {"target": target, "source": source, "fstype": fstype, "options": "rw", "fsroot": "/", "maj:min": number}
        for target, source, fstype, number in (
            ("/", "/dev/sda1", "ext4", "8:1"), (f"{tmp_path}/data", "/dev/sda2", "ext4", "8:2"),
            (f"{tmp_path}/data/inner", "tmpfs", "tmpfs", "0:33"),
        )
    ]  # fmt: skip
    run = make_run(tmp_path, "EXCLUDE_MOUNTPOINTS=( / )")
    command = "findmnt --json --list --output TARGET,SOURCE,FSTYPE,OPTIONS,FSROOT,MAJ:MIN"
    run.sh = FakeShell({command: json.dumps({"filesystems": mounts})})
    run.layout = Layout((Mount("mount:/", (), "/", "ext4"), Mount("mount:/d", (), f"{tmp_path}/data", "ext4")))
    external.record(run)
    (found,) = external.recorded(run)
    status = os.statvfs(tmp_path)
    assert found.path == f"{tmp_path}/data"
    assert found.names == ("sub",)
    assert (found.mode, found.uid) == (0o2750, os.geteuid())
    assert 0 < found.bytes <= status.f_blocks * status.f_frsize
    assert (run.recovery_dir / "files.json").stat().st_mode & 0o777 == 0o600


def test_a_setting_chooses_also_what_was_not_recorded(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    remember(run, FileSystem("/", 5), FileSystem("/home", 7))
    assert external.recorded(run, ("/home", "/new")) == [FileSystem("/home", 7), FileSystem("/new")]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 2, "file_systems": []}', '{"version": 1, "file_systems": [1]}']
)
def test_a_damaged_record_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    (run.recovery_dir / "files.json").write_text(text)
    with pytest.raises(Refused, match=r"files\.json"):
        external.recorded(run)


def test_the_option_is_in_utc_and_a_setting_in_local_time(tmp_path: Path) -> None:
    assert external.moment(make_run(tmp_path)) is None
    given = external.moment(make_run(tmp_path, backup="2026-11-22T1830"), "2020-01-01")
    assert given == datetime(2026, 11, 22, 18, 30, 59, tzinfo=timezone.utc)
    configured = external.moment(make_run(tmp_path), "2026-11-22")
    assert configured is not None
    assert f"{configured:%Y-%m-%d %H:%M:%S}" == "2026-11-22 23:59:59"
    for wrong in ("yesterday", "2026-13-01", "2026", "2026-11-5", "2026-1-12T123"):
        with pytest.raises(ConfigurationError, match="is not a date"):
            external.moment(make_run(tmp_path), wrong)


def test_all_that_the_server_lacks_is_named_before_anything_is_changed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    wanted = [FileSystem("/"), FileSystem("/home"), FileSystem("/srv")]
    remember(run, *wanted)
    with pytest.raises(Refused, match="no backup of /home /srv"):
        external.prove(run, wanted, {"/": "2026-11-22"})
    assert run.backup is None
    external.remind(run, wanted, {"/": "2026-11-22"})
    assert len(run.report.warnings) == 2


def test_a_recovery_needs_the_root_file_system(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    remember(run, FileSystem("/"), FileSystem("/home"))
    run.phases = ("verify", "recreate", "restore")
    with pytest.raises(Refused, match="root file system"):
        external.prove(run, [FileSystem("/home")], {"/home": "x"})
    run.phases = ("verify", "restore")
    external.prove(run, [FileSystem("/home")], {"/home": "2026-11-22 18:00:00"})
    assert run.report.warnings == ["/ is not restored and will be empty"]
    assert run.backup == Found("2026-11-22 18:00:00", (FileSystem("/home"),))


def test_nothing_is_restored_that_was_not_proven(tmp_path: Path) -> None:
    with pytest.raises(RearError, match="no backup was checked"), external.restoring(make_run(tmp_path)):
        pass


def test_a_client_that_restores_nothing_is_not_believed(tmp_path: Path, tree: Path) -> None:
    run = make_run(tmp_path)
    run.backup = Found("x", (FileSystem("/", 0, ("etc", "usr")), FileSystem("/srv", 0, ("www",))))
    with pytest.raises(RearError, match="nothing was restored of /srv"), external.restoring(run):
        pass
    (tree / "etc/passwd").unlink()
    with pytest.raises(RearError, match="/etc/passwd"):
        external.compare(run, Found("x", (FileSystem("/", 0, ("etc", "usr")),)), [])


def test_names_that_did_not_come_back_are_told(tmp_path: Path, tree: Path) -> None:
    run = make_run(tmp_path)
    system = FileSystem("/", 1 << 20, ("etc", "opt", "usr"), 0o751, os.geteuid(), os.getegid())
    external.compare(run, Found("x", (system,)), [])
    assert run.report.warnings == ["1 of the recorded names were not restored (/opt); see the log"]
    assert run.recovery.missing == []
    assert run.recovery.differences == ["not in the backup: /opt"]
    assert tree.stat().st_mode & 0o777 == 0o751


ROOT = Share(("/",), Usage(10 << 30, 200_000), Usage(10 << 30, 199_000))


@pytest.mark.parametrize(
    ("path", "wanted", "came", "said", "lacking"),
    [
        ("/home", Usage(3 << 30, 22_000), Usage(8192, 2), "2 of 22000 files and 8.0 KiB of 3.0 GiB", True),
        ("/usr", Usage(8 << 30, 200_000), Usage(8 << 30, 90_000), "90000 of 200000 files", True),
        ("/usr", Usage(8 << 30, 200_000), Usage(8 << 30, 120_000), "120000 of 200000 files", False),
        ("/srv", Usage(8 << 30, 0), Usage(3 << 30, 0), "3.0 GiB of 8.0 GiB", True),
        ("/srv", Usage(8 << 30, 9), Usage(7 << 30, 9), "7.0 GiB of 8.0 GiB", False),
        # A small one of which nothing came, and small ones of which much has gone since: old kernels, logs.
        ("/srv", Usage(50 << 20, 400), Usage(8192, 2), "2 of 400 files", True),
        ("/srv", Usage(400 << 20, 0), Usage(8192, 0), "8.0 KiB of 400.0 MiB", True),
        ("/boot", Usage(300 << 20, 350), Usage(90 << 20, 340), "90.0 MiB of 300.0 MiB", False),
        ("/var/log", Usage(900 << 20, 300), Usage(40 << 20, 130), "130 of 300 files and 40.0 MiB of 900.0 MiB", False),
        ("/tmp", Usage(2 << 30, 3000), Usage(8192, 2), "2 of 3000 files and 8.0 KiB of 2.0 GiB", False),
    ],
)
def test_each_file_system_is_compared_by_itself(
    tmp_path: Path, tree: Path, path: str, wanted: Usage, came: Usage, said: str, lacking: bool
) -> None:
    run = make_run(tmp_path)
    external.compare(run, Found("x", (FileSystem("/"),)), [ROOT, Share((path,), wanted, came)])
    (warning,) = run.report.warnings
    assert warning == f"only {said} of {path} were restored (counted when described)"
    # It is no success, and the machine is made to start all the same.
    assert run.recovery.missing == ([warning] if lacking else [])


@pytest.mark.parametrize(
    ("wanted", "came"),
    [
        (Usage(10 << 30, 200_000), Usage(10 << 30, 191_000)),
        (Usage(10 << 30, 200_000), Usage(30 << 30, 900_000)),
        (Usage(6 << 20, 15), Usage(1 << 20, 3)),
        (Usage(-4096, -11), Usage()),
        (Usage(10 << 30, 0), Usage(10 << 30, 200_000)),
    ],
)
def test_what_changes_from_day_to_day_is_not_worth_a_word(
    tmp_path: Path, tree: Path, wanted: Usage, came: Usage
) -> None:
    run = make_run(tmp_path)
    external.compare(run, Found("x", (FileSystem("/"),)), [Share(("/",), wanted, came)])
    assert run.report.warnings == []


def test_what_came_is_measured_by_device_and_above_what_was_there(tmp_path: Path, tree: Path) -> None:
    run = make_run(tmp_path)
    run.target.joinpath("home/anna/file").write_bytes(bytes(1 << 20))
    now = usage(run.target)
    start = Usage(now.bytes - (1 << 20), now.files - 1 if now.files else 0)
    systems = (FileSystem("/", now.bytes, files=now.files), FileSystem("/home", 5 << 30, files=9000))
    (share,) = external._shares(run, Found("x", systems), {run.target.stat().st_dev: start})
    assert share.paths == ("/", "/home")
    assert share.wanted.bytes == (5 << 30) + (1 << 20)
    assert share.wanted.files == (9001 if now.files else 0)
    # Others write to this device, too.
    assert share.came.bytes < 1 << 30


def test_a_client_is_heard_and_its_failure_has_its_own_words(tmp_path: Path, tree: Path) -> None:
    run = make_run(tmp_path)
    run.sh = Shell()
    run.backup = Found("x", (FileSystem("/"),))
    with external.restoring(run) as (client, found):
        script = "printf 'one\\nERR two\\n'; echo ERR three >&2; echo last; exit 4"
        ended = client("sh", "-c", script, ok=(0, 4), notable="^ERR")
        assert (ended.status, ended.last[-1], ended.notable) == (4, "last", ("ERR two", "ERR three"))
        assert found.file_systems == (FileSystem("/"),)
        with pytest.raises(RearError, match="sh ended with 12: ANS1 broken"):
            client("sh", "-c", "echo ANS1 broken; echo done; exit 12", notable="^ANS")
        assert client("sh", "-c", 'echo "$PLACE"', env={"PLACE": "there"}).last == ("there",)
