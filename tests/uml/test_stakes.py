# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever lies on some disks, however it is mounted and excluded: nothing is overwritten that does not come back.

Shown by checksums of all disks. Always the same drawings in `make test`, other ones in `make test-vm`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from lab import cache, guests
from lab.guests import Answer

from .disks import Lab, prepare
from .mixtures import DISK
from .stakes import Stakes, stakes
from .test_layouts import STOP
from .test_mixtures import ALL

pytestmark = [pytest.mark.uml, pytest.mark.timeout(7200)]


class Disks(Lab):
    """The disks of a drawing, in a guest."""

    def __init__(self, guest: guests.Machine, folder: Path, drawing: Stakes) -> None:
        super().__init__(guest, folder)
        self.drawing = drawing
        self.names = sorted(frozenset().union(*drawing.disks.values()))
        self.plug("", len(self.names), DISK)

    def run(self, *lines: str) -> str:
        """Run some lines in which $a is the first disk."""
        known = [f"{name}=/dev/disk/lab/0f{number:02}" for number, name in enumerate(self.names)]
        self.guest.put("/run/make", "\n".join(["set -e", "key=/run/word", *known, *lines, ""]).encode())
        return self.guest.check("bash /run/make && sync && udevadm settle", 240)

    def make(self) -> None:
        """Make what was drawn, and have it described; then start anew with other names."""
        self.run(*self.drawing.lines)
        self.configure(*self.drawing.settings)
        note(self.describe())
        self.shuffle()
        self.stop()

    def stop(self) -> None:
        """Stop all that stands on the disks."""
        self.guest.check(f"(\n{STOP}\n)")

    def lost(self) -> list[str]:
        """The checksums of all that is not given back."""
        contents = [content.path for content in self.drawing.contents if not content.is_saved]
        found = self.run(*self.drawing.again, *(f"sha256sum <{path}" for path in contents))
        self.stop()
        return [line for line in found.splitlines() if line.endswith(" -")]

    def recreate(self) -> Answer:
        """Likewise, and then stop all."""
        answer = super().recreate()
        note(answer.output)
        self.stop()
        return answer

    def changed(self, before: list[str]) -> set[str]:
        """The disks with other checksums."""
        return {name for name, was, now in zip(self.names, before, self.checksums()) if was != now}


# A drawing takes half a minute, and the first that goes wrong is simple enough.
@given(drawing=stakes())
@settings(
    max_examples=200 if ALL else 2, derandomize=not ALL, phases=[Phase.generate], database=None, print_blob=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_nothing_is_overwritten_that_does_not_come_back(
    drawing: Stakes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    note("\n".join([*drawing.lines, *drawing.settings]))
    folder = tmp_path_factory.mktemp("stakes")
    with guests.Machine(root=guests.image(), transcript=cache.transcript("uml-stakes")) as guest:
        prepare(guest)
        recovered(Disks(guest, folder, drawing))
    for image in folder.iterdir():
        image.unlink()


def recovered(disks: Disks) -> None:
    """Make the storage again, unattended, and compare all that must not be overwritten."""
    saved = {disk for content in disks.drawing.contents if content.is_saved for disk in content.disks}
    at_stake = {disk for content in disks.drawing.contents if not content.is_saved for disk in content.disks}
    disks.make()
    lost = disks.lost()
    before = disks.checksums()
    answer = disks.recreate()
    changed = disks.changed(before)
    assert not changed & at_stake, "what does not come back was overwritten"
    if not saved & at_stake:
        assert answer.status == 0, "what is saved was not made again"
        assert saved <= changed
        return
    assert answer.status and not changed, "a disk with both was taken unasked"
    disks.configure(*disks.drawing.settings, "KEEP_IN_PLACE=yes")
    disks.recreate()
    assert disks.lost() == lost, "what is kept in place was overwritten"
