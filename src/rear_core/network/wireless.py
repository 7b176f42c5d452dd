# SPDX-License-Identifier: GPL-3.0-or-later
"""Wireless cards: the network that one is connected to, and how the rescue system joins it by wpa_supplicant."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import NOT_UNDERSTOOD, RearError, Refused
from ..shell import Shell

# What of this machine's own is in the rescue system; only where RESCUE_WIRELESS asks for it.
CONFIGURATION = Path("/etc/rear/wireless.conf")
STATES = Path("/run")
SYSFS, MODULES = Path("/sys/class/net"), Path("/sys/module")
CURRENT = "yes"
# Seconds for wpa_supplicant: to find the network and to be let in.
JOIN_WAIT = 40
# NL80211_IFTYPE_STATION of the kernel's uapi/linux/nl80211.h.
STATION = 2
# Ciphers that the kernel asks for by name once a network is joined.
CIPHERS = ("aes", "arc4", "ccm", "cmac", "ctr", "gcm", "michael_mic")


def radios() -> dict[str, bytes]:
    """The wireless links of this machine by name, with the name (SSID) of the network that each is connected to."""
    from pyroute2 import IW  # type: ignore[attr-defined, unused-ignore]
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IW() as kernel:
            links = {
                str(message.get_attr("NL80211_ATTR_IFNAME")): message.get_attr("NL80211_ATTR_IFINDEX")
                for message in list(kernel.get_interfaces_dump())
                if message.get_attr("NL80211_ATTR_IFTYPE") == STATION
            }
            return {name: _name(kernel.get_associated_bss(index)) for name, index in links.items()}
    except (*NOT_UNDERSTOOD, OSError, NetlinkError) as error:
        # A kernel that has seen no wireless card does not know nl80211.
        code = getattr(error, "code", None) or getattr(error, "errno", None)
        if code in (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            return {}
        raise RearError(f"cannot read the wireless network from the kernel: {error}") from error


def _name(access_point: Any) -> bytes:
    """The name in what an access point tells of itself; b"" for none. Kernels do not always know it of the link."""
    told = access_point.get_attr("NL80211_ATTR_BSS") if access_point else None
    elements = told.get_attr("NL80211_BSS_INFORMATION_ELEMENTS") if told else None
    name = bytes(elements.get("SSID", b"")) if elements else b""
    return name if name.strip(b"\0") else b""


def choose(wanted: str, present: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The link and the name of the network that `RESCUE_WIRELESS` means; `Refused` where there is none.

    A network that is named is taken also while no link is connected to it.
    """
    if not present:
        raise Refused("RESCUE_WIRELESS: this machine has no wireless card", "remove RESCUE_WIRELESS")
    joined = {link: name for link, name in sorted(present.items()) if name}
    if wanted == CURRENT:
        if not joined:
            raise Refused(
                "RESCUE_WIRELESS=yes: no wireless card is connected to a network",
                "connect one, or name the network: RESCUE_WIRELESS='NAME'",
            )
        return next(iter(joined.items()))
    name = os.fsencode(wanted)
    return next((link for link in joined if joined[link] == name), min(present)), name


def drivers(modules: Path = MODULES) -> list[str]:
    """The modules of the kernel by which wireless cards work now: all that stand on cfg80211."""
    found: list[str] = []
    todo = ["cfg80211"]
    while todo:
        name = todo.pop()
        if name not in found and (modules / name).is_dir():
            found.append(name)
            with suppress(OSError):
                todo += sorted(path.name for path in (modules / name / "holders").iterdir())
    return found


def supplicant(link: str) -> tuple[str, ...]:
    """The command that joins the network and goes on in the background."""
    files = ("-c", os.fspath(CONFIGURATION), "-P", f"{STATES}/rear-wireless-{link}.pid", "-f", os.fspath(log(link)))
    return ("wpa_supplicant", "-B", "-D", "nl80211", "-i", link, *files)


def log(link: str) -> Path:
    """What wpa_supplicant tells of a link."""
    return Path("/var/log") / f"rear-wireless-{link}.log"


def join(sh: Shell, link: str, name: str, sysfs: Path = SYSFS) -> None:
    """Start wpa_supplicant and wait for it; `RearError` says why the network is not joined in time.

    It goes on trying even then.
    """
    _switch_on(sysfs / link)
    log(link).unlink(missing_ok=True)
    sh.run(*supplicant(link), timeout=30)
    deadline = time.monotonic() + JOIN_WAIT
    while (sysfs / link / "operstate").read_text().strip() != "up":
        if time.monotonic() > deadline:
            raise RearError(f"wireless network {name!r} {why(log(link))}")
        time.sleep(0.2)


def why(file: Path) -> str:
    """What the log of wpa_supplicant tells of a network that was not joined."""
    text = file.read_text(errors="replace") if file.exists() else ""
    if "reason=WRONG_KEY" in text:
        return "does not accept the key"
    return "does not let this machine in" if "rying to a" in text else "is not in reach"


def leave(states: Path = STATES) -> None:
    """End each wpa_supplicant that `join` has started."""
    for file in states.glob("rear-wireless-*.pid"):
        with suppress(OSError, ValueError):
            process = int(file.read_text())
            if Path(f"/proc/{process}/comm").read_text().strip() == "wpa_supplicant":
                os.kill(process, signal.SIGTERM)
                _wait_for_end(Path(f"/proc/{process}"))


def _wait_for_end(process: Path) -> None:
    deadline = time.monotonic() + 5
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def _switch_on(card: Path) -> None:
    """Undo what a key or program has switched off; `RearError` where a switch has (rfkill)."""
    for switch in card.glob("phy80211/rfkill*"):
        if (switch / "hard").read_text().strip() == "1":
            raise RearError(f"wireless card {card.name} is switched off by a switch of the machine")
        if (switch / "soft").read_text().strip() == "1":
            (switch / "soft").write_text("0")
