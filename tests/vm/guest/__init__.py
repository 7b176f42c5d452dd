# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of one running machine, which ends with the last of them."""
