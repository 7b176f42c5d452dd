# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest's way to the conformance suite: `pytest --rear-conformance rear-backup-acme`.

pytest loads this by an entry point wherever rear-core is installed; without that option it does nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .harness import Subject

SUITE = Path(__file__).with_name("conformance.py")
# Where a plugin's own tests take the suite in, and say what it needs to be tried.
OWN = "test_*conformance.py"

CHECKS = ("conformance", "conformance_backup", "conformance_boot", "conformance_storage", "stored")
pytest.register_assert_rewrite(*(f"rear_core.testing.{name}" for name in CHECKS))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.getgroup("rear").addoption(
        "--rear-conformance", action="append", default=[], metavar="DISTRIBUTION",
        help="run nothing but the tests that rear has for every plugin, on this installed one; can be repeated."
        f" What a plugin needs for that is taken from {OWN} of its tests.",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """With the option, look at the suite itself, too: a plugin may come without its tests."""
    try:
        chosen = _chosen(config)
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None
    if chosen:
        config.args.append(str(SUITE))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With the option, import no other tests."""
    if not config.getoption("rear_conformance") or collection_path.is_dir():
        return None
    return None if collection_path.match(OWN) or collection_path == SUITE else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make each test of the suite once for each plugin: of the file's DISTRIBUTION, or of those of the option."""
    if "subject" in metafunc.fixturenames and "rear_core.testing" in (metafunc.function.__module__ or ""):
        from .harness import subjects

        own = getattr(metafunc.module, "DISTRIBUTION", None)
        found = getattr(metafunc.module, "SUBJECTS", None) or (subjects(own) if own else _chosen(metafunc.config))
        metafunc.parametrize("subject", found, ids=str)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With the option, keep the suite of the chosen distributions: from a plugin's own tests where they have it."""
    chosen = {str(subject) for subject in _chosen(config)}
    if not chosen:
        return
    own = {_subject(item) for item in items if item.path != SUITE}
    kept = [item for item in items if _subject(item) in chosen and (item.path != SUITE or _subject(item) not in own)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _chosen(config: pytest.Config) -> list[Subject]:
    """The plugins that the option names."""
    names = config.getoption("rear_conformance")
    if not names:
        return []
    from .harness import subjects

    return [subject for name in names for subject in subjects(name)]


def _subject(item: pytest.Item) -> str:
    """The plugin that a test of the suite is for, "" for any other test."""
    call = getattr(item, "callspec", None)
    return str(call.params.get("subject", "")) if call else ""
