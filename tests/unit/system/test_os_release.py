# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating system by its os-release file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.system.os_release import OperatingSystem, parse_os_release, read_os_release

ROCKY = """NAME="Rocky Linux"
VERSION="9.3 (Blue Onyx)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.3"
# a comment
PRETTY_NAME='Rocky Linux 9.3 (Blue Onyx)'
"""


def test_quoted_values_and_related_systems_are_read() -> None:
    rocky = parse_os_release(ROCKY)
    assert rocky == OperatingSystem(
        "rocky", ("rhel", "centos", "fedora"), "9.3", "Rocky Linux", "Rocky Linux 9.3 (Blue Onyx)"
    )
    assert rocky.ids == ("rocky", "rhel", "centos", "fedora")


def test_etc_wins_over_usr_lib(tmp_path: Path) -> None:
    for place, name in (("etc", "debian"), ("usr/lib", "other")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "os-release").write_text(f"ID={name}\n")
    assert read_os_release(tmp_path).id == "debian"
    (tmp_path / "etc/os-release").unlink()
    assert read_os_release(tmp_path).id == "other"


def test_without_the_file_the_documented_defaults_hold(tmp_path: Path) -> None:
    assert read_os_release(tmp_path) == OperatingSystem("linux", (), "", "Linux", "Linux")


def test_an_unbalanced_quote_does_not_end_the_run() -> None:
    assert parse_os_release('ID="debian\nVERSION_ID=12').version_id == "12"


@given(st.text())
def test_any_text_gives_an_operating_system_with_a_name(text: str) -> None:
    found = parse_os_release(text)
    assert found.id and found.name and found.pretty_name


@pytest.mark.parametrize("bad", ["../../tmp/evil", "/etc", "..", ".", "a/b", "a b", "*"])
def test_an_identifier_that_leads_elsewhere_is_none(bad: str) -> None:
    found = parse_os_release(f"ID='{bad}'\nVERSION_ID='{bad}'\nID_LIKE='{bad.replace(' ', '/')} debian'\n")
    assert (found.id, found.version_id, found.id_like) == ("linux", "", ("debian",))
