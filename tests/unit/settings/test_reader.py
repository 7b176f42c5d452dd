# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of shell assignments: what it takes, and what it says about everything else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.settings import parse
from rear_core.settings.reader import Reference, decode


def values(text: str) -> list[tuple[str, object]]:
    """Names with the text of their one word, or the texts of their list; without references."""
    found: list[tuple[str, object]] = []
    for assignment in parse(text, "f"):
        words = ["".join(part for part in word.parts if isinstance(part, str)) for word in assignment.words]
        found.append((assignment.name, words if assignment.is_array else words[0]))
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=", ""),
        ("A=iso", "iso"),
        ("A=''", ""),
        ('A="two words"', "two words"),
        ("A='as $it \\is'", "as $it \\is"),
        ("A=two\\ words", "two words"),
        (r'A="\$x \" \\ \n"', r'$x " \ \n'),
        ("A=a'b c'\"d e\"f", "ab cd ef"),
        (r"A=$'tab\tquote\' \x41\101\u00e4\U1F600'", "tab\tquote' AAä😀"),
        ("A='two\nlines'", "two\nlines"),
        ("A=one\\\nword", "oneword"),
        ('A="one \\\nline"', "one line"),
        ("A=nfs://server/a#b", "nfs://server/a#b"),
        ("A='~/x'", "~/x"),
        ("A=x~", "x~"),
        ("A=https://server/~user", "https://server/~user"),
        ("A=/lib/*.so?", "/lib/*.so?"),
        ('A="costs 5$"', "costs 5$"),
        ("A={a,b}", "{a,b}"),
        ("A=1 # remark", "1"),
        ("A=1;", "1"),
        ("  \tA=1", "1"),
        ("export A=1", "1"),
        ("declare -rx A=1", "1"),
        ("readonly A=1", "1"),
        ("typeset A=1", "1"),
        ("local A=1", "1"),
        ("\ufeffA=1", "1"),
        ("A=1\r\n", "1"),
        ("# only a remark\n\nA=1", "1"),
    ],
)
def test_a_value_is_read_as_a_shell_reads_it(text: str, value: str) -> None:
    assert values(text) == [("A", value)]


def test_several_assignments_may_share_a_line() -> None:
    assert values("A=1 B=2;C=3 ; export D=4 E F=5") == [
        ("A", "1"),
        ("B", "2"),
        ("C", "3"),
        ("D", "4"),
        ("F", "5"),
    ]


def test_a_list_spans_lines_with_remarks_and_any_quotes() -> None:
    text = "A=( one 'two words' # remark with ) and '\n  \"three\"four \\\n five\n\n# another\n)"
    assert values(text) == [("A", ["one", "two words", "threefour", "five"])]


@pytest.mark.parametrize("text", ["A=()", "A=( )", "A=(\n)", "declare -a A=()", "A=( # nothing\n)"])
def test_a_list_may_be_empty(text: str) -> None:
    assert values(text) == [("A", [])]


def test_appending_is_told_from_assigning() -> None:
    assert [(a.name, a.append, a.is_array) for a in parse("A+=x\nB+=( y )\nC=z", "f")] == [
        ("A", True, False),
        ("B", True, True),
        ("C", False, False),
    ]


def test_references_keep_their_form_and_place() -> None:
    (assignment,) = parse('A=( $B "${C[@]}" \n ${D:-a b} "${E[*]}" )', "f")
    assert [word.parts for word in assignment.words] == [
        (Reference("B", False, "f:1:5"),),
        (Reference("C", True, "f:1:9", "@"),),
        (Reference("D", False, "f:2:2", "", "a b"),),
        (Reference("E", True, "f:2:13", "*"),),
    ]


def test_the_place_of_an_assignment_counts_from_one() -> None:
    first, second = parse("# remark\nA=1 BC='\n'", "local.conf")
    assert (first.place, second.place, second.origin) == ("local.conf:2:1", "local.conf:2:5", "local.conf:2")


@pytest.mark.parametrize(
    ("text", "place", "what", "hint"),
    [
        ("A=$(date)", "1:3", "command substitution", "write the value"),
        ('A="x$(date)"', "1:5", "command substitution", "write the value"),
        ("A=1\nB=`date`", "2:3", "command substitution", "write the value"),
        ('A="`date`"', "1:4", "command substitution", "write the value"),
        ("A=( $(date) )", "1:5", "command substitution", "write the value"),
        ("`date`", "1:1", "command substitution", "write the value"),
        ("A=$((1+1))", "1:3", "arithmetic", "write the number"),
        ("A=$[1+1]", "1:3", "arithmetic", "write the number"),
        ("if true; then A=1; fi", "1:1", "control flow", "one file per case"),
        ("for x in a; do :; done", "1:1", "control flow", "one file per case"),
        ("while :; do :; done", "1:1", "control flow", "one file per case"),
        ("case $A in esac", "1:1", "control flow", "one file per case"),
        ("[[ -f x ]]", "1:1", "control flow", "one file per case"),
        ("test -f x", "1:1", "control flow", "one file per case"),
        ("A=1 && B=2", "1:5", "control flow", "one file per case"),
        ("A=1||B=2", "1:4", "control flow", "one file per case"),
        ("((A=1))", "1:1", "control flow", "one file per case"),
        ("{ A=1 ; } 2>/dev/null", "1:1", "control flow", "one file per case"),
        ("f() { :; }", "1:1", "a function", "directory of their phase"),
        ("A=1 | cat", "1:5", "a pipe", "remove it"),
        ("A=1 &", "1:5", "a command for the background", "remove it"),
        ("A=1 > /tmp/x", "1:5", "a redirection", "remove it"),
        ("A=1 2>/dev/null", "1:5", "a redirection", "remove it"),
        ("source /etc/other", "1:1", "cannot include others", "site.conf"),
        (". /etc/other", "1:1", "cannot include others", "site.conf"),
        ("rm -rf /", "1:1", "not an assignment: 'rm'", "NAME=value"),
        ("A=two words", "1:7", "in the value of A", 'A="several words"'),
        ("A =1", "1:1", "a blank before =", "A=value"),
        ("A += ( x )", "1:1", "a blank before =", "A=value"),
        ("A= ( x )", "1:4", "a blank between = and (", "A=( ... )"),
        ("A[1]=x", "1:1", "no indices", "NAME=( all values )"),
        ("A=( [1]=x )", "1:5", "no indices", "only the values"),
        ("A=( [ x ] )", "1:5", "looks for the ] of this [", "'['"),
        ("my-name=x", "1:1", "'my-name' is not a name", "letters, digits"),
        ("export  # A=1", "1:9", "export without a name", "export NAME=value"),
        ("declare -A A", "1:9", "this option of declare", "NAME=value"),
        ("A=${B%x}", "1:3", "this expansion is not read", "${NAME:-default}"),
        ("A=${#B}", "1:3", "this expansion is not read", "${NAME:-default}"),
        ("A=${B:-$C}", "1:3", "this expansion is not read", "${NAME:-default}"),
        ("A=${B", "1:3", "${ opens here and is never closed", "close it with }"),
        ("A=5$", "1:4", "a $ without a name", "'$'"),
        ("A=$1", "1:3", "has no meaning", "single quotes"),
        ('A=$"text"', "1:3", "translation", "remove the $"),
        ("A=$'\\q'", "1:5", "this escape", "the character itself"),
        ("A=$'\\xff'", "1:5", "this escape", "the character itself"),
        ("A=$'\\0'", "1:5", "this escape", "the character itself"),
        ("A=( {a,b} )", "1:5", "expand these braces", "quote the braces"),
        ("A=( x{1..3}y )", "1:5", "expand these braces", "quote the braces"),
        ("A=~/x", "1:3", "expand this ~", "quote the ~"),
        ("A=( b ~/x )", "1:7", "expand this ~", "quote the ~"),
        ("A=/x:~root", "1:3", "expand this ~", "quote the ~"),
        ("A=${B:-~/x}", "1:3", "expand this ~", "quote the ~"),
        ('A=1\n  B="open\nC=2', "2:5", '" opens here and is never closed', 'close it with "'),
        ("A='open", "1:3", "' opens here and is never closed", "close it with '"),
        ("A=$'open", "1:3", "$' opens here and is never closed", "close it with '"),
        ("A=( a\nb", "1:3", "the list that opens here is never closed", "end the list with )"),
        ("A=( a\nB=( b )", "2:3", "in the list that opens on line 1", "close the list of line 1"),
        ("A=( a; b )", "1:6", "in the list that opens on line 1", "quote the word"),
        ("A=(a)b", "1:6", "unexpected text after the value", "quote it"),
        ("A=a(b)", "1:4", "unexpected '(' after the value", "quote it"),
        ("A=1;;", "1:5", "unexpected ';'", "remove it"),
        (")", "1:1", "unexpected ')'", "remove it"),
        ("A=x\\", "1:4", "the file ends after a backslash", "remove the backslash"),
        ('A="$B\\\nC"', "1:4", "continues on the next line", "${NAME}"),
        ("A=1\nB=a\0b", "2:4", "a NUL byte", "damaged"),
    ],
)
def test_anything_but_an_assignment_is_an_error_at_its_place(text: str, place: str, what: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "local.conf")
    assert caught.value.message.startswith(f"local.conf:{place}: ")
    assert what in caught.value.message
    assert hint in caught.value.hint


def test_bytes_that_are_not_utf8_are_an_error_at_their_place() -> None:
    with pytest.raises(ConfigurationError, match=r"^f:2:4: byte 0xe4 is not UTF-8$"):
        decode("Ä=\nB=ü".encode() + b"\xe4\n", "f")


SHELL_PIECES = st.sampled_from(
    [
        "A",
        "B=",
        "=",
        "+=",
        "(",
        ")",
        " ",
        "\t",
        "\n",
        "\r\n",
        "'",
        '"',
        "\\",
        "$",
        "{",
        "}",
        "[",
        "]",
        "@",
        "*",
        "`",
        ":-",
        "#",
        ";",
        "&",
        "|",
        "<",
        ">",
        "!",
        "~",
        "x",
        "1",
        "é",
        "\0",
        "\ufeff",
        "$(",
        "$((",
        "if",
        "export ",
        "declare -a ",
    ]
)


@given(st.text() | st.lists(SHELL_PIECES).map("".join))
@example("$")
@example("A=$")
@example("A=( $'")
def test_no_text_raises_anything_but_a_configuration_error_that_names_a_place_within_it(text: str) -> None:
    try:
        parse(text, "f")
    except ConfigurationError as error:
        source, line, column, _ = error.message.split(":", 3)
        lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
        assert source == "f"
        assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1
        assert error.hint


@given(st.binary())
def test_no_bytes_raise_anything_but_a_configuration_error(data: bytes) -> None:
    try:
        parse(decode(data, "f"), "f")
    except ConfigurationError as error:
        assert error.message.startswith("f:")
