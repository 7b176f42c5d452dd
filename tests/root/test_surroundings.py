# SPDX-License-Identifier: GPL-3.0-or-later
"""Closed terminals, pipes that nobody reads, full disks and mounts of other users end no backup and no restore."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.loops import mounted

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
    listed = json.loads(subprocess.run(["findmnt", "--json", "--list"], capture_output=True, check=True).stdout)
    mounts = " ".join(f"'{row['target']}'" for row in listed["filesystems"])
    for folder in ("etc", "backups"):
        (tmp_path / folder).mkdir()
    (tmp_path / "etc/local.conf").write_text(
        f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log/rear.log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
        f"BACKUP_URL=file://{tmp_path}/backups\nBACKUP_PREFIX=web1\nEXCLUDE_MOUNTPOINTS=( {mounts} )\n"
        f"BACKUP_PROG_INCLUDE=( {tree} )\nBACKUP_PROG_EXCLUDE=()\n"
    )

    def run(arguments: str, redirection: str) -> int:
        script = f"{REAR} -c {tmp_path}/etc {arguments} {redirection}; exit ${{PIPESTATUS[0]}}"
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
    restored = tmp_path / "restored" / str(tree).lstrip("/")
    assert {path.name: path.read_text() for path in restored.iterdir()} == {
        path.name: path.read_text() for path in tree.iterdir()
    }


@pytest.mark.parametrize("redirection", NOBODY.values(), ids=NOBODY.keys())
def test_what_cannot_be_told_ends_no_run(rear: Rear, tmp_path: Path, tree: Path, redirection: str) -> None:
    assert rear("-v mkbackuponly", redirection) == (0 if "true" in redirection else 4)
    assert rear(f"-v recover --demo {tmp_path}/also", redirection) == (0 if "true" in redirection else 4)
    check_restored(rear, tmp_path, tree)


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
    with subprocess.Popen(
        [sys.executable, "-c", MOUNT, tree / "mnt", user, options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout and server.stdin and server.stdout.readline() == b"there\n"
        try:
            assert rear("mkbackuponly", "2>/dev/null") == 0
        finally:
            subprocess.run(["umount", "--lazy", tree / "mnt"], check=True)
            server.stdin.close()
    (tree / "mnt").rmdir()
    check_restored(rear, tmp_path, tree)
