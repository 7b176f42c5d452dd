# SPDX-License-Identifier: GPL-3.0-or-later
"""What every backup does when it fails in the middle, and how it is listed; `conformance` has these tests, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import sleep

import pytest

from ..archive.dates import digits
from ..archive.mounting import is_shown
from ..mounts import mounted_below
from ..removal import discard
from ..shell import Shell
from ..step import MAKING
from .harness import Ended, Harness, make_tree, program_file
from .performing import is_line, performed, skip, successful, unchanged
from .watch import differences, picture

__all__ = [
    "test_a_client_that_fails_midway_leaves_the_last_backup", "test_a_full_target_leaves_the_last_backup",
    "test_it_lists_what_it_saved", "test_it_restores_chosen_files_alone", "test_it_restores_the_backup_of_a_date",
    "test_it_shows_what_it_saved_until_it_is_unmounted", "test_restore_writes_below_its_target_alone",
    "test_verify_refuses_where_nothing_was_saved",
]  # fmt: skip

# A program that dies when it has handed on so many bytes, and then says so by a file; with fewer it is the program.
LIMIT = 100_000
# A date of which nobody has a backup.
LONG_AGO = "1987-06-05"
MIDWAY = """\
import os, subprocess, sys
done = 0
with subprocess.Popen([{real!r}, *sys.argv[1:]], stdout=subprocess.PIPE, close_fds=False) as process:
    while block := process.stdout.read1(1 << 16):
        if done + len(block) > {limit}:
            open({struck!r}, "w").close()
            process.kill()
            sys.exit(99)
        done += os.write(1, block)
sys.exit(process.returncode)
"""


def test_a_client_that_fails_midway_leaves_the_last_backup(harness: Harness) -> None:
    """What was saved in part is reported and is no backup: the one before it is found, checked and restored."""
    good, saved = a_backup(harness)
    if harness.supply.midway:
        with harness.supply.midway():
            failed(harness, harness.make(), saved, "the client failed midway (Supply.midway)")
        return
    struck = harness.top / "struck"
    for program in good.started:
        ended = harness.make(replaced={program: dying(harness, program, struck)})
        if struck.exists():
            failed(harness, ended, saved, f"{program} died midway")
            return
        # It had little to hand on, and this was a good run.
        saved = picture(harness.tree)
        change(harness)
    skip(harness.subject, "no program hands its data on, and the fixture `supply` has no `midway`")


def failed(harness: Harness, ended: Ended, saved: Mapping[str, str], why: str) -> None:
    """The run ended with a message of one line, and what is restored now is what was saved before, or nothing."""
    assert ended.error, f"{why}, and the run ended well"
    assert is_line(ended.error.message), f"{why}: {ended.error.message!r} is no line"
    assert not ended.mounted, f"{why}, and these are mounted: {ended.mounted}"
    again = harness.recover()
    if harness.supply.one_backup:
        assert again.error, f"{why}, and what is there of the backup is restored as if it were whole"
        return
    if again.error:
        pytest.fail(f"{why}, and the last backup cannot be restored: {again.error}")
    came = Path(f"{harness.restored}{harness.tree}")
    assert differences(saved, picture(came)) == [], f"{why}, and what is restored is not the last backup"


def dying(harness: Harness, program: str, struck: Path) -> Path:
    """A program in the place of another one, which it is until it dies."""
    real = harness.run("mkbackup").sh.which(program)
    text = MIDWAY.format(real=os.fspath(real or program), limit=LIMIT, struck=os.fspath(struck))
    return program_file(harness.top / f"bin/dying-{Path(program).name}", sys.executable, text)


def test_a_full_target_leaves_the_last_backup(harness: Harness) -> None:
    """Where there is no room the run ends and says so; the last backup is there, and can be restored."""
    _, saved = a_backup(harness)
    if not harness.supply.full:
        skip(harness.subject, "the fixture `supply` has no `full`, in which the place of its backups has no room")
    with harness.supply.full():
        failed(harness, harness.make(), saved, "the place of the backups was full (Supply.full)")


def test_it_lists_what_it_saved(harness: Harness) -> None:
    """Each backup has a date that chooses it, and what it says of one is a line."""
    need(harness, "list")
    a_backup(harness)
    found = successful(harness, harness.go("list")).run.kept
    assert found, "it lists no backup after it made one"
    for each in found:
        digits(each.name)
        assert is_line(each.state), f"{each.state!r} is no line"
    assert len({each.name for each in found}) == len(found), "several backups have one date"


def test_it_restores_chosen_files_alone(harness: Harness) -> None:
    """A file and a folder come back as they were, and nothing else does."""
    need(harness, "fetch")
    _, saved = a_backup(harness)
    chosen = [os.fspath(harness.tree / name) for name in ("program", "folder/empty")]
    successful(harness, harness.fetch(*chosen))
    came = picture(Path(f"{harness.restored}{harness.tree}"))
    wanted = {name: saved[name] for name in ("program", "folder/empty")}
    assert {name: came.get(name) for name in wanted} == wanted
    # Folders on the way to them may be there, with whatever mode.
    more = set(came) - {".", "folder", *wanted}
    assert not more, f"it restores what nobody asked for: {sorted(more)}"


def test_it_restores_the_backup_of_a_date(harness: Harness) -> None:
    """Of two backups the older one comes when its date is chosen; a date before both is refused by verify."""
    need(harness, "list")
    _, saved = a_backup(harness)
    # Names have seconds.
    sleep(1.1)
    performed(harness, *MAKING)
    names = sorted(each.name for each in successful(harness, harness.go("list")).run.kept)
    if len(names) < 2:
        skip(harness.subject, "keeps one backup with these settings, so no other one can be chosen")
    came = Path(f"{harness.restored}{harness.tree}")
    successful(harness, harness.recover(backup=names[0]))
    assert differences(saved, picture(came)) == [], f"--backup {names[0]} restores another backup"
    assert harness.go("config", "verify", backup=LONG_AGO).error, f"verify accepts --backup {LONG_AGO}, before all"


def test_it_shows_what_it_saved_until_it_is_unmounted(harness: Harness) -> None:
    """The files of a backup can be read below the target, and not changed; then nothing of that is left."""
    need(harness, "mount")
    if not may_mount():
        skip(harness.subject, "needs root and the right to mount")
    performed(harness, *MAKING)
    discard(harness.restored)
    with looking(harness) as found:
        successful(harness, harness.go("mount"))
    assert found, f"it shows no folder that ends with {harness.tree}, which was saved"
    assert found == [contents(harness.tree)] * len(found), "what it shows is not what was saved"
    assert not mounted_below(harness.restored), "it leaves that mounted"
    assert not harness.restored.exists(), "it leaves the folder that it made"


def may_mount() -> bool:
    """Whether this process has the capability for it (capabilities(7), CAP_SYS_ADMIN)."""
    words = Path("/proc/self/status").read_text().split()
    return bool(int(words[words.index("CapEff:") + 1], 16) >> 21 & 1)


@contextmanager
def looking(harness: Harness) -> Iterator[list[dict[str, bytes]]]:
    """A block in which backups are shown: what the trees there have, known once it was left."""
    over, found = Event(), list[dict[str, bytes]]()
    with ThreadPoolExecutor(1) as beside:
        looker = beside.submit(_look, harness, over)
        try:
            yield found
        finally:
            over.set()
        found += looker.result()


def _look(harness: Harness, over: Event) -> list[dict[str, bytes]]:
    target = harness.restored
    while not is_shown(target):
        if over.wait(0.1):
            return []
    try:
        trees = [each for each in target.rglob(harness.tree.name) if os.fspath(each).endswith(os.fspath(harness.tree))]
        found = [contents(each) for each in trees]
        for each in trees:
            with pytest.raises(OSError):
                (each / "noise").write_bytes(b"written to what is shown")
        return found
    finally:
        Shell().run("umount", "--lazy", target)


def contents(tree: Path) -> dict[str, bytes]:
    """The contents of all files of a tree."""
    return {os.fspath(each.relative_to(tree)): each.read_bytes() for each in tree.rglob("*") if each.is_file()}


def test_restore_writes_below_its_target_alone(harness: Harness) -> None:
    """A demonstration runs on a healthy machine: nothing of that is overwritten."""
    a_backup(harness)
    with unchanged(harness, harness.restored):
        successful(harness, harness.recover())


def test_verify_refuses_where_nothing_was_saved(harness: Harness) -> None:
    """Without a backup a recovery ends before anything is written, whatever the machine that was described."""
    if not harness.has_steps("backup") or not harness.has_steps("verify"):
        skip(harness.subject, "makes no backup that it verifies")
    if harness.supply.elsewhere:
        skip(harness.subject, "cannot know what somebody else has saved (Supply.elsewhere)")
    make_tree(harness.tree)
    performed(harness, "prep", "analyse_dr", "analyse_rescue")
    ended = harness.go("config", "verify")
    assert ended.error, "nothing was saved, and verify finds nothing wrong"
    assert is_line(ended.error.message), f"{ended.error.message!r} is no line"


def need(harness: Harness, phase: str) -> None:
    """Skip the check where the plugin has no hook for it."""
    if not harness.has_steps(phase):
        skip(harness.subject, f"has no step in {phase}")


def a_backup(harness: Harness) -> tuple[Ended, Mapping[str, str]]:
    """A good run, and what was saved by it; the files are others afterwards."""
    if not harness.has_steps("backup") or not harness.has_steps("restore"):
        skip(harness.subject, "makes no backup that it restores")
    make_tree(harness.tree)
    good = performed(harness, *MAKING)
    saved = picture(harness.tree)
    change(harness)
    return good, saved


def change(harness: Harness) -> None:
    """Let the files be others than those that were just saved."""
    (harness.tree / "noise").write_bytes(os.urandom(300_000))
    (harness.tree / "later").write_text("not in the last backup")
