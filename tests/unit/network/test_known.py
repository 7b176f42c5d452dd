# SPDX-License-Identifier: GPL-3.0-or-later
"""The wireless networks that files of NetworkManager, wpa_supplicant and iwd describe, whatever their names are."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import Refused
from rear_core.network import known
from rear_core.network.known import OPEN, WPA2, WPA3, KnownNetwork

NM, SUPPLICANT, IWD = "etc/NetworkManager/system-connections", "etc/wpa_supplicant", "var/lib/iwd"
KEYFILE = "[connection]\ntype=wifi\n\n[wifi]\nmode=infrastructure\nssid={ssid}\n{more}\n[ipv4]\nmethod=auto\n"
SECURE = "[wifi-security]\nkey-mgmt={method}\npsk={psk}\n"
# What no file has in it: IEEE 802.11 lets a name be any bytes.
NAMES = st.binary(min_size=1, max_size=32)
PASSPHRASES = st.binary(min_size=8, max_size=63)


def written(root: Path, file: str, text: str) -> list[KnownNetwork]:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(text))
    return list(known.known_networks(root))


@pytest.mark.parametrize(
    ("ssid", "name"),
    [
        ("Home", b"Home"),
        ("Caf\xe9 \\\\;1", b"Caf\xc3\xa9 ;1"),
        ("\\sspaced\\s", b" spaced "),
        ('a "quoted" #name', b'a "quoted" #name'),
        ("72;111;0;255;", b"Ho\x00\xff"),
        ("123", b"123"),
    ],
)
def test_network_manager_writes_a_name_as_text_or_numbers(tmp_path: Path, ssid: str, name: bytes) -> None:
    (found,) = written(tmp_path, f"{NM}/x.nmconnection", KEYFILE.format(ssid=ssid, more=""))
    assert found == KnownNetwork(name, f"/{NM}/x.nmconnection")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (SECURE.format(method="wpa-psk", psk="pass\\\\word=1"), {"methods": WPA2, "passphrase": b"pass\\word=1"}),
        (SECURE.format(method="wpa-psk", psk="0A" * 32), {"methods": WPA2, "psk": "0a" * 32}),
        (SECURE.format(method="sae", psk="0A" * 32), {"methods": WPA3, "passphrase": b"0A" * 32}),
        ("[wifi-security]\nkey-mgmt=wpa-psk\npsk-flags=1", {"methods": WPA2, "refused": known.NOT_STORED}),
        (SECURE.format(method="wpa-psk", psk="short"), {"refused": "its passphrase has not 8 to 63 bytes"}),
        (SECURE.format(method="wpa-eap", psk=""), {"refused": known.ENTERPRISE}),
        ("[wifi-security]\nkey-mgmt=none\nwep-key0=12345", {"refused": known.WEP}),
        ("hidden=true", {"hidden": True, "methods": OPEN}),
    ],
)
def test_network_manager_says_how_a_network_opens(tmp_path: Path, more: str, expected: dict[str, object]) -> None:
    (found,) = written(tmp_path, f"{NM}/x", KEYFILE.format(ssid="Home", more=more))
    assert {name: getattr(found, name) for name in expected} == expected


def test_what_this_machine_offers_or_has_by_cable_is_no_known_network(tmp_path: Path) -> None:
    offered = KEYFILE.format(ssid="Mine", more="").replace("infrastructure", "ap")
    assert written(tmp_path, f"{NM}/a.nmconnection", offered) == []
    assert written(tmp_path, f"{NM}/b.nmconnection", "[connection]\ntype=ethernet\n[ethernet]\n") == []
    (tmp_path / NM / "c").mkdir()
    os.mkfifo(tmp_path / NM / "d")
    assert written(tmp_path, f"{SUPPLICANT}/a.conf", 'network={\nssid="Mine"\nmode=2\n}\n') == []


SUPPLICANT_FILE = """\
ctrl_interface=/run/wpa_supplicant
country=DE
# network={
network={
    ssid="Home # 1"    # where we live
    psk="pass"word#1"
    scan_ssid=1
}
network={
    ssid=486f6d6532
    psk=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a # hashed
    key_mgmt=WPA-PSK
}
network={
    ssid=P"caf\\xc3\\xa9\\"\\101\\n"
    key_mgmt=SAE
    sae_password="x"
}
network={
    ssid="Free"
    key_mgmt=NONE
}
network={
    ssid="Work"
    key_mgmt=WPA-EAP
    identity="me"
    password="mine"
}
network={
    ssid="Old"
    key_mgmt=NONE
    wep_key0="12345"
}
network={
    ssid="Elsewhere"
    psk=ext:home
}
"""


def test_all_forms_of_wpa_supplicant_are_read(tmp_path: Path) -> None:
    found = written(tmp_path, f"{SUPPLICANT}/wpa_supplicant-wlan0.conf", SUPPLICANT_FILE)
    source, de = f"/{SUPPLICANT}/wpa_supplicant-wlan0.conf", "DE"
    assert found == [
        KnownNetwork(b"Home # 1", source, WPA2, b'pass"word#1', hidden=True, country=de),
        KnownNetwork(b"Home2", source, WPA2, psk="0a" * 32, country=de),
        KnownNetwork(b'caf\xc3\xa9"A\n', source, WPA3, b"x", country=de),
        KnownNetwork(b"Free", source, OPEN, country=de),
        KnownNetwork(b"Work", source, OPEN, country=de, refused=known.ENTERPRISE),
        KnownNetwork(b"Old", source, OPEN, country=de, refused=known.WEP),
        KnownNetwork(b"Elsewhere", source, WPA2, country=de, refused=known.NOT_STORED),
    ]


def test_iwd_has_the_name_of_a_network_in_that_of_its_file(tmp_path: Path) -> None:
    key = "0b" * 32
    secret = f"[Security]\nPreSharedKey={key}\nPassphrase=pass\\sword\n[Settings]\nHidden=true\n"
    written(tmp_path, f"{IWD}/My Home.psk", secret)
    written(tmp_path, f"{IWD}/=ff00.psk", f"[Security]\nPreSharedKey={key}\n")
    written(tmp_path, f"{IWD}/Free.open", "")
    found = {network.name: network for network in written(tmp_path, f"{IWD}/Work.8021x", "[Security]\nEAP=peap\n")}
    assert found[b"My Home"].passphrase == b"pass word" and found[b"My Home"].hidden
    assert found[b"\xff\x00"].psk == key
    assert found[b"Free"].methods == OPEN
    assert found[b"Work"].refused == known.ENTERPRISE


def test_ifupdown_has_networks_among_its_interfaces(tmp_path: Path) -> None:
    text = (
        "iface eth0 inet dhcp\n\nallow-hotplug wlan0\niface wlan0 inet dhcp\n\twpa-ssid My Home\n\twpa-psk  pass word\n"
    )
    text += f'iface wlan1 inet dhcp\n wpa-ssid "Other"\n wpa-psk {"0a" * 32}\n wpa-scan-ssid 1\n'
    source = "/etc/network/interfaces.d/wlan"
    assert written(tmp_path, source[1:], text) == [
        KnownNetwork(b"My Home", source, WPA2, b"pass word"),
        KnownNetwork(b"Other", source, WPA2, psk="0a" * 32, hidden=True),
    ]


def test_a_network_that_can_be_joined_counts_before_one_that_cannot(tmp_path: Path) -> None:
    written(tmp_path, f"{NM}/Home", KEYFILE.format(ssid="Home", more="[wifi-security]\nkey-mgmt=wpa-psk\n"))
    with pytest.raises(Refused, match=r"cannot join the wireless network 'Home': .*user's session.*/Home\)"):
        known.find(b"Home", tmp_path)
    written(tmp_path, f"{SUPPLICANT}/home.conf", 'network={\nssid="Home"\npsk="passphrase"\n}\n')
    assert known.find(b"Home", tmp_path).passphrase == b"passphrase"
    with pytest.raises(Refused, match="no file of this machine has the key of the wireless network 'Caf"):
        known.find(b"Caf\xe9", tmp_path)


def test_no_key_is_shown_with_its_network() -> None:
    network = KnownNetwork(b"Home", "/x", WPA2, b"passphrase", psk="0a" * 32)
    assert "passphrase" not in repr(network) and "0a0a" not in repr(network)


def test_a_key_is_made_of_a_passphrase_as_the_standard_has_it() -> None:
    # IEEE 802.11, annex J.4.2, the first test vector.
    key = known.derive(b"IEEE", b"password")
    assert key == "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"


@given(name=NAMES, passphrase=PASSPHRASES, methods=st.sampled_from([WPA2, WPA3]), hidden=st.booleans())
def test_whatever_bytes_a_network_has_its_configuration_means_it_alone(
    name: bytes, passphrase: bytes, methods: tuple[str, ...], hidden: bool
) -> None:
    text = known.configuration(KnownNetwork(name, "/x", methods, passphrase, hidden=hidden, country="DE"))
    assert all(re.fullmatch(r"\t?[a-z0-9_]+=[\w /{-]*|\}", line) for line in text.splitlines())
    (found,) = known._of_supplicant("/x", text)
    assert (found.name, found.hidden, found.country) == (name, hidden, "DE")
    assert f"sae_password={passphrase.hex()}\n" in text
    if methods == WPA2:
        assert found.psk == known.derive(name, passphrase)


@given(name=NAMES)
def test_network_manager_may_name_a_network_by_any_bytes(name: bytes) -> None:
    numbers = "".join(f"{byte};" for byte in name)
    assert [found.name for found in known._of_network_manager("/x", KEYFILE.format(ssid=numbers, more=""))] == [name]


@given(text=st.text(st.characters(exclude_categories=[])))
def test_no_text_breaks_what_reads_it(text: str) -> None:
    for read in (known._of_network_manager, known._of_supplicant, known._of_iwd, known._of_ifupdown):
        for around in ("{}", 'network={{\nssid="{}\npsk={}\n}}', "[wifi]\nssid={}\n[wifi-security]\npsk={}"):
            # What is no hexadecimal number; the file is passed over.
            with suppress(ValueError):
                list(read("/x.psk", around.replace("{}", text)))
