# SPDX-License-Identifier: GPL-3.0-or-later
"""Wireless cards: the network that one is connected to, and how the rescue system joins it by wpa_supplicant."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import RearError, Refused
from ..shell import Shell

# What of this machine's own is in the rescue system; only where RESCUE_WIRELESS asks for it.
CONFIGURATION = Path("/etc/rear/wireless.conf")
STATES = Path("/run")
SYSFS, MODULES = Path("/sys/class/net"), Path("/sys/module")
CURRENT = "yes"
# Seconds for wpa_supplicant: to find the network and to be let in.
JOIN_WAIT = 40
# Ciphers that the kernel asks for by name once a network is joined.
CIPHERS = ("aes", "arc4", "ccm", "cmac", "ctr", "gcm", "michael_mic")


def has_card(sysfs: Path = SYSFS) -> bool:
    """Whether this machine has a wireless card; without one the kernel may have nothing that answers `iw`."""
    return any(sysfs.glob("*/phy80211"))


def radios(sh: Shell, sysfs: Path = SYSFS) -> dict[str, bytes]:
    """The wireless links of this machine by name, with the name (SSID) of the network that each is connected to."""
    found: dict[str, bytes] = {}
    link = ""
    text = sh.query("iw", "dev") if has_card(sysfs) else ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Interface"]:
            link = words[1]
        elif words == ["type", "managed"]:
            found[link] = joined(sh.query("iw", "dev", link, "link"))
    return found


def joined(text: str) -> bytes:
    """The name of the network in what `iw dev LINK link` prints; b"" where it is not connected.

    >>> joined('Connected to 02:00:00:00:01:00 (on wlan0)\\n\\tSSID: Caf\\\\xe9 #1\\n\\tfreq: 2412\\n')
    b'Caf\\xe9 #1'
    """
    # Kernels do not always know the name of the link itself, but that of the access point.
    line = next((line for line in text.splitlines() if line.strip().startswith("SSID: ")), "")
    # A backslash in the name is written as a number, too.
    escaped = os.fsencode(line.partition("SSID: ")[2])
    return re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), escaped)


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
    return "does not answer, or does not let this machine in" if "rying to a" in text else "is not in reach"


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
