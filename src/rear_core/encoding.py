# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen dataclasses to readable JSON and back, by their type hints, with the line of whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

from .errors import ConfigurationError

T = TypeVar("T")

WIDTH = 110
WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


class Source:
    """A JSON text and its name, for messages that say where."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def parse(self) -> Any:
        """The JSON document; strict: no doubled keys, no NaN."""
        try:
            return json.loads(self.text, object_pairs_hook=self._object, parse_constant=self._no_number)
        except json.JSONDecodeError as error:
            where = f"{self.name}, line {error.lineno}, column {error.colno}"
            raise ConfigurationError(
                f"{where}: this is not JSON: {error.msg}",
                "look for a missing or extra comma, quote or bracket there",
            ) from None
        except (ValueError, RecursionError) as error:
            raise self.error(f"this is not JSON: {error}", "run `rear savelayout` to create it again") from None

    def error(self, message: str, advice: str, id: str = "", key: str = "", nth: int = 1) -> ConfigurationError:
        """What is wrong with the item `id`, at the line of its `key`."""
        line = self._line(id, key, nth) if id else 0
        where = f"{self.name}, line {line}" if line else self.name
        return ConfigurationError(_printable(f"{where}: {message}"), _printable(advice))

    def list_of(self, document: Mapping[str, Any], key: str) -> list[Any]:
        """A list of the document; one that is not there is empty."""
        found = document.get(key, [])
        if not isinstance(found, list):
            raise self.error(f"{key!r} must be a list", "write it as [ ... ]")
        return found

    def _line(self, id: str, key: str, nth: int) -> int:
        """The line of an item, or of one of its keys; 0 when the text was not laid out as we do it."""
        position = -1
        for _ in range(nth):
            position = self.text.find(f'"id": {json.dumps(id)}', position + 1)
        if position < 0:
            return 0
        end = self.text.find('"id": ', position + 1)
        found = self.text.find(f'"{key}":', position, end if end > 0 else None) if key else -1
        return self.text.count("\n", 0, found if found >= 0 else position) + 1

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            double = next(key for key in keys if keys.count(key) > 1)
            id = found.get("id", "")
            raise self.error(
                f"{double!r} is given twice in one object", "remove one", id if isinstance(id, str) else ""
            )
        return found

    def _no_number(self, word: str) -> NoReturn:
        raise self.error(f"{word} is not a valid number here", "write a whole number")


def encode(value: Any) -> Any:
    """A dataclass as an object without the fields that have their default; tuples as lists."""
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default}
    if isinstance(value, tuple):
        return [encode(part) for part in value]
    return value


def decode(source: Source, hint: type[T], value: Any, id: str = "", key: str = "") -> T:
    """The value a type hint asks for: str, int, bool, a dataclass, or a tuple of one of these.

    `id` and `key` say for a message which item this is and which of its fields.
    """
    result: Any = value
    if get_origin(hint) is tuple:
        _expect(source, list, value, id, key)
        result = tuple(decode(source, get_args(hint)[0], part, id, key) for part in value)
    elif is_dataclass(hint):
        _expect(source, dict, value, id, key)
        result = _decode_object(source, hint, value, id)
    else:
        _expect(source, hint, value, id, key)
    return cast(T, result)


def _decode_object(source: Source, cls: Any, value: dict[str, Any], id: str) -> Any:
    hints, known = _shape(cls)
    subject = f"item {id!r}" if id else f"an entry of {cls.__name__}"
    for key in value:
        if key not in known:
            near = get_close_matches(key, known, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known))}"
            raise source.error(f"{subject} has the unknown field {key!r}", advice, id, key)
    for key, field in known.items():
        if key not in value and field.default is MISSING:
            raise source.error(f"{subject} lacks the field {key!r}", "add it", id)
    return cls(**{key: decode(source, hints[key], part, id, key) for key, part in value.items()})


@cache
def _shape(cls: type) -> tuple[dict[str, Any], dict[str, Field[Any]]]:
    return get_type_hints(cls), {field.name: field for field in fields(cls)}


def _expect(source: Source, hint: type, value: Any, id: str, key: str) -> None:
    # A bool is an int to Python, but not to whoever edits the file.
    if type(value) is not hint:
        word = WORDS[hint]
        subject = f"{key!r} of item {id!r}" if id else f"{key!r}" if key else "an entry"
        raise source.error(f"{subject} must be {word}, not {shown(value)}", f"write {word} there", id, key)


def shown(value: Any) -> str:
    """A value in a message: short, and never a whole tree."""
    return WORDS[type(value)] if isinstance(value, (dict, list)) else json.dumps(value)[:60]


def dumps(value: Any, indent: str = "") -> str:
    """JSON that keeps on one line what fits there, so that lists of words stay readable."""
    text = json.dumps(value)
    deeper = indent + "  "
    if len(indent) + len(text) > WIDTH or (not indent and value):
        if isinstance(value, dict):
            parts = [f"{deeper}{json.dumps(key)}: {dumps(part, deeper)}" for key, part in value.items()]
            text = "{\n" + ",\n".join(parts) + f"\n{indent}}}"
        elif isinstance(value, list):
            text = "[\n" + ",\n".join(deeper + dumps(part, deeper) for part in value) + f"\n{indent}]"
    return text if indent else text + "\n"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
