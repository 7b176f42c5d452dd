# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "rear"
release = version_of("rear-core")
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"rear {release}"
myst_heading_anchors = 3
# A name in angle brackets is a name. Marks of who runs a command are comments, which readers do not see.
myst_disable_syntax = ["html_inline"]
