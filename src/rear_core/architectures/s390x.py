# SPDX-License-Identifier: GPL-3.0-or-later
"""IBM Z: machines that start by an initial program load from DASD or SCSI disks."""

from __future__ import annotations

from .architecture import Architecture

S390X = Architecture(
    ("s390x",),
    consoles="console=ttysclp0",
    missing="it does not describe DASD and zFCP disks, and does not run zipl, which writes what the machine loads",
)
