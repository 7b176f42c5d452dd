# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of LUKS volumes: enrolled again and proven, or told with the command that does it later."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rear_core.builtin import recreate
from rear_core.errors import RearError
from rear_core.finalize import luks
from rear_core.plugins import Plugins
from rear_core.run import Options, Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.storage.command import Site
from rear_core.storage.compare import compare
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import notes
from rear_core.storage.layout import make
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.luks import Luks, Slot, Token
from rear_core.testing.fake_shell import FakeShell

TANG = Token(1, "clevis", (1,), ("tang", '{"url":"http://tang.example","thp":"x"}'))
TPM2 = Token(0, "systemd-tpm2", (1,), bank="sha256", pcrs=(7,), measured=("7=AB",))
PASSPHRASE = "four words of mine"
VOLUME = Luks("luks:u", ("disk:1",), 2, "u", "aes-xts-plain64", 512, "sha256", name="vault")
BIND = """clevis luks bind -k - -d /dev/sda tang '{"url":"http://tang.example","thp":"x"}'"""
LATER = """clevis luks bind -d /dev/disk/by-uuid/u tang '{"url":"http://tang.example","thp":"x"}'"""


class Header(FakeShell):
    """A volume in whose header a token is when it was bound, which opens the volume or does not."""

    def __init__(self, target: Path, opens: bool = True, bound: Sequence[str] = ()) -> None:
        self.target, self.opens, self.bound = target, opens, list(bound)
        self.secrets: list[object] = []
        super().__init__({})

    def run(self, *argv: Any, input: str | None = None, env: Mapping[str, str] | None = None, **more: Any) -> Outcome:
        words = [str(word) for word in argv]
        if "--dump-json-metadata" in words:
            tokens = {str(number): {"type": kind, "keyslots": ["1"]} for number, kind in enumerate(self.bound)}
            self._answers[" ".join(words)] = json.dumps({"tokens": tokens})
        elif words[0] == "chroot":
            self.secrets += [input, *(env or {}).values()]
            self.bound.append("clevis")
        for word in ("luksKillSlot", "token"):
            if word in words:
                self.bound.clear()
        self._answers.setdefault(shlex.join(words), "")
        return super().run(*argv, **more)

    def pipe(self, *stages: Any, **options: Any) -> list[Outcome]:
        self.asked.append(" | ".join(" ".join(map(str, stage)) for stage in stages))
        if not self.opens:
            raise RearError("cryptsetup failed")
        return []


def recovered(target: Path, token: Token, sh: FakeShell, word: str = PASSPHRASE) -> Run:
    for name in ("clevis", "cryptsetup", "systemd-cryptenroll"):
        (target / "usr/bin").mkdir(parents=True, exist_ok=True)
        (target / "usr/bin" / name).touch()
    (target / "etc").mkdir(exist_ok=True)
    (target / "etc/crypttab").write_text("vault UUID=u none luks,headless\n")
    run = Run(evaluate(Sources(), recreate.rear_settings(), {}), Plugins([]), Options(target=target), sh=sh)
    volume = replace(VOLUME, tokens=(token,), slots=(Slot(0), Slot(1)))
    layout = make([Disk("disk:1", (), 1 << 30, "/dev/sda"), volume])
    run.rebuilt = Rebuilt(Site(layout, {"disk:1": "/dev/sda"}), {"disk:1": "/dev/sda"})
    run.passphrases = {"luks:u": word} if word else {}
    run.recovery.differences = [f"{line} now" for line in notes(Site(layout, {}), CORE_KINDS)]
    run.recovery.differences += compare(make([volume]), make([replace(volume, tokens=(), slots=(Slot(0),))]))
    luks.enroll_again(run)
    return run


def test_what_needs_nobody_is_enrolled_and_proven(tmp_path: Path) -> None:
    sh = Header(tmp_path)
    run = recovered(tmp_path, TANG, sh)
    assert run.recovery.differences == []
    assert run.recovery.done == [f"LUKS volume u: enrolled again, and opens it: {TANG}"]
    assert f"chroot {tmp_path} {BIND}" in sh.asked
    assert sh.asked[-1].startswith(f"chroot {tmp_path} clevis luks pass -d /dev/sda -s 1 | cryptsetup open --test-")
    assert sh.secrets == [PASSPHRASE] and not any(PASSPHRASE in command for command in sh.asked)
    assert "headless" in (tmp_path / "etc/crypttab").read_text()


def test_one_that_does_not_open_the_volume_is_taken_out_again(tmp_path: Path) -> None:
    sh = Header(tmp_path, opens=False)
    run = recovered(tmp_path, TANG, sh)
    assert "cryptsetup luksKillSlot --batch-mode /dev/sda 1" in sh.asked
    assert run.recovery.done[0].startswith("/etc/crypttab: removed headless of vault")
    assert (tmp_path / "etc/crypttab").read_text() == "vault UUID=u none luks\n"
    assert run.recovery.rewritten == ["/etc/crypttab"]
    line = run.recovery.differences[-1]
    assert (
        len(run.recovery.differences) == 4
        and "did not open the volume, so that rear removed it again" in line
        and line.endswith(f"has started, run: {LATER}")
    )


@pytest.mark.parametrize(
    ("token", "word", "reason"),
    [
        (TPM2, PASSPHRASE, "the rescue system sees no TPM 2"),
        (replace(TPM2, beside=("tpm2-pin",)), PASSPHRASE, "only its owner can enroll it"),
        (Token(0, "systemd-fido2", (1,)), PASSPHRASE, "only its owner can enroll it"),
        (TANG, "", "this run does not know the passphrase"),
    ],
)
def test_what_cannot_be_enrolled_is_told_with_its_command(tmp_path: Path, token: Token, word: str, reason: str) -> None:
    sh = Header(tmp_path)
    run = recovered(tmp_path, token, sh, word)
    line = run.recovery.differences[-1]
    assert f"{token}: {reason}" in line and "when the system has started, run: " in line
    assert sh.asked == ["cryptsetup luksDump --dump-json-metadata /dev/sda"]


def test_one_that_is_there_stays(tmp_path: Path) -> None:
    """The volume stayed in place, or a run before this one has enrolled it."""
    run = recovered(tmp_path, TANG, Header(tmp_path, bound=["clevis"]))
    assert run.recovery.done == [] and not any("token 1" in line for line in run.recovery.differences)
