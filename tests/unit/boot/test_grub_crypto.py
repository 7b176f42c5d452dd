# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB's menu opens the encrypted volume that /boot lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.boot.grub_crypto import problems
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.luks import Luks

UUID = "e2f40b87-61d9-4c3a-b5a7-30d8c9f61e24"


@pytest.mark.parametrize(
    ("menu", "opens"),
    [
        ("menuentry 'a' {\n\tcryptomount -u e2f40b8761d94c3ab5a730d8c9f61e24\n}\n", True),
        (f"cryptomount -u {UUID}\n", True),
        # It may have been opened by what is in the boot sector.
        ("menuentry 'a' {\n}\n", True),
        ("cryptomount -u 1c7d5e9083b24f6aa04d92e6f1b8c375\n", False),
    ],
)
def test_the_menu_opens_the_volume_of_boot(tmp_path: Path, menu: str, opens: bool) -> None:
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").write_text(menu)
    layout = make(
        [
            Disk("disk:1", (), 1 << 30, "/dev/sda"),
            Luks(f"luks:{UUID}", ("disk:1",), 1, UUID, "aes", 512, "sha256"),
            Mount("mount:/", (f"luks:{UUID}",), "/", "ext4"),
        ]
    )
    assert (problems(tmp_path, layout) == []) == opens
