# SPDX-License-Identifier: GPL-3.0-or-later
"""dracut run for real in a restored Debian tree by the plugin for Red Hat, and its image read."""

from __future__ import annotations

import pytest

from lab.dracut import recovered
from rear_core.finalize.initramfs import modules_in, names
from rear_core.shell import Shell

pytestmark = pytest.mark.root


def test_an_initramfs_without_drivers_is_made_anew_with_them() -> None:
    made = recovered()
    (done,) = [line for line in made.report["done"] if line.startswith("initramfs rebuilt")]
    assert "it lacks the driver ext4" in done and "it lacks the driver dm_crypt" in done
    assert made.report["problems"] == []
    assert {"ext4", "dm_crypt", "virtio_blk"} <= modules_in(Shell(), made.image, made.image.parent)


def test_its_image_has_what_opens_an_encrypted_volume() -> None:
    made = recovered()
    assert "usr/lib/systemd/systemd-cryptsetup" in names(Shell(), made.image, made.image.parent)


def test_both_archives_of_its_image_are_read_as_dracut_reads_them() -> None:
    made = recovered()
    carried = names(Shell(), made.image, made.image.parent)
    assert "kernel/firmware/acpi/empty.aml" in carried
    assert sorted(made.listed) == sorted(carried)
