# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DISTRIBUTION = "rear-backup-external"
# Each program in a file of its own: the suite has one after the other fail.
PROGRAMS = {
    "acme-save": """\
name=$(date --utc +%Y-%m-%dT%H%M%SZ)
while [ -e "$FOLDER/$name" ]; do sleep 0.1; name=$(date --utc +%Y-%m-%dT%H%M%SZ); done
[ ! -e "$FOLDER/full" ] || { echo "no space left"; exit 2; }
tar --create --file="$FOLDER/part" --xattrs --xattrs-include='*' --files-from="$1" 2>/dev/null || exit
[ ! -e "$FOLDER/midway" ] || { echo "connection lost"; exit 3; }
mv "$FOLDER/part" "$FOLDER/$name"
""",
    "acme-list": 'cd "$FOLDER"; for name in *Z; do [ ! -e "$name" ] || echo "$name of the test"; done\n',
    "acme-check": 'tar --list --file="$FOLDER/$1" | wc --lines\n',
    "acme-restore": """\
sed 's,^/,,' "$3" | tar --extract --file="$FOLDER/$1" --xattrs --xattrs-include='*' --directory="$2" --files-from=-
""",
}
SETTINGS = """\
EXTERNAL_SAVE=( acme-save {paths} )
EXTERNAL_LIST=( acme-list )
EXTERNAL_CHECK=( acme-check {date} )
EXTERNAL_RESTORE=( acme-restore {date} {target} {paths} )
"""


@pytest.fixture
def supply(tmp_path_factory: pytest.TempPathFactory) -> Supply:
    """Programs that keep archives of tar in a folder."""
    programs, kept = tmp_path_factory.mktemp("programs"), tmp_path_factory.mktemp("kept")
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\nFOLDER='{kept}'\n{script}")
        (programs / name).chmod(0o755)

    @contextmanager
    def failing(how: str) -> Iterator[None]:
        Path(kept, how).touch()
        yield
        Path(kept, how).unlink()

    return Supply(SETTINGS, programs=programs, midway=lambda: failing("midway"), full=lambda: failing("full"))
