# SPDX-License-Identifier: GPL-3.0-or-later
"""What could keep a recovery of this machine from working, and what to do about it."""
