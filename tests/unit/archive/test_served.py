# SPDX-License-Identifier: GPL-3.0-or-later
"""What users have mounted is told from what is saved."""

from __future__ import annotations

import pytest

from rear_core.archive.served import is_foreign

MOUNTS = {"/": False, "/home": False, "/home/ada/mnt": True, "/home/ada/mnt/disk": False, "/srv/nas": True}


@pytest.mark.parametrize(
    ("path", "starts", "foreign"),
    [
        ("/home/ada/mnt", ["/", "/home"], True),
        ("/home/ada/mnt/", ["/"], True),
        ("/home/ada/mnt/a/b", ["/", "/home"], True),
        ("/home/ada/mnt2", ["/", "/home"], False),
        ("/home/ada", ["/", "/home"], False),
        ("/home/ada/mnt/disk/a", ["/"], False),
        ("/srv/nas/a", ["/", "/srv/nas"], False),
        ("/srv/nas/a/b", ["/", "/srv/nas/a"], False),
        ("/srv/nas/b", ["/", "/srv/nas/a"], True),
        ("/", ["/"], False),
    ],
)
def test_a_mount_of_others_is_foreign_unless_it_is_wished_for(path: str, starts: list[str], foreign: bool) -> None:
    assert is_foreign(path, MOUNTS, starts) is foreign
