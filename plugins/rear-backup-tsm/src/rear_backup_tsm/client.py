# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of dsmc, the client of IBM Storage Protect, and what it prints.

Commands, options and exit codes are those of IBM's client reference: 0 all went well, 4 some files were not processed,
8 there were warnings, 12 there were errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from rear_core import ProgramFailed, Refused, Run
from rear_core.shell import Outcome

ALL_WELL, SKIPPED, WARNED, FAILED = 0, 4, 8, 12
USABLE = (ALL_WELL, SKIPPED, WARNED)
# Where libraries of the client may lie that only it needs.
LIBRARIES = ("/opt/tivoli/tsm/client/api/bin64", "/usr/local/ibm/gsk8_64/lib64", "/usr/local/ibm/gsk8/lib")
# Messages with their severity, and the numbers at the end.
NOTABLE = r"ANS\d{4}[EWS]|^\s*Total number of"
# Dates as 2026-11-22 and times as 18:30:00; these options must stand before the dates.
FORMATS = ("-dateformat=3", "-timeformat=1")
DATE = "%Y-%m-%d %H:%M:%S"
NO_MATCH = re.compile(r"ANS1092[EW]")
QUERY_SECONDS = 300


def libraries(folder: str) -> list[str]:
    """The directories of the client's libraries that are there."""
    return [path for path in (folder, *LIBRARIES) if Path(path).is_dir()]


def environment(run: Run) -> Mapping[str, str]:
    """What dsmc finds its files by."""
    folder = str(run.settings["TSM_CLIENT_DIR"])
    return {"DSM_DIR": folder, "DSM_CONFIG": f"{folder}/dsm.opt", "LD_LIBRARY_PATH": ":".join(libraries(folder))}


def common(run: Run) -> list[str]:
    """Options of every command: a log that is surely writable, and on whose behalf."""
    node = run.settings["TSM_ASNODENAME"]
    return [f"-errorlogname={run.build_dir}/dsmerror.log", *([f"-asnodename={node}"] if node else [])]


def query(run: Run, *words: str) -> Outcome:
    """Ask the server something; raises `ProgramFailed` only when dsmc could not be run to its end."""
    return run.sh.run(
        "dsmc", "query", *words, *common(run), env=environment(run), timeout=QUERY_SECONDS, ok=(*USABLE, FAILED)
    )


def check_session(run: Run) -> None:
    """`Refused` with the client's own message unless the server lets this node in."""
    advice = "`dsmc query session` must work: check network, node name and password"
    try:
        outcome = query(run, "session")
    except ProgramFailed as error:
        raise Refused(f"cannot query the Storage Protect server: {error.message}", advice) from error
    if outcome.status == FAILED:
        found = re.findall(r"ANS\d{4}[ES].*", outcome.output)
        reason = found[-1].strip() if found else "dsmc ended with 12"
        raise Refused(f"the Storage Protect server does not accept this client: {reason}", advice)
    server = re.search(r"Server Name\.*:\s*(\S+)", outcome.stdout)
    node = re.search(r"Node Name:\s*(\S+)", outcome.stdout)
    run.report.detail(
        f"The Storage Protect server {server[1] if server else ''} accepts the node {node[1] if node else ''}"
    )


def file_spaces(run: Run) -> dict[str, str]:
    """The file spaces that the server has of this node, with the time of the last whole incremental backup.

    ::

          #     Last Incr Date          Type    File Space Name
        --------------------------------------------------------------------------------
          1     2026-11-22 18:00:00     EXT4    /
          2                             XFS     /home
    """
    rows = re.findall(
        r"^\s*\d+\s+(?:(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s+)?\S+\s+(/.*?)\s*$",
        query(run, "filespace", *FORMATS).stdout,
        re.MULTILINE,
    )
    return {name: date for date, name in rows}


def has_files(run: Run, path: str, when: datetime | None) -> bool:
    """Whether the server has anything at the top of a file space, at that time.

    ::

                 Size  Backup Date                Mgmt Class           A/I File
                 ----  -----------                ----------           --- ----
                4,096  B  2026-11-22 18:00:00     DEFAULT               A  /home/anna
    """
    outcome = query(run, "backup", f"{path.rstrip('/')}/*", *FORMATS, *point_in_time(when))
    if outcome.status == FAILED and not NO_MATCH.search(outcome.output):
        raise Refused(f"cannot query the server for {path}: {outcome.output.splitlines()[-1]}", "see the log")
    return bool(re.search(r"^\s*[\d,]+\s+\S?B\s.*\s/", outcome.stdout, re.MULTILINE))


def point_in_time(when: datetime | None) -> list[str]:
    """The options that choose a time."""
    return [f"-pitdate={when:%Y-%m-%d}", f"-pittime={when:%H:%M:%S}"] if when else []


def total(lines: tuple[str, ...], what: str) -> int:
    """A number at the end of the output.

    ::

        Total number of objects restored:       6,491
        Total number of objects failed:             2
    """
    found = re.findall(rf"Total number of objects {what}:\s*([\d,]+)", "\n".join(lines))
    return int(found[-1].replace(",", "")) if found else 0


def objects(lines: Iterable[str]) -> list[str]:
    """The files that messages of errors name, each once.

    ::

        ANS4042E Object name '/home/anna/x' contains one or more unrecognized characters and is not valid.
        11/22/2026 18:00:00 ANS1228E Sending of object '/home/anna/y' failed.
    """
    found = (re.search(r"ANS\d{4}[EW] .*?'(/.*)'", line) for line in lines)
    return list(dict.fromkeys(match[1] for match in found if match))
