# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the value of a setting from what is written for it, or says what is wrong with that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Union

from ..places.url import ALL, BLANKS, Scheme, Url, parse_url, without_password
from .model import Setting, Value

Variable = Union[str, "tuple[str, ...]"]

# What every number of 64 bits may have.
MOST_DIGITS = 18
_YES = frozenset(["yes", "y", "true", "t", "1", "on"])
_NO = frozenset(["no", "n", "false", "f", "0", "off", ""])


def accepted(setting: Setting, schemes: Sequence[Scheme]) -> list[Scheme]:
    """The schemes that a URL of this setting may have."""
    return [scheme for scheme in schemes if scheme.is_folder or setting.files]


def _without_passwords(setting: Setting, given: Variable) -> Variable:
    """What may be told of a value; a URL may stand where none belongs."""
    if isinstance(given, tuple):
        return tuple(str(_without_passwords(setting, word)) for word in given)
    return without_password(given) if setting.type is Url or "://" in given else given


def convert(setting: Setting, given: Variable, schemes: Sequence[Scheme] = ALL) -> tuple[str, Value]:
    """What is wrong with a text or words for a setting ("" when nothing is), and the value."""
    value: Value = given
    if isinstance(given, str):
        problem, value = _of_type(setting, given, schemes)
        if problem:
            return problem, value
    if setting.choices and value != setting.default:
        for word in value if isinstance(value, tuple) else (str(value),):
            if word not in setting.choices:
                shown = "has a value" if setting.secret else f"is {_without_passwords(setting, word)!r}"
                return f"{shown}, which is not one of the choices", value
    problem = setting.check(value) if setting.check and value != setting.default else ""
    if problem and not setting.secret:
        problem = f"is {_written(setting, given)}: {problem}"
    return problem, value


def _of_type(setting: Setting, given: str, schemes: Sequence[Scheme]) -> tuple[str, Value]:
    """What is wrong with a text for the type of a setting, and the value."""
    value: Value = given
    shown = "has a value that" if setting.secret else f"is {_written(setting, given)}, which"
    if setting.type is bool:
        value = given.lower() in _YES
        if not value and given.lower() not in _NO:
            return f"{shown} is neither yes nor no", value
    elif setting.type is int:
        # int() also takes 1_0, and the digits of other scripts.
        if given and not re.fullmatch(r"[ \t]*[+-]?[0-9]+[ \t]*", given):
            return f"{shown} is not a whole number", value
        if len(given.strip(" \t+-")) > MOST_DIGITS:
            return f"{shown} has more than {MOST_DIGITS} digits", value
        value = int(given) if given else setting.default
    elif setting.type is Url:
        try:
            value = parse_url(given, accepted(setting, schemes)) if given.strip(BLANKS) else None
        except ValueError as error:
            return f"is {_without_passwords(setting, given)!r}: {error}", value
    return "", value


def _written(setting: Setting, given: Variable) -> str:
    """What may be told of a value, as Python writes it."""
    told = _without_passwords(setting, given)
    return f"( {' '.join(map(repr, told))} )" if isinstance(told, tuple) else repr(told)
