# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that a backup leaves out, and the mark for SELinux."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rear_core import recovered
from rear_core.finalize.directories import ask_for_labels, label_new, make_missing, needs_labels


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_missing_is_made_with_its_mode(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("srv:/x /srv/my\\040share nfs rw\nUUID=1 / ext4 rw\nUUID=2 none swap sw\n")
    (tmp_path / "tmp").mkdir(mode=0o700)
    made = make_missing(tmp_path)
    assert made == ["/proc", "/sys", "/dev", "/run", "/var/tmp", "/srv/my share"]
    assert [mode(tmp_path / name) for name in ("proc", "sys", "dev", "var/tmp")] == [0o555, 0o555, 0o755, 0o1777]
    assert mode(tmp_path / "srv/my share") == 0o755
    # What was restored is as it was saved.
    assert mode(tmp_path / "tmp") == 0o700
    assert make_missing(tmp_path) == []


def test_links_lead_within_the_target(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/tmp").symlink_to("/data/tmp")
    assert "/var/tmp" in make_missing(tmp_path)
    assert mode(tmp_path / "data/tmp") == 0o1777


@pytest.mark.parametrize(
    ("configuration", "needed"),
    [
        ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", True),
        ("# SELINUX=enforcing\nSELINUX=permissive\n", True),
        ("SELINUX=disabled\n", False),
        ("# SELINUX=enforcing\n", False),
        (None, False),
    ],
)
def test_labels_are_asked_for_only_where_selinux_is_on(tmp_path: Path, configuration: str | None, needed: bool) -> None:
    (tmp_path / "etc/selinux").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    if configuration is not None:
        (tmp_path / "etc/selinux/config").write_text(configuration)
    assert needs_labels(tmp_path) is needed


@pytest.mark.root
def test_labels_that_were_restored_are_enough(tmp_path: Path) -> None:
    (tmp_path / "etc/selinux").mkdir(parents=True)
    (tmp_path / "etc/selinux/config").write_text("SELINUX=enforcing\n")
    passwd = tmp_path / "etc/passwd"
    passwd.write_text("root:x:0:0::/root:/bin/sh\n")
    os.setxattr(passwd, "security.selinux", b"system_u:object_r:passwd_file_t:s0\0")
    assert not needs_labels(tmp_path)


def test_the_mark_lies_in_the_root_directory(tmp_path: Path) -> None:
    ask_for_labels(tmp_path)
    assert (tmp_path / ".autorelabel").is_file()


def test_what_programs_wrote_gets_the_label_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovered, "LABEL", "user.selinux")
    (tmp_path / "etc/lvm/backup").mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    os.setxattr(tmp_path / "etc", "user.selinux", b"etc_t")
    os.setxattr(tmp_path / "etc/lvm", "user.selinux", b"lvm_etc_t")
    (tmp_path / "etc/lvm/backup/rhel").touch()
    (tmp_path / "etc/own").touch()
    os.setxattr(tmp_path / "etc/own", "user.selinux", b"own_t")
    (tmp_path / "etc/link").symlink_to("/nowhere")
    label_new(tmp_path)
    assert os.getxattr(tmp_path / "etc/lvm/backup/rhel", "user.selinux") == b"lvm_etc_t"
    assert os.getxattr(tmp_path / "etc/own", "user.selinux") == b"own_t"
    # Where no folder has one, there is none to give.
    assert os.listxattr(tmp_path / "boot") == []
