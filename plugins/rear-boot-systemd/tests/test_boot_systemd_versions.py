# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of versions, compared with that of systemd."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rear_boot_systemd.versions import compare, newest_first

# Those of the UAPI Version Format Specification of which systemd says the same, and a few of kernels.
ORDER = [
    ("11", "=", "11"), ("systemd-123", "=", "systemd-123"), ("bar-123", "<", "foo-123"), ("123a", ">", "123"),
    ("123.a", ">", "123"), ("123.a", "<", "123.b"), ("123a", ">", "123.a"), ("11ä", "=", "11ö"), ("A", "<", "a"),
    ("", "<", "0"), ("0.", ">", "0"), ("0.0", ">", "0"), ("0", ">", "~"), ("", ">", "~"), ("1_", "=", "1"),
    ("_1", "=", "1"), ("1_", "<", "1.2"), ("1_2_3", ">", "1.3.3"), ("1+2+3", ">", "1.3.3"), ("1^a", "<", "1.a"),
    ("6.1.0-9-amd64", "<", "6.1.0-10-amd64"), ("6.1~rc3", "<", "6.1"), ("a", "<", "0"), ("0a", ">", "a"),
    ("007", "=", "7"), ("a", "<", "ab"), ("1^", ">", "1-1"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "relation", "other"), ORDER)
def test_versions_have_the_order_of_the_specification(one: str, relation: str, other: str) -> None:
    found = compare(one, other)
    assert {-1: "<", 0: "=", 1: ">"}[(found > 0) - (found < 0)] == relation
    assert (compare(other, one) > 0) == (found < 0)


def test_the_newest_comes_first() -> None:
    assert sorted(["6.1", "6.10", "", "6.2~rc1", "6.2"], key=newest_first) == ["6.10", "6.2", "6.2~rc1", "6.1", ""]


VERSIONS = st.text("019aB.-~^+_", max_size=8)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_one(a: str, b: str, c: str) -> None:
    assert compare(a, a) == 0
    assert (compare(a, b) > 0) == (compare(b, a) < 0)
    if compare(a, b) <= 0 and compare(b, c) <= 0:
        assert compare(a, c) <= 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd to compare with")
@settings(max_examples=150, deadline=None)
@given(*[st.from_regex(r"[01aB]{1,3}([-.~^][01aB]{1,3}){0,3}", fullmatch=True)] * 2)
def test_systemd_has_the_same_order(one: str, other: str) -> None:
    argv = ["systemd-analyze", "compare-versions", "--", one, other]
    relation = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()[-2]
    found = compare(one, other)
    assert {"<": found < 0, "==": found == 0, ">": found > 0}[relation]
