# SPDX-License-Identifier: GPL-3.0-or-later
"""What tar says of files: told by its own words alone, so that no name of a file can pass for them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator

# What tar says and goes on, as the manifest counts it. Sockets are made by their servers, not by a backup.
COMPLAINTS = {
    "changed": re.compile("file changed as we read it"),
    "vanished": re.compile("File removed before we read it"),
    "shrank": re.compile(r"File shrank by \d+ bytes?; padding with zeros"),
    "sockets": re.compile("socket ignored"),
}
# Its last line, after which it ends with status 2.
FAILED = "Exiting with failure status due to previous errors"

# Of a member that it was asked for.
NOT_THERE = "Not found in archive"
NO_ARCHIVE = "This does not look like a tar archive"

# Why a single file is not restored while all others are: its name or attributes are not possible here. The rest, as a
# full or failing disk, ends the restore.
NOT_POSSIBLE = (
    "File name too long", "Invalid argument", "Operation not permitted", "Operation not supported",
    "No such file or directory", "File exists", "Not a directory", "Is a directory", "Directory not empty",
    "Too many levels of symbolic links", "Too many links", "Invalid cross-device link", "Function not implemented",
)  # fmt: skip

# Why a single file is not saved while all others are: whoever owns it has put something else in its place after tar had
# looked at it, holds it by a lease (fcntl(2)), or has not unlocked it (fscrypt). A disk that fails has other reasons.
EXCHANGED = re.compile(
    "Cannot (?:open|stat|readlink): (?:Too many levels of symbolic links|Not a directory|No such file or directory)"
    "|Cannot readlink: Invalid argument"
    "|Cannot open: (?:No such device or address|Resource temporarily unavailable|Required key not available)"
)
# What tar says of an attribute, after the call that failed: it ends with status 0, and the name is as it is.
ATTRIBUTE = re.compile("Cannot set '(.*)' extended attribute for file '(.*)': (.*)")
ATTRIBUTE_CALLS = ("setxattrat", "lsetxattrat")
# So many lines of a kind are kept.
FIRST = 1000
# A line of the program by any path; in the name of a file each colon and backslash has a backslash before it, and what
# would end the line is an escape. The words that follow say what happened, and then the reason.
LINE = re.compile(r"(?:/\S*/)?tar: (.*)")
NAMED = re.compile(r"((?:[^:\\]|\\.)+): (.*)")
ESCAPE = re.compile(rb"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def said(text: str) -> Iterator[tuple[str, str]]:
    r"""What tar said of which file, whose name is as tar wrote it; "" where it is about none.

    >>> list(said("tar: ./a\\: b: socket ignored\n/usr/bin/tar: Exiting with failure status due to previous errors"))
    [('./a\\: b', 'socket ignored'), ('', 'Exiting with failure status due to previous errors')]
    """
    # Other signs that Unicode ends a line with may be in a name as they are.
    for line in text.split("\n"):
        if found := LINE.fullmatch(line):
            named = NAMED.fullmatch(found[1])
            yield (named[1], named[2]) if named else ("", found[1])


def unescaped(name: bytes) -> bytes:
    r"""The bytes of a name, odd ones of which tar writes as escapes, and colons in a message (quotearg(3), "escape").

    >>> unescaped(rb"./gr\303\266\303\237e\: \\ \n")
    b'./gr\xc3\xb6\xc3\x9fe: \\ \n'
    """
    return ESCAPE.sub(lambda found: bytes([int(found[1], 8)]) if found[1] else LETTERS.get(found[2], found[2]), name)


def path_of(name: str) -> str:
    """The path that a name in a message stands for."""
    return os.fsdecode(unescaped(os.fsencode(name)))


def complaints(text: str, told: Collection[str] = ()) -> dict[str, int]:
    """How often tar said what, by the names of `COMPLAINTS`; whatever else it said is `other`.

    What it said of the paths in `told` is not counted.

    >>> complaints("/usr/bin/tar: ./run/x: socket ignored")
    {"sockets": 1}
    """
    found: dict[str, int] = {}
    for name, words in said(text):
        kind = _kind(words) if name else ""
        if words != FAILED and not _attribute(name, words) and (kind or path_of(name) not in told):
            found[kind or "other"] = found.get(kind or "other", 0) + 1
    return found


class Heard:
    """Keeps of each kind of thing after which tar goes on the first lines alone: users can cause millions of them.

    `lost` says whether it is about a file that is missing while all others are there; `more` is how many lines were
    not kept, by the names of `COMPLAINTS`, or "lost" and "attributes". What else it says is always kept, and which
    files shrank, as those are read once more.
    """

    def __init__(self, lost: Callable[[str, str], bool]) -> None:
        self._lost = lost
        self._counts: dict[str, int] = {}

    def __call__(self, line: str) -> bool:
        kind = next((self._kind(name, words) for name, words in said(line.rstrip("\n"))), "")
        if not kind:
            return True
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind] <= FIRST

    @property
    def more(self) -> dict[str, int]:
        return {kind: count - FIRST for kind, count in self._counts.items() if count > FIRST}

    def _kind(self, name: str, words: str) -> str:
        kind = _kind(words) if name else ""
        if kind:
            return kind if kind != "shrank" else ""
        if _attribute(name, words):
            return "attributes"
        return "lost" if name and self._lost(name, words) else ""


def told(text: str, kind: str) -> list[str]:
    """The paths of files of which tar complained, by one of the names of `COMPLAINTS`."""
    return [path_of(name) for name, words in said(text) if name and _kind(words) == kind]


def not_restored(text: str) -> dict[str, str] | None:
    """What tar could not restore, with its reasons, when it is sure that all else was; otherwise None.

    >>> not_restored("tar: ./home/a: Cannot mkdir: File name too long\\ntar: Exiting with failure status due to ...")
    {"./home/a": "Cannot mkdir: File name too long"}
    """
    found: dict[str, str] = {}
    for name, words in said(text):
        if _is_harmless(name, words):
            continue
        if not is_not_possible(name, words):
            return None
        found[path_of(name)] = words
    return found or None


def without_attributes(text: str) -> dict[str, str]:
    """Files whose attributes, as capabilities or access lists, tar could not restore, with what it said last.

    >>> without_attributes("tar: setxattrat: Cannot set 'user.x' extended attribute for file './a': Input/output error")
    {"./a": "Cannot set 'user.x': Input/output error"}
    """
    found = (_attribute(name, words) for name, words in said(text))
    return {each[2]: f"Cannot set {each[1]!r}: {each[3]}" for each in found if each}


def _attribute(name: str, words: str) -> re.Match[str] | None:
    found = ATTRIBUTE.fullmatch(words) if name in ATTRIBUTE_CALLS else None
    # Where a file system holds no labels, as vfat, SELinux has one for all of it, and nothing is lost.
    lost = found and (found[1], found[3]) != ("security.selinux", "Operation not supported")
    return found if lost else None


def is_not_possible(name: str, words: str) -> bool:
    """Whether tar could not restore a file as this file system, or the archive, cannot have it."""
    if name and words == NOT_THERE:
        return True
    failed = re.fullmatch(r"(?:Cannot|Could not) .*: (.*)", words)
    return bool(name) and failed is not None and failed[1] in NOT_POSSIBLE


def is_exchanged(name: str, words: str, starts: Collection[str]) -> bool:
    """Whether tar could not save a file, which is none of `starts`, as its owner has changed or held it."""
    path = path_of(name)
    return path.startswith("./") and path.rstrip("/") not in starts and bool(EXCHANGED.fullmatch(words))


def not_saved(text: str, starts: Collection[str], foreign: Callable[[str], bool]) -> dict[str, str] | None:
    """What tar could not save as it was changed meanwhile, with its reasons, when it saved all else; otherwise None.

    `starts` are what it was to save, which must be there; `foreign` tells of a path whether it is in what somebody has
    mounted and nobody wants to save: root may not look at it, or gets any error from whoever serves it.
    """
    found: dict[str, str] = {}
    for name, words in said(text):
        if _is_harmless(name, words):
            continue
        path = path_of(name)
        # What is about no file of ours, as a pipe that breaks, begins otherwise.
        if not path.startswith("./") or path.rstrip("/") in starts:
            return None
        if not EXCHANGED.fullmatch(words) and not foreign(path):
            return None
        found[path] = words
    return found or None


def first_error(text: str) -> str:
    """The line that says what went wrong: the last one of tar only says that something did, before it."""
    for line in text.split("\n"):
        program = LINE.fullmatch(line)
        harmless = _is_harmless(*next(said(line))) if program else line.startswith("Total bytes ")
        if not harmless:
            return program[1] if program else line
    return ""


def says_full(text: str) -> bool:
    """Whether tar found no room for a file: of its first write to a full disk only a part is taken."""
    return any(
        re.fullmatch(r".*: No space left on device|Wrote only \d+ of \d+ bytes?.*", words) for _, words in said(text)
    )


def says_damaged(text: str) -> bool:
    """Whether tar found something else in an archive where the next file should begin."""
    return any(not name and words in ("Skipping to next header", NO_ARCHIVE) for name, words in said(text))


def _kind(words: str) -> str:
    return next((kind for kind, pattern in COMPLAINTS.items() if pattern.fullmatch(words)), "")


def _is_harmless(name: str, words: str) -> bool:
    """Whether tar went on after this, and would have ended with status 0 or 1."""
    if name in ATTRIBUTE_CALLS and ATTRIBUTE.fullmatch(words):
        return True
    return bool(_kind(words)) or words.startswith("Warning: ") if name else words == FAILED
