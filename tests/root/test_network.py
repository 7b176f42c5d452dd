# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks captured in one network namespace and set up again in another, as the rescue system does it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rear_core.network import model as network
from rear_core.network.model import Network
from rear_core.shell import Shell

pytestmark = pytest.mark.root

SOURCE = Path(network.__file__).parents[2]
CAPTURE = """
from rear_core.shell import Shell
from rear_core.network import capture, model as network
print(network.dumps(capture.capture(Shell())))
"""
MACS = ("02:00:00:00:01:01", "02:00:00:00:01:02", "02:00:00:00:01:03")


@dataclass
class Namespaces:
    """Machines as network namespaces, their cards plugged into one that is the switch."""

    prefix: str
    sh: Shell = field(default_factory=Shell)

    def machine(self, name: str, cards: dict[str, str]) -> str:
        """A new machine with cards of these names and MACs."""
        namespace = f"{self.prefix}-{name}"
        self.sh.run("ip", "netns", "add", namespace)
        # Addresses that the kernel makes itself come and go while a test looks.
        self.sh.run("ip", "netns", "exec", namespace, "sysctl", "-q", "net.ipv6.conf.default.accept_ra=0")
        for number, (card, mac) in enumerate(cards.items()):
            plug = f"{name}{number}"
            self.ip("switch", f"link add {plug} type veth peer name {card} address {mac} netns {namespace}")
            self.ip("switch", f"link set {plug} master lan up")
        return namespace

    def ip(self, name: str, words: str) -> None:
        """Run ip in a machine."""
        self.sh.run("ip", "-netns", f"{self.prefix}-{name}", *words.split())

    def python(self, name: str, *arguments: str, setup: str = "true", ok: tuple[int, ...] = (0,)) -> str:
        """Run Python in a machine that has a host name, /run, /var/log and resolv.conf of its own."""
        resolv_conf = shlex.quote(os.path.realpath("/etc/resolv.conf"))
        script = (
            "set -e; mount -t tmpfs none /run; mount -t tmpfs none /var/log; touch /run/resolv.conf;"
            f"mount --bind /run/resolv.conf {resolv_conf}; {setup};"
            f"exec {shlex.join([sys.executable, *arguments])}"
        )
        # iproute2 mounts sysfs for the namespace, so it goes before any change of mounts.
        inside = ["unshare", "--uts", "sh", "-c", script]
        namespace = f"{self.prefix}-{name}"
        environment = {"PYTHONPATH": os.fspath(SOURCE)}
        return self.sh.query("ip", "netns", "exec", namespace, *inside, env=environment, ok=ok)

    def capture(self, name: str) -> Network:
        """The network of a machine."""
        return network.loads(self.python(name, "-c", CAPTURE))

    def set_up(self, name: str, recorded: Network, tmp_path: Path, setup: str = "true", ok: int = 0) -> str:
        """What the rescue system prints when it sets the network up."""
        file = tmp_path / f"{name}.json"
        network.save(recorded, file)
        return self.python(name, "-m", "rear_core.network.apply", os.fspath(file), setup=setup, ok=(ok,))


@pytest.fixture
def lab() -> Iterator[Namespaces]:
    found = Namespaces(f"rear{os.getpid()}")
    found.sh.run("ip", "netns", "add", f"{found.prefix}-switch")
    try:
        found.ip("switch", "link add lan type bridge")
        found.ip("switch", "address add 192.0.2.1/24 dev lan")
        found.ip("switch", "link set lan up")
        yield found
    finally:
        for name in found.sh.query("ip", "netns", "list").split():
            if name.startswith(found.prefix):
                found.sh.run("ip", "netns", "delete", name)


def comparable(found: Network) -> Network:
    """Without what belongs to the cards themselves, sorted as order is the kernel's."""
    links = (replace(link, permanent_mac="") for link in found.links)
    return replace(
        found,
        links=tuple(sorted(links, key=lambda link: link.name)),
        addresses=tuple(sorted(found.addresses, key=lambda address: (address.link, address.address))),
        routes=tuple(sorted(found.routes, key=repr)),
        left_out=(),
    )


def test_a_stacked_network_is_the_same_on_cards_with_other_names(lab: Namespaces, tmp_path: Path) -> None:
    lab.machine("before", dict(zip(("lan0", "lan1", "lan2"), MACS)))
    for words in (
        "link set lo up",
        "link add br0 type bridge stp_state 1 forward_delay 400 priority 4096 mcast_snooping 0",
        "link set lan0 master br0",
        "link set lan0 type bridge_slave priority 8 hairpin on",
        "link set lan0 up",
        "link set br0 up",
        "link set lan1 mtu 1400 up",
        "link add link lan1 name mac1 address 02:00:00:00:02:01 type macvlan mode private",
        "link set mac1 up",
        "address add 192.0.2.7/24 broadcast 192.0.2.255 dev br0",
        "address add 192.0.2.8/24 dev br0 label br0:1",
        "address add 2001:db8::7/64 dev br0 nodad",
        "address add 198.51.100.2 peer 198.51.100.3/32 dev mac1",
        "address add 203.0.113.5/24 dev lan1 metric 50 noprefixroute",
        "route add 203.0.113.0/24 dev lan1 proto kernel src 203.0.113.5 metric 100",
        "route add default via 192.0.2.1",
        "route add 10.1.0.0/16 via 203.0.113.1 metric 7 mtu 1300",
        "route add 10.2.0.0/16 nexthop via 192.0.2.1 weight 2 nexthop via 203.0.113.1",
        "route add 10.3.0.0/16 via 192.168.77.1 dev lan1 onlink table 100 src 203.0.113.5 proto static",
        "route add blackhole 10.4.0.0/16",
        "-6 route add default via 2001:db8::1 metric 20",
        "-6 route add 2001:db8:2::/48 via fe80::1 dev br0 src 2001:db8::7",
        "rule add from 203.0.113.5 fwmark 1/0xff lookup 100 priority 90",
        "rule add to 10.0.0.0/8 iif lan1 prohibit priority 91",
        "rule add not fwmark 0xca6c lookup 51820 priority 93",
        "rule add lookup main suppress_prefixlength 0 priority 92",
        "rule add ipproto 6 dport 2049 lookup 100 priority 94",
        "rule add uidrange 100-200 sport 10-20 lookup 100 priority 95",
        "-6 rule add from 2001:db8::/64 lookup 100 priority 90",
    ):
        lab.ip("before", words)
    before = lab.capture("before")
    lab.sh.run("ip", "netns", "delete", f"{lab.prefix}-before")
    # Two names are swapped, one is new, and the cards appear in another order.
    lab.machine("after", {"eth0": MACS[2], "lan0": MACS[1], "lan1": MACS[0]})
    lab.ip("after", "link property add dev eth0 altname lan2")
    printed = lab.set_up("after", before, tmp_path)
    assert comparable(lab.capture("after")) == comparable(before)
    assert "lan0 (lan1, same MAC): up" in printed.splitlines()
    assert "br0: 192.0.2.7/24 192.0.2.8/24 2001:db8::7/64" in printed.splitlines()
    assert [link.name for link in before.links] == ["lan0", "lan1", "lan2", "br0", "mac1"]
    assert len(before.routes) == 8
    assert [rule.priority for rule in before.rules] == [90, 91, 92, 93, 94, 95, 90]
    # An answer of the switch, though it has no such service, as soon as the spanning tree lets it through.
    assert "Connection refused" in lab.python(
        "after",
        "-c",
        "import os, socket; s = socket.socket(); s.settimeout(20);print(os.strerror(s.connect_ex(('192.0.2.1', 9))))",
    )


def test_setting_up_twice_changes_nothing(lab: Namespaces, tmp_path: Path) -> None:
    lab.machine("m", {"lan0": MACS[0]})
    for words in (
        "link add br0 type bridge",
        "link set lan0 master br0",
        "link set lan0 up",
        "link set br0 up",
        "address add 192.0.2.7/24 dev br0",
        "route add default via 192.0.2.1",
        "rule add from 192.0.2.7 lookup 100 priority 90",
    ):
        lab.ip("m", words)
    before = lab.capture("m")
    first, second = lab.set_up("m", before, tmp_path), lab.set_up("m", before, tmp_path)
    assert first == second
    assert comparable(lab.capture("m")) == comparable(before)


def test_a_link_that_fails_does_not_stop_the_others(lab: Namespaces, tmp_path: Path) -> None:
    lab.machine("before", dict(zip(("lan0", "lan1"), MACS)))
    for words in (
        "link set lan0 up",
        "link set lan1 up",
        "address add 192.0.2.7/24 dev lan0",
        "address add 198.51.100.7/24 dev lan1",
        "route add default via 198.51.100.1",
    ):
        lab.ip("before", words)
    recorded = lab.capture("before")
    broken = replace(recorded.links[0], mtu=99999999)
    lab.machine("after", {"eth0": MACS[0], "eth1": MACS[1]})
    printed = lab.set_up("after", replace(recorded, links=(broken, recorded.links[1])), tmp_path, ok=1)
    assert "lan0 (eth0, same MAC): FAILED: ip link set dev lan0 mtu 99999999: Error: mtu greater" in printed
    assert "lan1 (eth1, same MAC): 198.51.100.7/24" in printed.splitlines()
    assert printed.splitlines()[-1].startswith("differs from the record: lan0 (eth0, same MAC); details: /var/log/")
    assert [a.address for a in lab.capture("after").addresses] == ["192.0.2.7/24", "198.51.100.7/24"]


def test_cables_of_containers_and_their_bridge_are_left_out(lab: Namespaces) -> None:
    lab.machine("host", {"lan0": MACS[0]})
    for words in (
        "link add docker0 type bridge",
        "link add cable type veth peer name inner",
        "link set cable master docker0",
        "tuntap add mode tap name tap0",
        "link set docker0 up",
        "address add 172.17.0.1/16 dev docker0",
        "rule add iif docker0 lookup 100 priority 50",
        "rule add tun_id 7 lookup 100 priority 51",
    ):
        lab.ip("host", words)
    found = lab.capture("host")
    assert [link.name for link in found.links] == ["lan0"]
    assert not found.addresses and not found.routes and not found.rules
    assert {item.name: item.reason for item in found.left_out} == {
        "docker0": "no members that connect to another machine",
        "cable": "a cable into a container",
        "inner": "a cable into a container",
        "tap0": "created by the program that uses it",
        "rule 50": "for docker0, which is left out",
        "rule 51": "it has FRA_TUN_ID, which rear does not know",
    }


def test_the_kernel_parameter_replaces_addresses_and_keeps_links(lab: Namespaces, tmp_path: Path) -> None:
    lab.machine("before", {"lan0": MACS[0]})
    for words in (
        "link add br0 type bridge",
        "link set lan0 master br0",
        "link set lan0 up",
        "link set br0 up",
        "address add 203.0.113.7/24 dev br0",
        "route add default via 203.0.113.1",
    ):
        lab.ip("before", words)
    recorded = lab.capture("before")
    lab.machine("after", {"eth0": MACS[0]})
    command_line = tmp_path / "cmdline"
    command_line.write_text("quiet ip=192.0.2.50::192.0.2.1:255.255.255.0:guest::none:192.0.2.53\n")
    printed = lab.python(
        "after",
        "-c",
        "import sys, pathlib, socket; from rear_core.network import apply as network;"
        "status = network.main(sys.argv[1:]); print(socket.gethostname());"
        "print(pathlib.Path('/etc/resolv.conf').read_text()); sys.exit(status)",
        os.fspath(_saved(recorded, tmp_path)),
        setup=f"mount --bind {command_line} /proc/cmdline",
    )
    assert "br0: 192.0.2.50/24" in printed.splitlines()
    assert "guest" in printed.splitlines()
    assert "nameserver 192.0.2.53" in printed.splitlines()
    after = lab.capture("after")
    assert [address.address for address in after.addresses] == ["192.0.2.50/24"]
    assert [route.hops[0].gateway for route in after.routes] == ["192.0.2.1"]


CLIENTS = ("dhclient", "dhcpcd", "udhcpc")
LEASED = Network(
    links=(network.Link("lan0", mac=MACS[0], driver="veth", dhcp=True),),
    addresses=(network.Address("lan0", "192.0.2.99/24", dynamic=True),),
    routes=(
        network.Route(4, "default", (network.Hop("lan0", "192.0.2.1"),), metric=77, protocol="dhcp", dynamic=True),
    ),
)


def only(sh: Shell, client: str) -> str:
    """Shell commands that hide all DHCP clients but one."""
    paths = {name: sh.which(name) for name in CLIENTS}
    if client == "dhclient" and not paths[client]:
        pytest.skip("dhclient is not installed, which Debian has no longer after release 13")
    assert paths[client], f"this test needs {client}"
    hidden = [path for name, path in paths.items() if path and name != client]
    return "; ".join(["true", *(f"mount --bind /dev/null {path}" for path in hidden)])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_lease_is_asked_for(lab: Namespaces, tmp_path: Path, client: str) -> None:
    lab.machine("m", {"eth0": MACS[0]})
    server = start_server(lab, tmp_path)
    try:
        printed = lab.set_up("m", LEASED, tmp_path, setup=only(lab.sh, client))
        after = lab.capture("m")
    finally:
        end_processes(lab, "m")
        os.kill(server, 15)
    assert printed.splitlines() == ["lan0 (eth0, same MAC): 192.0.2.150/24"]
    assert ("192.0.2.1", 77) in [(route.hops[0].gateway, route.metric) for route in after.routes]
    assert after.links[0].dhcp


def test_the_recorded_lease_is_used_when_nobody_answers(lab: Namespaces, tmp_path: Path) -> None:
    lab.machine("m", {"eth0": MACS[0]})
    printed = lab.set_up("m", LEASED, tmp_path, setup=only(lab.sh, "udhcpc"))
    after = lab.capture("m")
    assert printed.startswith("lan0 (eth0, same MAC): 192.0.2.99/24, no lease (")
    assert [(route.hops[0].gateway, route.metric) for route in after.routes] == [("192.0.2.1", 77)]


def _saved(recorded: Network, tmp_path: Path) -> Path:
    network.save(recorded, tmp_path / "network.json")
    return tmp_path / "network.json"


def start_server(lab: Namespaces, tmp_path: Path) -> int:
    """The process of a DHCP server that has one address to give."""
    pid = tmp_path / "dnsmasq.pid"
    lab.sh.run(
        "ip", "netns", "exec", f"{lab.prefix}-switch", "dnsmasq", "--conf-file=/dev/null", "--user=root",
        "--port=0", "--interface=lan", "--bind-interfaces", "--dhcp-authoritative", "--no-ping",
        "--dhcp-range=192.0.2.150,192.0.2.150,1h", "--dhcp-option=option:dns-server,192.0.2.53",
        f"--pid-file={pid}", f"--dhcp-leasefile={tmp_path / 'leases'}",
    )  # fmt: skip
    return int(pid.read_text())


def end_processes(lab: Namespaces, name: str) -> None:
    """End what still runs in a machine."""
    for pid in lab.sh.query("ip", "netns", "pids", f"{lab.prefix}-{name}").split():
        os.kill(int(pid), 9)
