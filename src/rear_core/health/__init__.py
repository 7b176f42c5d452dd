# SPDX-License-Identifier: GPL-3.0-or-later
"""How well this machine could be recovered: checks of the records of its runs and of what it is now."""
