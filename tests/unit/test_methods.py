# SPDX-License-Identifier: GPL-3.0-or-later
"""Several backup methods share the files of a machine, each of which one of them saves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core import Run
from rear_core.errors import ConfigurationError, Refused
from rear_core.methods import chosen, of_paths, portions

FOLDERS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


def test_one_method_saves_all() -> None:
    assert portions(("NFS",), ()) == {}
    assert chosen((), "") == ("",)


def test_the_first_method_saves_what_is_given_to_no_other() -> None:
    of = portions(("NFS", "RESTIC", "NSR"), ("restic:/srv", "NSR:/srv/db", "RESTIC:/home/data"))
    assert {path: of["NFS"].owner(path) for path in ("/", "/srv", "/srv/db/x", "/srvx", "/home", "/home/data/x")} == {
        "/": "NFS", "/srv": "RESTIC", "/srv/db/x": "NSR", "/srvx": "NFS", "/home": "NFS", "/home/data/x": "RESTIC",
    }  # fmt: skip
    assert of["NFS"].is_first and not of["RESTIC"].is_first
    assert of["NFS"].others == {"/srv": "RESTIC", "/home/data": "RESTIC"}
    assert of["RESTIC"].folders == ["/srv", "/home/data"] and of["RESTIC"].others == {"/srv/db": "NSR"}
    assert of["NSR"].folders == ["/srv/db"] and of["NSR"].others == {}


@given(st.dictionaries(FOLDERS, st.sampled_from(["B", "C"])), FOLDERS)
def test_each_path_is_saved_by_one_method(owners: dict[str, str], path: str) -> None:
    owners = {"/x": "B", "/y": "C", **owners}
    of = portions(("A", "B", "C"), [f"{method}:{folder}" for folder, method in owners.items()])
    assert [method for method, portion in of.items() if portion.saves(path)] == [of["A"].owner(path)]
    # Whoever has a folder inside another one's is left out there, and nowhere else.
    left_out = {folder for portion in of.values() for folder in portion.others}
    assert left_out == {
        folder for folder, method in owners.items() if of["A"].owner(folder.rpartition("/")[0]) != method
    }


@pytest.mark.parametrize(
    ("methods", "parts", "said"),
    [
        ("NFS RESTIC", "", "no folder is for it to save"),
        ("NFS nfs", "", "names a method twice"),
        ("NFS RESTIC", "/srv", "BACKUP_PARTS has '/srv'"),
        ("NFS RESTIC", "RESTIC:srv", "BACKUP_PARTS has 'RESTIC:srv'"),
        ("NFS RESTIC", "RESTIC:/", "BACKUP_PARTS has 'RESTIC:/'"),
        ("NFS RESTIC", "RESTIC:/srv/..", "BACKUP_PARTS has 'RESTIC:/srv/..'"),
        ("NFS RESTIC", "RESTIC:/srv/", "BACKUP_PARTS has 'RESTIC:/srv/'"),
        ("NFS RESTIC", "BORG:/srv", "BACKUP does not name BORG"),
        ("NFS RESTIC", "RESTIC:/srv RESTIC:/srv", "names /srv twice"),
        ("NFS", "RESTIC:/srv", "BACKUP does not name RESTIC"),
    ],
)
def test_what_cannot_be_shared_so_is_an_error(methods: str, parts: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        portions(methods.split(), parts.split())


def test_the_method_that_is_asked_for_has_to_be_one_of_them() -> None:
    assert chosen(("NFS", "RESTIC"), "restic") == ["RESTIC"]
    with pytest.raises(ConfigurationError, match="BACKUP does not name BORG"):
        chosen(("NFS", "RESTIC"), "BORG")


@pytest.mark.parametrize("paths", [("/etc", "/srv/x"), ("/",), ("/s",), ("/srv",)])
def test_files_of_several_methods_are_never_restored_in_part(paths: tuple[str, ...]) -> None:
    run = object.__new__(Run)
    run.portions = portions(("NFS", "RESTIC", "BORG"), ("RESTIC:/srv", "BORG:/srv/db", "RESTIC:/s/inside"))
    with pytest.raises(Refused, match="several methods save these: "):
        of_paths(run, paths)
    assert [of_paths(run, [path]) for path in ("/etc", "/srv/x", "/srv/db", "/s/inside/x")] == [
        "NFS", "RESTIC", "BORG", "RESTIC",
    ]  # fmt: skip
