# SPDX-License-Identifier: GPL-3.0-or-later
"""NetWorker's client programs: which server and client they are told, and what mminfo answers.

Options are those of save(8), recover(8), mminfo(8), nsrexecd(8) and nsr_getdate(3) of the NetWorker command reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from rear_core import ConfigurationError, ProgramFailed, Refused, Run

# Servers that may start a recovery on this client, one in a line.
SERVERS = Path("/nsr/res/servers")
LIBRARIES = ("/usr/lib/nsr/lib64", "/usr/lib/nsr/lib", "/opt/nsr/lib64", "/opt/nsr/lib")
DAEMON_PLACES = ("/nsr/logs", "/nsr/res", "/nsr/tmp", "/nsr/cores")
NOTHING_FOUND = "no matches found for the query"
QUERY_SECONDS = 300


def server(run: Run) -> str:
    """The NetWorker server: NSRSERVER, or the first that may recover this client."""
    if chosen := str(run.settings["NSRSERVER"]):
        return chosen
    listed = SERVERS.read_text().split() if SERVERS.is_file() else []
    if not listed:
        raise ConfigurationError("NSRSERVER is not set", "set it to the host name of the NetWorker server")
    return listed[0]


def name(run: Run) -> str:
    """The name by which the server knows this client: NSR_CLIENT_NAME, or the recorded host name."""
    from rear_core.archive.repository import hostname

    return str(run.settings["NSR_CLIENT_NAME"]) or hostname(run)


def libraries() -> list[str]:
    """The directories of the client's libraries that are there."""
    return [path for path in LIBRARIES if Path(path).is_dir()]


def environment() -> Mapping[str, str]:
    """What the programs find their libraries by."""
    return {"LD_LIBRARY_PATH": ":".join(libraries())} if libraries() else {}


def save_sets(run: Run, when: datetime | None) -> dict[str, datetime]:
    """The newest save set of each name, at that time or before. Raises as `all_save_sets`."""
    # Of one name the last one, which is the newest, counts.
    return {path: saved for saved, path in sorted(all_save_sets(run)) if when is None or saved <= when}


def all_save_sets(run: Run) -> list[tuple[datetime, str]]:
    """The times and names of the save sets that are complete and can be browsed.

    mminfo leaves out incomplete and aborted ones unless it is asked for them (-v). With -x it separates by a sign;
    nsavetime is in seconds since 1970::

        nsavetime;name
        1795370400;/
        1795370460;/home

    Raises `Refused` when the server does not answer.
    """
    query = ["-s", server(run), "-a", "-q", f"client={name(run)}", "-r", "nsavetime,name", "-xc;"]
    try:
        text = run.sh.query("mminfo", *query, env=environment(), timeout=QUERY_SECONDS)
    except ProgramFailed as error:
        if NOTHING_FOUND in error.output:
            return []
        said = error.output.splitlines()[-1:] or [error.message]
        raise Refused(
            f"the NetWorker server {server(run)} does not answer for the client {name(run)}: {said[0].strip()}",
            "`mminfo` must work here: check network, names in both directions, and the server's user groups",
        ) from error
    rows = re.findall(r"^\s*(\d+)\s*;(.*)$", text, re.MULTILINE)
    return [(datetime.fromtimestamp(int(seconds)).astimezone(), path.strip()) for seconds, path in rows]


def is_running(program: str) -> bool:
    """Whether a process of that name is there."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == program:
                return True
        except OSError:
            continue  # it has just ended
    return False
