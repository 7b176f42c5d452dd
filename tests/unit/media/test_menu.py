# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot menu."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rear_core.media.menu import grub_menu
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Setting, Sources, evaluate
from rear_core.shell import Shell
from rear_core.template import render


def make_run() -> Run:
    settings = evaluate(Sources(), [Setting("SHARE_DIR", default="/nowhere")], {})
    return Run(settings, Plugins([]), Options(config_dir=Path("/nowhere")))


def menu(title: str = "web1", command_line: str = "console=ttyS0") -> str:
    return grub_menu(
        make_run(),
        title=title,
        kernel="/boot/vmlinuz",
        initramfs="/boot/initramfs.img",
        command_line=command_line,
        timeout=10,
    )


def test_the_first_entry_starts_by_itself_and_overwrites_nothing() -> None:
    text = menu()
    assert "set default=0" in text
    assert "set timeout=10" in text
    first = text[text.index("menuentry") : text.index("}", text.index("menuentry"))]
    assert "rear.auto" not in first


def test_there_are_recovery_automatic_recovery_shell_and_disk() -> None:
    assert re.findall(r"--id (\w+)", menu()) == ["recover", "automatic", "shell", "disk"]
    assert "linux /boot/vmlinuz console=ttyS0 rear.auto=recover\n" in menu()


def test_what_would_overwrite_disks_by_itself_says_so_and_waits_longer() -> None:
    text = menu(command_line="rear.auto=shell quiet rear.auto=recover")
    assert re.findall(r"--id (\w+)", text) == ["automatic", "recover", "shell", "disk"]
    title, first = re.findall(r'menuentry "([^"]*)".*?\n\s*linux /boot/vmlinuz ([^\n]*)', text, re.DOTALL)[0]
    assert (title, first) == (
        "!!! RECOVERS web1 WITHOUT A QUESTION, OVERWRITES ITS DISKS !!!", "quiet rear.auto=recover"
    )  # fmt: skip
    assert "linux /boot/vmlinuz quiet\n" in text and "set timeout=30" in text
    assert re.findall(r"--id (\w+)", menu(command_line="rear.auto=shell"))[0] == "shell"


@pytest.mark.parametrize("title", ['a"b', "a\\b", "$(reboot)", "a\nb", "`id`"])
def test_a_host_name_cannot_break_out_of_its_quotes(title: str) -> None:
    entries = re.findall(r'^menuentry "([^"]*)" --id', menu(title), re.MULTILINE)
    assert len(entries) == 4
    assert not set("".join(entries)) & set('"\\$`')


@pytest.mark.skipif(not Shell().which("grub-script-check"), reason="grub-script-check is not installed")
@pytest.mark.parametrize("name", ["menu", "find"])
def test_grub_understands_the_scripts(tmp_path: Path, name: str) -> None:
    script = tmp_path / "grub.cfg"
    script.write_text(menu() if name == "menu" else render(make_run(), "grub-find.cfg.j2", marker="/rear/0123"))
    Shell().run("grub-script-check", script)
