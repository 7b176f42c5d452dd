# SPDX-License-Identifier: GPL-3.0-or-later
"""What root reads and runs is root's alone, with every folder above it."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rear_core.cli import session
from rear_core.errors import ConfigurationError
from rear_core.plugins import Found, Plugins
from rear_core.run import Run
from rear_core.settings import Sources, evaluate
from rear_core.settings.files import load
from rear_core.trust import changeable, changeable_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "a/etc"
    folder.mkdir(parents=True)
    (folder / "local.conf").write_text("OUTPUT=ISO\n")
    return folder


def test_what_is_roots_alone_is_none_of_anybodys_business(etc: Path) -> None:
    assert changeable(etc / "local.conf") == ""
    etc.parent.chmod(0o1777)
    assert changeable(etc / "local.conf") == ""
    assert load(etc, ["local.conf"]).files


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_that_others_can_write_is_refused(etc: Path, mode: int, above: bool) -> None:
    folder = etc.parent if above else etc
    os.chown(folder, 0, 65534)
    folder.chmod(mode)
    assert changeable(etc / "local.conf") == f"users other than root can write {folder}"
    with pytest.raises(ConfigurationError, match="is not controlled by root alone"):
        load(etc, ["local.conf"])


def test_a_folder_of_another_user_is_refused(etc: Path) -> None:
    os.chown(etc.parent, 65534, 0)
    assert changeable(etc) == f"{etc.parent} belongs to another user than root"
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        load(etc, ["local.conf"])


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another user with what root could take for its own, and everything in it root's."""
    folder = tmp_path / "theirs"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/local.conf").write_text("OUTPUT=ISO\n")
    os.chown(folder, 65534, 65534)
    return folder


@pytest.mark.parametrize("linked", ["a/etc", "a/etc/local.conf"])
@pytest.mark.parametrize("hops", [1, 2])
def test_a_link_is_followed_to_what_others_can_change(etc: Path, theirs: Path, linked: str, hops: int) -> None:
    place = etc.parents[1] / linked
    place.rename(place.with_name("was"))
    target = theirs / "deep" / ("local.conf" if place.suffix else "")
    for hop in range(1, hops):
        (etc.parents[1] / f"hop{hop}").symlink_to(target)
        target = Path("..", "..", f"hop{hop}") if place.suffix else Path("..", f"hop{hop}")
    place.symlink_to(target)
    assert changeable(etc / "local.conf") == f"{theirs} belongs to another user than root"
    with pytest.raises(ConfigurationError, match="theirs belongs to another user"):
        load(etc, ["local.conf"])


def test_a_link_that_another_user_has_made_is_refused_wherever_it_leads(etc: Path) -> None:
    etc.parent.chmod(0o1777)
    link = etc.parent / "link"
    link.symlink_to(etc)
    assert changeable(link / "local.conf") == ""
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert changeable(link / "local.conf") == f"{link} belongs to another user than root"


def test_two_dots_behind_a_link_are_what_the_kernel_takes_them_for(etc: Path, theirs: Path) -> None:
    (etc / "link").symlink_to(theirs / "deep")
    assert changeable(etc / "link/../x") == f"{theirs} belongs to another user than root"
    assert changeable(etc / ".." / "etc" / "local.conf") == ""


def test_links_in_a_circle_end(etc: Path) -> None:
    (etc / "circle").symlink_to("circle")
    assert changeable(etc / "circle") == ""


def test_what_anybody_could_make_isnot_roots(etc: Path) -> None:
    assert changeable(etc / "site.conf") == ""
    etc.chmod(0o1777)
    assert changeable(etc / "site.conf") == f"users other than root can create {etc / 'site.conf'}"


def test_an_access_list_that_lets_others_write_counts(etc: Path) -> None:
    etc.chmod(0o770)
    assert changeable(etc) == ""
    # acl(5) as the kernel keeps it: version 2, then kind, rights and number of each entry; user 65534 may do all.
    entries = [(1, 7, -1), (2, 7, 65534), (4, 5, -1), (16, 7, -1), (32, 0, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(etc, "system.posix_acl_access", packed)
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    assert changeable(etc) == f"users other than root can write {etc}"


def test_an_extra_file_is_read_only_where_the_way_to_it_is_roots(etc: Path, theirs: Path) -> None:
    assert load(etc, [], [etc / "local.conf"]).files
    with pytest.raises(ConfigurationError, match="theirs belongs to another user"):
        load(etc, [], [theirs / "deep/local.conf"])


@pytest.mark.parametrize("inside", [".", "x", "x/.hidden"])
def test_a_tree_is_looked_through(tmp_path: Path, inside: str) -> None:
    tree = tmp_path / "tree"
    (tree / "x").mkdir(parents=True)
    (tree / "x/.hidden").touch()
    (tree / "link").symlink_to("/proc/self")
    assert changeable_in(tree) == ""
    os.chown(tree / inside, 65534, 0)
    assert changeable_in(tree) == f"{tree / inside} belongs to another user than root"


@pytest.mark.parametrize("what", ["program", "interpreter", "plugin", "folder above"])
def test_what_root_runs_and_another_can_change_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As a checkout, or an environment, of a user."""
    (tmp_path / "own").mkdir(mode=0o755)
    path = tmp_path / "own" / "module.py"
    path.touch(mode=0o644)
    run = Run(evaluate(Sources(), [], {}), Plugins([]))
    if what == "interpreter":
        monkeypatch.setattr(sys, "executable", str(path))
    elif what == "plugin":
        module = ModuleType("module")
        module.__file__ = str(path)
        run.plugins.take(Found("backup", "x", "module", "rear-x", "1", module=module))
    else:
        monkeypatch.setattr(session, "__file__", str(path))
    before = {*session.not_roots(run)}
    (path.parent if what == "folder above" else path).chmod(0o777)
    (warning,) = {*session.not_roots(run)} - before
    assert f"{path.parent if what == 'folder above' else path}; install rear where only root can write" in warning
