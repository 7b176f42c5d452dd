# SPDX-License-Identifier: GPL-3.0-or-later
"""Advice on names of Relax-and-Recover."""

from __future__ import annotations

import pytest

from rear_core.settings.original import advice, protection


@pytest.mark.parametrize(
    "name",
    [
        "BACKUP_PROG",
        "BACKUP_PROG_OPTIONS",
        "NETFS_KEEP_OLD_BACKUP_COPY",
        "LIBS",
        "USE_CFG2HTML",
        "USE_DHCLIENT",
        "TIMESYNC",
        "AUTOEXCLUDE_MULTIPATH",
        "USB_DEVICE",
        "ISO_MKISOFS_BIN",
        "BORGBACKUP_REPO",
        "BACKUP_RSYNC_OPTIONS",
        "RSYNC_PREFIX",
        "TSM_RESULT_SAVE",
        "COPY_AS_IS_EXCLUDE",
        "AUTOEXCLUDE_DISKS",
        "POST_RECOVERY_SCRIPT",
        "GALAXY11_USER",
        "SSH_FILES",
    ],
)
def test_well_known_names_have_one_line_of_advice(name: str) -> None:
    assert advice(name)
    assert "\n" not in advice(name)


@pytest.mark.parametrize(
    "name", ["EXCLUDE_RECREATE", "EXCLUDE_DEVICE_MAPPING", "WRITE_PROTECTED_PARTITION_TABLE_UUIDS"]
)
def test_what_kept_something_from_being_written_says_what_to_write_instead(name: str) -> None:
    assert "EXCLUDE_DEVICES" in protection(name)
    assert not protection("AUTOEXCLUDE_DISKS")


def test_what_kept_files_from_being_overwritten_is_not_passed_over() -> None:
    assert "EXCLUDE_COMPONENTS" in protection("EXCLUDE_RESTORE")


def test_the_most_special_name_decides() -> None:
    assert advice("NETFS_OPTIONS") == "it is BACKUP_OPTIONS now"
    assert advice("BORGBACKUP_PRUNE_KEEP_DAILY").startswith("it is BORG_KEEP now")
    assert advice("NETFS_ANYTHING") != advice("NETFS_OPTIONS")


@pytest.mark.parametrize("name", ["OUTPUT", "OUTPUT_URL", "RESCUE_FILES", "XYZZY", "", "LIB", "BACKUP"])
def test_other_names_have_none(name: str) -> None:
    assert advice(name) == ""
