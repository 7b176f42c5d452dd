# SPDX-License-Identifier: GPL-3.0-or-later
"""What an error of rsync or ssh means."""

from __future__ import annotations

import re

from rear_core import ProgramFailed, RearError

from .client import AROUND, shown

# What our shell says of a program that it has ended.
TOO_LONG = 124
# ssh itself failed; rsync: its socket, its stream, or a time limit.
CONNECTION = (255, 10, 12, 30, 35)
UNSUPPORTED = 4
EARLIER = "earlier backups are unchanged"

# What is said, what that means, and what to do about it, for the place that is meant.
KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "{place}: ssh does not know the key of this server, or it is another one than before",
        "log in once by hand (`ssh {host}`) to get it into root's known_hosts, after you have compared it",
    ),
    (
        r"Permission denied \([a-z]|Too many authentication failures|no such identity",
        "{place}: the server accepts no key of this machine",
        "name the right key in RSYNC_RSH (`ssh -i FILE ...`), and put its public half into authorized_keys there",
    ),
    (
        r"(?:rsync|flock|sh): (?:command )?not found|(?:rsync|flock): No such file",
        "{place}: {said}",
        "install it on the server, or name rsync's path there in RSYNC_REMOTE_PATH",
    ),
    (
        r"does not run rsync",
        "{place}: this key may run nothing but rsync there: {said}",
        "rear also locks, renames and flushes there: let the key run a shell, for a user of its own",
    ),
    (
        r"is your shell clean|protocol version mismatch",
        "{place}: what the server prints is not rsync's",
        "see that `ssh {host} true` prints nothing",
    ),
    (r"\(28\)|\(122\)|No space left|quota exceeded", "{place} is full: {said}", "make room there; " + EARLIER),
    (r"\(30\)|Read-only file system", "{place} cannot be written: {said}", "mount it read-write; " + EARLIER),
)


class Unfit(RearError):
    """What came to a place is not what was sent, and so it is of no use to a later backup either."""


def failure(place: str, host: str, error: ProgramFailed) -> RearError:
    """What an error at a place means; `host` is its server, "" for a folder."""
    lines = [line.strip() for line in error.output.splitlines() if line.strip()]
    told = [line for line in lines if not AROUND.match(line)]
    said = shown((told or lines or [error.message])[0])
    for pattern, message, hint in KNOWN:
        if re.search(pattern, error.output):
            known = next((line for line in told if re.search(pattern, line)), said)
            return RearError(message.format(place=place, said=shown(known)), hint.format(host=host))
    if error.status == UNSUPPORTED and re.search("ACL|xattr", error.output):
        return RearError(f"{place}: {said}", "install an rsync on the server that knows ACLs and xattrs")
    if error.status == TOO_LONG or (host and error.status in CONNECTION):
        return RearError(
            f"the connection to {place} failed: {said}", f"check the server, RSYNC_RSH and the network; {EARLIER}"
        )
    return RearError(f"{error.argv[0]} failed ({place}): {said}", f"see the log; {EARLIER}")
