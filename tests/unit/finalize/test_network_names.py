# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses of network cards that were exchanged."""
from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.finalize.network import exchanged, put_right, replaced_cards
from rear_core.system.network import Link, Network

OLD, NEW, OTHER = "52:54:00:00:00:01", "52:54:00:aa:bb:cc", "52:54:00:00:00:99"


def card(name: str, mac: str, bus: str = "pci0/0000:00:03.0") -> Link:
    return Link(name, mac=mac, driver="virtio_net", bus=bus)


RECORDED = Network(links=(card("enp0s3", OLD), Link("br0", kind="bridge", mac=OLD)))


def test_the_same_card_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/network").mkdir(parents=True)
    replaced = replaced_cards(RECORDED, [card("eth0", OLD.upper())])
    assert replaced == {}
    assert put_right(tmp_path, replaced) == []
    assert list((tmp_path / "etc/systemd/network").iterdir()) == []


@pytest.mark.parametrize("present", [card("eth0", NEW), card("enp0s3", OLD, "pci0/0000:00:07.0")])
def test_another_card_or_place_is_named_as_the_old_one(tmp_path: Path, present: Link) -> None:
    done = put_right(tmp_path, replaced_cards(RECORDED, [present]))
    link = tmp_path / "etc/systemd/network/10-rear-enp0s3.link"
    assert f"MACAddress={present.mac}\n" in link.read_text()
    assert "Name=enp0s3\n" in link.read_text()
    assert done == [f"/etc/systemd/network/10-rear-enp0s3.link: the card {present.mac} is called enp0s3"]


FILES = {
    "etc/systemd/network/10-lan.link": ("[Match]\nPermanentMACAddress={mac}\n[Link]\nName=lan0\n", True),
    "etc/systemd/network/lan.network": ("[Match]\nMACAddress={mac} " + OTHER + "\n[Link]\nMTUBytes=9000\n", True),
    "etc/systemd/network/spoof.network": ("[Match]\nName=lan0\n[Link]\nMACAddress={mac}\n", False),
    "etc/NetworkManager/system-connections/lan.nmconnection": ("[ethernet]\nmac-address={mac}\n", True),
    "etc/NetworkManager/system-connections/s.nmconnection": ("[ethernet]\ncloned-mac-address={mac}\n", False),
    "etc/udev/rules.d/70-persistent-net.rules": (
        'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{mac}", NAME="eth0"\n', True),
    "etc/netplan/01.yaml": (
        "network:\n  ethernets:\n    lan0:\n      match:\n        macaddress: {mac}\n      dhcp4: true\n", True),
    "etc/netplan/02.yaml": ("network:\n  ethernets:\n    lan0:\n      macaddress: {mac}\n", False),
    "etc/netplan/03.yaml": ("network:\n  ethernets:\n    lan0:\n      match: {{macaddress: '{mac}'}}\n", True),
    "etc/sysconfig/network-scripts/ifcfg-eth0": ("DEVICE=eth0\nHWADDR={mac}\nMACADDR={mac}x\n", True),
    "etc/network/interfaces": ("iface enp0s3 inet dhcp\n  hwaddress ether {mac}\n", False),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_addresses_that_recognise_a_card_are_exchanged_and_no_others(tmp_path: Path, name: str) -> None:
    text, changes = FILES[name]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text.format(mac=OLD))
    put_right(tmp_path, replaced_cards(RECORDED, [card("eth0", NEW)]))
    expected = text.replace("{mac}x", OLD + "x").format(mac=NEW if changes else OLD)
    assert path.read_text() == expected


def test_a_card_that_the_configuration_names_already_gets_no_second_rule(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/network"
    folder.mkdir(parents=True)
    (folder / "10-lan.link").write_text(f"[Match]\nMACAddress={OLD}\n[Link]\nName=enp0s3\n")
    done = put_right(tmp_path, replaced_cards(RECORDED, [card("eth0", NEW)]))
    assert done == ["/etc/systemd/network/10-lan.link: the address of the new network card"]
    assert [path.name for path in folder.iterdir()] == ["10-lan.link"]


def test_two_cards_that_changed_places_are_not_mixed_up() -> None:
    text = f"[Match]\nMACAddress={OLD}\n[Match]\nMACAddress={NEW}\n"
    line = r"^MACAddress=.*$"
    changed = exchanged(text, line, "[Match]", {OLD: NEW, NEW: OLD})
    assert changed == f"[Match]\nMACAddress={NEW}\n[Match]\nMACAddress={OLD}\n"
