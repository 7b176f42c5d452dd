# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a recovery makes bear the label that SELinux would have given them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_core import recovered

LABEL = b"system_u:object_r:etc_t:s0\0"


@pytest.mark.root
def test_a_new_file_has_the_label_of_its_folder(tmp_path: Path) -> None:
    os.setxattr(tmp_path, recovered.LABEL, LABEL)
    recovered.create(tmp_path / "one", "text")
    assert os.getxattr(tmp_path / "one", recovered.LABEL) == LABEL
    os.setxattr(tmp_path / "one", recovered.LABEL, b"other\0")
    recovered.label(tmp_path / "one")
    assert os.getxattr(tmp_path / "one", recovered.LABEL) == b"other\0"


def test_where_there_are_no_labels_none_is_made(tmp_path: Path) -> None:
    recovered.create(tmp_path / "etc/new/file", "text")
    assert (tmp_path / "etc/new/file").read_text() == "text"
    assert recovered.LABEL not in os.listxattr(tmp_path / "etc/new/file")
