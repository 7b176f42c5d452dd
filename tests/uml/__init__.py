# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of guests of user-mode Linux, for all that needs a distribution's kernel but no firmware."""
