# SPDX-License-Identifier: GPL-3.0-or-later
"""The log is private and never written through a link; secrets reach neither log nor terminal."""

from __future__ import annotations

import io
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import RearError, Refused
from rear_core.report import Report, explain, explanation, visible


def test_a_secret_is_masked_in_log_and_terminal(tmp_path: Path) -> None:
    terminal = io.StringIO()
    report = Report(debug=True, terminal=terminal)
    report.open_log(tmp_path / "log")
    report.mask("hunter22")
    report.log("key hunter22")
    report.log("mount --options ro,password=geheim,vers=3 //nas/x")
    report.say("key ******** password=geheim vers=3,pass=geheim")
    report.say("key hunter22")
    report.warn("key hunter22")
    report.close()
    for text in (terminal.getvalue(), (tmp_path / "log").read_text(), *report.warnings):
        assert "hunter22" not in text and "geheim" not in text
        assert "key ********" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_passing_line_never_goes_on_in_the_next_one() -> None:
    terminal = Terminal()
    Report(terminal=terminal).passing("x" * 200)
    assert terminal.getvalue() == "\r\x1b[K" + "x" * 79


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"TERM": "xterm"}, "\x1b[1;33mWARNING:\x1b[m a disk is missing\n"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "WARNING: a disk is missing\n"),
        ({"TERM": "vt220"}, "WARNING: a disk is missing\n"),
    ],
    ids=["terminal", "NO_COLOR", "serial console"],
)
def test_color_is_where_a_terminal_has_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], shown: str
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        Report(terminal=stream).warn("a disk is missing")
    assert terminal.getvalue() == shown
    assert file.getvalue() == "WARNING: a disk is missing\n"


def test_a_log_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("mine\n")
    with pytest.raises(Refused, match="was not written by rear"):
        Report(terminal=io.StringIO()).open_log(tmp_path / "list")
    assert (tmp_path / "list").read_text() == "mine\n"


def test_the_log_is_for_its_owner_alone_and_the_last_one_is_kept(tmp_path: Path) -> None:
    for text in ("first", "second"):
        report = Report(terminal=io.StringIO())
        report.open_log(tmp_path / "log")
        report.log(text)
        report.close()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    assert "second" in (tmp_path / "log").read_text()
    assert "first" in (tmp_path / "log.old").read_text()


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "directory"])
def test_a_link_in_place_of_the_log_is_refused(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    log = tmp_path / "log"
    if kind == "symlink":
        log.symlink_to(victim)
    elif kind == "hardlink":
        log.hardlink_to(victim) if hasattr(log, "hardlink_to") else victim.link_to(log)
    else:
        log.mkdir()
    with pytest.raises(Refused, match="log"):
        Report().open_log(log)
    assert victim.read_text() == "precious"


def test_an_error_tells_what_to_do_and_where_the_log_is() -> None:
    assert explanation(RearError("the disk is full", "set TMPDIR"), Path("/tmp/rear-box.log")) == [
        "ERROR: the disk is full",
        "  What to do: set TMPDIR",
        "  Details: /tmp/rear-box.log",
    ]


@pytest.mark.parametrize(("lines", "times"), [(2, 1), (9, 2)])
def test_a_warning_is_among_the_last_words_when_much_was_said_since(
    capsys: pytest.CaptureFixture[str], lines: int, times: int
) -> None:
    report = Report()
    report.warn("no boot loader was recognized")
    report.warn("and something else")
    for number in range(lines):
        report.say(f"line {number}")
    report.end()
    said = capsys.readouterr().err
    assert said.count("no boot loader was recognized") == times
    assert said.rstrip().endswith("and something else") == (times == 2)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2K\rThe backup is complete and authentic", r"a\x1b[2K\rThe backup is complete and authentic"),
        ("a\nERROR: nothing", r"a\nERROR: nothing"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("gpj\u202eexe", r"gpj\u202eexe"),
        ("soft\xadhyphen, vowel\u180eseparator", r"soft\xadhyphen, vowel\u180eseparator"),
        ("note\ufff9a\ufffb and a tag \U000e0041", r"note\ufff9a\ufffb and a tag \U000e0041"),
        ("one\u2028two\u2029\ue000\uffff", r"one\u2028two\u2029\ue000\uffff"),
        ("no\xa0break, wide\u3000blank", "no\xa0break, wide\u3000blank"),
        ("caf\udce9", r"caf\xe9"),
        ("Größe\tof 名前 🙂", "Größe\tof 名前 🙂"),
    ],
)
def test_what_would_act_on_a_terminal_is_shown_as_an_escape(name: str, shown: str) -> None:
    assert visible(name) == shown


def test_no_category_without_a_shape_is_shown_as_it_is() -> None:
    unseen = [letter for letter in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(letter)[0] == "C"]
    assert [letter for letter in unseen if visible(letter) == letter] == ["\t"]
    assert visible("\u2028\u2029").isascii()


@given(st.text(st.characters(), min_size=1, max_size=30))
def test_no_name_adds_a_line_or_moves_the_cursor(name: str) -> None:
    """Wherever it is told."""
    terminal = io.StringIO()
    report = Report(debug=True, terminal=terminal)
    report.say(name)
    report.warn(name)
    report.log(name)
    report.end(RearError(name, name))
    assert terminal.getvalue().count("\n") == 5
    assert not any(ord(letter) < 32 for letter in terminal.getvalue().replace("\n", "").replace("\t", ""))
    assert len(explain(RearError(name, "x" + name)).split("\n")) == 2
    terminal.getvalue().encode()
