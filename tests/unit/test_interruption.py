# SPDX-License-Identifier: GPL-3.0-or-later
"""A signal ends a run wherever it arrives, once, and what was begun is undone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from rear_core.interruption import STOPPING

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

# A run of its own, with helpers for what the tests do in it.
START = """
import os, signal, sys, time
from pathlib import Path
from rear_core.cli.session import at_work, open_run
from rear_core.errors import ExitCode, Interrupted, RearError, Refused
from rear_core.run import Options

def stop(number=signal.SIGTERM):
    os.kill(os.getpid(), number)

class Last:
    def __del__(self):
        stop()

run = open_run(Options(config_dir=Path(sys.argv[1])))
sleeping = ["sh", "-c", f"echo $$ >> {sys.argv[1]}/pids; exec sleep 300"]
try:
    with at_work(run, "test"):
"""
END = """
except RearError as error:
    print(type(error).__name__, error.message)
    sys.exit(error.exit_code)
"""


def ended(tmp_path: Path, body: str) -> str:
    """What a run says at its end that has this body; it must be stopped, and leave nothing behind."""
    (tmp_path / "local.conf").write_text(f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\n")
    code = START + "".join(f"        {line}\n" for line in body.strip().splitlines()) + END
    began = time.monotonic()
    # Who starts the tests may have them ignore it.
    heed = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, preexec_fn=heed)
    assert done.returncode == 130, done.stdout + done.stderr
    assert time.monotonic() - began < 20
    assert not list(tmp_path.glob("rear.*"))
    pids = (tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []
    assert not [pid for pid in pids if Path("/proc", pid).exists()]
    return done.stdout


def test_a_signal_that_python_drops_ends_the_run_all_the_same(tmp_path: Path) -> None:
    assert "stopped by SIGTERM" in ended(tmp_path, "Last()\nrun.sh.run(*sleeping)")


def test_a_signal_that_a_step_takes_for_its_own_failure_ends_the_run(tmp_path: Path) -> None:
    body = "try:\n    stop()\n    time.sleep(1)\nexcept RearError:\n    pass\nrun.sh.run(*sleeping)"
    assert "Interrupted stopped by SIGTERM" in ended(tmp_path, body)


def test_a_signal_that_the_last_step_takes_for_its_own_failure_is_no_success(tmp_path: Path) -> None:
    body = "try:\n    stop()\n    time.sleep(1)\nexcept RearError:\n    pass"
    assert ended(tmp_path, body) == "Interrupted stopped by SIGTERM\n"


def test_a_failure_that_a_signal_led_to_is_told_as_the_signal(tmp_path: Path) -> None:
    body = "try:\n    stop()\n    time.sleep(1)\nexcept RearError as error:\n    raise Refused('no') from error"
    assert ended(tmp_path, body) == "Interrupted stopped by SIGTERM\n"


def test_what_is_undone_is_not_interrupted_again(tmp_path: Path) -> None:
    body = """
run.undo.callback(lambda: (run.sh.run("sleep", "1"), stop(), print("undone last")))
try:
    stop(signal.SIGHUP)
    time.sleep(60)
finally:
    stop()
    run.sh.run("sleep", "1.5")
    print("undone first")
"""
    assert ended(tmp_path, body).splitlines() == ["undone first", "undone last", "Interrupted stopped by SIGHUP"]


@pytest.mark.parametrize(
    "body",
    [
        "run.sh.run(*sleeping)",
        "run.sh.pipe(sleeping, ['cat'])",
        "with run.sh.background(*sleeping):\n    time.sleep(300)",
    ],
)
def test_a_program_ends_with_the_run_at_whatever_moment_of_its_start(tmp_path: Path, body: str) -> None:
    for number in range(4):
        work = tmp_path / str(number)
        work.mkdir()
        ended(work, f"import threading\nthreading.Timer({number * 0.0016}, stop).start()\n{body}")


def test_what_was_ignored_before_stays_ignored(tmp_path: Path) -> None:
    """As with nohup."""
    body = "stop(signal.SIGHUP)\ntime.sleep(1)\nprint('still here')\nstop()\ntime.sleep(60)"
    (tmp_path / "local.conf").write_text(f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\n")
    code = START + "".join(f"        {line}\n" for line in body.splitlines()) + END
    nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(nohup, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (130, "still here\nInterrupted stopped by SIGTERM\n"), done.stderr


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_after_all_is_told_does_not_change_the_exit_status(number: signal.Signals) -> None:
    late = f"atexit.register(os.kill, os.getpid(), {number:d})"
    code = f"import atexit, os, sys; from rear_core.cli import main; {late}; sys.argv[1:] = ['--version']; main()"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
