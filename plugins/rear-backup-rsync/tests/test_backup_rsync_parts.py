# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of BACKUP=RSYNC that need no server: addresses, manifests, rules, policies, and what messages mean."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.rsync import NEEDS_RSYNC, Lab, settings_problem
from rear_backup_rsync import address, client, excludes, failures, keeping, listing, manifest
from rear_backup_rsync.opening import opened
from rear_core import ConfigurationError, ProgramFailed, RearError, patterns

MADE = manifest.Generation(
    "2026-11-30T080000Z", "web1", "1234", 7, ("/", "/srv/\udcffodd"), 3, 12, "ab" * 32, True, 1, ("xattrs",), "cd",
    {"rsync": "3.2"},
)  # fmt: skip


@pytest.mark.parametrize("text", ["", "web/1", "me@host:/srv/x", "host:x", "me@[fe80::1]:/x", "ssh://me@host:2222/x/"])
def test_addresses_are_taken(text: str) -> None:
    assert settings_problem("RSYNC_REPOSITORY", text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/srv/x", "BACKUP_URL=file:///FOLDER"),
        ("../x", "below BACKUP_URL"),
        ("rsync://host/module", "neither renames nor locks: write user@server:/folder"),
        ("host::module", "neither renames nor locks"),
        ("ssh://me:secret@host/x", "password in its address"),
        ("sshfs://me@host/x", "must be user@server:/folder"),
        ("me@host:", "must name a folder by letters"),
        ("me@host:/srv/$(id)", "must name a folder by letters"),
        ("me@host:/srv/a b", "must name a folder by letters"),
        ("host:~/x", "must name a folder by letters"),
        ("-oProxyCommand=x:/srv", "begins with -"),
        ("host:/srv/../etc", "has .. in it"),
        ("ssh://host:99999/x", "a port that is none"),
    ],
)
def test_other_addresses_are_refused_without_their_password(text: str, said: str) -> None:
    assert said in settings_problem("RSYNC_REPOSITORY", text)
    assert "secret" not in settings_problem("RSYNC_REPOSITORY", text)


def test_addresses_are_read_as_ssh_and_rsync_need_them() -> None:
    assert address.read("ssh://me@host:2222//srv//x/") == address.Address("me@host", "/srv/x", 2222)
    assert address.read("ssh://me@[::1]/./x") == address.Address("me@[::1]", "x")
    assert address.read("ssh://me@[::1]/./x").login == "me@::1"
    assert str(address.read("me@host:x")) == "me@host:x"
    assert not address.is_remote("web/a:b") and address.is_remote("host:a")


def test_lists_and_places_are_checked_before_anything_runs() -> None:
    assert settings_problem("RSYNC_KEEP", "daily", "7", "weekly", "4") == ""
    assert "daily 7 weekly 4" in settings_problem("RSYNC_KEEP", "daily")
    assert settings_problem("RSYNC_OPTIONS", "--compress", "--bwlimit=2000", "--modify-window=0") == ""
    for wrong in ("--delete", "--exclude=x", "-n", "--rsh=x", "--inplace"):
        assert wrong in settings_problem("RSYNC_OPTIONS", wrong)


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("cifs://server/share", "BACKUP=NFS"),
        ("sshfs://me@server/x", "RSYNC_REPOSITORY=user@server:/folder"),
    ],
)
def test_places_without_owners_and_hard_links_are_refused(tmp_path: Path, url: str, instead: str) -> None:
    lab = Lab(tmp_path)
    lab.configure(f"BACKUP_URL={url}\n")
    with pytest.raises(ConfigurationError, match="neither owners nor hard links") as caught, opened(lab.run()):
        pass
    assert instead in caught.value.hint


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert manifest.loads(MADE.name, manifest.dumps(MADE)) == MADE


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": -1}, {"files": True}, {"bytes": 1e99}, {"number": 1 << 63}, {"host": 3}, {"host": "x" * 5000},
        {"paths": "/"}, {"attributes": 1}, {"paths": ["etc"]}, {"paths": [1]}, {"tools": []}, {"digest": None},
        {"created": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_hostile_manifest_is_a_flaw(tmp_path: Path, wrong: dict[str, object]) -> None:
    write(tmp_path, json.dumps({**json.loads(manifest.dumps(MADE)), **wrong}))
    assert [each.flaw for each in manifest.found(tmp_path).flawed] == ["its manifest is damaged"]


@pytest.mark.parametrize(
    "text", ["", "x", "[" * 100_000, "[]", "{}", "7", "\0", " " * (manifest.LARGEST + 1), '{"rear-rsync": 1}']
)
def test_what_is_no_manifest_is_a_flaw(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    assert [each.flaw for each in manifest.found(tmp_path).flawed] == ["its manifest is damaged"]


def write(home: Path, text: str) -> Path:
    folder = home / MADE.name
    (folder / "tree").mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    return folder


def test_what_stands_in_the_place_of_a_backup_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, manifest.dumps(MADE))
    (tmp_path / "2026-11-30T080001Z").symlink_to(folder)
    (tmp_path / "2026-11-30T080002Z").write_text("")
    shutil.copytree(folder, tmp_path / "2026-11-30T080003Z")
    (write(tmp_path / "other", "").parent).rename(tmp_path / "2026-11-30T080004Z")
    other = tmp_path / "2026-11-30T080005Z"
    shutil.copytree(folder, other)
    (other / "manifest.json").unlink()
    (other / "manifest.json").symlink_to(folder / "manifest.json")
    newer = tmp_path / "2026-11-30T080006Z"
    shutil.copytree(folder, newer)
    (newer / "manifest.json").write_text('{"rear-rsync": 2}')
    for name in ("2026-13-30T080000Z", "notes", "2026-11-30T080007Z.partial"):
        (tmp_path / name).mkdir()
    there = manifest.found(tmp_path)
    assert there.whole == [MADE] and there.unfinished == ["2026-11-30T080007Z.partial"]
    said = {each.name[11:17]: each.flaw for each in there.flawed}
    assert [said[f"08000{number}"].split(":")[0] for number in (1, 2, 3, 4, 6)] == [
        "it is a link or a file in the place of a backup", "it is a link or a file in the place of a backup",
        "it was created as 2026-11-30T080000Z", "its files are not there", "its version is 2, this rear reads 1",
    ]  # fmt: skip
    assert "its manifest cannot be read" in said["080005"]
    assert len(there.names) == 8


def test_backups_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, name in ((2, "2026-01-01T000000Z"), (1, "2027-01-01T000000Z")):
        made = replace(MADE, name=name, number=number)
        write(tmp_path, manifest.dumps(made)).rename(tmp_path / name)
    assert [each.name[:4] for each in manifest.found(tmp_path).whole] == ["2027", "2026"]


@pytest.mark.parametrize(
    ("words", "stay"),
    [
        ("last 2", "7 8"),
        ("daily 2", "6 8"),
        ("daily 9", "2 4 6 8"),
        ("weekly 2", "6 8"),
        ("monthly 9", "4 8"),
        ("yearly 1 last 1", "8"),
        ("hourly 3 daily 3", "4 6 7 8"),
    ],
)
def test_a_policy_says_which_backups_stay(words: str, stay: str) -> None:
    names = [
        "2026-10-27T010000Z", "2026-10-27T020000Z", "2026-10-28T010000Z", "2026-10-28T020000Z",
        "2026-11-29T010000Z", "2026-11-29T235900Z", "2026-11-30T010000Z", "2026-11-30T015900Z",
    ]  # fmt: skip
    if words.startswith("hourly"):
        names[-1] = "2026-11-30T020000Z"
    made = [replace(MADE, name=name) for name in names]
    found = keeping.kept(made, words.split())
    assert sorted(names.index(name) + 1 for name in found) == list(map(int, stay.split()))


@pytest.mark.parametrize(
    ("said", "status", "message", "hint"),
    [
        ("Host key verification failed.", 255, "does not know the key of this server", "ssh backup@host"),
        ("me@host: Permission denied (publickey).", 255, "accepts no key", "RSYNC_RSH"),
        ("sh: 1: rsync: not found", 127, "rsync: not found", "RSYNC_REMOTE_PATH"),
        ("/usr/bin/rrsync error: SSH_ORIGINAL_COMMAND does not run rsync", 1, "nothing but rsync there", "a shell"),
        ("ssh: connect to host h port 22: Connection refused", 255, "connection to place failed: ssh:", "network"),
        ("rsync: connection unexpectedly closed (0 bytes", 12, "connection to place failed", "unchanged"),
        ('rsync: [receiver] write failed on "/x": No space left on device (28)', 11, "place is full", "make room"),
        ('rsync: [generator] mkdir "/x" failed: Read-only file system (30)', 11, "place cannot be written", "read-wr"),
        ("protocol version mismatch -- is your shell clean?", 2, "is not rsync's", "prints nothing"),
        ("ACLs are not supported on this server", 4, "ACLs are not supported", "knows ACLs"),
        ("something else", 1, "rsync failed (place): something else", "see the log"),
        ("", 30, "connection to place failed: rsync", "check the server"),
    ],
)
def test_errors_say_what_to_do(said: str, status: int, message: str, hint: str) -> None:
    error = failures.failure("place", "backup@host", ProgramFailed(["rsync"], status, said))
    assert message in error.message and hint in error.hint


def test_complaints_are_of_the_file_or_of_the_place() -> None:
    found = client.Complaints()
    lines = [
        'rsync: [sender] send_files failed to open "/a": Permission denied (13)',
        'rsync: opendir "/b" failed: Permission denied (13)',
        'file has vanished: "/c"',
        'rsync: [receiver] rsync_xal_set: lsetxattr("/d","user.x") failed: Operation not supported (95)',
        "WARNING: e failed verification -- update discarded (will try again).",
        "rsync error: some files/attrs were not transferred (code 23) at main.c(1394) [sender=3.5.0]",
    ]
    assert all(found.keep(f"{line}\n") for line in lines)
    assert (len(found.unread), found.vanished, len(found.others), found.count) == (2, ['"/c"'], 1, 4)
    assert not found.is_full and found.keep("rsync: write failed: No space left on device (28)") and found.is_full
    for _ in range(client.MOST + 5):
        found.keep('file has vanished: "/x"')
    assert len(found.vanished) == client.MOST


def test_an_rsync_that_cannot_do_it_is_named() -> None:
    good = "rsync  version 3.2.7  protocol version 31\n    hardlinks, ACLs, xattrs"
    assert client.problem(good) == ""
    assert "does not know rsync  version 3.1.2" in client.problem(good.replace("3.2.7", "3.1.2"))
    assert "built without ACLs and xattrs" in client.problem(good.replace("ACLs, xattrs", "no ACLs, no xattrs"))
    assert "does not know this rsync" in client.problem("")


def test_the_sum_of_a_list_knows_no_order_and_no_sizes_of_folders() -> None:
    lines = [
        b"drwxr-xr-x %d 2026/11/22 18:30:00 etc\n", b"-rw-r--r--       11 2026/11/22 18:30:00 etc/passwd\n",
        b"lrwxrwxrwx       3 2026/11/22 18:30:00 etc/x -> y\n", b"-rw-r--r--  2 2026/11/22 18:30:00 a\\#012b\n",
    ]  # fmt: skip
    one, other = listing.Listing(frozenset([b"a\nb", b"no"])), listing.Listing()
    one.take(memoryview(b"".join(lines).replace(b"%d", b"4096")))
    for line in reversed(lines):
        half = line.replace(b"%d", b"6")
        other.take(memoryview(half[:20]))
        other.take(memoryview(half[20:]))
    assert one.digest == other.digest and one.files == 2 and one.total == 16 and one.found == {b"a\nb"}
    other.take(memoryview(lines[1]))
    assert one.digest != other.digest
    with pytest.raises(RearError, match=r"does not understand"):
        other.take(memoryview(b"what is that\n"))


def test_names_come_as_they_are() -> None:
    assert client.unescaped(rb"a\#012b\#134#012\#377") == b"a\nb\\#012\xff"


NAMES = [
    "a/b",
    "a/x/b",
    "b/a",
    "ab/d",
    "é/b",
    "*/c",
    "[/c",
    "a b",
    "$HOME",
    "#a",
    "a\nb",
    "-",
    "]",
    "x/-",
    "\\/é",
    "+ a",
]
WANTED = [
    "/a*b", "/a?b", "*b", "*/b", "/a", "/[!a]", "/[^a]*b", r"/\*", r"/\[", r"[[:alpha:]]/b", "/[a-b]", "/x[!x]-",
    "/$HOME", "/#a", "/a\nb", "/[]]", "/[-]", r"/\\", "/?/?", "/é", "?é", "/*é", "/[[:alpha:]]", "/a**b", "/+ a", "*",
    r"/\**", "/a/", "/**/b", "[/]a", "/a b", "/??", "/[!x][!y]", r"/\\/?",
]  # fmt: skip


def tree(top: Path) -> Path:
    for name in NAMES:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("")
    return top


def saved(top: Path, rules: list[str]) -> set[str]:
    """What rsync would take from a folder, as paths from its root."""
    argv = ["rsync", "--dry-run", "--recursive", "--out-format=%n", *(f"--exclude={rule}" for rule in rules)]
    said = subprocess.run([*argv, f"{top}/", f"{top}/none/"], check=True, capture_output=True).stdout
    return {f"/{os.fsdecode(client.unescaped(line)).rstrip('/')}" for line in said.splitlines()} - {"/.", "/"}


def meant(top: Path, wanted: list[str]) -> set[str]:
    """What rear's own reading of patterns leaves of it."""
    paths = {f"/{path.relative_to(top)}" for path in top.rglob("*")}
    return {path for path in paths if not patterns.leaving_out(path, wanted)}


@pytest.mark.slow
@NEEDS_RSYNC
def test_patterns_leave_out_what_they_do_in_other_backups(tmp_path: Path) -> None:
    top = tree(tmp_path)
    for pattern in WANTED:
        assert saved(top, excludes.translated(pattern)) - {"created directory"} == meant(top, [pattern]), pattern


@pytest.mark.slow
@NEEDS_RSYNC
def test_any_pattern_leaves_out_what_it_does_in_other_backups(tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tree(tmp_path_factory.mktemp("tree"))
    pieces = st.sampled_from([*"ab/é*?-]", "**", "[ab]", "[!a]", "[^b]", "[a-c]", r"\*", "\\\\", " ", "[[:alpha:]]"])

    @settings(max_examples=100, deadline=None)
    @given(st.lists(pieces, min_size=1, max_size=5).map(lambda parts: "/" + "".join(parts)))
    def check(pattern: str) -> None:
        try:
            rules = excludes.translated(pattern)
        except ConfigurationError:
            return
        assert saved(top, rules) == meant(top, [pattern]), (pattern, rules)

    check()


def test_a_pattern_of_wildcards_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"too many wildcards"):
        excludes.translated("/" + "?" * 9)
    assert excludes.translated("/home/*/cache") == ["/home/**/cache"]
