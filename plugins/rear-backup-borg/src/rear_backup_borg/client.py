# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rescue system carries so that borg runs there: mostly it is a program in Python with modules of its own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from rear_core import Contents, ProgramFailed, RearError, Run
from rear_core.errors import understood
from rear_core.rescue.libraries import ANY_STATUS, interpreters_of
from rear_core.rescue.python import LIBRARY_LEFT_OUT, interpreter
from rear_core.shell import Shell

# Borg 2 has other commands and repositories.
OLDEST, TOO_NEW = (1, 2), (2,)
# Run by the Python that borg is run by: which modules borg loads from outside of the standard library, and where its
# metadata is, by which its program finds it.
PROBE = """\
import json, os, sys, sysconfig
from importlib import metadata
import borg.archiver
library = sysconfig.get_path("stdlib")
others = os.path.join(library, "site-packages"), os.path.join(library, "dist-packages")
modules = set()
for name in {name.partition(".")[0] for name in sys.modules}:
    module = sys.modules.get(name)
    places = list(getattr(module, "__path__", None) or filter(None, [getattr(module, "__file__", None)]))
    modules.update(
        os.path.abspath(place) for place in places if not place.startswith(library + os.sep) or place.startswith(others)
    )
site = os.path.abspath(str(metadata.distribution("borgbackup").locate_file("")))
print(json.dumps({"library": library, "modules": sorted(modules), "site": site}))
"""


def contents(sh: Shell) -> Contents:
    """borg, and where it is written in Python its interpreter and all that it imports; raises `RearError` where it
    does not run here."""
    place = sh.which("borg")
    python = _python(sh, place) if place else None
    if python is None:
        return Contents(programs=["borg"])
    try:
        with understood("borg's Python"):
            found = json.loads(sh.query(python, "-c", PROBE))
            library, modules, site = Path(found["library"]), list(map(str, found["modules"])), str(found["site"])
    except ProgramFailed as error:
        raise RearError(f"borg does not run: {error.output.splitlines()[-1:]}", "install borgbackup again") from error
    files = [*modules, f"{site}/borgbackup-*", os.fspath(python.parent.parent / "pyvenv.cfg")]
    if os.path.realpath(python) != os.fspath(interpreter()):
        # rear runs by another Python, whose library is of no use to borg.
        files += [os.fspath(path) for path in sorted(library.iterdir()) if path.name not in LIBRARY_LEFT_OUT]
    return Contents(programs=["borg", os.fspath(python)], files=files)


def _python(sh: Shell, program: Path) -> Path | None:
    """The interpreter of a program in Python; None for what needs none, as the one file that borg's project offers."""
    words = interpreters_of(program)
    return sh.which(words[-1]) if words and os.path.basename(words[-1]).startswith("python") else None


def check_tree(run: Run) -> None:
    """Have borg say its version inside the rescue system; `RearError` where it does not run there."""
    from rear_core.rescue.tree import Tree

    place = run.sh.which("borg")
    # The core has said what is missing.
    if place is None or not Tree(run.rootfs_dir).has(place):
        return
    outcome = run.sh.run("chroot", run.rootfs_dir, place, "--version", ok=ANY_STATUS)
    if outcome.status or not outcome.stdout.startswith("borg"):
        said = (outcome.output.splitlines() or [f"exit status {outcome.status}"])[-1]
        raise RearError(
            f"borg does not run inside the rescue system: {said}",
            "name what it needs in RESCUE_FILES, or use the package of the distribution; the log has the full message",
        )


def version(run: Run) -> tuple[int, ...]:
    """The version of borg, as (1, 2, 4); raises `RearError` for one that rear does not know."""
    said = run.sh.query("borg", "--version")
    found = re.match(r"borg\S* (\d+)\.(\d+)(?:\.(\d+))?", said)
    number = tuple(int(part or 0) for part in found.groups()) if found else ()
    if not OLDEST <= number < TOO_NEW:
        raise RearError(f"rear does not know {said.strip() or 'this borg'}", "install borg 1.2 or 1.4")
    return number
