# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts drawn at random come back as they were: always the same in `make test`, other ones in `make test-vm`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from .made import Made
from .mixtures import mixtures
from .test_layouts import Bench, made_again

pytestmark = [pytest.mark.uml, pytest.mark.timeout(7200)]

ALL = bool(os.environ.get("REAR_TEST_ALL"))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.drop()


# A layout takes seconds, and the first that goes wrong is simple enough.
@given(layout=mixtures())
@settings(
    max_examples=300 if ALL else 1, derandomize=not ALL, phases=[Phase.generate], database=None, print_blob=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_a_mixture_comes_back_as_it_was(layout: Made, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    note(layout.script)
    folder = tmp_path_factory.mktemp("mixture")
    with bench.whole():
        before, facts = made_again(bench.guest(), layout, folder)
        for image in folder.iterdir():
            image.unlink()
        assert facts["changed"] == {} and facts["differences"] == []
        changes = list(difflib.unified_diff(before, facts["told"], lineterm="", n=0))
        assert not changes, "\n".join(changes)
