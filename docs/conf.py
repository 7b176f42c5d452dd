# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

project = "rear"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Bare-metal disaster recovery for Linux"}
myst_heading_anchors = 3
