# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds packages of this checkout: `python packaging/build.py [deb|rpm|wheelhouse|single]... [--output DIR]`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import deb
import offline
import rpm
from description import CHECKOUT

KINDS = {
    "deb": deb.build,
    "rpm": rpm.build,
    "wheelhouse": offline.wheelhouse,
    "single": offline.single_file,
}


def main() -> None:
    """Build each kind that is asked for, all by default, and name what was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="|".join(KINDS))
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist", metavar="DIR")
    arguments = parser.parse_args()
    output = arguments.output.absolute()
    for kind in arguments.kinds or KINDS:
        with tempfile.TemporaryDirectory() as work:
            for path in KINDS[kind](Path(work), output):
                print(path)


if __name__ == "__main__":
    main()
