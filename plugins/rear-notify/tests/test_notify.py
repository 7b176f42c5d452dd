# SPDX-License-Identifier: GPL-3.0-or-later
"""A real server hears of runs, as often as it has to, and never in the place of another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import rear_notify
from rear_core import RearError, Run
from rear_core.plugins import Plugins
from rear_core.records import Record, Saved
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Outcome, Shell
from rear_notify import message, ways

DONE = Record(
    "mkbackup", "2026-11-22T183000Z", 61, "done", 0, hostname="ada", log="/var/log/rear/x.log",
    saved=(Saved("NFS", "2026-11-22T183000Z", "nfs://nas/rear", 24_700, 1 << 30),),
)  # fmt: skip
FAILED = replace(DONE, result="failed", status=1, error="the vault is shut", hint="open it", warnings=("odd",))


@dataclass
class Heard:
    """What a server was told, and with what it answers, the last one again and again."""

    answers: list[int]
    url: str = ""
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)


@contextmanager
def server(*answers: int) -> Iterator[Heard]:
    heard = Heard(list(answers or (200,)))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.requests.append((self.path, dict(self.headers), text))
            status = heard.answers.pop(0) if len(heard.answers) > 1 else heard.answers[0]
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield heard
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def make_run(configuration: str, record: Record = DONE) -> Run:
    settings = evaluate(
        Sources(assignments=tuple(parse(configuration, "local.conf"))), [*rear_notify.rear_settings()], {}
    )  # fmt: skip
    return Run(settings, Plugins([rear_notify]), record=record)


def told(run: Run) -> list[str]:
    """The titles of the steps, each done."""
    steps = [*rear_notify.rear_notify(run)]
    for step in steps:
        step.action(run)
    return [step.title for step in steps]


@pytest.mark.parametrize(
    ("record", "when", "matters"),
    [
        (DONE, "problems", False), (DONE, "always", True), (FAILED, "problems", True),
        (replace(DONE, warnings=("odd",)), "problems", True),
        # Whoever does that reads what it says.
        (replace(FAILED, command="backup-list"), "always", False),
    ],
)  # fmt: skip
def test_what_somebody_has_to_know_is_told(record: Record, when: str, matters: bool) -> None:
    assert message.matters(record, when) is matters


def test_a_message_says_what_went_wrong_and_what_to_do() -> None:
    assert message.text(FAILED) == (
        "rear mkbackup on ada: failed, 1 warnings\nIt began 2026-11-22T183000Z and took 1:01.\n"
        "ERROR: the vault is shut\n  What to do: open it\nWARNING: odd\n"
        "Saved as 2026-11-22T183000Z by NFS: 24700 files, 1.0 GiB\nLog: /var/log/rear/x.log\n"
    )


def test_a_webhook_gets_the_record_and_a_topic_its_title() -> None:
    with server() as heard:
        run = make_run(
            f"NOTIFY_WEBHOOK={heard.url}/hook\nNOTIFY_NTFY={heard.url}/topic\nNOTIFY_NTFY_TOKEN=tk_abc\n", FAILED
        )
        assert told(run) == ["Post the record of this run", "Tell the topic of ntfy about this run"]
    (hook, _, record), (topic, headers, text) = heard.requests
    assert (hook, topic, json.loads(record)["error"]) == ("/hook", "/topic", "the vault is shut")
    assert (headers["Title"], headers["Priority"]) == ("rear mkbackup on ada: failed, 1 warnings", "high")
    assert headers["Authorization"] == "Bearer tk_abc" and "open it" in text


def test_the_watcher_hears_of_every_backup_and_of_nothing_else() -> None:
    with server() as heard:
        for record in (DONE, FAILED, replace(DONE, command="mkrescue")):
            told(make_run(f"NOTIFY_PING={heard.url}/uuid\n", record))
    assert [path for path, *_ in heard.requests] == ["/uuid", "/uuid/fail"]


@pytest.mark.parametrize(
    ("answers", "tries", "said"),
    [
        ((503, 200), 2, ""),
        ((503,), 3, "it answered 503"),
        ((404,), 1, "it answered 404"),
        ((302,), 1, "it answered 302"),
    ],
)
def test_a_server_is_asked_again_where_that_can_help(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[int, ...], tries: int, said: str
) -> None:
    monkeypatch.setattr(ways, "PAUSES", (0.0, 0.0))
    with server(*answers) as heard:
        run = make_run(f"NOTIFY_WEBHOOK={heard.url}/secret-path\n", FAILED)
        if said:
            with pytest.raises(RearError) as error:
                told(run)
            assert said in error.value.message and "secret-path" not in error.value.message
        else:
            told(run)
    assert [path for path, *_ in heard.requests] == ["/secret-path"] * tries


def test_a_mail_goes_to_the_addresses_of_its_headers() -> None:
    class Postman(Shell):
        given: str = ""

        def run(self, *argv: object, input: str | None = None, **_: object) -> Outcome:
            assert argv == ("sendmail", "-t", "-i")
            self.given = input or ""
            return Outcome(("sendmail",), 0, "", "", 0)

    run = make_run("NOTIFY_MAIL=( ada@example.org root )\n", replace(FAILED, hostname="a\u0142a"))
    run.sh = postman = Postman()
    assert told(run) == ["Send a mail about this run"]
    assert "To: ada@example.org, root\n" in postman.given and "Auto-Submitted: auto-generated\n" in postman.given


@pytest.mark.parametrize(
    "line",
    ["NOTIFY_MAIL=( -oQ/tmp )", "NOTIFY_MAIL='a, b'", "NOTIFY_WEBHOOK=file:///etc/shadow", "NOTIFY_PING=example.org"],
)
def test_what_is_no_address_is_an_error_of_the_configuration(line: str) -> None:
    with pytest.raises(RearError):
        make_run(line)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("shut", [False, True])
def test_a_run_tells_at_its_end_and_what_cannot_be_told_is_a_warning(tmp_path: Path, shut: bool) -> None:
    """The command itself; its URL is nowhere to be read."""
    with server(404 if shut else 200) as heard:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/local.conf").write_text(
            f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
            f"NOTIFY_WEBHOOK={heard.url}/key-of-ours\nUSER_INPUT_TIMEOUT=1\nOS_FAMILY=debian\n"
        )
        script = tmp_path / "etc/analyse_dr/00_first.sh"
        script.parent.mkdir()
        script.write_text("#!/bin/sh\nexit 4\n")
        script.chmod(0o700)
        rear = [sys.executable, "-c", "from rear_core.cli import main; main()", "-c", str(tmp_path / "etc")]
        ended = subprocess.run([*rear, "savelayout"], capture_output=True, text=True, timeout=50)
        tried = subprocess.run([*rear, "notify"], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1
    assert (tried.returncode, len(heard.requests)) == (int(shut), 2), tried.stderr
    assert json.loads(heard.requests[0][2])["command"] == "savelayout"
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "var/runs").iterdir()]
    told_of = [line for line in record["warnings"] if line.startswith("Post the record of this run: 127.0.0.1:")]
    assert bool(told_of) is shut
    assert "key-of-ours" not in ended.stderr + tried.stderr + json.dumps(record) + (tmp_path / "log").read_text()
