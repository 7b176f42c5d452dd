# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout and its file: what is written reads back, what is wrong is named with its line."""

from __future__ import annotations

import json
import stat
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError, PluginError
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import StorageKind, item_types
from rear_core.storage.layout import Item, Layout, LeftOut, dumps, load, loads, make, save, validate
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext

TYPES = item_types(CORE_KINDS)

LAYOUT = """{
  "version": 1,
  "items": [
    {"id": "disk:a", "type": "disk", "needs": [], "size": 1000},
    {
      "id": "fs:b",
      "type": "ext",
      "needs": ["disk:a"],
      "version": 4
    }
  ]
}
"""


def error_of(text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        loads(text, TYPES)
    assert caught.value.hint
    return caught.value


def test_a_layout_reads_as_it_was_written(tmp_path: Path) -> None:
    layout = make([Ext("fs:b", ("disk:a",), version=4), Disk("disk:a", (), 1000)], [LeftOut("/dev/sr0", "a drive")])
    path = tmp_path / "recovery/layout.json"
    save(layout, path)
    assert load(path, TYPES) == layout
    assert [item.id for item in layout] == ["disk:a", "fs:b"]
    assert layout["disk:a"] == Disk("disk:a", (), 1000) and "disk:a" in layout and "disk:b" not in layout


def test_the_file_is_for_its_owner_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    save(Layout(), path)
    save(Layout(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    save(Layout((), (LeftOut("a", "b"),)), path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save(Layout((Disk("disk:a", (), object()),)), path)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 99', "reads only version 1, not 99"),
        ('"version": 1', '"version": true', "reads only version 1, not true"),
        ('"version": 1,', "", "it has no version"),
        ('"size": 1000', '"size": 1000,', "line 4, column"),
        (
            '"size": 1000',
            '"size": "big"',
            "line 4: 'size' of item 'disk:a' must be a whole number, not \"big\"",
        ),
        ('"size": 1000', '"size": true', "line 4: 'size' of item 'disk:a' must be a whole number, not true"),
        ('"size": 1000', '"size": 1.5', "line 4: 'size' of item 'disk:a' must be a whole number"),
        ('"size": 1000', '"size": NaN', "NaN is not a valid number"),
        ('"size": 1000', '"size": 1, "size": 2', "line 4: 'size' is given twice"),
        (', "size": 1000', "", "line 4: item 'disk:a' lacks the field 'size'"),
        ('"size": 1000', '"size": 1, "length": 2', "line 4: item 'disk:a' has the unknown field 'length'"),
        ('"type": "ext"', '"type": "zfs"', "line 7: item 'fs:b' has the unknown type \"zfs\""),
        ('"needs": ["disk:a"]', '"needs": "disk:a"', "line 8: 'needs' of item 'fs:b' must be a list"),
        (
            '"needs": ["disk:a"]',
            '"needs": ["disk:c"]',
            "line 8: item 'fs:b' needs 'disk:c', which is missing",
        ),
        ('"needs": []', '"needs": ["fs:b"]', "need each other"),
        ('"id": "fs:b"', '"id": "disk:a"', "line 6: the id 'disk:a' is given twice"),
        ('"id": "fs:b",', "", "an item must be an object with an id"),
        ('"items"', '"parts"', "'parts' is not part of a layout"),
        ('"version": 1,', '"version": 1, "left_out": {},', "'left_out' must be a list"),
        (LAYOUT, "[]", "it has no version"),
        (LAYOUT, "", "this is not JSON"),
        (LAYOUT, "[" * 100_000, "this is not JSON"),
        (LAYOUT, "9" * 10_000, "layout.json"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, message: str) -> None:
    assert old in LAYOUT
    assert message in error_of(LAYOUT.replace(old, new, 1)).message


def test_a_near_field_is_suggested() -> None:
    assert error_of(LAYOUT.replace('"version": 4', '"versions": 4')).hint == "did you mean 'version'?"


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        load(tmp_path / "nowhere", TYPES)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="bytes"):
        load(tmp_path / "bytes", TYPES)


def test_a_layout_made_in_memory_is_validated_too() -> None:
    with pytest.raises(ConfigurationError, match="'disk:a', which is missing"):
        validate(make([Ext("fs:b", ("disk:a",))]))


def test_the_order_follows_needs_and_then_ids() -> None:
    items = [Disk("z", (), 1), Disk("b", (), 1), Ext("a", ("z",)), Ext("c", ("b", "a"))]
    assert [item.id for item in make(items).order()] == ["b", "z", "a", "c"]


def test_two_kinds_cannot_have_the_same_word() -> None:
    class Other(Item):
        type = "disk"

    with pytest.raises(PluginError, match="'disk'"):
        item_types([*CORE_KINDS, StorageKind("other", (Other,), lambda _survey: (), lambda _layout: None)])  # type: ignore[arg-type,return-value]


TEXT = st.text(max_size=4)

# Drawing layouts is slow on a busy machine, which says nothing about the reader.
patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@cache
def value_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if get_origin(hint) is tuple:
        return st.lists(value_of(get_args(hint)[0]), max_size=2).map(tuple)
    if isinstance(hint, type) and is_dataclass(hint):
        return st.builds(hint, **{name: value_of(part) for name, part in hints_of(hint).items()})
    return {str: TEXT, int: st.integers(), bool: st.booleans()}[hint]


def hints_of(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Layouts of all types of items, each needing some of those before it."""
    items: list[Item] = []
    for id in draw(st.lists(TEXT, unique=True, max_size=4)):
        cls = draw(st.sampled_from(sorted(TYPES.values(), key=lambda cls: cls.type)))
        needs = draw(st.lists(st.sampled_from([item.id for item in items]), max_size=2)) if items else []
        others = {name: value_of(hint) for name, hint in hints_of(cls).items() if name not in ("id", "needs")}
        items.append(draw(st.builds(cls, id=st.just(id), needs=st.just(tuple(needs)), **others)))
    return make(items, draw(st.lists(st.builds(LeftOut, TEXT, TEXT), max_size=3)))


def whole(layout: Layout) -> list[Any]:
    """Everything in a layout, also what a comparison leaves out."""
    return [[getattr(item, field.name) for field in fields(item)] for item in layout] + [layout.left_out]


@patient
@given(layouts())
def test_every_layout_reads_back(layout: Layout) -> None:
    text = dumps(layout)
    again = loads(text, TYPES)
    assert whole(again) == whole(layout)
    assert dumps(again) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(sorted(TYPES)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "type", "needs", "version", "items", "left_out", "size"]) | TEXT, inner
        )
    ),
    max_leaves=20,
)


@patient
@given(JSON)
def test_arbitrary_json_is_a_layout_or_a_configuration_error(document: Any) -> None:
    reads_or_complains(json.dumps(document))


@patient
@given(st.lists(JSON, max_size=3))
def test_arbitrary_items_are_a_layout_or_a_configuration_error(items: list[Any]) -> None:
    reads_or_complains(json.dumps({"version": 1, "items": items}))


@patient
@given(st.text())
def test_arbitrary_text_is_a_configuration_error(text: str) -> None:
    reads_or_complains(text)


@patient
@given(layouts(), st.data())
def test_a_mutated_layout_is_a_layout_or_a_configuration_error(layout: Layout, data: st.DataObject) -> None:
    document = json.loads(dumps(layout))
    place: Any = document
    while isinstance(place, (dict, list)) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    reads_or_complains(json.dumps(document))


@patient
@given(layouts(), st.data())
def test_a_damaged_file_is_a_layout_or_a_configuration_error(layout: Layout, data: st.DataObject) -> None:
    text = dumps(layout)
    start = data.draw(st.integers(0, len(text)))
    reads_or_complains(text[:start] + data.draw(st.text(max_size=3)) + text[start + data.draw(st.integers(0, 9)) :])


def reads_or_complains(text: str) -> None:
    try:
        layout = loads(text, TYPES)
    except ConfigurationError as error:
        assert "layout.json" in error.message and error.hint
    else:
        assert loads(dumps(layout), TYPES) == layout
        layout.order()


def test_all_fields_of_all_items_have_types_that_can_be_written() -> None:
    for cls in TYPES.values():
        for field in fields(cls):
            assert field.default_factory is MISSING
        hints: Any = cls
        value_of(hints)
