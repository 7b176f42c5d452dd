# SPDX-License-Identifier: GPL-3.0-or-later
"""What is accepted means what it means to bash."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.settings import Setting, Sources, evaluate, parse, quote

DECLARED = [Setting("A"), Setting("B"), Setting("L", list), Setting("M", list)]

# Restricted and without a search path, bash can only assign, should the reader let more than that pass.
SCRIPT = """
PATH=/nowhere
set -f
A= B= L=() M=()
eval "$1" || exit 3
printf '%s\\0' "$A" "$B" "${#L[@]}" "${L[@]}" "${#M[@]}" "${M[@]}"
"""


def bash(text: str) -> dict[str, object]:
    """The values that bash gives to A, B, L and M."""
    result = subprocess.run(
        ["/bin/bash", "--restricted", "--norc", "-c", SCRIPT, "bash", text],
        capture_output=True,
        check=False,
        env={"LC_ALL": "C.UTF-8"},
        timeout=20,
    )
    assert result.returncode == 0, (text, result.stderr)
    fields = result.stdout.decode().split("\0")
    a, b, count, *rest = fields
    words = rest[: int(count)]
    # With an empty list printf still gets its count, and the words of M follow.
    count, *rest = rest[int(count) :]
    return {"A": a, "B": b, "L": tuple(words), "M": tuple(rest[: int(count)])}


def ours(text: str) -> dict[str, object]:
    return dict(evaluate(Sources(assignments=tuple(parse(text, "f"))), DECLARED, {}))


@pytest.mark.parametrize(
    "text",
    [
        'A="one  two"\nL=( $A "$A" x$A )',
        'L=( a "b c" )\nM=( "${L[@]}" "x${L[@]}y" ${L[@]} "${L[*]}" )\nA="<${L[@]}>" B=${L[*]}',
        'L=()\nM=( "${L[@]}" "x${L[@]}" ${L[@]} "${L[*]}" "" )',
        'L=( "" " a " )\nM=( ${L[@]} x${L[@]}y "${L[@]}${L[@]}" )',
        "A=' x '\nL=( a${A}b $A )\nA+=y$A",
        'L=( ${A:-one two} "${A:-one two}" ) B=${A:-x y}',
        r"A=$'\t\x41\u00e4'\\\" B=a\ b\$c",
        'L+=( 1 ) L+=( 2 )\nexport A=$B"#"#x # remark',
        "A=\\\n1\\\n2\nL=( a \\\n b# #c\n d )",
        "A=\"\\a\\$\\`\\\"\\\\\" B='\\'\\'",
        "A='~' B=x~ L=( x:~ '~root' \\~ *~ )",
        "A=[x]* B={a,b}\nL=( '{a,b}' {} {a} [x] *? )",
    ],
)
def test_these_values_are_those_of_bash(text: str) -> None:
    assert ours(text) == bash(text)


def words() -> st.SearchStrategy[str]:
    """A word in valid syntax, put together from all ways of quoting."""
    text = st.text("ab $\\'\"`#;\n\t*é~{,}()=", max_size=4)
    return st.lists(
        st.one_of(
            text.map(quote),
            text.map(lambda t: "'" + t.replace("'", "") + "'"),
            text.map(lambda t: '"' + "".join("\\" + c if c in '$`"\\' else c for c in t) + '"'),
            text.map(lambda t: "".join("\\" + c for c in t)).filter(lambda t: "\\\n" not in t),
            st.sampled_from(["$A", '"$B"', "${A}", '"${L[@]}"', "${M[@]}", '"x${M[*]}"', "${B:-c d}", "x"]),
        ),
        min_size=1,
        max_size=3,
    ).map("".join)


def programs() -> st.SearchStrategy[str]:
    sign = st.sampled_from(["=", "+="])
    blank = st.sampled_from([" ", "  ", "\n", " \\\n", " # remark\n"])
    listed = st.lists(st.tuples(blank, words()).map("".join), max_size=4).map("".join)
    scalar = st.tuples(st.sampled_from(["A", "B", "export A"]), sign, words()).map("".join)
    array = st.tuples(st.sampled_from(["L", "M"]), sign, listed).map(lambda t: f"{t[0]}{t[1]}({t[2]} )")
    return st.lists(scalar | array, min_size=1, max_size=5).map("\n".join)


@pytest.mark.slow
@given(programs())
@settings(max_examples=80, deadline=None)
def test_generated_assignments_have_the_values_of_bash(text: str) -> None:
    try:
        found = ours(text)
    except ConfigurationError:
        return  # a few combinations are refused, such as braces that bash would expand
    assert found == bash(text)


PIECES: Sequence[str] = (
    "A=",
    "B=",
    "L=(",
    "M=(",
    "A+=",
    "L+=(",
    ")",
    " ",
    " ",
    "\n",
    ";",
    "'",
    "'",
    '"',
    '"',
    "\\",
    "$",
    "$A",
    "${B}",
    "${A:-",
    '"${L[@]}"',
    "${M[*]}",
    "}",
    "{",
    ",",
    "#",
    "x",
    "y",
    "=",
    "[",
    "]",
    "$'",
    "\\n",
    "é",
    "export ",
)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("L=([)")
@example("L=([[x]y] [ ])")
@settings(max_examples=200, deadline=None)
def test_whatever_text_is_accepted_has_the_values_of_bash(text: str) -> None:
    try:
        found = ours(text)
    except ConfigurationError:
        return
    assert found == bash(text)


TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


@given(TEXTS | st.lists(TEXTS, max_size=3).map(tuple))
@settings(max_examples=40, deadline=None)
def test_a_quoted_value_is_the_same_to_bash(value: str | tuple[str, ...]) -> None:
    name = "A" if isinstance(value, str) else "L"
    assert bash(f"{name}={quote(value)}")[name] == value
