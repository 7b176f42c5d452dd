# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of a new plugin is written whole or not at all, under a name that is free."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from rear_core.errors import RearError, Refused
from rear_core.new_plugin import KINDS, TEMPLATES, describe, files, write
from rear_core.plugins import Found

# What packages have besides that which all have.
FURTHER = {
    "storage": {"src/PACKAGE/volumes.py", *(f"tests/machine/commands/{name}.txt" for name in (
        "blkid", "dumpe2fs", "findmnt", "fstab", "getconf", "head", "inventory", "lsblk", "sfdisk", "swapon"))},
    "boot": {"src/PACKAGE/loader.py"},
}  # fmt: skip
INSTALLED = [Found("backup", "TAPE", "rear_backup_tape", "rear-backup-tape", "1")]


def make(directory: Path, kind: str = "backup", name: str = "acme") -> Path:
    return write(kind, name, directory, INSTALLED, ["BACKUP_KEEP", "TAPE_DEVICE"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_has_all_that_its_author_needs(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path, kind, "Big-Box")
    assert folder == tmp_path / f"rear-{kind}-big-box"
    package = f"rear_{kind}_big_box"
    found = {os.fspath(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {
        ".gitignore", "README.md", "pyproject.toml", f"src/{package}/__init__.py", f"src/{package}/py.typed",
        "tests/test_conformance.py", f"tests/test_{package}.py",
        *(name.replace("PACKAGE", package) for name in FURTHER.get(kind, ())),
    }  # fmt: skip
    assert os.listdir(tmp_path) == [folder.name]
    name = "BIG-BOX" if kind in ("backup", "output") else "big-box"
    assert (
        f'[project.entry-points."rear.{KINDS[kind]}"]\n{name} = "{package}"\n'
        in (folder / "pyproject.toml").read_text()
    )
    for path in folder.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_template_belongs_to_a_kind() -> None:
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} - {"__pycache__"} == {"any", "client", *KINDS}
    assert {path.suffix for path in TEMPLATES.glob("*/**/*") if path.is_file()} - {".pyc"} == {".j2"}


@pytest.mark.parametrize(
    "name", ["", "1box", "-box", "box-", "a--b", "a_b", "../x", "a b", "\u00e4", "a.b", "x\n", "x" * 31]
)
def test_what_cannot_name_a_plugin_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="cannot name a plugin"):
        make(tmp_path, name=name)
    assert os.listdir(tmp_path) == []


def test_a_backup_by_a_client_has_a_stand_in_for_it(tmp_path: Path) -> None:
    folder = write("backup", "acme", tmp_path, INSTALLED, [], client=True)
    assert (folder / "tests/client.py").is_file()
    with pytest.raises(Refused, match="--client is for a backup, and not for output"):
        write("output", "acme", tmp_path, INSTALLED, [], client=True)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="rear-backup-tape has the plugin backup TAPE already"):
        make(tmp_path, name="tape")
    with pytest.raises(Refused, match="settings that begin with TAPE_ are taken, as TAPE_DEVICE"):
        make(tmp_path, "output", "tape")
    with pytest.raises(Refused, match="rear knows GRUB-EFI already"):
        write("boot", "GRUB-EFI", tmp_path, INSTALLED, [], known=["GRUB BIOS", "GRUB EFI"])
    # Not installed, but of this project.
    for kind, name in ("backup", "tsm"), ("output", "obdr"), ("os", "rocky"):
        with pytest.raises(Refused, match=f"rear-{kind}-{'redhat' if name == 'rocky' else name} of this project has a"):
            make(tmp_path, kind, name)
    (tmp_path / "rear-backup-acme").symlink_to("nowhere")
    with pytest.raises(Refused, match="is there already"):
        make(tmp_path)
    assert os.listdir(tmp_path) == ["rear-backup-acme"]


def test_half_a_package_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(RearError, match="No space left on device"):
        make(tmp_path)
    assert os.listdir(tmp_path) == []


def test_no_template_asks_for_more_than_is_known() -> None:
    for words in (*(describe(kind, "acme") for kind in KINDS), describe("backup", "acme", client=True)):
        for text in files(words).values():
            assert "{{" not in text
            assert "{%" not in text
