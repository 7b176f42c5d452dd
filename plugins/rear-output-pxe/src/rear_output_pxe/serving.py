# SPDX-License-Identifier: GPL-3.0-or-later
"""How boot loaders get kernel and rescue system: by TFTP, or from an HTTP server that shows the same folder."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from rear_core import RearError, Run
from rear_core.places.place import Place
from rear_core.places.url import HTTP, Url, parse_url
from rear_core.places.web import Web

CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Way:
    """What the paths in the menus of GRUB and of iPXE begin with, and the lines before the menus."""

    grub: str = ""
    ipxe: str = ".."
    grub_first: str = ""
    ipxe_first: str = ""


def http_url(run: Run) -> Url | None:
    """PXE_HTTP_DOWNLOAD_URL."""
    return (
        parse_url(f"{run.settings['PXE_HTTP_DOWNLOAD_URL']}/", (HTTP,))
        if run.settings["PXE_HTTP_DOWNLOAD_URL"]
        else None
    )


def http_name(run: Run, name: str) -> str:
    """The address of a file of the tree by HTTP, "" where there is none."""
    url = http_url(run)
    return url.http(name) if url else ""


def way(run: Run, probe: str) -> Way:
    """By TFTP, where GRUB begins at the root of the server and iPXE at its script; or by HTTP where that answers.

    Whether it does, a boot loader finds out by a small file, `probe`.
    """
    url = http_url(run)
    if url is None:
        return Way()
    server, path = f"{url.host}:{url.port}" if url.port else url.host, url.path.rstrip("/")
    # Started by DHCP for IPv4, both have no address of IPv6 yet: they ask the routers for one.
    by_ipv6 = url.host.startswith("[")
    grub = ["net_ipv6_autoconf"] if by_ipv6 else []
    ipxe = ["ifconf --configurator ipv6 ||"] if by_ipv6 else []
    grub += ["set base=", f'if [ -s "(http,{server}){path}/{probe}" ]; then set base="(http,{server}){path}"; fi']
    ipxe += [
        f"set base http://{server}{path}",
        f"imgfetch --name probe ${{base}}/{probe} && imgfree probe || set base ..",
    ]
    return Way("${base}", "${base}", *("".join(f"{line}\n" for line in lines) for lines in (grub, ipxe)))


def check_answers(run: Run) -> None:
    """Warn where nothing answers at PXE_HTTP_DOWNLOAD_URL: it may be in the network of the machines alone."""
    if url := http_url(run):
        _read(url, "rear", run.report.warn)


def check_served(run: Run, place: Place, name: str) -> None:
    """Raise unless the HTTP server shows a file as it is in the place, if it answers at all."""
    url = http_url(run)
    if url is None:
        return
    answered, found = _read(url, name, run.report.detail)
    if answered and found != place.read(name):
        raise RearError(
            f"{url.http(name)} is not the file that was just put to OUTPUT_URL",
            "set PXE_HTTP_DOWNLOAD_URL to the URL of that very folder; the menus still lead to the previous version",
        )


def _read(url: Url, name: str, tell: Callable[[str], None]) -> tuple[bool, bytes | None]:
    """Whether the server answers, and the content of a file there."""
    try:
        # Web would wait for a minute.
        socket.create_connection((url.host.strip("[]"), url.port or 80), CONNECT_SECONDS).close()
        return True, Web(url).read(name)
    except (OSError, RearError) as error:
        tell(f"cannot check from here what PXE_HTTP_DOWNLOAD_URL={url} shows: {error}")
        return False, None
