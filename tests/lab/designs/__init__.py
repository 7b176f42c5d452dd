# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that whole recoveries are shown on: one for each kind of storage, firmware and way of a distribution."""

from __future__ import annotations

from . import arm64, debian, firmware, laptops, loaders, redhat, san, suse, suse16

ALL = (
    *debian.ALL, *loaders.ALL, *firmware.ALL, *laptops.ALL, *redhat.ALL, *suse.ALL, *suse16.ALL, *arm64.ALL, *san.ALL,
)  # fmt: skip
