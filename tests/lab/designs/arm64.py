# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of another architecture than PCs."""

from __future__ import annotations

from dataclasses import replace

from .. import debian
from .debian import UEFI

ARM64 = replace(
    UEFI,
    name="arm64",
    about="as `uefi`",
    on_nfs=False,
    files={**UEFI.files, "/etc/fstab": f"{UEFI.files['/etc/fstab']}LABEL=BACKUP  /srv/backup  ext4  nofail  0  2\n"},
    release=debian.ARM64,
    settle=UEFI.settle.replace("x86_64-efi", "arm64-efi"),
)

ALL = (ARM64,)
