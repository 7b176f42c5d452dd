# SPDX-License-Identifier: GPL-3.0-or-later
"""network.json: whatever is written is read back the same; whatever else is in the file is named."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.network.model import Address, Link, Network, Route, dumps, hardware, load, loads, save

NETWORKS = st.builds(
    Network,
    links=st.lists(st.from_type(Link), max_size=3).map(tuple),
    routes=st.lists(st.from_type(Route), max_size=3).map(tuple),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "links", "family", "port"]), inner),
)


@given(NETWORKS)
def test_a_network_is_read_back_as_it_was_written(network: Network) -> None:
    assert loads(dumps(network)) == network


def test_any_name_can_be_written(tmp_path: Path) -> None:
    network = Network(hostname=os.fsdecode(b"caf\xe9"))
    save(network, tmp_path / "network.json")
    assert load(tmp_path / "network.json") == network


@given(JSON)
def test_any_document_is_a_network_or_an_error_of_configuration(value: object) -> None:
    document = {"version": 1, **value} if isinstance(value, dict) else value
    with suppress(ConfigurationError):
        assert isinstance(loads(json.dumps(document)), Network)


@given(st.text())
def test_any_text_is_an_error_of_configuration(text: str) -> None:
    with pytest.raises(ConfigurationError):
        loads(text + "}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "here.json: Expecting property name"),
        ("[]", 'here.json: not a description of a network: no "version"'),
        ('{"version": 2}', "here.json: version 2, but this rear reads version 1"),
        ('{"version": 1, "link": []}', "here.json: the file: unknown 'link'"),
        ('{"version": 1, "links": {}}', "here.json: links: a list is needed"),
        ('{"version": 1, "links": [{"name": "a"}, {}]}', "here.json: links[1]: 'name' is missing"),
        (
            '{"version": 1, "links": [{"name": "a", "mtu": "9"}]}',
            "here.json: links[0].mtu: int is needed, not '9'",
        ),
        (
            '{"version": 1, "links": [{"name": "a", "up": 1}]}',
            "here.json: links[0].up: bool is needed, not 1",
        ),
        (
            '{"version": 1, "links": [{"name": "a", "options": {"id": 5}}]}',
            "here.json: links[0].options: an object with texts is needed",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        loads(text, "here.json")
    assert error.value.message.startswith(message)


def test_what_is_usual_is_not_written() -> None:
    network = Network(links=(Link("eth0", mac="52:54:00:00:00:01"),), addresses=(Address("eth0", "192.0.2.7/24"),))
    assert json.loads(dumps(network)) == {
        "version": 1,
        "links": [{"name": "eth0", "mac": "52:54:00:00:00:01"}],
        "addresses": [{"link": "eth0", "address": "192.0.2.7/24"}],
    }


def test_the_file_is_for_its_owner_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "recovery/network.json"
    save(Network(hostname="one"), file)
    save(Network(hostname="two"), file)
    assert load(file).hostname == "two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*nowhere\.json"):
        load(tmp_path / "nowhere.json")


def test_a_card_is_placed_without_the_numbers_that_virtio_counts(tmp_path: Path) -> None:
    device = tmp_path / "devices/pci0000:00/0000:00:03.0/virtio2"
    (tmp_path / "bus/virtio_net").mkdir(parents=True)
    card = tmp_path / "class/net/eth0"
    device.mkdir(parents=True)
    card.mkdir(parents=True)
    (device / "driver").symlink_to(tmp_path / "bus/virtio_net")
    (card / "device").symlink_to(device)
    (card / "dev_port").write_text("1\n")
    assert hardware(tmp_path / "class/net", "eth0") == Link(
        "eth0", driver="virtio_net", bus="pci0000:00/0000:00:03.0", port=1
    )
