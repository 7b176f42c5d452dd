# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's network: described, planned and set up in the rescue system, and its cards named as before."""
