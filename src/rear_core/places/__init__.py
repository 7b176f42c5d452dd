# SPDX-License-Identifier: GPL-3.0-or-later
"""Where media and backups are put: places, each known by the scheme of its URLs."""
