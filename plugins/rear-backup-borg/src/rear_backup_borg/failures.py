# SPDX-License-Identifier: GPL-3.0-or-later
"""What an error of borg means, by the name that its messages in JSON have for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rear_core import Absent, ProgramFailed, RearError, Refused

# What our shell says of a program that it has ended.
TOO_LONG = 124
MISSING = ("Repository.DoesNotExist", "Repository.InvalidRepository", "Repository.ParentPathDoesNotExist")
UNREACHABLE = ("ConnectionClosed", "ConnectionClosedWithHint", "ConnectionBrokenWithHint")
LOCKS = ("LockTimeout", "LockFailed", "LockError", "LockErrorT", "NotLocked", "NotMyLock")
NO_KEY = ("KeyfileNotFoundError", "KeyfileMismatchError", "KeyfileInvalidError", "RepoKeyNotFoundError")
UNENCRYPTED = ("Cache.CacheInitAbortedError", "Cache.EncryptionMethodMismatch")


class WrongPassphrase(Refused):
    """The repository does not open with this passphrase."""


class Locked(RearError):
    """Another borg has locked the repository, or it cannot be locked."""


def told(line: str) -> Mapping[str, Any]:
    """A message of borg, {} for a line that is none.

    >>> line
    '{"type": "log_message", "levelname": "ERROR", "message": "Archive x ...", "msgid": "Archive.DoesNotExist"}'
    """
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_error(message: Mapping[str, Any]) -> bool:
    """Whether a message is one of those that end borg."""
    return message.get("type") == "log_message" and message.get("levelname") in ("ERROR", "CRITICAL")


def failure(repository: str, how_to_create: str, error: ProgramFailed, create: Callable[[], object]) -> RearError:
    """What an error of borg at a repository means; borg 1.4 has the same names for it as 1.2."""
    messages = [told(line) for line in error.output.splitlines()]
    errors = [message for message in messages if is_error(message)]
    id = next((str(message["msgid"]) for message in errors if message.get("msgid")), "")
    reason = _reason(errors) or error.message
    remote = [str(message.get("message")) for message in messages if "Remote: " in str(message.get("message"))]
    if id == "PassphraseWrong":
        return WrongPassphrase(f"the passphrase does not open {repository}", "check BORG_PASSPHRASE_FILE")
    if id == "NoPassphraseFailure":
        return Refused(f"{repository} is encrypted", "write its passphrase into a file for BORG_PASSPHRASE_FILE")
    if id in UNENCRYPTED:
        return Refused(
            f"{repository} is not encrypted, although BORG_PASSPHRASE_FILE is set: somebody may have replaced it",
            "unset BORG_PASSPHRASE_FILE if you want no encryption; otherwise check BORG_REPOSITORY and the place",
        )
    if id in LOCKS:
        return Locked(
            f"{repository} is locked: {reason}",
            f"wait until no other borg works there; if none does, remove the lock with `borg break-lock {repository}`",
        )
    if id in MISSING:
        return Absent(f"there is no Borg repository in {repository}", how_to_create, create)
    if id in NO_KEY:
        return Refused(
            f"the key of {repository} is not here: {reason}",
            "copy its file into the folder of BORG_KEYS_DIR, or import it with `borg key import`",
        )
    if error.status == TOO_LONG or id in UNREACHABLE:
        said = remote[-1].partition("Remote: ")[2].strip() if remote else reason
        return Refused(f"{repository} does not answer: {said}", "check its server, BORG_RSH, and the network")
    return RearError(f"borg failed: {reason}", "correct what it says")


def _reason(errors: list[Mapping[str, Any]]) -> str:
    """The first line of what ended borg; where that is a bug or a missing file, the last one of its traceback."""
    text = "\n".join(str(message.get("message", "")) for message in errors)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith(("Local Exception", "Remote Exception")):
        causes = [line for line in lines if "Error: " in line and not line.startswith("File ")]
        return causes[-1] if causes else lines[0]
    return lines[0] if lines else ""
