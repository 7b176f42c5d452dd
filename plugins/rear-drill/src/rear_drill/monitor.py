# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to QEMU itself, beside the console of the machine."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

from rear_core import RearError


class MachineFailed(RearError):
    """The machine did not do in time what was expected; `words` is what it printed last."""

    def __init__(self, message: str, words: str = "") -> None:
        super().__init__(message)
        self.words = words

    def __str__(self) -> str:
        return f"{self.message}; {self.words}" if self.words else self.message


class Monitor:
    """Talks to QEMU itself (QEMU Machine Protocol, docs/interop/qmp-spec)."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        self._lines = connection.makefile("rw", encoding="utf-8")
        self._ready = False

    def close(self) -> None:
        """Let go of the connection, which its socket alone does not while it is read from as a file."""
        with suppress(OSError):
            self._lines.close()

    def ask(self, command: str, **arguments: object) -> Any:
        """What a command returns; `MachineFailed` when it cannot be done or the machine has ended."""
        if not self._ready:
            self._ready = True
            self.ask("qmp_capabilities")
        try:
            print(json.dumps({"execute": command, "arguments": arguments}), file=self._lines, flush=True)
            for line in self._lines:
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise MachineFailed(f"QEMU refused {command}: {answer['error']['desc']}")
        except OSError as error:
            raise MachineFailed(f"QEMU did not answer {command}: {error}") from error
        raise MachineFailed(f"the machine ended before {command}")
