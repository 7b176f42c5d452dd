# SPDX-License-Identifier: GPL-3.0-or-later
"""How this machine reaches the director, and the director this machine: the two configurations and their passwords.

Rescue media carry both without their passwords, in recovery/bacula.json. Where the files themselves are not there, a
recovery asks for the passwords, and writes files for root alone into its work area, which is in memory.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import ConfigurationError, Refused, Run, durable, own_files, questions

from . import configuration

if TYPE_CHECKING:
    from .configuration import Resource

RECORD, VERSION = "bacula.json", 1
CONSOLES = ("/etc/bacula/bconsole.conf", "/etc/bareos/bconsole.conf")
DAEMONS = ("/etc/bacula/bacula-fd.conf", "/etc/bareos/bareos-fd.d")
PROGRAMS = ("bacula-fd", "bareos-fd")
PORT = 9102


@dataclass(frozen=True)
class Console:
    """The configuration file of bconsole, as `shown` to the user, and the director in it; `chosen` of several."""

    path: Path
    shown: str
    director: str
    address: str
    chosen: bool


def settings_paths(run: Run) -> tuple[str, str]:
    """The files, or the folder of Bareos, with the configurations of bconsole and of the file daemon."""
    console, daemon = str(run.settings["BACULA_CONSOLE"]), str(run.settings["BACULA_FD"])
    return console or _first(CONSOLES), daemon or _first(DAEMONS)


def _first(paths: tuple[str, ...]) -> str:
    return next((path for path in paths if Path(path).exists()), paths[0])


def record(run: Run) -> None:
    """Write recovery/bacula.json: both configurations without their passwords."""
    console, daemon = settings_paths(run)
    document = {
        "version": VERSION,
        "console": configuration.without_passwords(configuration.read(Path(console))),
        "daemon": configuration.without_passwords(configuration.read(Path(daemon))),
    }
    durable.write(run.recovery_dir / RECORD, f"{json.dumps(document, indent=2)}\n")


def _text(run: Run, kind: str, path: str) -> tuple[str, bool]:
    """A configuration, and whether it is complete: from its file, which may be on a stick, or else as recorded."""
    if Path(path).exists():
        text = configuration.read(Path(path))
        for word in configuration.passwords(text):
            run.report.mask(word)
        return text, True
    recorded = run.recovery_dir / RECORD
    try:
        document = json.loads(own_files.read_text(recorded))
        if document["version"] != VERSION:
            raise ValueError(f"its version is {document['version']}, but this rear reads {VERSION}")
        return str(document[kind]), False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"there is no {path}, and rear cannot read {recorded}: {error}",
            "create the rescue media again, with BACKUP=BACULA",
        ) from error


def _folder(run: Run) -> Path:
    folder = run.build_dir / "bacula"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", errors="surrogateescape") as file:
        file.write(text)


def console(run: Run) -> tuple[Console, str]:
    """What bconsole is started with, and "" or the text whose password somebody has to type before."""
    shown, _ = settings_paths(run)
    path = run.build_dir / "bacula/bconsole.conf"
    if path.exists():
        return _console(run, path, shown, configuration.read(path)), ""
    text, complete = _text(run, "console", shown)
    return _console(run, Path(shown), shown, text), "" if complete else text


def console_file(run: Run, text: str, word: str) -> None:
    """Write the configuration of bconsole with its typed password; without one, remove it."""
    # A console with a name of its own has a password of its own; the director's is then not used.
    kinds = {one.kind for one in configuration.resources(text)}
    asked = "console" if "console" in kinds else "director"
    path = _folder(run) / "bconsole.conf"
    path.unlink(missing_ok=True)
    if word:
        _write(
            path, configuration.with_passwords(text, lambda one: word if one.kind == asked else secrets.token_hex(16))
        )


def _console(run: Run, path: Path, shown: str, text: str) -> Console:
    """The director that is meant."""
    wanted = str(run.settings["BACULA_DIRECTOR"])
    there = [one for one in configuration.resources(text) if one.kind == "director" and one.name]
    named = [one for one in there if one.name == wanted] if wanted else there
    if not named:
        raise ConfigurationError(f"{shown} has no director {wanted}".rstrip(), "repair it, or set BACULA_DIRECTOR")
    if len(named) > 1:
        names = ", ".join(one.name for one in named)
        raise ConfigurationError(f"{shown} has several directors: {names}", "name one of them in BACULA_DIRECTOR")
    address = f"{named[0].values.get('address', 'localhost')}:{named[0].values.get('dirport', '9101')}"
    return Console(path, shown, named[0].name, address, len(there) > 1)


@contextmanager
def typing(run: Run, program: str, shown: str) -> Iterator[None]:
    """A block in which a password is asked for; `Refused` where nobody can type it."""
    if not questions.is_interactive(run):
        raise Refused(
            f"the rescue media have no password of {program}, and nobody can be asked for it",
            f"recover on a terminal without -n; or have {shown} on a stick or, by RESCUE_ALLOW_SECRETS, on the media",
        )
    yield


def daemon(run: Run) -> tuple[str, bool]:
    """The configuration of the file daemon, and whether it has its passwords."""
    return _text(run, "daemon", settings_paths(run)[1])


def daemon_file(run: Run, text: str, word: str, director: str) -> Path:
    """The configuration that rear starts a file daemon by: its own folders, and the typed password of that director."""

    def of(one: Resource) -> str:
        return word if one.name == director else secrets.token_hex(16)

    folder = _folder(run)
    text = configuration.with_passwords(text, of)
    kind = "Client" if own_daemon(text).kind == "client" else "FileDaemon"
    places = {"WorkingDirectory": f"{folder}"}
    if run.sh.which(PROGRAMS[0]):
        places["PidDirectory"] = f"{folder}"
    _write(folder / "fd.conf", configuration.change(text, kind, **places))
    return folder / "fd.conf"


def own_daemon(text: str) -> Resource:
    """The file daemon in a configuration; Bareos calls it Client as well."""
    for one in configuration.resources(text):
        if one.kind in ("filedaemon", "client"):
            return one
    raise ConfigurationError("the configuration of the file daemon has no FileDaemon", "see BACULA_FD")


def client(run: Run) -> str:
    """The name by which the director knows this machine."""
    return str(run.settings["BACULA_CLIENT"]) or own_daemon(daemon(run)[0]).name
