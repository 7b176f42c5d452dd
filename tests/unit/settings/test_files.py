# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configuration files are read, in which order, and whom they must belong to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_core.errors import ConfigurationError
from rear_core.settings import Setting, evaluate, load, names_for
from rear_core.settings.files import load_what_can_be_read

NAMES = ("default.conf", "debian/12.conf", "local.conf")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_the_files_of_a_machine_go_from_the_general_to_the_special() -> None:
    machine = os.uname().machine
    assert names_for("debian", "12") == (
        "default.conf",
        f"Linux-{machine}.conf",
        "GNU/Linux.conf",
        "debian.conf",
        f"debian/{machine}.conf",
        "debian/12.conf",
        "site.conf",
        "local.conf",
    )
    assert names_for("arch", "")[3:] == ("arch.conf", f"arch/{machine}.conf", "site.conf", "local.conf")


def test_later_files_win_and_missing_ones_are_fine(tmp_path: Path) -> None:
    write(tmp_path / "local.conf", "A=local B=local")
    write(tmp_path / "debian/12.conf", "A=debian C=$HOSTNAME:$CONFIG_DIR")
    extra = write(tmp_path / "elsewhere/x.conf", "B=extra")
    sources = load(tmp_path, NAMES, [extra])
    assert sources.files == (tmp_path / "debian/12.conf", tmp_path / "local.conf", extra)
    settings = evaluate(sources, [Setting("A"), Setting("B"), Setting("C")], {})
    hostname = os.uname().nodename.split(".")[0]
    assert dict(settings) == {"A": "local", "B": "extra", "C": f"{hostname}:{tmp_path}"}
    assert settings.origin("A") == f"{tmp_path}/local.conf:1"


def test_without_a_configuration_directory_there_are_only_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none", NAMES).assignments == ()


@pytest.mark.parametrize("given", ["weekly", "weekly.conf", Path("weekly")])
def test_a_bare_extra_name_is_in_the_configuration_directory(tmp_path: Path, given: str | Path) -> None:
    expected = write(tmp_path / "weekly.conf", "")
    assert load(tmp_path, NAMES, [given]).files == (expected,)


@pytest.mark.parametrize("given", ["weekly", "/nowhere/weekly.conf"])
def test_a_missing_extra_file_is_an_error(tmp_path: Path, given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no configuration file .*weekly"):
        load(tmp_path, NAMES, [given])


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "local.conf", "A=1\nB='")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, NAMES)
    assert caught.value.message.startswith(f"{path}:2:3: ")


def test_a_file_that_is_not_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "local.conf", "")
    path.write_bytes(b"A=1\nB=\xff")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, NAMES)
    assert caught.value.message == f"{path}:2:3: byte 0xff is not UTF-8"


def test_a_named_pipe_or_directory_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "local.conf")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load(tmp_path, NAMES)
    (tmp_path / "local.conf").unlink()
    (tmp_path / "local.conf").mkdir()
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load(tmp_path, NAMES)


@pytest.mark.parametrize("link", ["local.conf", "debian", "default.conf"])
def test_a_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path, link: str) -> None:
    """A share that is not mounted would make media with the defaults."""
    write(tmp_path / "site.conf", "A=1")
    (tmp_path / link).symlink_to("/mnt/gone")
    with pytest.raises(ConfigurationError, match=rf"{tmp_path}/{link} links to /mnt/gone, which is not there"):
        load(tmp_path, (*NAMES, "site.conf"))
    _, (error,) = load_what_can_be_read(tmp_path, (*NAMES, "site.conf"))
    assert "links to /mnt/gone" in error.message
    if link == "local.conf":
        with pytest.raises(ConfigurationError, match="links to /mnt/gone"):
            load(tmp_path, [], ["local"])


def test_a_link_to_itself_or_to_a_whole_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "local.conf").symlink_to("other.conf")
    (tmp_path / "other.conf").symlink_to("local.conf")
    with pytest.raises(ConfigurationError, match="leads in a circle"):
        load(tmp_path, NAMES)
    (tmp_path / "rear").symlink_to("/mnt/gone")
    with pytest.raises(ConfigurationError, match="rear links to /mnt/gone, which is not there"):
        load(tmp_path / "rear", NAMES)


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o646, 0o666])
def test_root_does_not_read_a_file_that_others_can_write(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "local.conf", "A=1").chmod(mode)
    with pytest.raises(ConfigurationError, match="users other than root can write"):
        load(tmp_path, NAMES)


@pytest.mark.root
def test_root_does_not_read_a_file_that_a_group_can_write_or_another_user_owns(tmp_path: Path) -> None:
    path = write(tmp_path / "local.conf", "A=1")
    path.chmod(0o664)
    os.chown(path, 0, 100)
    with pytest.raises(ConfigurationError, match="users other than root can write"):
        load(tmp_path, NAMES)
    os.chown(path, 1000, 0)
    with pytest.raises(ConfigurationError, match="belongs to another user than root"):
        load(tmp_path, NAMES)
    os.chown(path, 0, 0)
    assert len(load(tmp_path, NAMES).assignments) == 1
