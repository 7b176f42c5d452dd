# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses of network cards that were exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.boot.grub_efi import GRUB_EFI
from rear_core.finalize.names import patterns_with_words
from rear_core.network import rename
from rear_core.network.model import Link, Network
from rear_core.network.rename import exchanged, lost_cards, replaced_cards

WITH_WORDS = patterns_with_words([GRUB_EFI])
OLD, NEW, OTHER = "52:54:00:00:00:01", "52:54:00:aa:bb:cc", "52:54:00:00:00:99"


def card(name: str, mac: str, bus: str = "pci0/0000:00:03.0") -> Link:
    return Link(name, mac=mac, driver="virtio_net", bus=bus)


def rewrite_names(target: Path, replaced: rename.Replaced) -> list[rename.Change]:
    return rename.rewrite_names(target, replaced, WITH_WORDS)


RECORDED = Network(links=(card("enp0s3", OLD), Link("br0", kind="bridge", mac=OLD)))


def test_the_same_card_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/network").mkdir(parents=True)
    replaced = replaced_cards(RECORDED, [card("eth0", OLD.upper())])
    assert replaced == {}
    assert rewrite_names(tmp_path, replaced) == []
    assert list((tmp_path / "etc/systemd/network").iterdir()) == []


@pytest.mark.parametrize("present", [card("eth0", NEW), card("enp0s3", OLD, "pci0/0000:00:07.0")])
def test_another_card_or_place_is_named_as_the_old_one(tmp_path: Path, present: Link) -> None:
    done = list(map(str, rewrite_names(tmp_path, replaced_cards(RECORDED, [present]))))
    link = tmp_path / "etc/systemd/network/10-rear-enp0s3.link"
    assert f"MACAddress={present.mac}\n" in link.read_text()
    assert "Name=enp0s3\n" in link.read_text()
    assert done == [f"/etc/systemd/network/10-rear-enp0s3.link: the card {present.mac} is called enp0s3"]


@pytest.mark.parametrize(
    ("library", "kinds"),
    [
        ("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so", "Type=ether infiniband dsa\n"),
        ("usr/lib/systemd/libsystemd-shared-252-18.el9.so", "Type=ether infiniband dsa\n"),
        ("lib/systemd/libsystemd-shared-247.so", "Type=ether infiniband dsa\n"),
        # There `Type=ether` would match no card at all.
        ("usr/lib/systemd/libsystemd-shared-239.so", ""),
        ("usr/lib/libc.so.6", ""),
    ],
)
def test_what_lies_on_a_card_and_has_its_address_does_not_get_its_name(
    tmp_path: Path, library: str, kinds: str
) -> None:
    (tmp_path / library).parent.mkdir(parents=True)
    (tmp_path / library).touch()
    rewrite_names(tmp_path, replaced_cards(RECORDED, [card("eth0", NEW)]))
    text = (tmp_path / "etc/systemd/network/10-rear-enp0s3.link").read_text()
    assert text.partition("\n")[2] == f"[Match]\nMACAddress={NEW}\n{kinds}\n[Link]\nName=enp0s3\n"


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
    "etc/sysconfig/network/ifcfg-eth0": ("STARTMODE='auto'\nLLADDR='{mac}'\n", False),
    "etc/wicked/ifconfig/lan.xml": (
        '<name namespace="ethernet"><permanent-address>{mac}</permanent-address></name>\n', True),
    "etc/wicked/ifconfig/bond.xml": ("<bond><address>{mac}</address></bond>\n", False),
    "etc/NetworkManager/conf.d/lan.conf": ("[device]\nmatch-device=mac:{mac}\n", True),
    "etc/NetworkManager/system-connections/n.nmconnection": ("[ethernet]\nmac-address-denylist={mac};\n", True),
    "etc/network/interfaces.d/lan": ("rename mac/{mac}=lan0\nauto lan0\n", True),
    "etc/default/grub": ('GRUB_CMDLINE_LINUX="quiet ifname=lan0:{mac} ip=lan0:dhcp"\n', True),
    "boot/loader/entries/a.conf": ("options root=UUID=1 ifname=lan0:{mac}\n", True),
    "boot/grub2/grubenv": ("kernelopts=root=UUID=1 ifname=lan0:{mac} ro\n", True),
    "etc/systemd/network/10-lan.link.d/mac.conf": ("[Match]\nMACAddress={mac}\n", True),
    "etc/systemd/network/lan.network.d/mac.conf": (
        "[Match]\nMACAddress=" + OTHER + " \\\n  {mac}\n[Link]\nMACAddress={mac}x\n", True),
    "etc/NetworkManager/conf.d/auto.conf": ("[main]\nno-auto-default={mac},\n", True),
    "etc/udev/rules.d/10-names.rules": (
        'SUBSYSTEM=="net", \\\n  ATTR{{address}}=="{mac}", \\\n  NAME="enp0s3"\n', True),
    "etc/netplan/04.yaml": (
        "network:\n  ethernets:\n    lan0:\n      match:  # the board\n# old\n        macaddress: {mac}\n", True),
    "etc/netplan/05.yaml": (
        "network:\n  ethernets:\n    lan0:\n      'match':\n        \"macaddress\":\n          '{mac}'\n", True),
    "etc/netplan/06.yaml": (
        "network:\n  ethernets:\n    lan0:\n      match: {{\n        macaddress: {mac}\n      }}\n", True),
    "etc/netplan/07.yaml": (
        "network:\n  ethernets:\n    match0:\n      rematch: 1\n      macaddress: {mac}\n", False),
    "etc/cloud/cloud.cfg.d/50-network.cfg": (
        "network:\n  ethernets:\n    lan0:\n      match:\n        macaddress: {mac}\n", True),
    "etc/dracut.conf.d/net.conf": ('kernel_cmdline="ifname=lan0:{mac}"\n', True),
    "etc/cmdline.d/net.conf": ("ifname=lan0:{mac} BOOTIF=01-52-54-00-00-00-99\n", True),
    "boot/grub/grub.cfg": ("linux /vmlinuz ifname=lan0:{mac}\n", True),
    "etc/network/interfaces": ("iface enp0s3 inet dhcp\n  hwaddress ether {mac}\n", False),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_addresses_that_recognise_a_card_are_exchanged_and_no_others(tmp_path: Path, name: str) -> None:
    text, changes = FILES[name]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text.format(mac=OLD))
    rewrite_names(tmp_path, replaced_cards(RECORDED, [card("eth0", NEW)]))
    expected = text.replace("{mac}x", OLD + "x").format(mac=NEW if changes else OLD)
    assert path.read_text() == expected


PLACES = {
    "etc/systemd/network/10-lan.link": "[Match]\nPath=pci-{place}\n[Link]\nName=enp0s3\n",
    "etc/systemd/network/lan.network": "[Match]\nPath=pci-{place}*\n",
    "etc/NetworkManager/system-connections/lan.nmconnection": "[match]\npath=pci-{place};\n",
    "etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", KERNELS=="{place}", NAME="enp0s3"\n',
}


@pytest.mark.parametrize("name", PLACES)
def test_the_place_of_a_card_that_moved_is_exchanged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(PLACES[name].format(place="0000:00:03.0"))
    rewrite_names(tmp_path, replaced_cards(RECORDED, [card("eth0", OLD, "pci0/0000:00:01.0/0000:07:00.0")]))
    assert path.read_text() == PLACES[name].format(place="0000:07:00.0")
    named_there = name.endswith((".link", ".rules"))
    assert (tmp_path / "etc/systemd/network/10-rear-enp0s3.link").exists() != named_there


def test_the_ports_of_a_card_that_went_apart_are_left(tmp_path: Path) -> None:
    path = tmp_path / "etc/systemd/network/lan.network"
    path.parent.mkdir(parents=True)
    path.write_text("[Match]\nPath=pci-0000:00:03.0\n")
    two = Network(links=(card("enp0s3f0", OLD), card("enp0s3f1", OTHER)))
    apart = [card("eth0", OLD, "pci0/0000:00:05.0"), card("eth1", OTHER, "pci0/0000:00:06.0")]
    rewrite_names(tmp_path, replaced_cards(two, apart))
    assert "0000:00:03.0" in path.read_text()


def test_what_still_names_old_cards_is_told(tmp_path: Path) -> None:
    for name, text in {
        "etc/sysconfig/network/ifcfg-eth1": "LLADDR='52-54-00-00-00-01'\n",
        "etc/network/interfaces": f"# {OLD} eth1\nauto eth1 eth10\niface br0 inet dhcp\n  hwaddress ether {NEW}\n",
        "etc/netplan/01.yaml": "network: {ethernets: {eth1.5: {}, myeth1: {}}}\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    recorded = Network(links=(card("eth0", OLD), card("eth1", OTHER, "pci0/0000:00:09.0"), Link("eth2", up=False)))
    here = [card("eth0", NEW)]
    lost = lost_cards(recorded, here)
    assert [link.name for link in lost] == ["eth1"]
    assert rename.mentions(tmp_path, replaced_cards(recorded, here), lost, WITH_WORDS) == [
        "/etc/network/interfaces, line 2: no card replaces eth1",
        "/etc/netplan/01.yaml, line 1: no card replaces eth1",
        "/etc/sysconfig/network/ifcfg-eth1: no card replaces eth1",
        "/etc/sysconfig/network/ifcfg-eth1, line 1: 52-54-00-00-00-01 is the address of a missing network card; rear"
        " left it unchanged",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("52-54-00-00-00-01", "52-54-00-aa-bb-cc"),
        ("5254.0000.0001", "5254.00aa.bbcc"),
        ("525400000001", "525400aabbcc"),
        ("01-52-54-00-00-00-01", "01-52-54-00-aa-bb-cc"),
        ("'52:54:00:00:00:01'", "'52:54:00:aa:bb:cc'"),
        ("1525400000001", "1525400000001"),
    ],
)
def test_an_address_stays_written_as_it_was(old: str, new: str) -> None:
    assert exchanged(f"[Match]\nMACAddress={old}\n", r"^MACAddress=.*$", "[Match]", {OLD: NEW}) == (
        f"[Match]\nMACAddress={new}\n"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/cloud/cloud.cfg.d/50-network.cfg", "    mac_address: '{}'"),
        ("etc/systemd/network/25-lan.network.d/spoof.conf", "[Link]\nMACAddress={}"),
        ("etc/udev/rules.d/99-wake.rules", 'ENV{{MAC}}=="{}"'),
        ("etc/cmdline.d/net.conf", "x=01-{}"),
    ],
)
@pytest.mark.parametrize("old", ["52-54-00-00-00-01", "5254.0000.0001", "525400000001", OLD])
def test_an_address_that_is_left_is_told_however_it_is_written(tmp_path: Path, name: str, text: str, old: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text.format(old) + "\n")
    replaced = replaced_cards(RECORDED, [card("eth0", NEW)])
    rewrite_names(tmp_path, replaced)
    number = text.count("\n") + 1
    assert rename.mentions(tmp_path, replaced, [], WITH_WORDS) == [
        f"/{name}, line {number}: {old} is the address of a missing network card; rear left it unchanged"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/systemd/network/10-lan.link", "[Match]\nMACAddress=5254.00aa.bbcc\n[Link]\nName=enp0s3\n"),
        ("etc/systemd/network/10-lan.link.d/name.conf", "[Match]\nMACAddress=52-54-00-aa-bb-cc\n[Link]\nName=enp0s3\n"),
        ("etc/udev/rules.d/10-names.rules", 'ATTR{address}=="52:54:00:aa:bb:cc", \\\n NAME="enp0s3"\n'),
    ],
)
def test_a_card_that_is_named_in_any_form_gets_no_second_rule(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (tmp_path / "etc/systemd/network").mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/systemd/network/10-lan.link").touch()
    assert rewrite_names(tmp_path, replaced_cards(RECORDED, [card("eth0", NEW)])) == []


def test_a_card_that_the_configuration_names_already_gets_no_second_rule(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/network"
    folder.mkdir(parents=True)
    (folder / "10-lan.link").write_text(f"[Match]\nMACAddress={OLD}\n[Link]\nName=enp0s3\n")
    done = rewrite_names(tmp_path, replaced_cards(RECORDED, [card("eth0", NEW)]))
    assert list(map(str, done)) == ["/etc/systemd/network/10-lan.link: the address of the new network card"]
    assert [path.name for path in folder.iterdir()] == ["10-lan.link"]


def test_two_cards_that_changed_places_are_not_mixed_up() -> None:
    text = f"[Match]\nMACAddress={OLD}\n[Match]\nMACAddress={NEW}\n"
    line = r"^MACAddress=.*$"
    changed = exchanged(text, line, "[Match]", {OLD: NEW, NEW: OLD})
    assert changed == f"[Match]\nMACAddress={NEW}\n[Match]\nMACAddress={OLD}\n"
