# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the client programs of Dell NetWorker 19: save, recover, mminfo, nsrexecd, by the name it is run as.

Below NSR_ROOT (/nsr) it keeps what the product does: res/servers, res/nsrladb with the client's key, logs.
"""

from __future__ import annotations

import getopt
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from .wire import NoAnswer, ask, receive, send

ROOT = Path(os.environ.get("NSR_ROOT", "/nsr"))
# Options as getopt(3) knows them, from the synopses of the manual pages.
OPTIONS = {
    "save": "BEiKLnquSVvxs:J:c:N:e:f:o:b:F:I:g:l:t:m:w:y:W:",
    "recover": "afnquvi:I:d:c:x:t:s:J:S:R:b:",
    "mminfo": "avVo:s:mpBSXr:c:N:t:q:x:",
    "nsrexecd": "iSs:f:p:r:",
}
ATTRIBUTES = {"client", "level", "name", "nfiles", "nsavetime", "pool", "savetime", "ssid", "sumsize", "totalsize",
              "volume"}  # fmt: skip
# Two of the forms of nsr_getdate(3).
TIMES = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y")


def fail(text: str) -> NoReturn:
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def connect(options: dict[str, str]) -> tuple[tuple[str, int], dict[str, str]]:
    """The server's address, and what identifies this client: its key."""
    if "-s" not in options:
        fail("cannot find a server: none was named")
    database = ROOT / "res/nsrladb/nsrla.json"
    if not database.is_file():
        fail(f"authentication failed: no peer information for this client on {options['-s']}")
    facts = json.loads(database.read_text())
    client = options.get("-c", os.uname().nodename)
    return (options["-s"], facts["port"]), {"node": client, "password": facts["key"]}


def need_daemon() -> None:
    pid = ROOT / "logs/nsrexecd.pid"
    if not pid.is_file() or not Path("/proc", pid.read_text()).exists():
        fail("nsrexecd on this host is unavailable: Program not registered")


def answer(address: tuple[str, int], request: dict[str, Any]) -> list[dict[str, object]]:
    try:
        found, _ = ask(address, {**request, "do": "list"})
    except NoAnswer as error:
        if str(error) == "unknown":
            return []
        fail(f"Unable to connect to {address[0]}: {error}")
    return list(found)


def mminfo(options: dict[str, str]) -> int:
    """Save sets, as a custom report with a separator."""
    address, request = connect(options)
    query = dict(word.partition("=")[::2] for word in options.get("-q", "").split(","))
    columns = [re.sub(r"\(\d+\)", "", word) for word in options.get("-r", "").split(",")]
    if unknown := [word for word in (*query, *columns) if word not in ATTRIBUTES]:
        fail(f"unknown attribute '{unknown[0]}'")
    if not re.fullmatch("c.", options.get("-x", "c,")) or "-r" not in options or "-a" not in options:
        fail("this stand-in makes custom reports with a separator alone")
    rows = [
        {"name": entry["path"], "nsavetime": entry["time"], "client": query["client"], "level": "full"}
        for entry in answer(address, {**request, "node": query["client"]})
        if query.get("name", entry["path"]) == entry["path"]
    ]
    if not rows:
        print("6095:mminfo: no matches found for the query", file=sys.stderr)
        return 1
    separator = options.get("-x", "c,")[1]
    print(separator.join(columns))
    for row in rows:
        print(separator.join(str(row[column]) for column in columns))
    return 0


def save(options: dict[str, str], paths: list[str]) -> int:
    need_daemon()
    address, request = connect(options)
    for path in paths or [os.getcwd()]:
        if not Path(path).exists():
            fail(f"cannot stat {path}: No such file or directory")
        try:
            if not Path(path).is_dir():
                with open(path, "rb") as file:
                    ask(address, {**request, "do": "archive", "path": path}, file)
                continue
            status, names = send(address, {**request, "do": "save"}, path.rstrip("/") or "/", left_out(path))
        except NoAnswer as error:
            fail(f"Unable to set up a direct save with server `{address[0]}': {error}")
        for name in names:
            print(f"{path.rstrip('/')}{name[1:]}")
        if status:
            print(f"* {path} changed while it was saved", file=sys.stderr)
        print(f"save: {path}  {len(names)} files\ncompleted savetime={int(time.time())}", flush=True)
    return 0


def left_out(path: str) -> list[str]:
    """The folders that the directives of the file .nsr there name: `<< folder >>`, then `skip: name`."""
    directives = Path(path, ".nsr")
    found, folder = [], path
    for line in directives.read_text().splitlines() if directives.is_file() else []:
        if match := re.fullmatch("<< (/.*) >>", line):
            folder = match[1]
        elif line.startswith("skip: "):
            found.append(f"{folder.rstrip('/')}/{line[6:]}")
        else:
            fail(f"syntax error in {directives}: {line}")
    return found


def recover(options: dict[str, str], paths: list[str]) -> int:
    """Without browsing (-a): what the index has at and below the paths."""
    need_daemon()
    address, identity = connect(options)
    request: dict[str, Any] = {**identity, "until": seconds(options["-t"]) if "-t" in options else None}
    if "-a" not in options or not paths:
        fail("this stand-in does not browse: -a and paths are needed")
    if options.get("-i", "Y") not in tuple("nNyYrR"):
        fail("bad option: -i takes one of nNyYrR")
    target = options.get("-d", "/")
    base = os.path.commonpath(paths)
    known = sorted({str(entry["path"]) for entry in answer(address, request)})
    wanted = [name for name in known if any(f"{name}/".startswith(f"{path.rstrip('/')}/") for path in paths)]
    if not wanted:
        fail(f"Path {paths[0]} is not in the index of {request['node']}")
    if options.get("-i") != "Y" and "-f" not in options and any(os.scandir(target)):
        fail("file name conflicts, and nobody can be asked")
    print(f"Recovering files within {base} into {target}\nRequesting file(s), this may take a while...", flush=True)
    count = 0
    for name in wanted:
        place = os.path.normpath(f"{target}/{os.path.relpath(name, base)}")
        try:
            number, status = receive(address, {**request, "do": "restore", "path": name}, place)
        except NoAnswer as error:
            fail(f"no save set of {name} as of that time: {error}")
        count += number
        # What the real one leaves out, it tells and goes on.
        skips = ROOT / "standin-skips"
        for skipped in skips.read_text().splitlines() if skips.exists() else []:
            print(f"recover: cannot create {place}/{skipped}: Permission denied", file=sys.stderr)
            count -= 1
        if status:
            fail(f"error recovering {name}")
    print(f"Received {count} file(s) from NSR server `{address[0]}'")
    print(f"Recover completion time: {time.ctime()}", flush=True)
    return 0


def seconds(text: str) -> float:
    for form in TIMES:
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    fail(f"cannot parse the time '{text}'")


def nsrexecd() -> int:
    """A daemon that does nothing but be there."""
    if not (ROOT / "res").is_dir() or not (ROOT / "logs").is_dir():
        fail(f"cannot open {ROOT}/res")
    if os.fork():
        return 0
    os.setsid()
    with open(os.devnull, "r+") as null:
        for descriptor in range(3):
            os.dup2(null.fileno(), descriptor)
    Path("/proc/self/comm").write_text("nsrexecd")
    (ROOT / "logs/nsrexecd.pid").write_text(str(os.getpid()))
    while True:
        time.sleep(3600)


def main() -> int:
    name = Path(sys.argv[0]).name
    try:
        pairs, paths = getopt.gnu_getopt(sys.argv[1:], OPTIONS[name])
    except getopt.GetoptError as error:
        fail(f"usage: {error}")
    options = dict(pairs)
    if name == "nsrexecd":
        return nsrexecd()
    if name == "mminfo":
        return mminfo(options)
    return save(options, paths) if name == "save" else recover(options, paths)


if __name__ == "__main__":
    sys.exit(main())
