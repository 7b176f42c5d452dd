# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs are started with argument lists, their every status counts, and none is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rear_core import processes
from rear_core.errors import ProgramFailed, ProgramMissing
from rear_core.shell import Shell


def test_arguments_reach_the_program_unchanged() -> None:
    assert Shell().query("printf", "%s\n", "a b", "$HOME", "*") == "a b\n$HOME\n*\n"


def test_input_may_hold_names_that_are_no_utf8() -> None:
    assert Shell().query("od", "-An", "-tx1", input=os.fsdecode(b"\xe9")) == " e9\n"


def test_the_log_has_the_seconds_of_what_takes_any() -> None:
    lines: list[str] = []
    Shell(lines.append).run("sleep", "0.15")
    assert re.fullmatch(r"  \(0\.\d s\)", lines[-1])


def test_a_failure_carries_command_status_and_last_lines() -> None:
    with pytest.raises(ProgramFailed) as caught:
        Shell().run("sh", "-c", "echo one; echo two >&2; exit 7")
    assert caught.value.status == 7
    assert caught.value.argv[0] == "sh"
    assert "two" in caught.value.message


def test_a_listed_status_is_no_failure() -> None:
    assert Shell().run("sh", "-c", "exit 3", ok=(0, 3)).status == 3


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        Shell().run("no-such-program")


def test_a_killed_program_says_by_which_signal() -> None:
    with pytest.raises(ProgramFailed, match="SIGKILL"):
        Shell().run("sh", "-c", "kill -KILL $$")


def test_a_program_over_its_time_limit_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(ProgramFailed, match=r"0\.3 seconds"):
        Shell().run("sh", "-c", f"sleep 60 & echo $! >{pid_file}; wait", timeout=0.3)
    child = int(pid_file.read_text())
    for _ in range(50):
        if not _alive(child):
            break
        time.sleep(0.1)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    lines = Shell().query("env").splitlines()
    assert "LC_ALL=C.UTF-8" in lines
    assert not any(line.startswith("LEAKED") for line in lines)


def test_a_daemon_that_keeps_the_output_open_does_not_hold_up_the_run() -> None:
    started = time.monotonic()
    assert Shell().query("sh", "-c", "sleep 20 & echo $!").strip().isdigit()
    assert time.monotonic() - started < 10


def test_commands_are_logged_so_that_they_can_be_pasted() -> None:
    lines: list[str] = []
    Shell(lines.append).run("echo", "two words")
    assert lines == ["+ echo 'two words'", "  two words"]


def test_json_output_is_read() -> None:
    assert Shell().json("echo", '{"a": [1]}') == {"a": [1]}
    with pytest.raises(ProgramFailed, match="no JSON"):
        Shell().json("echo", "oops")


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_the_failing_stage_of_a_pipe_is_named(failing: int) -> None:
    stages = [["cat"], ["cat"], ["cat"]]
    stages[failing] = ["sh", "-c", f"cat; exit {failing + 5}"]
    with pytest.raises(ProgramFailed) as caught:
        Shell().pipe(*stages)
    assert caught.value.status == failing + 5


def test_a_broken_pipe_is_blamed_on_the_reader() -> None:
    with pytest.raises(ProgramFailed) as caught:
        Shell().pipe(["yes"], ["sh", "-c", "head -c 10 >/dev/null; exit 9"])
    assert caught.value.status == 9


def test_a_writer_that_lost_a_good_reader_is_a_failure() -> None:
    with pytest.raises(ProgramFailed, match="SIGPIPE") as caught:
        Shell().pipe(["yes"], ["true"])
    assert caught.value.status == -signal.SIGPIPE


def test_a_pipe_carries_data_from_file_to_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(300_000))
    with source.open("rb") as stdin, target.open("wb") as stdout:
        Shell().pipe(["cat"], ["cat"], stdin=stdin, stdout=stdout)
    assert target.read_bytes() == source.read_bytes()


def test_blocks_fed_to_a_pipe_arrive_in_order(tmp_path: Path) -> None:
    data = [os.urandom(700_000), b"", os.urandom(2_500_000)]
    with (tmp_path / "target").open("wb") as stdout:
        Shell().pipe(["cat"], ["cat"], feed=data, stdout=stdout)
    assert (tmp_path / "target").read_bytes() == b"".join(data)


def test_blocks_taken_from_a_pipe_are_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2_500_000))
    blocks: list[bytes] = []
    with source.open("rb") as stdin:
        Shell().pipe(["cat"], ["cat"], stdin=stdin, take=lambda block: blocks.append(bytes(block)))
    assert [len(block) for block in blocks] == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]
    assert b"".join(blocks) == source.read_bytes()


def test_a_stage_that_stops_reading_is_named_to_whoever_feeds_it() -> None:
    with pytest.raises(ProgramFailed) as caught:
        Shell().pipe(["sh", "-c", "head -c 10 >/dev/null; exit 9"], feed=(b"x" * 100_000 for _ in range(100)))
    assert caught.value.status == 9


def test_programs_end_when_python_at_the_end_of_a_pipe_fails() -> None:
    pids: list[int] = []

    def refuse(_: memoryview) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        Shell().pipe(["yes"], ["cat"], take=refuse, started=pids.extend)
    assert not any(_alive(pid) for pid in pids)


def test_a_secret_reaches_a_stage_through_a_descriptor() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret")
    os.close(writing)
    seen = bytearray()
    try:
        Shell().pipe(["cat", f"/dev/fd/{reading}"], take=seen.extend, pass_fds=[reading])
    finally:
        os.close(reading)
    assert seen == b"secret"


def test_a_program_in_the_background_is_killed_at_the_end_of_its_block(tmp_path: Path) -> None:
    with (
        (tmp_path / "output").open("wb") as output,
        Shell().background("sh", "-c", "echo started; exec sleep 60", output=output) as running,
    ):
        while not (tmp_path / "output").read_text():
            time.sleep(0.01)
        with pytest.raises(ProgramFailed, match=r"0\.1 seconds"):
            running.wait(0.1)
        assert _alive(running.pid)
    assert not _alive(running.pid)


def test_a_program_in_the_background_inherits_what_it_is_passed_and_tells_its_status(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with Shell().background("bash", "-c", f"echo hello >&{writer}; exit 3", pass_fds=[writer]) as running:
        os.close(writer)
        assert os.read(reader, 10) == b"hello\n"
        assert running.wait(10) == 3
    os.close(reader)


def test_a_program_in_the_background_must_be_installed() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"), Shell().background("no-such-program"):
        pass


def test_a_program_in_the_background_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    code = """
import sys, time
from rear_core.shell import Shell
with Shell().background("sh", "-c", "echo $$ >" + sys.argv[1] + "; exec sleep 60"):
    time.sleep(60)
"""
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code, pid_file]) as parent:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.01)
        parent.kill()
    pid = int(pid_file.read_text())
    for _ in range(50):
        if not _alive(pid):
            break
        time.sleep(0.1)
    assert not _alive(pid)


def test_of_what_a_stage_complains_only_what_is_kept_is_in_outcome_and_log() -> None:
    lines: list[str] = []
    seen: list[str] = []

    def keep(line: str) -> bool:
        seen.append(line)
        return line.startswith("a")

    script = "for word in a b a c; do echo $word >&2; done"
    (outcome,) = Shell(lines.append).pipe(["sh", "-c", script], keep={"sh": keep})
    assert outcome.stderr == "a\na\n" and seen == ["a\n", "b\n", "a\n", "c\n"]
    assert lines[1:] == ["  sh: a", "  sh: a"]


def test_a_stage_that_is_heard_and_does_not_end_is_ended() -> None:
    with pytest.raises(ProgramFailed, match="not finished after"):
        Shell().pipe(["sleep", "60"], keep={"sleep": bool}, timeout=0.2)


def test_programs_are_given_pipes_which_selinux_takes_away_from_none(tmp_path: Path) -> None:
    ends = Shell().run("readlink", *(f"/proc/self/fd/{number}" for number in range(3)), input="").stdout.split()
    assert [end.partition(":")[0] for end in ends] == ["pipe"] * 3


def test_much_input_and_output_do_not_wait_for_each_other() -> None:
    text = "word " * (1 << 20)
    assert Shell().run("cat", input=text).stdout == text
    # Who reads nothing of it has its own status.
    assert Shell().run("true", input=text).status == 0


def test_a_daemon_is_not_waited_for_and_not_killed_for_what_it_prints(tmp_path: Path) -> None:
    script = "(sleep 0.3; echo late && echo alive >$1) & echo started"
    assert Shell().run("sh", "-c", script, "sh", tmp_path / "file").stdout == "started\n"
    deadline = time.monotonic() + 10
    while not (tmp_path / "file").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "file").read_text() == "alive\n"


def test_where_selinux_is_on_programs_stay_in_the_domain_of_rear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the kernel makes of it is seen on a machine in Red Hat's way.
    monkeypatch.setattr(processes, "SELINUX", tmp_path / "enforce")
    monkeypatch.setattr(processes, "ATTRIBUTES", tmp_path)
    (tmp_path / "current").write_bytes(b"system_u:system_r:unconfined_service_t:s0\0")
    processes.keep_domain()
    assert not (tmp_path / "exec").exists()
    (tmp_path / "enforce").write_text("1")
    processes.keep_domain()
    assert (tmp_path / "exec").read_bytes() == b"system_u:system_r:unconfined_service_t:s0"
