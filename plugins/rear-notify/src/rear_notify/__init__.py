# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells somebody who does not look at this machine what its runs came to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rear_core import Run, Setting, Step, hookimpl
from rear_core.builtin.core import RESCUE_MARK

if TYPE_CHECKING:
    import click

ADDRESS = re.compile(r"[^\s,<>@\"-][^\s,<>@\"]*(@[\w.-]+)?", re.ASCII)
WEB = re.compile(r"https?://[\w.\[\]:-]+(/[!-~]*)?", re.ASCII)


def _addresses(values: Sequence[str]) -> str:
    wrong = [value for value in values if not ADDRESS.fullmatch(value)]
    return f"must be mail addresses alone, {wrong[0]!r} is none" if wrong else ""


def _web(value: str) -> str:
    return "" if not value or WEB.fullmatch(value) else "must be https://server/path"


def _webs(values: Sequence[str]) -> str:
    return next(filter(None, map(_web, values)), "")


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "NOTIFY_WHEN", str, default="problems", choices=("problems", "always"),
        help="When mail, webhooks and ntfy tell of a run: if it failed or has warnings, or always.",
    )  # fmt: skip
    yield Setting(
        "NOTIFY_MAIL", list, check=_addresses, bare=True,
        help="Mail addresses. The program sendmail of this machine's mail server must be there.",
    )  # fmt: skip
    yield Setting(
        "NOTIFY_WEBHOOK", list, secret=True, check=_webs, bare=True,
        help="URLs that get the record of the run as JSON, by POST.",
    )  # fmt: skip
    yield Setting(
        "NOTIFY_NTFY", str, secret=True, check=_web,
        help="URL of a topic of ntfy, such as https://ntfy.example.org/backups.",
    )  # fmt: skip
    yield Setting(
        "NOTIFY_NTFY_TOKEN", str, secret=True, help="Access token for NOTIFY_NTFY, if its server asks for one."
    )
    yield Setting(
        "NOTIFY_PING", str, secret=True, check=_web,
        help="URL that is called after each backup, such as https://hc-ping.com/UUID, and with /fail at its end if the"
        " backup failed, as Healthchecks has it. That server finds out when no backup ran at all.",
    )  # fmt: skip


@hookimpl
def rear_notify(run: Run) -> Iterable[Step]:
    from . import message, ways

    # There is no mail server in the rescue system, and URLs are on no media.
    if run.record is None or RESCUE_MARK.exists():
        return
    if message.matters(run.record, run.settings["NOTIFY_WHEN"]):
        yield from ways.steps(run)
    if run.settings["NOTIFY_PING"] and run.record.command in message.BACKUPS:
        yield Step(60, "Ping the watcher of the backups", ways.ping)


@hookimpl
def rear_commands() -> Iterable[click.Command]:
    from .cli import notify

    yield notify
