# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: slow kinds get more time, and tests of one running machine go to one worker."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from rear_core.mounts import mount_points, mounted_below

# A busy machine is slow, which is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# For `make check`, which everybody runs many times: `make test` tries as many examples as the tests ask for.
settings.register_profile("quick", parent=settings.get_profile("patient"), max_examples=10)

# Files whose tests share environments that take long to make.
TOGETHER = (
    "plugins/rear-boot-systemd/tests/test_boot_systemd_tree.py",
    "tests/test_conformance.py",
    "tests/test_house_rules.py",
    "tests/test_new_plugins.py",
    "tests/test_packages.py",
    "tests/root/test_interruptions.py",
    "tests/root/test_packages.py",
    "tests/uml/test_faults.py",
    "tests/uml/test_layouts.py",
    "tests/uml/test_methods.py",
    "tests/uml/test_recreate.py",
    "tests/uml/test_whole_recovery.py",
)
# Folders whose tests share one machine.
SHARED = ("tests/uml/",)
# What takes longest, or makes what others wait for, comes before the many small tests. By xdist's own order files that
# stay together come first of all: one worker has them while the other has the first whole machine.
FIRST = (
    "tests/vm/test_recover.py",
    "tests/vm/test_drill.py",
    "tests/vm/",
    "tests/uml/",
    "",
)
LIBC = ctypes.CDLL(None, use_errno=True)
# Emulated machines are slow, and slower when the host is busy.
SECONDS = {"vm": 1800, "uml": 300, "root": 600, "slow": 600}


def pytest_configure() -> None:
    """Keep the tests' folders on a disk where /tmp is memory, as from Debian 13 on, and terminals without color.

    The folders hold images of disks, which would fill it, and nfs-ganesha cannot serve a folder that lies there. What
    terminals get is compared as text.
    """
    os.environ["NO_COLOR"] = "1"
    if os.geteuid() == 0 and in_memory(tempfile.gettempdir()):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")


def pytest_sessionstart() -> None:
    """Give tests a / that is a mount point, which it is not in a plain chroot, and each worker mounts of its own.

    `unshare` and `ip netns exec` fail without, and nobody could tell what the machine's root file system is.
    """
    if os.geteuid() != 0:
        return
    if not own_mounts():
        return
    if any(point.target == "/" for point in mount_points()):
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    else:
        mounted_root()


def own_mounts() -> bool:
    """Go to a mount namespace of its own, as `unshare --mount` does; False where that is not allowed.

    Otherwise what one test starts in a copy of all mounts holds the disk that another has mounted, long after that has
    unmounted it: to the kernel it stays in use.
    """
    CLONE_NEWNS = 0x00020000  # sched.h
    return int(LIBC.unshare(CLONE_NEWNS)) == 0


def mounted_root() -> None:
    """Make the tree that was entered by chroot the root of this mount namespace, which must be of its own.

    Otherwise whoever enters the namespace by /proc, as `nsenter` does, is outside of the tree.
    """
    tree, here = os.open("/", os.O_RDONLY), os.getcwd()
    # setns(2): the root becomes that of the namespace. Only from there a mount can take its place, see pivot_root(2).
    if LIBC.setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), 0):
        raise OSError(ctypes.get_errno(), "cannot leave the tree to make it the root of the tests' mounts")
    os.fchdir(tree)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--rbind", ".", "."], check=True)
    # What is below the mount until it is looked up again.
    os.chdir(os.getcwd())
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.chdir(here)


def in_memory(folder: str) -> bool:
    """Whether a folder is of a file system that only exists in memory."""
    number = os.stat(folder).st_dev
    name = f"{os.major(number)}:{os.minor(number)}"
    return any(point.fstype in ("tmpfs", "ramfs") for point in mount_points() if point.number == name)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """The test's folder, in which nothing may stay mounted: it is removed afterwards, and what is mounted with it."""
    yield tmp_path
    left = mounted_below(tmp_path)
    for target in reversed(left):
        subprocess.run(["umount", "--lazy", target], check=True)
    assert not left, f"the test has left mounted: {left}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Time limits by kind."""
    for kind, seconds in SECONDS.items():
        if item.get_closest_marker(kind) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(seconds))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is only run when REAR_TEST_ALL is set, and begin with what takes longest."""
    if not os.environ.get("REAR_TEST_ALL"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: [item.nodeid.startswith(begin) for begin in FIRST].index(True))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """More time where guests are slow; nobody knows before one is to be started."""
    items = [item for item in session.items if item.get_closest_marker("uml")] if os.geteuid() == 0 else []
    if not items:
        return
    # Not at the top: those who try a plugin with this tree installed have no laboratory on their path.
    from lab import guests

    try:
        slowness = guests.engine().slowness()
    except RuntimeError:
        # Each test that starts one says why it cannot be had, and all others run.
        return
    for item in items:
        if limit := item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(limit.args[0] * slowness), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say plainly why a test cannot run here."""
    if any(map(item.get_closest_marker, ("root", "uml", "vm"))) and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Most tests in `tests/uml` share one machine, so they all go to the worker that started it.

    Likewise those of a file whose environments take long to make.
    """
    from xdist.scheduler import LoadScopeScheduling

    def scope(nodeid: str) -> str:
        file = _file(nodeid)
        if file in TOGETHER:
            return file
        return next((folder for folder in SHARED if file.startswith(folder)), nodeid)

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = scope
    return scheduler


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that accepts what the capture makes of the recorded machines now."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected layouts of tests/machines")


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
