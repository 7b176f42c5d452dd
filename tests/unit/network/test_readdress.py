# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of each family, after a clone got it: nothing has an address of the other machine any more."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from rear_core.network import identity, readdress
from rear_core.network.identity import Identity
from rear_core.network.model import Address, Link, Network

OLD, NEW = "52:54:00:00:00:01", "52:54:00:aa:bb:cc"
RECORDED = Network(
    "web1",
    links=(Link("eth0", mac=OLD), Link("eth1", mac="52:54:00:00:00:02"), Link("bond0", kind="bond", mac=OLD)),
    addresses=(
        Address("eth0", "192.0.2.10/24"), Address("bond0", "198.51.100.7/24"), Address("eth0", "2001:db8::10/64"),
        Address("eth1", "203.0.113.9/24", dynamic=True),
    ),
)  # fmt: skip
LEASED = Identity()
FIXED = Identity(
    "lab", {"eth0": ["192.0.2.50/24", "2001:db8::50/64"], "bond0": []}, ["192.0.2.1", "2001:db8::1"], ["192.0.2.53"]
)


def readdressed(root: Path, files: dict[str, str], wanted: Identity) -> tuple[dict[str, str], list[str]]:
    """What the files say afterwards, and the problems; those put aside have gone."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    done = readdress.readdress(root, RECORDED, wanted, {OLD: "eth0", NEW: "eth0"})
    assert all(any(each.startswith(f"/{name}:") for each in done.changes + done.problems)
               for name, text in files.items()
               if not (root / name).exists() or (root / name).read_text() != textwrap.dedent(text))  # fmt: skip
    return {name: (root / name).read_text() for name in files if (root / name).exists()}, done.problems


IFUPDOWN = """\
    # old: 192.0.2.10
    auto lo
    iface lo inet loopback
    auto eth0 bond0
    iface eth0 inet static
        address 192.0.2.10/24
        gateway 192.0.2.1
        hwaddress ether 52:54:00:00:00:01
        mtu 9000
        up ip address add 192.0.2.11/24 dev eth0
        up ethtool -K eth0 tso off
    iface eth0 inet6 static
        address 2001:db8::10
        netmask 64
    iface eth0:1 inet static
        address 192.0.2.12
    iface eth1 inet manual
    iface bond0 inet static
        address 198.51.100.7/24
        bond-slaves eth2 eth3
    """


def test_ifupdown(tmp_path: Path) -> None:
    found, problems = readdressed(tmp_path, {"etc/network/interfaces": IFUPDOWN}, LEASED)
    assert found["etc/network/interfaces"] == textwrap.dedent("""\
        # old: 192.0.2.10
        auto lo
        iface lo inet loopback
        auto eth0 bond0
        iface eth0 inet dhcp
            mtu 9000
            up ethtool -K eth0 tso off
        iface eth1 inet manual
        iface bond0 inet dhcp
            bond-slaves eth2 eth3
        """)
    assert problems == []


def test_ifupdown_with_addresses(tmp_path: Path) -> None:
    found, problems = readdressed(tmp_path, {"etc/network/interfaces": IFUPDOWN}, FIXED)
    assert problems == []
    assert (
        textwrap.dedent("""\
        iface eth0 inet static
            address 192.0.2.50/24
            gateway 192.0.2.1
            dns-nameservers 192.0.2.53
            mtu 9000
            up ethtool -K eth0 tso off
        iface eth0 inet6 static
            address 2001:db8::50/64
            gateway 2001:db8::1
        iface eth1 inet manual
        iface bond0 inet dhcp
        """)
        in found["etc/network/interfaces"]
    )


def test_what_ifupdown_sources_elsewhere(tmp_path: Path) -> None:
    static = "iface {} inet static\n    address {}/24\n"
    files = {
        "etc/network/interfaces": "source interfaces.local /srv/*/lan\nsource-directory /etc/more\n",
        "etc/network/interfaces.local": static.format("eth0", "10.0.0.5") + "source /etc/network/interfaces\n",
        "srv/site/lan": static.format("eth1", "10.0.1.5"),
        "etc/more/bond": static.format("bond0", "198.51.100.7"),
    }
    found, problems = readdressed(tmp_path, files, LEASED)
    assert problems == [] and all("inet dhcp" in found[name] for name in [*files][1:])


def test_a_source_that_only_the_shell_can_tell_is_put_aside(tmp_path: Path) -> None:
    found, problems = readdressed(tmp_path, {"etc/network/interfaces": "source $HOME/lan\n"}, LEASED)
    assert found == {} and len(problems) == 1 and "it sources $HOME/lan" in problems[0]


def test_sourced_files_outside_of_the_recovered_system_stay(tmp_path: Path) -> None:
    outside, root = tmp_path / "lan", tmp_path / "root"
    outside.write_text("iface eth0 inet static\n    address 192.0.2.10/24\n")
    (root / "etc/network").mkdir(parents=True)
    (root / "etc/network/link").symlink_to(outside)
    readdressed(root, {"etc/network/interfaces": "source link ../../../lan\n"}, LEASED)
    assert "192.0.2.10" in outside.read_text()


NETPLAN = """\
    network:
      version: 2
      ethernets:
        lan:   # the first card
          match:
            macaddress: "52:54:00:00:00:01"
          set-name: eth0
          dhcp4: no
          addresses:
          - 192.0.2.10/24
          - "2001:db8::10/64"
          routes:
            - to: default
              via: 192.0.2.1
          nameservers:
            addresses: [192.0.2.53,
              192.0.2.54]
          mtu: 9000
        eth2: {}
        eth3:
          dhcp4: no   # a port
          dhcp6: "false"
          addresses: []
      bonds:
        bond0:
          interfaces: [eth2, eth3]
          macaddress: 52:54:00:00:00:01
          addresses: [198.51.100.7/24]
          parameters:
            mode: active-backup
    """


def test_netplan(tmp_path: Path) -> None:
    found, problems = readdressed(tmp_path, {"etc/netplan/50-cloud-init.yaml": NETPLAN}, FIXED)
    assert problems == []
    assert found["etc/netplan/50-cloud-init.yaml"] == textwrap.dedent("""\
        network:
          version: 2
          ethernets:
            lan:   # the first card
              dhcp4: false
              addresses: ["192.0.2.50/24", "2001:db8::50/64"]
              routes: [{to: "0.0.0.0/0", via: "192.0.2.1"}, {to: "::/0", via: "2001:db8::1"}]
              nameservers: {addresses: ["192.0.2.53"]}
              match:
                macaddress: "52:54:00:00:00:01"
              set-name: eth0
              mtu: 9000
            eth2: {}
            eth3:
              dhcp4: no   # a port
              dhcp6: "false"
              addresses: []
          bonds:
            bond0:
              dhcp4: true
              interfaces: [eth2, eth3]
              parameters:
                mode: active-backup
        """)


@pytest.mark.parametrize(
    "text",
    [
        "network: {ethernets: {eth0: {addresses: [192.0.2.10/24]}}}\n",
        "network:\n  ethernets:\n    eth0: {addresses: [192.0.2.10/24]}\n",
        "network:\n  ethernets:\n    eth0: &a\n      addresses: [192.0.2.10/24]\n    eth1: *a\n",
        "network:\n  tunnels:\n    wg0:\n      mode: wireguard\n      addresses: [10.9.0.2/24]\n",
        "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      link-local: ['192.0.2.10']\n",
    ],
)
def test_what_is_not_understood_is_put_aside_and_told(tmp_path: Path, text: str) -> None:
    found, problems = readdressed(tmp_path, {"etc/netplan/a.yaml": text}, LEASED)
    assert found == {} and len(problems) == 1 and problems[0].startswith("/etc/netplan/a.yaml: put aside")
    assert (tmp_path / "var/lib/rear/aside/etc/netplan/a.yaml").read_text() == text


KEYFILE = """\
    [connection]
    id=lan
    type=ethernet

    [ethernet]
    mac-address=52:54:00:AA:BB:CC
    cloned-mac-address=52:54:00:00:00:01

    [ipv4]
    method=manual
    address1=192.0.2.10/24,192.0.2.1
    route1=10.0.0.0/8,192.0.2.254
    dns=192.0.2.53;
    may-fail=false

    [ipv6]
    method=auto
    """


def test_network_manager(tmp_path: Path) -> None:
    place = "etc/NetworkManager/system-connections/lan.nmconnection"
    found, problems = readdressed(tmp_path, {place: KEYFILE}, LEASED)
    assert problems == [] and found[place] == textwrap.dedent("""\
        [connection]
        id=lan
        type=ethernet

        [ethernet]
        mac-address=52:54:00:AA:BB:CC

        [ipv4]
        may-fail=false
        method=auto

        [ipv6]
        method=auto
        """)
    (tmp_path / "two").mkdir()
    found, problems = readdressed(tmp_path / "two", {place: KEYFILE}, FIXED)
    assert problems == [] and "address1=192.0.2.50/24,192.0.2.1\ndns=192.0.2.53;\n" in found[place]
    assert "method=manual\naddress1=2001:db8::50/64,2001:db8::1\n" in found[place]


def test_network_manager_profiles_that_act_for_others_are_put_aside(tmp_path: Path) -> None:
    folder = "etc/NetworkManager/system-connections/"
    files = {
        f"{folder}wg.nmconnection": "[connection]\ntype=wireguard\n[ipv4]\nmethod=manual\naddress1=10.9.0.2/24\n",
        f"{folder}shared": "[connection]\ntype=bridge\n[ipv4]\nmethod=shared\n",
        f"{folder}port": "[connection]\ntype=ethernet\nmaster=br0\nslave-type=bridge\n",
    }
    found, problems = readdressed(tmp_path, files, LEASED)
    assert [*found] == [f"{folder}port"] and len(problems) == 2


def test_systemd_networkd(tmp_path: Path) -> None:
    files = {
        "etc/systemd/network/10-lan.network": """\
            [Match]
            MACAddress=52:54:00:00:00:01

            [Network]
            Address=192.0.2.10/24
            Gateway=192.0.2.1
            VLAN=vlan5

            [Address]
            Address=192.0.2.11/24
            """,
        "etc/systemd/network/20-port.network": "[Match]\nName=eth2 eth3\n[Network]\nBond=bond0\nDHCP=no\n",
        "etc/systemd/network/bond0.netdev": "[NetDev]\nName=bond0\nKind=bond\nMACAddress=52:54:00:00:00:01\n",
        "etc/systemd/network/30-bond.network": "[Match]\nName=bond0\n[Network]\nDHCP=no\nAddress=198.51.100.7/24\n",
    }
    found, problems = readdressed(tmp_path, files, FIXED)
    assert problems == []
    assert found["etc/systemd/network/10-lan.network"] == textwrap.dedent("""\
        [Match]
        MACAddress=52:54:00:00:00:01

        [Network]
        VLAN=vlan5
        Address=192.0.2.50/24
        Address=2001:db8::50/64
        Gateway=192.0.2.1
        Gateway=2001:db8::1
        DNS=192.0.2.53

        """)
    assert found["etc/systemd/network/20-port.network"] == files["etc/systemd/network/20-port.network"]
    assert found["etc/systemd/network/bond0.netdev"] == "[NetDev]\nName=bond0\nKind=bond\n"
    assert found["etc/systemd/network/30-bond.network"] == "[Match]\nName=bond0\n[Network]\nDHCP=yes\n"


def test_network_scripts(tmp_path: Path) -> None:
    folder = "etc/sysconfig/network-scripts/"
    files = {
        f"{folder}ifcfg-eth0": "DEVICE=eth0\nONBOOT=yes\nBOOTPROTO=none\nIPADDR=192.0.2.10\nPREFIX=24\n"
        "GATEWAY=192.0.2.1\nDNS1=192.0.2.53\nMACADDR=52:54:00:00:00:01\nIPV6ADDR=2001:db8::10/64\n",
        f"{folder}ifcfg-eth2": "DEVICE=eth2\nMASTER=bond0\nSLAVE=yes\nBOOTPROTO=none\n",
        f"{folder}ifcfg-bond0": 'DEVICE=bond0\nBOOTPROTO="static"\nIPADDR0="198.51.100.7"\nPREFIX0=24\n',
        f"{folder}route-eth0": "10.0.0.0/8 via 192.0.2.254\n",
    }
    found, problems = readdressed(tmp_path, files, FIXED)
    assert problems == []
    assert found == {
        f"{folder}ifcfg-eth0": "DEVICE=eth0\nONBOOT=yes\nBOOTPROTO=static\nIPADDR=192.0.2.50\nPREFIX=24\n"
        "IPV6INIT=yes\nIPV6ADDR=2001:db8::50/64\nGATEWAY=192.0.2.1\nIPV6_DEFAULTGW=2001:db8::1\nDNS1=192.0.2.53\n",
        f"{folder}ifcfg-eth2": files[f"{folder}ifcfg-eth2"],
        f"{folder}ifcfg-bond0": "DEVICE=bond0\nBOOTPROTO=dhcp\n",
    }


def test_wicked(tmp_path: Path) -> None:
    folder = "etc/sysconfig/network/"
    files = {
        f"{folder}ifcfg-eth0": "BOOTPROTO='static'\nIPADDR='192.0.2.10/24'\n"
        "LLADDR='52:54:00:00:00:01'\nSTARTMODE='auto'\n",
        f"{folder}ifcfg-lo": "IPADDR=127.0.0.1/8\n",
        f"{folder}routes": "default 192.0.2.1 - -\n",
        f"{folder}config": 'NETCONFIG_DNS_STATIC_SERVERS="192.0.2.3"\nNETCONFIG_DNS_POLICY="auto"\n',
        "etc/wicked/ifconfig/eth1.xml": "<interface/>\n",
    }
    found, problems = readdressed(tmp_path, files, FIXED)
    assert found == {
        f"{folder}ifcfg-eth0": "STARTMODE='auto'\nBOOTPROTO=static\nIPADDR=192.0.2.50/24\nIPADDR_1=2001:db8::50/64\n",
        f"{folder}ifcfg-lo": files[f"{folder}ifcfg-lo"],
        f"{folder}config": 'NETCONFIG_DNS_STATIC_SERVERS="192.0.2.53"\nNETCONFIG_DNS_POLICY="auto"\n',
    }
    assert (tmp_path / folder / "ifroute-eth0").read_text() == "default 192.0.2.1 - eth0\ndefault 2001:db8::1 - eth0\n"
    assert len(problems) == 1 and problems[0].startswith("/etc/wicked/ifconfig/eth1.xml: put aside")


def test_dhcpcd_and_leases_that_would_bring_an_old_address_back(tmp_path: Path) -> None:
    leases = (
        "var/lib/dhcp/dhclient.eth0.leases",
        "var/lib/NetworkManager/internal-x-eth0.lease",
        "var/lib/wicked/l.xml",
    )
    for name in leases:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("lease {}\n")
    (tmp_path / "var/lib/dhcp/dhcpd.leases").write_text("what this machine gave to others\n")
    text = "hostname\ninterface eth0\nstatic ip_address=192.0.2.10/24\nstatic routers=192.0.2.1\n"
    found, problems = readdressed(tmp_path, {"etc/dhcpcd.conf": text}, LEASED)
    assert (found["etc/dhcpcd.conf"], problems) == ("hostname\ninterface eth0\n", [])
    assert not any((tmp_path / name).exists() for name in leases) and (tmp_path / "var/lib/dhcp/dhcpd.leases").exists()


def test_a_dhcp_server_does_not_take_a_clone_for_the_machine(tmp_path: Path) -> None:
    found, problems = readdressed(tmp_path, {
        "etc/systemd/network/a.network": "[Network]\nDHCP=yes\n[DHCPv4]\nClientIdentifier=duid\nDUIDRawData=00:01\n"
        "Hostname=web1\nUseDNS=no\n[DHCPv6]\nIAID=7\n",
        "etc/systemd/networkd.conf": "[DHCPv4]\nDUIDType=vendor\nDUIDRawData=00:01\n",
        "etc/dhcpcd.conf": "clientid\nduid 00:01\nhostname web1\ninterface eth0\niaid 7\n",
        "etc/dhcp/dhclient.conf": "send host-name = gethostname();\n# send host-name \"web1\";\n"
        'interface "eth0" { send host-name "web1"; send fqdn.encoded on; }\nsend dhcp-client-identifier\n  1:2:3;\n',
    }, LEASED)  # fmt: skip
    assert [*found.values()] == [
        "[Network]\nDHCP=yes\n[DHCPv4]\nUseDNS=no\n", "", "clientid\ninterface eth0\n",
        "send host-name = gethostname();\n# send host-name \"web1\";\n"
        'interface "eth0" {  send fqdn.encoded on; }\n\n',
    ]  # fmt: skip
    assert problems == []


def test_an_address_that_no_file_takes_is_a_problem(tmp_path: Path) -> None:
    found, problems = readdressed(tmp_path, {"etc/network/interfaces": "iface eth9 inet dhcp\n"}, FIXED)
    assert found and problems == [
        "eth0 should have 192.0.2.50/24 2001:db8::50/64, but no configuration of the network could be given that",
        "no configuration of the network could be given the gateways 192.0.2.1 2001:db8::1",
        "no configuration of the network could be given the name servers 192.0.2.53",
    ]


def test_network_scripts_with_ipv6_alone(tmp_path: Path) -> None:
    name = "etc/sysconfig/network-scripts/ifcfg-eth0"
    wanted = Identity("lab", {"eth0": ["2001:db8::50/64", "2001:db8::51/64"]}, ["2001:db8::1"], ["2001:db8::53"])
    found, problems = readdressed(tmp_path, {name: "DEVICE=eth0\nBOOTPROTO=dhcp\n"}, wanted)
    assert problems == [] and found[name] == (
        'DEVICE=eth0\nBOOTPROTO=static\nIPV6INIT=yes\nIPV6ADDR=2001:db8::50/64\nIPV6ADDR_SECONDARIES="2001:db8::51/64"\n'
        "IPV6_DEFAULTGW=2001:db8::1\nDNS1=2001:db8::53\n"
    )


def test_dhcpcd_gets_all_that_it_has_words_for_and_the_rest_is_a_problem(tmp_path: Path) -> None:
    text = "interface eth0\nstatic ip6_address=2001:db8::10/64\nstatic ip_address=192.0.2.10/24\n"
    found, problems = readdressed(tmp_path, {"etc/dhcpcd.conf": text}, FIXED)
    assert found["etc/dhcpcd.conf"] == (
        "interface eth0\nstatic ip_address=192.0.2.50/24\nstatic routers=192.0.2.1\n"
        "static ip6_address=2001:db8::50/64\nstatic domain_name_servers=192.0.2.53\n"
    )
    assert problems == ["no configuration of the network could be given the gateways 2001:db8::1"]


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    readdressed(
        tmp_path, {"etc/network/interfaces": IFUPDOWN, "etc/systemd/network/a.network": "[Match]\nName=eth1\n"}, FIXED
    )
    done = readdress.readdress(tmp_path, RECORDED, FIXED, {})
    assert (done.changes, done.problems) == ([], [])


def test_the_rescue_system_of_a_clone_has_no_address_of_the_other_machine() -> None:
    cards = [Link("eth0", mac=NEW), Link("eth1", mac="52:54:00:aa:bb:cd")]
    for wanted in (LEASED, FIXED):
        found = identity.set_up(RECORDED, wanted, cards)
        addresses = {address.address for address in found.addresses}
        assert addresses == ({"192.0.2.50/24", "2001:db8::50/64"} if wanted is FIXED else set())
        assert {link.name for link in found.links if link.dhcp} == {"eth0", "eth1", "bond0"} - (
            {"eth0"} if wanted is FIXED else set()
        )
        assert found.hostname == ("lab" if wanted is FIXED else "web1-clone")
