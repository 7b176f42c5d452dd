# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell that answers from what programs once printed, and one that writes such a recording.

To record the storage of any machine, as root on it, with rear installed:

    python3 -m rear_core.testing.fake_shell tests/machines/NAME [DISK ...]

That runs the capture of `rear savelayout` (with the disks named as INCLUDE_DEVICES, and the storage technologies of
the installed plugins) and leaves one file per command in NAME/commands. The files are plain text, made to be read
and, for hardware that nobody has at hand, to be composed:

    $ findmnt --fstab --json
    status 1

    everything from here is standard output

Between the second line and the empty one stand lines `stderr: ...`. Passphrases are never asked for, but
serial numbers, UUIDs and host names are in there: look before you publish.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..recordings import LATER, Answer, FakeShell, RecordingShell, command_line

__all__ = ["LATER", "Answer", "FakeShell", "RecordingShell", "command_line", "record"]


def record(folder: Path, include: Sequence[str] = ()) -> None:
    """Capture this machine's storage, as the core and plugins do, and leave what programs printed in
    `folder`/commands."""
    from .. import builtin
    from ..plugins import Plugins, discover
    from ..storage.capture import capture

    def warn(line: str) -> None:
        print("WARNING:", line, file=sys.stderr)

    plugins = Plugins(builtin.modules())
    plugins.add_extras(discover())
    for plugin in plugins.broken:
        warn(f"the plugin {plugin.label} of {plugin.distribution} is left out: {plugin.problem}")
    shell = RecordingShell(folder / "commands")
    layout = capture(shell, plugins.call("rear_storage_kinds"), include=include, warn=warn)
    if include:
        (folder / "include.txt").write_text("\n".join(include) + "\n")
    print(f"{len(layout.items)} items recorded in {folder}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python3 -m rear_core.testing.fake_shell FOLDER [DISK ...]")
    record(Path(sys.argv[1]), sys.argv[2:])
