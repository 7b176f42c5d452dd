# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways by which somebody is told: each one step, which fails alone."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from email.message import EmailMessage
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from rear_core import RearError, Run, Step
from rear_core.records import Record, dumps

from . import message

# Seconds that a server may take, and pauses between tries: at night a network is away for a moment.
PATIENCE = 15
PAUSES = (2.0, 10.0)
# Who sends this to a list gets no answers of robots (RFC 3834).
HEADERS = {"Auto-Submitted": "auto-generated", "Precedence": "bulk"}


class _NoRedirect(HTTPRedirectHandler):
    """What is told goes to the server that the setting names, and nowhere else."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def steps(run: Run) -> Iterator[Step]:
    """Those that the settings ask for, without the ping, which is about backups alone."""
    if run.settings["NOTIFY_MAIL"]:
        yield Step(50, "Send a mail about this run", mail)
    for url in run.settings["NOTIFY_WEBHOOK"]:
        yield Step(50, "Post the record of this run", partial(webhook, url))
    if run.settings["NOTIFY_NTFY"]:
        yield Step(50, "Tell the topic of ntfy about this run", ntfy)


def mail(run: Run) -> None:
    """Hand a mail to the mail server of this machine (sendmail(8): -t takes the addresses from the headers)."""
    record, letter = _record(run), EmailMessage()
    letter["To"] = ", ".join(run.settings["NOTIFY_MAIL"])
    letter["Subject"] = message.title(record)
    for name, value in HEADERS.items():
        letter[name] = value
    letter.set_content(message.text(record))
    run.sh.run("sendmail", "-t", "-i", input=letter.as_string(), timeout=PATIENCE * 4)


def webhook(url: str, run: Run) -> None:
    """POST the record as JSON."""
    _post(url, dumps(_record(run)), {"Content-Type": "application/json"})


def ntfy(run: Run) -> None:
    """Publish to a topic (docs.ntfy.sh/publish)."""
    record, token = _record(run), run.settings["NOTIFY_NTFY_TOKEN"]
    headers = {
        "Title": message.title(record).encode("ascii", "replace").decode(),
        "Priority": "default" if record.done else "high",
        "Tags": "white_check_mark" if record.done and not record.warnings else "warning",
    }
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    _post(run.settings["NOTIFY_NTFY"], message.text(record), headers)


def ping(run: Run) -> None:
    """Call the watcher of the backups (healthchecks.io/docs/http_api)."""
    record, url = _record(run), run.settings["NOTIFY_PING"].rstrip("/")
    _post(url if record.done else f"{url}/fail", message.text(record), {"Content-Type": "text/plain; charset=utf-8"})


def _record(run: Run) -> Record:
    assert run.record is not None
    return run.record


def _post(url: str, text: str, headers: Mapping[str, str]) -> None:
    """POST a text; `RearError` when the server does not take it. Its URL is a secret, its host is not."""
    opener = build_opener(_NoRedirect, HTTPSHandler(context=ssl.create_default_context()))
    request = Request(url, text.encode(), {"User-Agent": "rear", **headers}, method="POST")
    for pause in (*PAUSES, None):
        try:
            with closing(opener.open(request, timeout=PATIENCE)):
                return
        except (OSError, HTTPException) as error:
            # What the server refuses it refuses again.
            final = isinstance(error, HTTPError) and error.code < 500
            if isinstance(error, HTTPError):
                error.close()
            if pause is None or final:
                raise _failure(request.host, error) from None
            time.sleep(pause)


def _failure(host: str, error: Exception) -> RearError:
    said = f"it answered {error.code}" if isinstance(error, HTTPError) else ""
    reason = error.reason if isinstance(error, URLError) else error
    return RearError(f"{host} was not told: {said or reason}", "see whether the server is there and the URL is right")
