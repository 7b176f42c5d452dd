# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear format` finds the plugin for a device, shows, asks, looks again, and only then writes."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from rear_core.errors import Interrupted, Refused
from rear_core.hookspecs import hookimpl
from rear_core.media.format import Format, format_device
from rear_core.plugins import Found, Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate

NULL = Path("/dev/null")


class Cartridges:
    """A plugin's kind of device; what was examined and written is noted."""

    def __init__(self, name: str = "cartridge", suits: bool = True, *held: Sequence[str]) -> None:
        self.held = list(held) or [["Acme, 4 GiB"]]
        self.written: list[Path] = []
        self.format = Format(name, lambda run, device: suits, self.examine, lambda run, device: "blank", self.write)

    def examine(self, run: Run, device: Path) -> Sequence[str]:
        return self.held.pop(0) if len(self.held) > 1 else self.held[0]

    def write(self, run: Run, device: Path) -> None:
        self.written.append(device)


@pytest.fixture
def run() -> Run:
    return Run(evaluate(Sources(), [], {}), Plugins([]), report=Report(terminal=io.StringIO()))


def take(run: Run, kind: str, *cartridges: Cartridges) -> None:
    module = ModuleType(f"acme_{kind}")
    formats = [cartridge.format for cartridge in cartridges]
    module.rear_formats = hookimpl(lambda: formats)  # type: ignore[attr-defined]
    run.plugins.take(Found(kind, "ACME", module.__name__, "rear-acme", "1", module=module))


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], object]]:
    """Has somebody at a terminal type these lines, one for each question."""
    lines: list[str] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if text.endswith(": ") and lines:
                keyboard.write(f"{lines.pop(0)}\n".encode())
            return super().write(text)

    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard, os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)

        def sit_down(text: str) -> None:
            lines[:] = text.split("\n")
            # Not before the test runs: pytest has a standard error of its own for each phase.
            monkeypatch.setattr(sys, "stderr", Screen())

        yield sit_down


def said(run: Run) -> str:
    terminal = run.report._terminal
    assert isinstance(terminal, io.StringIO)
    return terminal.getvalue()


@pytest.mark.parametrize("text", ["yes", "/dev/null"])
def test_it_is_shown_asked_and_written(run: Run, answer: Callable[[str], object], text: str) -> None:
    cartridge = Cartridges()
    take(run, "output", cartridge)
    answer(text)
    format_device(run, NULL, yes=False)
    assert cartridge.written == [NULL]
    assert said(run).splitlines() == ["Acme, 4 GiB", "It becomes: blank", "/dev/null is ready"]


@pytest.mark.parametrize("text", ["", "n", "no", "NO", "q", "quit", "y\nno", "/dev/zero\n/dev/nul\nq"])
def test_without_a_clear_yes_it_is_left_alone(run: Run, answer: Callable[[str], object], text: str) -> None:
    cartridge = Cartridges()
    take(run, "output", cartridge)
    answer(text)
    with pytest.raises(Interrupted, match="is unchanged, as requested"):
        format_device(run, NULL, yes=False)
    assert cartridge.written == []


def test_without_a_terminal_only_yes_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cartridge = Cartridges()
    take(run, "output", cartridge)
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with pytest.raises(Refused, match="this run is unattended"):
        format_device(run, NULL, yes=False)
    assert cartridge.written == []
    format_device(run, NULL, yes=True)
    assert cartridge.written == [NULL]


def test_unattended_asks_nobody(run: Run, answer: Callable[[str], object]) -> None:
    cartridge = Cartridges()
    take(run, "output", cartridge)
    run.options = Options(unattended=True)
    answer("yes")
    with pytest.raises(Refused, match="this run is unattended"):
        format_device(run, NULL, yes=False)


def test_simulated_it_is_only_shown(run: Run) -> None:
    cartridge = Cartridges()
    take(run, "output", cartridge)
    run.options = Options(simulate=True)
    format_device(run, NULL, yes=True)
    assert cartridge.written == [] and "Acme, 4 GiB" in said(run)


def test_a_device_that_changed_while_the_question_waited_is_refused(run: Run) -> None:
    cartridge = Cartridges("cartridge", True, ["Acme, 4 GiB"], ["Other, 8 GiB"])
    take(run, "output", cartridge)
    with pytest.raises(Refused, match="has changed"):
        format_device(run, NULL, yes=True)
    assert cartridge.written == []


def test_the_plugin_that_it_suits_does_it_and_output_goes_before_backup(run: Run) -> None:
    tape, of_backup, of_output = Cartridges("tape", False), Cartridges(), Cartridges()
    take(run, "output", of_output, tape)
    take(run, "backup", of_backup)
    format_device(run, NULL, yes=True)
    assert (tape.written, of_backup.written, of_output.written) == ([], [], [NULL])


def test_links_to_a_device_are_followed(run: Run, tmp_path: Path) -> None:
    cartridge = Cartridges()
    take(run, "output", cartridge)
    (tmp_path / "by-id").symlink_to(NULL)
    format_device(run, tmp_path / "by-id", yes=True)
    assert cartridge.written == [NULL]


def test_what_nobody_formats_is_refused_with_what_can_be(run: Run, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no device at all"):
        format_device(run, NULL, yes=True)
    take(run, "output", Cartridges("tape", False))
    with pytest.raises(Refused, match="plugins can format: tape"):
        format_device(run, NULL, yes=True)
    with pytest.raises(Refused, match="is not a device"):
        format_device(run, tmp_path, yes=True)
    with pytest.raises(Refused, match="there is no device"):
        format_device(run, tmp_path / "sdx", yes=True)
