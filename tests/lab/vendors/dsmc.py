# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for dsmc, the client of IBM Storage Protect 8.1: its commands, options, files, messages and exit codes."""

from __future__ import annotations

import base64
import ctypes
import getpass
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from .wire import NoAnswer, ask, receive, send

EVERYWHERE = {"asnodename", "errorlogname", "quiet", "verbose", "optfile", "servername"}
DATES = {"dateformat", "timeformat", "numberformat"}
PIT = {"pitdate", "pittime"}
# Command -> number of arguments at least and at most, options.
COMMANDS = {
    "query session": (0, 0, set[str]()),
    "query filespace": (0, 1, {"detail", "fromnode", "fromowner", "scrolllines", "scrollprompt"} | DATES),
    "query backup": (1, 1, {"detail", "dirsonly", "filesonly", "fromdate", "fromnode", "fromowner", "fromtime",
                            "inactive", "querysummary", "scrolllines", "scrollprompt", "subdir", "todate",
                            "totime"} | DATES | PIT),
    "incremental": (0, 20, {"absolute", "changingretries", "compression", "dirmc", "dirsonly", "domain", "filelist",
                            "filesonly", "incrbydate", "memoryefficientbackup", "nojournal", "preservelastaccessdate",
                            "removeoperandlimit", "resourceutilization", "snapdiff", "subdir", "tapeprompt"}),
    "restore": (1, 2, {"dirsonly", "disablenqr", "filelist", "filesonly", "followsymbolic", "fromdate", "fromnode",
                       "fromowner", "fromtime", "ifnewer", "inactive", "latest", "pick", "preservepath", "replace",
                       "resourceutilization", "subdir", "tapeprompt", "todate", "totime"} | DATES | PIT),
    "archive": (1, 20, {"archmc", "archsymlinkasfile", "changingretries", "compression", "deletefiles", "description",
                        "dirsonly", "filelist", "filesonly", "subdir", "tapeprompt"}),
}  # fmt: skip
YES_NO = ("yes", "no")
VALUES = {
    "subdir": YES_NO, "tapeprompt": YES_NO, "replace": ("all", "yes", "no", "prompt"),
    "preservepath": ("subtree", "complete", "nobase", "none"),
    "dateformat": tuple("0134567"), "timeformat": tuple("01234"),
}  # fmt: skip
DATE_PATTERNS = {"1": "%m/%d/%Y", "3": "%Y-%m-%d"}
USER_OPTIONS = {"servername", "subdir", "quiet", "dateformat", "timeformat", "numberformat", "replace", "tapeprompt"}
SYSTEM_OPTIONS = {
    "commmethod", "tcpport", "tcpserveraddress", "nodename", "passwordaccess", "passworddir", "inclexcl",
    "errorlogname", "errorlogretention", "schedlogname", "schedlogretention", "managedservices", "schedmode",
    "virtualmountpoint", "resourceutilization", "tcpwindowsize", "tcpbuffsize", "compression",
}  # fmt: skip


def message(text: str) -> None:
    """An ANS message, on standard error as dsmc prints it."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    message(text)
    raise SystemExit(12)


def parse(words: list[str]) -> tuple[str, list[str], dict[str, str]]:
    """Command, arguments and options; anything that is not documented ends the program."""
    command = " ".join(words[: 2 if words[:1] == ["query"] else 1])
    if command not in COMMANDS:
        fail(f"ANS1138E The '{command}' command must be followed by a subcommand.")
    least, most, allowed = COMMANDS[command]
    arguments: list[str] = []
    options: dict[str, str] = {}
    for word in words[len(command.split()) :]:
        if not word.startswith("-"):
            arguments.append(word)
            continue
        name, _, value = word[1:].partition("=")
        if name not in allowed | EVERYWHERE or (name in VALUES and value not in VALUES[name]):
            fail(f"ANS1107E Invalid option/value: '{word}'")
        # The format of a date must be known before the date.
        if (name == "pitdate" and "dateformat" not in options) or (name == "pittime" and "pitdate" not in options):
            fail(f"ANS1107E Invalid option/value: '{word}'")
        options[name] = value
    if not least <= len(arguments) <= most:
        fail("ANS1133W An expression might contain a wildcard not enclosed in quotes.")
    return command, arguments, options


def option_file(path: Path, known: set[str]) -> list[tuple[str, str]]:
    """The options of a file; one that is not known is an error of the whole client."""
    if not path.is_file():
        fail(f"ANS1035S Options file '{path}' could not be found, or it cannot be read.")
    found = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("*"):
            name, value = [*line.split(None, 1), ""][:2]
            if name.lower() not in known:
                fail(f"ANS1036S The option '{name}' or the value supplied for it is not valid.")
            found.append((name.lower(), value.strip().strip('"')))
    return found


def configuration() -> dict[str, str]:
    """The stanza of dsm.sys that dsm.opt names."""
    folder = Path(os.environ.get("DSM_DIR", "/opt/tivoli/tsm/client/ba/bin"))
    chosen = dict(option_file(Path(os.environ.get("DSM_CONFIG", folder / "dsm.opt")), USER_OPTIONS))
    stanza: dict[str, str] = {}
    inside = False
    for name, value in option_file(folder / "dsm.sys", SYSTEM_OPTIONS | {"servername", "defaultserver"}):
        if name == "servername":
            inside = value.lower() == chosen["servername"].lower()
        elif inside:
            stanza[name] = value
    if not stanza:
        fail(f"ANS1217E Server name not found in System Options File {folder / 'dsm.sys'}")
    if "inclexcl" in stanza and not Path(stanza["inclexcl"]).is_file():
        fail("ANS1036S The option 'INCLEXCL' or the value supplied for it is not valid.")
    for log in ("errorlogname", "schedlogname"):
        if log in stanza and not Path(stanza[log]).parent.is_dir():
            fail(f"ANS1036S The option '{log.upper()}' or the value supplied for it is not valid.")
    for library in folder.glob("libApiTSM64.so"):
        ctypes.CDLL(library.name)
    return stanza


def left_out(stanza: dict[str, str]) -> list[str]:
    """The folders that the list of what to include and exclude names."""
    found = []
    for line in Path(stanza["inclexcl"]).read_text().splitlines() if "inclexcl" in stanza else []:
        statement, _, folder = line.partition(" ")
        if statement.lower() != "exclude.dir" or not folder.startswith("/"):
            fail(f"ANS1036S The option 'INCLEXCL' or the value supplied for it is not valid: '{line}'")
        found.append(folder)
    return found


def password(stanza: dict[str, str]) -> tuple[str, bool]:
    """The stored password, or the one that is typed; and whether it was typed."""
    folder = Path(stanza.get("passworddir", "/etc/adsm"))
    if stanza.get("passwordaccess") == "generate" and (folder / "TSM.KDB").is_file() and (folder / "TSM.sth").is_file():
        return base64.b64decode((folder / "TSM.KDB").read_bytes()).decode(), False
    if not sys.stdin.isatty():
        fail("ANS1025E (RC137)  Session rejected: Authentication failure")
    input(f"Please enter your user id <{stanza['nodename'].upper()}>: ")
    return getpass.getpass(f'Please enter password for user id "{stanza["nodename"].upper()}": '), True


class Session:
    """A client that the server has let in."""

    def __init__(self, options: dict[str, str]) -> None:
        stanza = configuration()
        self.options = options
        self.left_out = left_out(stanza)
        self.node = options.get("asnodename", stanza.get("nodename", os.uname().nodename)).upper()
        self.address = (stanza["tcpserveraddress"], int(stanza["tcpport"]))
        word, typed = password(stanza)
        self.request = {"node": self.node, "password": word}
        try:
            ask(self.address, {**self.request, "do": "session"})
        except NoAnswer as error:
            reasons = {
                "unknown": "ANS1353E (RC53)   Session rejected: Unknown or incorrect ID entered",
                "authentication": "ANS1025E (RC137)  Session rejected: Authentication failure",
            }
            fail(reasons.get(str(error), f"ANS1017E Session rejected: {error}"))
        if typed and stanza.get("passwordaccess") == "generate":
            folder = Path(stanza.get("passworddir", "/etc/adsm"))
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in (("TSM.KDB", base64.b64encode(word.encode())), ("TSM.sth", b"key"), ("TSM.IDX", b"")):
                (folder / name).write_bytes(data)
                (folder / name).chmod(0o600)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        print(f"IBM Storage Protect\nCommand Line Backup-Archive Client Interface\n\nNode Name: {self.node}")
        print(f"Session established with server VAULT: Linux/x86_64\n  Server date/time: {now}  Last access: {now}\n")

    def until(self) -> float | None:
        """The point in time as seconds, in local time."""
        if "pitdate" not in self.options:
            return None
        pattern = DATE_PATTERNS[self.options["dateformat"]] + " %H:%M:%S"
        text = f"{self.options['pitdate']} {self.options.get('pittime', '23:59:59')}"
        try:
            return time.mktime(time.strptime(text, pattern))
        except ValueError:
            fail(f"ANS1107E Invalid option/value: '-pitdate={self.options['pitdate']}'")

    def date(self, seconds: float) -> str:
        pattern = DATE_PATTERNS[self.options.get("dateformat", "1")]
        return time.strftime(f"{pattern} %H:%M:%S", time.localtime(seconds))

    def saved(self) -> dict[str, dict[str, object]]:
        """The newest backup of each file space, up to the point in time."""
        listed, _ = ask(self.address, {**self.request, "do": "list"})
        until = self.until()
        return {entry["path"]: entry for entry in listed if until is None or entry["time"] <= until}


def query(session: Session, what: str, arguments: list[str]) -> int:
    """query session, query filespace, query backup."""
    if what == "session":
        print("Server Information\n  Server Name..............: VAULT\n  Server Type..............: Linux/x86_64")
        return 0
    if what == "filespace":
        print(f"  #     Last Incr Date          Type    File Space Name\n{'-' * 80}")
        for number, (path, entry) in enumerate(sorted(session.saved().items()), 1):
            print(f"{number:3}     {session.date(float(str(entry['time'])))}     EXT4    {path}")
        return 0
    folder, star, rest = arguments[0].rpartition("*")
    found = session.saved().get(folder.rstrip("/") or "/")
    if not star or rest or found is None:
        message("ANS1092W No files matching search criteria were found")
        return 8
    print("             Size  Backup Date                Mgmt Class           A/I File")
    print("             ----  -----------                ----------           --- ----")
    for name in found["names"]:  # type: ignore[attr-defined]
        when = session.date(float(str(found["time"])))
        print(f"            4,096  B  {when}             DEFAULT              A  {folder}{name}")
    return 0


def incremental(session: Session, paths: list[str]) -> int:
    """Save whole file systems; what tar complains of counts as not processed."""
    worst = count = failed = 0
    for path in paths:
        if not Path(path).is_dir():
            message(f"ANS1071E Invalid domain name entered: '{path}'")
            return 12
        request = {**session.request, "do": "save"}
        try:
            status, names = send(session.address, request, path.rstrip("/") or "/", session.left_out)
        except NoAnswer as error:
            message(f"ANS1329S Server {error}" if "space" in str(error) else f"ANS1017E Session rejected: {error}")
            return 12
        for name in names:
            print(f"Normal File-->  {path.rstrip('/')}{name[1:]} [Sent]")
        count += len(names)
        if status:
            failed += 1
            worst = 4
            message(f"ANS1228E Sending of object '{path}' failed.")
    totals(backed=count, failed=failed)
    return worst


def archive(session: Session, paths: list[str]) -> int:
    """Single files."""
    for path in paths:
        if not Path(path).is_file():
            message(f"ANS1345E No objects on the server match '{path}'")
            return 12
        with open(path, "rb") as file:
            ask(session.address, {**session.request, "do": "archive", "path": path}, file)
    totals(archived=len(paths), failed=0)
    return 0


def restore(session: Session, arguments: list[str]) -> int:
    """A file space back to a folder."""
    options = session.options
    source, target = arguments[0], arguments[-1]
    if not source.endswith("/*") or options.get("subdir") != "yes":
        fail(f"ANS1092W No files matching search criteria were found ({source})")
    if len(arguments) == 2 and not target.endswith("/"):
        fail(f"ANS1102E Excessive number of command line arguments passed: {target} is no folder")
    if options.get("replace", "prompt") == "prompt" and os.listdir(target) and not sys.stdin.isatty():
        fail("ANS1114I Waiting for an answer that nobody can give: -replace is prompt")
    path = source[:-2] or "/"
    try:
        request = {**session.request, "do": "restore", "path": path, "until": session.until()}
        count, status = receive(session.address, request, target)
    except NoAnswer:
        message("ANS1302E No objects on server match query")
        return 12
    skipped = Path(os.environ.get("DSM_DIR", "/nowhere"), "standin-skips")
    failed = int(skipped.read_text()) if skipped.exists() else 0
    for number in range(failed):
        text = f"ANS4042E Object name '{path}/{number}' contains one or more unrecognized characters and is not valid."
        message(text)
        with open(options.get("errorlogname", "dsmerror.log"), "a") as log:
            log.write(f"{time.strftime('%m/%d/%Y %H:%M:%S')} {text}\n")
    totals(restored=count - failed, failed=failed)
    return 12 if status else 4 if failed else 0


def totals(**counts: int) -> None:
    print()
    for what, count in counts.items():
        title = "backed up" if what == "backed" else what
        print(f"Total number of objects {title + ':':12} {count:12,}")
    print("Elapsed processing time:           00:00:01", flush=True)


def main() -> int:
    command, arguments, options = parse(sys.argv[1:])
    if "errorlogname" in options and not Path(options["errorlogname"]).parent.is_dir():
        fail("ANS1036S The option 'ERRORLOGNAME' or the value supplied for it is not valid.")
    session = Session(options)
    if command.startswith("query "):
        return query(session, command[6:], arguments)
    if command == "archive":
        return archive(session, arguments)
    return incremental(session, arguments) if command == "incremental" else restore(session, arguments)


if __name__ == "__main__":
    sys.exit(main())
