# SPDX-License-Identifier: GPL-3.0-or-later
"""The file daemon of this machine: the director connects to it to save and restore."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path

from rear_core import Contents, RearError, Refused, Run

from . import catalog, configuration, console, login

# Plugins that the file daemon loads by their names.
PLUGINS = ("/usr/lib/bacula/*-fd.so", "/usr/lib/bareos/plugins/*-fd.so")
# Seconds for a file daemon to listen.
PATIENCE = 15
SECRETS = (
    "*/bconsole*.conf", "*/bacula-fd*.conf", "*/bacula-dir*.conf", "*/bacula-sd*.conf", "*/common_default_passwords",
    "/etc/bareos/*.conf",
)  # fmt: skip


class NotReached(Refused):
    """The director does not reach the file daemon, which may have another password."""


def program(run: Run) -> str:
    """The file daemon that is installed."""
    return next((name for name in login.PROGRAMS if run.sh.which(name)), login.PROGRAMS[0])


def contents(run: Run) -> Contents:
    """What the rescue system needs of them."""
    paths = login.settings_paths(run)
    keys: list[str] = []
    others: list[str] = []
    used: list[Path] = []
    for path in paths:
        if Path(path).exists():
            text = configuration.read(Path(path), used)
            keys += configuration.files(text, configuration.KEYS)
            others += configuration.files(text, configuration.OTHERS)
    return Contents(
        programs=["bconsole", program(run), "setpriv"],
        files=[*paths, *map(str, used), *keys, *others],
        libraries=PLUGINS,
        secrets=[*SECRETS, *paths, *(f"{path.rstrip('/')}/*" for path in paths), *map(str, used), *keys],
    )


def check_keys(run: Run) -> None:
    """`Refused` where a recovery could not start the programs, as a key that they need is not on the media."""
    from rear_core.rescue.tree import matcher

    allowed = matcher(run.settings["RESCUE_ALLOW_SECRETS"])
    for path in login.settings_paths(run):
        for key in configuration.files(configuration.read(Path(path)), configuration.KEYS):
            if not allowed(key):
                raise Refused(
                    f"{path} needs the key {key}, which the rescue media would not carry",
                    f"add RESCUE_ALLOW_SECRETS+=( {key} ): anybody who has the media then has it",
                )


def listens(port: int) -> bool:
    """Whether something on this machine takes connections to a port, at whatever address."""
    wanted = (f":{port:04X}", "0A")
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
            if any((row[1][-5:], row[3]) == wanted for row in rows):
                return True
    return False


def start(run: Run) -> None:
    """Start a file daemon for the time of this run, unless one runs; asks for its password where that is not there."""
    text, complete = login.daemon(run)
    port = int(login.own_daemon(text).values.get("fdport", "") or login.PORT)
    if listens(port):
        run.report.detail(f"A file daemon listens on port {port}")
        return
    director = console.director(run)
    if complete:
        _start(run, run.undo, login.daemon_file(run, text, "", director), port)
    else:
        _start_with_password(run, text, director, port)


def _start(run: Run, undo: ExitStack, path: Path, port: int) -> None:
    name = program(run)
    # Bareos has no option against the file with its number, and makes none by itself.
    argv = [name, "-f", *(["-P"] if name == login.PROGRAMS[0] else []), "-c", f"{path}"]
    output = undo.enter_context((path.parent / "fd.log").open("w+b"))
    running = undo.enter_context(run.sh.background(*argv, output=output))
    for _ in range(PATIENCE * 10):
        if listens(port):
            run.report.detail(f"Started {name}, port {port}")
            return
        if running.process.poll() is not None:
            break
        time.sleep(0.1)
    output.seek(0)
    lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    for line in lines:
        run.report.log(f"  {line}")
    raise RearError(f"{name} does not start: {(lines or ['it said nothing'])[0]}", "the log has what it printed")


def _start_with_password(run: Run, text: str, director: str, port: int) -> None:
    """Have somebody type the password until the director reaches the file daemon."""
    from rear_core.archive.passwords import typed

    name = program(run)

    def opens(word: str) -> None:
        with ExitStack() as undo:
            _start(run, undo, login.daemon_file(run, text, word, director), port)
            if not catalog.reaches(run):
                raise NotReached(
                    f"the Bacula director does not reach {name} here, or has another password for it",
                    "check the address and port of its Client resource, the firewall, and the password",
                )
            run.undo.push(undo.pop_all())

    with login.typing(run, name, login.settings_paths(run)[1]):
        typed(run, f"Password of {name} for the Bacula director {director}: ", opens, NotReached)
