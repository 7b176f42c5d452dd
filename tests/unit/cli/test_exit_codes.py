# SPDX-License-Identifier: GPL-3.0-or-later
"""Each exit status, as docs/reference/exit-codes.md describes it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rear_core import cli

Rear = Callable[..., "subprocess.CompletedProcess[str]"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def script(tmp_path: Path, text: str) -> None:
    """An administrator's script that is the first step of `rear savelayout`."""
    path = tmp_path / "etc" / "analyse_dr" / "00_first.sh"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


def test_a_command_that_is_done_ends_with_0(rear: Rear) -> None:
    assert rear("config", "check").returncode == 0


@needs_root
def test_a_run_that_fails_ends_with_1(rear: Rear, tmp_path: Path) -> None:
    script(tmp_path, "echo 'the vault is shut' >&2; exit 4")
    ended = rear("savelayout")
    assert (ended.returncode, "exit status 4): the vault is shut" in ended.stderr) == (1, True), ended.stderr
    assert not (tmp_path / "etc/recovery").exists()


def test_a_bad_setting_ends_with_2(rear: Rear) -> None:
    assert rear("savelayout", conf="OUTPTU=ISO\n").returncode == 2
    assert rear("savelayout", "--frobnicate").returncode == 2


@needs_root
def test_a_refused_run_ends_with_3(rear: Rear) -> None:
    assert rear("recover").returncode == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("list", "BACKUP=REQUESTRESTORE cannot list its backups"),
        ("restore /etc --to out", "BACKUP=REQUESTRESTORE cannot restore single files"),
        ("forget 2026-11-22T183000Z", "BACKUP=REQUESTRESTORE removes no backup for rear"),
    ],
)
def test_what_a_method_cannot_do_with_its_backups_is_refused_by_name(rear: Rear, words: str, said: str) -> None:
    ended = rear("backup", *words.split(), conf="BACKUP=REQUESTRESTORE\n")
    assert ended.returncode == 3, ended.stderr
    assert said in ended.stderr and "What to do" in ended.stderr


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_ends_with_130(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/local.conf").write_text(f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\n")
    # What a signal interrupts is undone: the program that runs as well.
    script(tmp_path, 'echo $$ > "$CONFIG_DIR/pid.new"; mv "$CONFIG_DIR/pid.new" "$CONFIG_DIR/pid"; exec sleep 300')
    rear = (sys.executable, "-c", "from rear_core.cli import main; main()", "-c", tmp_path / "etc", "savelayout")
    # A job in the background of a script ignores ^C, and so would what it starts.
    heed = partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(rear, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        while not (tmp_path / "etc/pid").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=50)
    assert process.returncode == 130, said
    assert not list(tmp_path.glob("rear.*"))
    assert not Path("/proc", (tmp_path / "etc/pid").read_text().strip()).exists()


@pytest.mark.slow
@needs_root
def test_checklayout_tells_by_its_status(rear: Rear, tmp_path: Path) -> None:
    assert rear("checklayout").returncode == 2
    assert rear("savelayout").returncode == 0
    assert rear("checklayout").returncode == 0
    gone = {"id": "disk:S1", "type": "disk", "needs": [], "size": 1 << 30, "device": "/dev/sdz", "serial": "S1"}
    (tmp_path / "etc/recovery/layout.json").write_text(json.dumps({"version": 1, "items": [gone], "left_out": []}))
    changed = rear("checklayout")
    assert (changed.returncode, "S1" in changed.stdout) == (1, True), changed.stderr
    # What media know counts, whatever was described later.
    recovery = tmp_path / "etc/recovery"
    (recovery / "layout.json").rename(recovery / "media-layout.json")
    assert rear("savelayout").returncode == 0
    changed = rear("checklayout")
    assert (changed.returncode, "S1" in changed.stdout) == (1, True), changed.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error", "/etc/rear/local.conf"), "ERROR: Input/output error (/etc/rear/"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "ERROR: Too many open files (/x)"),
        (OSError(errno.ENFILE, "Too many open files in system"), "ERROR: Too many open files in system"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "ERROR: Cannot allocate memory"),
        (MemoryError(), "ERROR: there is not enough memory"),
        (RuntimeError("can't start new thread"), "ERROR: can't start new thread: too many processes run here"),
        (RuntimeError("dictionary changed size during iteration"), "BUG: this is a fault of rear"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/nowhere"), "BUG: this is a fault of rear"),
        (ValueError("odd"), "BUG: this is a fault of rear"),
    ],
)
def test_outside_of_steps_too_only_what_no_machine_did_is_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "rear", fail)
    # This process goes on, and is to hear of signals.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert said in told and ("BUG" in told) is ("Traceback" in told) is said.startswith("BUG")


def test_a_letter_that_the_locale_does_not_have_is_shown_as_an_escape(tmp_path: Path) -> None:
    code = (
        "from rear_core.cli import output; put = output.take_over(); print('\\u0142\\xf6x'); print(output.leave(put))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-1"}
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, check=True)
    assert ended.stdout == b"\\u0142\xf6x\n\n"
