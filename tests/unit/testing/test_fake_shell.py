# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording answers exactly what was recorded, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rear_core.errors import ProgramFailed, ProgramMissing
from rear_core.shell import Outcome
from rear_core.testing.fake_shell import FakeShell, RecordingShell, record


def test_a_recording_answers_as_the_programs_did(tmp_path: Path) -> None:
    real = RecordingShell(tmp_path)
    text = "one\n\n  three\n"
    assert real.query("printf", r"one\n\n  three\n") == text
    assert real.json("echo", '{"a": 1}') == {"a": 1}
    assert real.run("sh", "-c", "echo out; echo err >&2; exit 3", ok=(3,)).status == 3
    with pytest.raises(ProgramFailed):
        real.query("false")
    with pytest.raises(ProgramMissing):
        real.query("no-such-program", "--version")
    fake = FakeShell(tmp_path)
    assert fake.query("printf", r"one\n\n  three\n") == text
    assert fake.json("echo", '{"a": 1}') == {"a": 1}
    outcome = fake.run("sh", "-c", "echo out; echo err >&2; exit 3", ok=(3,))
    assert (outcome.status, outcome.stdout, outcome.stderr) == (3, "out\n", "err")
    with pytest.raises(ProgramFailed, match="exit status 1"):
        fake.query("false")
    with pytest.raises(ProgramMissing):
        fake.query("no-such-program", "--version")
    assert fake.which("printf") and not fake.which("no-such-program") and not fake.which("cat")
    assert fake.asked[-1] == "no-such-program --version"


def test_what_nobody_recorded_fails_and_is_named() -> None:
    fake = FakeShell({"lsblk --json": "{}"})
    assert fake.json("lsblk", "--json") == {}
    for ask in (
        lambda: fake.run("lsblk", "--json", "--bytes"),
        lambda: fake.pipe(["lsblk", "--json"], ["cat"]),
        lambda: fake.attach("lsblk", "--json"),
    ):
        with pytest.raises(AssertionError, match="lsblk --json"):
            ask()


def test_this_interpreter_is_python3_in_every_recording() -> None:
    assert FakeShell({"python3 -m this": "zen"}).query(sys.executable, "-m", "this") == "zen"


def test_long_commands_that_differ_at_the_end_are_kept_apart(tmp_path: Path) -> None:
    real = RecordingShell(tmp_path)
    for end in "ab":
        real.query("echo", "x" * 300 + end)
    assert FakeShell(tmp_path).query("echo", "x" * 300 + "b") == "x" * 300 + "b\n"


def test_a_mapping_can_hold_failures() -> None:
    fake = FakeShell({"sfdisk --json /dev/sda": Outcome((), 1, "", "no table", 0)})
    with pytest.raises(ProgramFailed, match="no table"):
        fake.query("sfdisk", "--json", "/dev/sda")


def test_what_was_not_asked_when_a_machine_was_recorded_has_no_answer() -> None:
    fake = FakeShell({"cat /sys/block/md1/md/bitmap/chunksize": "4096\n"})
    assert fake.query("cat", "/sys/block/md1/md/bitmap/chunksize") == "4096\n"
    assert fake.query("cat", "/sys/block/md2/md/bitmap/chunksize") == ""


# A plugin whose capture asks a program that no technology of the core asks.
PLUGIN = """\
from rear_core import Contents, hookimpl
from rear_core.storage.kinds import StorageKind

def capture(survey):
    survey.ask("echo", "acme", lost="acme is unknown")
    return []

@hookimpl
def rear_storage_kinds():
    yield StorageKind("acme", (), capture, lambda layout: Contents())
"""


def test_a_recording_has_what_a_plugin_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rear_storage_acme.py").write_text(PLUGIN)
    info = tmp_path / "rear_storage_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rear-storage-acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rear.extra]\nacme = rear_storage_acme\n")
    monkeypatch.syspath_prepend(tmp_path)
    record(tmp_path / "machine")
    assert "items recorded" in capsys.readouterr().out
    assert FakeShell(tmp_path / "machine/commands").query("echo", "acme") == "acme\n"
    del sys.modules["rear_storage_acme"]
