# SPDX-License-Identifier: GPL-3.0-or-later
"""Which wireless network is meant, what it needs, and why it was not joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.errors import RearError, Refused
from rear_core.network import wireless
from rear_core.network.wireless import choose
from rear_core.testing.fake_shell import FakeShell


def test_the_network_in_use_is_taken_or_the_one_that_is_named() -> None:
    present = {"wlan0": b"", "wlan1": b"Home", "wlan2": b"Guests"}
    assert choose("yes", present) == ("wlan1", b"Home")
    assert choose("Guests", present) == ("wlan2", b"Guests")
    assert choose("Elsewhere", present) == ("wlan0", b"Elsewhere")
    with pytest.raises(Refused, match="no wireless card is connected"):
        choose("yes", {"wlan0": b""})
    with pytest.raises(Refused, match="has no wireless card"):
        choose("Home", {})


def test_links_are_told_with_the_networks_of_their_access_points(tmp_path: Path) -> None:
    (tmp_path / "wlan0/phy80211").mkdir(parents=True)
    links = "phy#1\n\tInterface wlan1\n\t\ttype AP\nphy#0\n\tInterface wlan0\n\t\tifindex 2\n\t\ttype managed\n"
    there = 'Connected to 02:00:00:00:01:00 (on wlan0)\n\tSSID: Caf\\xe9 "#1" \\x5cx41\\x20\n\tfreq: 2412\n'
    sh = FakeShell({"iw dev": links, "iw dev wlan0 link": there})
    assert wireless.radios(sh, tmp_path) == {"wlan0": b'Caf\xe9 "#1" \\x41 '}
    sh = FakeShell({"iw dev": links, "iw dev wlan0 link": "Not connected.\n"})
    assert wireless.radios(sh, tmp_path) == {"wlan0": b""}
    assert wireless.radios(FakeShell({}), tmp_path / "none") == {}


def test_all_that_stands_on_the_wireless_stack_is_taken(tmp_path: Path) -> None:
    for name in ("cfg80211/holders/mac80211", "mac80211/holders/iwlmvm", "iwlmvm/holders", "rfkill/holders/cfg80211"):
        (tmp_path / name).mkdir(parents=True)
    assert sorted(wireless.drivers(tmp_path)) == ["cfg80211", "iwlmvm", "mac80211"]
    assert wireless.drivers(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("wlan0: CTRL-EVENT-SCAN-FAILED\n", "is not in reach"),
        (
            "wlan0: Trying to authenticate with 02:00 (SSID='Home')\n",
            "does not answer, or does not let this machine in",
        ),
        ("wlan0: Trying to associate with 02:00\n", "does not answer, or does not let this machine in"),
        ("wlan0: Trying to a\nwlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 reason=WRONG_KEY\n", "does not accept the key"),
    ],
)
def test_the_log_tells_why_a_network_was_not_joined(tmp_path: Path, log: str, reason: str) -> None:
    (tmp_path / "log").write_text(log)
    assert wireless.why(tmp_path / "log") == reason


def test_a_card_that_a_switch_has_switched_off_is_said_before_any_waiting(tmp_path: Path) -> None:
    switch = tmp_path / "wlan0/phy80211/rfkill0"
    switch.mkdir(parents=True)
    (switch / "hard").write_text("1\n")
    with pytest.raises(RearError, match="wireless card wlan0 is switched off by a switch"):
        wireless.join(FakeShell({}), "wlan0", "Home", tmp_path)
