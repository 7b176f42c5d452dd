# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a machine that no recovery can make again, when it is described and when it is recovered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core.builtin.recreate import check_description, why_no_root
from rear_core.errors import Refused
from rear_core.storage.layout import Layout, LeftOut, make
from rear_core.storage.mount import Mount


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ([LeftOut("/", "an overlay")], "an overlay"),
        ([LeftOut("mount /", "it needs lv:sys/root, which is not described", True)], "it needs lv:sys/root"),
        ([], "on no disk that rear knows"),
    ],
    ids=["on no disk", "on a missing one", "unknown"],
)
def test_a_machine_whose_root_file_system_is_not_described_is_not_recovered(
    left_out: list[LeftOut], reason: str
) -> None:
    layout = make([Mount("mount:/data", (), "/data", "ext4")], left_out)
    run = cast(Any, SimpleNamespace(layout=layout))
    with pytest.raises(Refused, match=reason) as refused:
        check_description(run)
    assert "rear restoreonly" in refused.value.hint


def test_nothing_is_said_where_it_is_described() -> None:
    assert why_no_root(Layout((Mount("mount:/", (), "/", "ext4"),))) == ""
