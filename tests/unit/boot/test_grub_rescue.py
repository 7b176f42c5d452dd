# SPDX-License-Identifier: GPL-3.0-or-later
"""The script by which grub-mkconfig adds the rescue system to GRUB's menu, run by a real shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rear_core import RescueImage, Run
from rear_core.boot import grub_rescue
from rear_core.boot.grub_menu import menu
from rear_core.boot.grub_rescue import entry
from rear_core.errors import Refused
from rear_core.plugins import Plugins

# What the script calls of /usr/share/grub/grub-mkconfig_lib.
LIBRARY = """
make_system_path_relative_to_its_root() { echo "$1" | sed s,^/boot,,; }
prepare_grub_to_access_device() { echo "search --no-floppy --fs-uuid --set=root 1234-$1"; }
"""


def made(tmp_path: Path, user: str, command_line: str) -> str:
    """What is added to grub.cfg."""
    (tmp_path / "grub-mkconfig_lib").write_text(LIBRARY)
    image = RescueImage(Path("/boot/rear/vmlinuz-1"), Path("/boot/rear/initramfs-1.img"), "6.1", command_line)
    (tmp_path / "45_rear").write_text(entry(image, user))
    variables = {"pkgdatadir": f"{tmp_path}", "grub_probe": "echo", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["sh", tmp_path / "45_rear"], env=variables, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("words", ["console=ttyS0,115200 console=tty0", "a='b c $d;{}\"", "x=$(reboot) y=`z` '", ""])
def test_the_entry_starts_the_rescue_system_with_its_parameters(tmp_path: Path, words: str) -> None:
    (found,) = menu(made(tmp_path, "", words))
    assert (found.title, found.id) == ("Relax-and-Recover", "rear-rescue")
    assert (found.kernel, found.initramfs) == ("/rear/vmlinuz-1", ("/rear/initramfs-1.img",))
    assert found.arguments == tuple(words.split())


@pytest.mark.parametrize(
    ("user", "line"),
    [
        ("", "menuentry 'Relax-and-Recover' --id rear-rescue {"),
        ("unrestricted", "menuentry 'Relax-and-Recover' --id rear-rescue --unrestricted {"),
        ("admin", "menuentry 'Relax-and-Recover' --id rear-rescue --users admin {"),
    ],
)
def test_who_may_start_it(tmp_path: Path, user: str, line: str) -> None:
    assert made(tmp_path, user, "").splitlines()[0] == line


def test_a_script_of_somebody_else_is_neither_replaced_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grub_rescue, "ROOT", tmp_path)
    script = tmp_path / "etc/grub.d/45_rear"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n# of Relax-and-Recover\n")
    run = Run(settings={}, plugins=Plugins([]))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="45_rear was not written by rear"):
        grub_rescue.check(run)
    grub_rescue.offer(run, None)
    assert "Relax-and-Recover" in script.read_text()
