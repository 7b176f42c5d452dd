# SPDX-License-Identifier: GPL-3.0-or-later
"""Places for media that rclone(1) knows: s3://, webdavs://, and any remote of its configuration by rclone://."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult

from rear_core import Contents, Run, Setting, hookimpl
from rear_core.places.place import Place, PlaceKind
from rear_core.places.url import Scheme, Url

REAR_API = 1

CONFIG = "/root/.config/rclone/rclone.conf"
CLIENT = Contents(programs=["rclone"])


def _no_login(parts: SplitResult) -> str:
    return "has a user, who belongs into rclone.conf with the password" if parts.username is not None else ""


def _name_alone(parts: SplitResult) -> str:
    return _no_login(parts) or ("has a port, which belongs into rclone.conf" if parts.port is not None else "")


S3 = Scheme("s3", "s3://bucket/folder", problem=_name_alone)
WEBDAV = Scheme("webdav", "webdav://server/folder", is_clear=True, problem=_no_login)
WEBDAVS = Scheme("webdavs", "webdavs://server/folder", problem=_no_login)
REMOTE = Scheme("rclone", "rclone://REMOTE/folder", problem=_name_alone)


def _path(value: str) -> str:
    return "" if value.startswith("/") else "must be an absolute path"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "RCLONE_CONFIG", str, existing=True, default=CONFIG, check=_path,
        help="The configuration file of rclone, which has servers and passwords for places such as s3://bucket/folder."
        " Only root may be able to read it. rear never puts it on the rescue media.",
    )  # fmt: skip


@hookimpl
def rear_places() -> Iterable[PlaceKind]:
    for scheme in (S3, WEBDAV, WEBDAVS, REMOTE):
        yield PlaceKind(scheme, files=_opened, contents=CLIENT)


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    return Contents(secrets=[run.settings["RCLONE_CONFIG"]])


def _opened(run: Run, url: Url, options: str, _mode: int) -> Place:
    from .place import Rclone
    from .remotes import find

    return Rclone(run, url, find(run, url, options))
