# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_backup_cdrom import discs
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

DISTRIBUTION = "rear-backup-cdrom"


# Not every kernel has a driver for discs: the image is unpacked into memory instead.
MOUNT = """\
#!/bin/sh
while [ $# -gt 2 ]; do shift; done
mount -t tmpfs none "$2" || exit
xorriso -osirrox on -indev "stdio:$1" -extract / "$2" || { umount "$2"; exit 32; }
"""


@pytest.fixture
def supply(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Supply:
    """The discs are images in the folder of OUTPUT=ISO, where the plugin finds them as well."""
    monkeypatch.setattr(discs, "DRIVE_SECONDS", 0)
    mount = tmp_path_factory.mktemp("programs") / "mount"
    mount.write_text(MOUNT)
    mount.chmod(0o755)
    reason = "" if os.geteuid() == 0 else "discs are mounted, which needs root"
    return Supply(f"ISO_DIR={tmp_path}/place\n", programs=mount.parent, beside=["output ISO"], cannot_run=reason)
