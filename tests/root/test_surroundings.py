# SPDX-License-Identifier: GPL-3.0-or-later
"""Closed terminals, pipes that nobody reads, full disks and mounts of other users end no backup and no restore."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab.archives import MakeRun, save
from lab.loops import attached, mounted
from rear_core.archive import stream
from rear_core.archive.served import Served
from rear_core.archive.watch import Watch
from rear_core.builtin import backup
from rear_core.errors import RearError

pytestmark = pytest.mark.root

REAR = f'{sys.executable} -c "from rear_core.cli import main; main()"'
# Standard input, output and error, and what reads them.
NOBODY = {
    "closed error": "2>&-",
    "all closed": "<&- >&- 2>&-",
    "full disk": ">/dev/full 2>/dev/full",
    "error to a full disk": "2>/dev/full",
    "head": "2>&1 | head -n 1",
    "nobody": ">/dev/null 2>&1 | true",
}

Rear = Callable[..., int]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / f"file{number}").write_text("text" * number)
    return tree


@pytest.fixture
def rear(tmp_path: Path, tree: Path) -> Rear:
    """Runs a command with a redirection of bash; the exit status of rear."""
    for folder in ("etc", "backups"):
        (tmp_path / folder).mkdir()
    (tmp_path / "etc/local.conf").write_text(
        f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log/rear.log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
        f"BACKUP_URL=file://{tmp_path}/backups\nBACKUP_PREFIX=web1\nEXCLUDE_MOUNTPOINTS=( '/*' )\n"
        f"BACKUP_PROG_INCLUDE=( {tree} )\nBACKUP_PROG_EXCLUDE=()\n"
    )

    def run(arguments: str, redirection: str, limit: str = "-c 0") -> int:
        script = f"ulimit {limit}; {REAR} -c {tmp_path}/etc {arguments} {redirection}; exit ${{PIPESTATUS[0]}}"
        return subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, timeout=120).returncode

    return run


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A block in which nothing can be written to a folder, which has its own file system."""
    with mounted(folder, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        with (folder / "fill").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        yield


def check_restored(rear: Rear, tmp_path: Path, tree: Path) -> None:
    assert rear(f"recover --demo {tmp_path}/restored", "2>/dev/null") in (0, 4)
    assert texts(tmp_path / "restored" / str(tree).lstrip("/")) == texts(tree)


def texts(tree: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in tree.iterdir()}


@pytest.mark.parametrize("redirection", NOBODY.values(), ids=NOBODY.keys())
def test_what_cannot_be_told_ends_no_run(rear: Rear, tmp_path: Path, tree: Path, redirection: str) -> None:
    assert rear("-v mkbackuponly", redirection) == (0 if "true" in redirection else 4)
    assert rear(f"-v recover --demo {tmp_path}/restored", redirection) == (0 if "true" in redirection else 4)
    assert texts(tmp_path / "restored" / str(tree).lstrip("/")) == texts(tree)


@pytest.mark.parametrize("command", ["--help", "--version", "plugins list", "dump", "config default", "-s mkrescue"])
@pytest.mark.parametrize("redirection", [">&- 2>/dev/null", ">/dev/full 2>/dev/null", ">&- 2>&-"])
def test_a_command_whose_output_is_all_there_is_says_that_it_was_not_taken(
    rear: Rear, command: str, redirection: str
) -> None:
    assert rear(command, redirection) == 4


@pytest.mark.parametrize(("folder", "status"), [("log", 4), ("var", 0)])
def test_a_full_disk_of_log_or_lock_ends_no_run(
    rear: Rear, tmp_path: Path, tree: Path, folder: str, status: int
) -> None:
    with full(tmp_path / folder):
        assert rear("mkbackuponly", "2>/dev/null") == status
        check_restored(rear, tmp_path, tree)


def test_events_that_nobody_reads_end_no_run(rear: Rear, tmp_path: Path, tree: Path) -> None:
    assert rear("mkbackuponly --json-progress", "2>/dev/null | true") == 4
    check_restored(rear, tmp_path, tree)


def test_an_error_has_its_status_though_nobody_hears_it(rear: Rear, tmp_path: Path) -> None:
    assert rear("mkbackuponly", "2>&-") == 4
    assert rear(f"recover --demo {tmp_path}/tree", "2>&-") == 3
    (tmp_path / "etc/site.conf").write_text("OUTPTU=ISO\n")
    assert rear("mkbackuponly", "2>&-") == 2


# What saves nothing, and the status.
NOTHING = {
    "BACKUP_PROG_EXCLUDE=( '{tree}' )\n": 2,
    "BACKUP_PROG_EXCLUDE=( '{above}/*' )\n": 2,
    "BACKUP_PROG_INCLUDE=( {tree}/gone )\n": 2,
    "BACKUP_PROG_INCLUDE=( '{tree}/file*' )\n": 2,
    "BACKUP_PROG_INCLUDE=()\n": 1,
}


def test_a_backup_of_nothing_is_no_success_and_removes_none(rear: Rear, tmp_path: Path, tree: Path) -> None:
    assert rear("mkbackuponly", "2>/dev/null") == 0
    before = sorted((tmp_path / "backups/web1").iterdir())
    configured = (tmp_path / "etc/local.conf").read_text()
    for conf, status in NOTHING.items():
        (tmp_path / "etc/local.conf").write_text(
            f"{configured}BACKUP_KEEP=1\n{conf.format(tree=tree, above=tree.parent)}"
        )
        assert rear("mkbackuponly", "2>/dev/null") == status, conf
        assert sorted((tmp_path / "backups/web1").iterdir()) == before


@pytest.mark.parametrize("name", ["TMPDIR", "VAR_DIR", "CACHE_DIR", "SHARE_DIR"])
def test_a_folder_of_another_user_is_nothing_to_work_in(rear: Rear, tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with (tmp_path / "etc/local.conf").open("a") as file:
        file.write(f"{name}={theirs}\n")
    assert rear("mkbackuponly", "2>/dev/null") == 3
    assert list(theirs.iterdir()) == []


def test_a_mistyped_folder_of_the_configuration_is_refused(rear: Rear, tmp_path: Path) -> None:
    assert rear(f"-c {tmp_path}/nowhere config check", "2>/dev/null") == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_disk_that_takes_less_than_it_says_is_found_when_all_is_written(tmp_path: Path, make_run: MakeRun) -> None:
    """The kernel takes the bytes, and finds out later that the disk does not: here it has 8 of its 64 MiB."""
    with mounted(tmp_path / "memory", "-t", "tmpfs", "-o", "size=8m", "tmpfs") as memory:
        image = memory / "disk"
        image.touch()
        os.truncate(image, 64 << 20)
        run = make_run()
        with ExitStack() as undo:
            device = attached(undo, image)
            run.sh.run("mkfs.ext4", "-q", "-O", "^has_journal", device)
            run.target.mkdir(exist_ok=True)
            with mounted(run.target, device) as target:
                (target / "file").write_bytes(os.urandom(20 << 20))
                with pytest.raises(RearError, match=f"not everything could be written to {run.target}"):
                    backup.check_written(run)


# A file system of FUSE whose program answers nothing, or that root may not look at, as of a user whose server is gone.
MOUNT = """
import ctypes, os, sys
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id={sys.argv[2]},group_id={sys.argv[2]}{sys.argv[3]}".encode()
assert ctypes.CDLL(None).mount(b"sshfs", sys.argv[1].encode(), b"fuse.sshfs", 0, options) == 0
print("there", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE")
@pytest.mark.parametrize(("user", "options"), [("65534", ""), ("0", ",allow_other")], ids=["forbidden", "dead"])
@pytest.mark.parametrize("conf", ["", "BACKUP_PROG_EXCLUDE=( '{tree}/*/x*' '{tree}/mnt' )\n"])
def test_what_a_user_has_mounted_is_not_even_looked_at(
    rear: Rear, tmp_path: Path, tree: Path, user: str, options: str, conf: str
) -> None:
    (tree / "mnt").mkdir()
    with (tmp_path / "etc/local.conf").open("a") as file:
        file.write(conf.format(tree=tree))
    with unanswered(tree / "mnt", user, options):
        assert rear("mkbackuponly", "2>/dev/null") == 0
    (tree / "mnt").rmdir()
    check_restored(rear, tmp_path, tree)


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE")
def test_what_hangs_is_named_and_ended(tmp_path: Path, make_run: MakeRun, tree: Path) -> None:
    """A file system that was well when its mounts were listed."""
    run = make_run()
    save(run, tmp_path / "backups", tree)
    (tree / "mnt").mkdir()
    watch = Watch(0.1 / 60, run.report, "the place")
    hung = rf"no progress for .* minutes: tar hangs at {tree}"
    with unanswered(tree / "mnt", "0", ",allow_other"), ExitStack() as stack:
        stack.enter_context(pytest.raises(RearError, match=hung))
        stack.enter_context(watch.watching())
        stack.enter_context(watch.programs())
        stream.pack(run.sh, [f".{tree}"], [], "none", None, lambda _: None, started=watch.follow)


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE")
def test_what_a_user_mounts_meanwhile_is_missing_and_ends_no_backup(make_run: MakeRun, tree: Path) -> None:
    """After the selection, which would have left it out."""
    (tree / "mnt").mkdir()
    mounts = Served()
    with mounts.noted(), unanswered(tree / "mnt", "65534", ""):
        saved = stream.pack(make_run().sh, [f".{tree}"], [], "none", None, lambda _: None)
    assert saved.lost == {f".{tree}/mnt": "Cannot stat: Permission denied"}
    held = [
        path for path in ("/", f"{tree}/mnt/file", f"{tree}/mnt", f"{tree}/mnt2") if mounts.holds(path, [f"{tree}"])
    ]
    assert held == [f"{tree}/mnt/file", f"{tree}/mnt"] and not mounts.holds(f"{tree}/mnt/a", [f"{tree}/mnt/a"])


# Work at a place where no signal wakes it.
STUCK = """
import os, sys
from pathlib import Path
from rear_core.archive.watch import Watch, given_up
from rear_core.errors import RearError
from rear_core.report import Report
from rear_core.shell import Shell
folder = Path(sys.argv[1])
try:
    known = folder if sys.argv[2] else None
    with Watch(0.3 / 60, Report(), str(folder), lambda: given_up(Shell(), known)).watching():
        os.listdir(folder)
except RearError as error:
    print("raised", error.message)
"""


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE")
@pytest.mark.parametrize("known", ["", "the folder"])
def test_a_place_that_lets_nobody_go_is_named_and_ended(tmp_path: Path, known: str) -> None:
    """Where it is of a server or program, the kernel gives it up; otherwise the run ends as it stands."""
    place = tmp_path / "place"
    place.mkdir()
    with unanswered(place, "0", ",allow_other"):
        ended = subprocess.run([sys.executable, "-c", STUCK, place, known], capture_output=True, text=True, timeout=20)
    hangs = f"minutes: {place} hangs"
    assert ended.returncode == (0 if known else 1)
    assert hangs in (ended.stdout if known else ended.stderr) and ("raised" in ended.stdout) == bool(known)


@contextmanager
def unanswered(folder: Path, user: str, options: str) -> Iterator[None]:
    """A block in which a user has mounted there what never answers."""
    with subprocess.Popen(
        [sys.executable, "-c", MOUNT, folder, user, options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout and server.stdin and server.stdout.readline() == b"there\n"
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
            server.stdin.close()


@pytest.mark.parametrize("limit", ["-n 8", "-n 16", "-n 18", "-n 22", "-n 28"])
def test_where_there_is_no_more_to_have_one_line_says_so(rear: Rear, tmp_path: Path, tree: Path, limit: str) -> None:
    """Files: each number fails at another place of a backup."""
    assert rear("mkbackuponly", f"2>{tmp_path}/said", limit) == 1
    said = (tmp_path / "said").read_text()
    assert re.search("ERROR: .*Too many open files", said), said
    assert "Traceback" not in said and "BUG" not in said
    assert not list((tmp_path / "backups").glob("*/*Z*"))
