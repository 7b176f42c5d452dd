# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that describes another identity: what it may say, and where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.errors import ConfigurationError
from rear_core.network.identity import Identity, asked_for, check_links, load, parse
from rear_core.network.model import Link, Network

TEXT = """\
# for the laboratory
HOST_NAME=web1-lab.example.org
ADDRESSES=( eth0=192.0.2.50/24 eth0=2001:db8::50/64 eth1=dhcp )
GATEWAYS=( 192.0.2.1 )
NAME_SERVERS=( 192.0.2.53 )
"""


def test_a_file_says_name_and_addresses() -> None:
    found = parse(TEXT, "lab")
    assert found.hostname == "web1-lab.example.org"
    assert found.addresses == {"eth0": ["192.0.2.50/24", "2001:db8::50/64"], "eth1": []}
    assert (found.gateway("192.0.2.50/24"), found.gateway("2001:db8::50/64")) == ("192.0.2.1", "")
    assert found.places["eth1"] == "lab:3:1"


def test_without_a_word_all_comes_by_dhcp() -> None:
    assert load("dhcp") == Identity() == parse("ADDRESSES=dhcp\n", "lab")
    assert Identity().named("web1.example.org") == "web1-clone.example.org"
    assert len(Identity().named("w" * 63)) == 63


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("HOST_NAME=-a\n", "lab:1:1: HOST_NAME must be a host name"),
        ("\nHOST_NAME=a;b\n", "lab:2:"),
        ("HOST_NAME=( a b )\n", "lab:1:1: HOST_NAME must"),
        ("HOSTNAME=a\n", "lab:1:1: HOSTNAME is unknown"),
        ("ADDRESSES=( eth0 )\n", "lab:1:1: eth0 is not NAME=ADDRESS/LENGTH"),
        ("ADDRESSES=( eth0=192.0.2.50 )\n", "lacks its prefix length"),
        ("ADDRESSES=( eth0=127.0.0.1/8 )\n", "is no address of a machine"),
        ("ADDRESSES=( eth0=192.0.2.500/24 )\n", "lab:1:1: '192.0.2.500/24' does not appear"),
        ("ADDRESSES=( eth0=$IP )\n", "must have plain words"),
        (
            "ADDRESSES=( eth0=192.0.2.50/24 )\nGATEWAYS=( 198.51.100.1 )\n",
            "the gateway 198.51.100.1 is in the network of none",
        ),
        ("rm -rf /\n", "lab:1:"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        parse(text, "lab")
    assert told in error.value.message


def test_a_link_that_the_machine_does_not_have_is_named_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^lab:3:1: the machine has no network link 'eth1'"):
        check_links(parse(TEXT, "lab"), Network(links=(Link("eth0"),)))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigurationError):
            load(str(path))


def test_the_kernel_parameter() -> None:
    assert asked_for("quiet rear.identity=dhcp rear.auto=recover") == "dhcp"
    assert asked_for("quiet") is None
    assert asked_for("rear.identity= quiet") == ""
    with pytest.raises(ConfigurationError, match="names no identity"):
        load("")
