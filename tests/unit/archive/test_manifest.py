# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest comes back as it was written; damage, forgery and other versions are told apart."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.archive import encryption, generations, manifest, volumes
from rear_core.archive.manifest import Manifest
from rear_core.archive.volumes import Volume
from rear_core.errors import RearError, Refused

PLAIN = Manifest(
    created="2026-11-22T183000Z", hostname="web1", archive="backup.tar.zst", size=1000, sha256="ab" * 32,
    compression="zstd", members=12, bytes=20480, layout="cd" * 32, warnings={"changed": 2}, tools={"tar": "1.34"},
)  # fmt: skip


@pytest.fixture(scope="module")
def secured() -> tuple[Manifest, encryption.Keys]:
    parameters, keys = encryption.new("correct horse", 1 << 10)
    return replace(PLAIN, archive="backup.tar.zst.enc", encryption=parameters), keys


def test_it_comes_back_as_it_was(secured: tuple[Manifest, encryption.Keys]) -> None:
    assert manifest.loads(manifest.dumps(PLAIN)).manifest == PLAIN
    sealed = manifest.loads(manifest.dumps(*secured))
    assert sealed.manifest == secured[0]
    sealed.authenticate(secured[1])


def test_a_change_without_the_key_is_not_authentic(secured: tuple[Manifest, encryption.Keys]) -> None:
    changed = replace(secured[0], sha256="00" * 32)
    mac = json.loads(manifest.dumps(*secured))["authentication"]
    document = json.loads(manifest.dumps(changed))
    document["authentication"] = mac
    sealed = manifest.loads(json.dumps(document))
    with pytest.raises(Refused, match="without the key"):
        sealed.authenticate(secured[1])


def test_a_manifest_without_authentication_is_not_authentic(secured: tuple[Manifest, encryption.Keys]) -> None:
    with pytest.raises(Refused, match="without the key"):
        manifest.loads(manifest.dumps(secured[0])).authenticate(secured[1])


def test_volumes_come_back_as_they_were() -> None:
    volumes = (Volume(PLAIN.size - 10, "ab"), Volume(10, "cd"))
    several = replace(PLAIN, volumes=volumes)
    assert manifest.loads(manifest.dumps(several)).manifest == several
    assert several.parts == volumes
    assert PLAIN.parts == (Volume(PLAIN.size, PLAIN.sha256),)


@given(place=st.integers(min_value=0), byte=st.integers(1, 255))
def test_a_flipped_byte_never_passes(place: int, byte: int) -> None:
    text = bytearray(manifest.dumps(PLAIN).encode())
    text[place % len(text)] ^= byte
    try:
        found = manifest.loads(text.decode(errors="replace"))
    except RearError:
        return
    # Where white space or a seal that is not in use changed, what counts did not.
    assert found.manifest == PLAIN


def test_another_version_says_so() -> None:
    document = json.loads(manifest.dumps(PLAIN))
    document["version"] = 7
    with pytest.raises(Refused, match="of the manifest, not 7"):
        manifest.loads(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "no json", '"version"', '{"version": true}', "[" * 100_000])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        manifest.loads(text)


@pytest.mark.parametrize(
    "change",
    [
        {"size": "1000"},
        {"archive": "../../etc/shadow"},
        {"archive": ".."},
        {"unknown": 1},
        {"sha256": None},
        {"volumes": [{"size": 3, "sha256": ""}]},
        {"volumes": [{"size": "3"}]},
        {"volumes": ["x"]},
        {"number": int("9" * 4300)},
        {"number": -1},
        {"number": True},
        {"members": 1 << 63},
        {"hostname": "x" * 1001},
        {"bytes": -5},
        {"warnings": {"changed": -1}},
        {"storage": {"items": [{"size": int("9" * 4300)}]}},
        {"volumes": [{"size": 1010, "sha256": ""}, {"size": -10, "sha256": ""}]},
        {"volumes": [{"size": 1000, "sha256": None}]},
        {"encryption": {"salt": "00", "check": "", "work": 1 << 19, "blocks": 1, "lanes": 1 << 22}},
        {"encryption": {"salt": "00", "check": "", "work": True}},
        {"encryption": {"salt": "00", "check": "", "blocks": int("9" * 4300)}},
        {"encryption": {"salt": 0, "check": ""}},
        {"encryption": {"salt": "00", "check": "é"}},
        {"storage": None},
        {"warnings": None},
    ],
)
def test_a_manifest_of_another_program_is_a_named_error(change: dict[str, object]) -> None:
    with pytest.raises(RearError, match="manifest"):
        manifest.loads(forged(change))


def forged(change: dict[str, object]) -> str:
    """A manifest with a change and a checksum that is right."""
    document = json.loads(manifest.dumps(PLAIN))
    document.update(change)
    del document["checksum"], document["authentication"], document["signature"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    document["checksum"] = hashlib.sha256(text).hexdigest()
    return json.dumps(document)


@pytest.mark.parametrize("seal", ["authentication", "signature"])
@pytest.mark.parametrize("value", ["é", 1, None])
def test_a_seal_that_is_none_is_refused(seal: str, value: object) -> None:
    document = json.loads(manifest.dumps(PLAIN))
    document[seal] = value
    with pytest.raises(Refused, match="seals"):
        manifest.loads(json.dumps(document))


def test_any_depth_that_can_be_read_is_refused_by_name() -> None:
    for depth in range(60, sys.getrecursionlimit() + 20):
        inner = '"storage": ' + '{"a": ' * depth + "1" + "}" * depth
        with pytest.raises(Refused, match="the manifest is damaged"):
            manifest.loads(manifest.dumps(PLAIN).replace('"storage": {}', inner))


def test_the_largest_number_can_be_written_again() -> None:
    largest = replace(PLAIN, number=manifest.LARGEST)
    assert manifest.loads(manifest.dumps(largest)).manifest == largest


@pytest.mark.parametrize("tebibytes", [1, 2, 8, 15, 16, 64, 1024])
def test_the_manifest_of_an_archive_of_any_size_is_small(tebibytes: int) -> None:
    size = tebibytes << 40
    chunk = volumes.chunk_size(size)
    made = replace(PLAIN, size=size, chunk_size=chunk, chunks="0" * volumes.HEX * (size // chunk))
    text = manifest.dumps(made)
    # It is read into memory, also where the archive became several times as large as its files looked.
    assert len(text) < generations.LARGEST // 7
    assert manifest.loads(text).manifest == made
