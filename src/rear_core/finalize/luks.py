# SPDX-License-Identifier: GPL-3.0-or-later
"""Enrolls the tokens of LUKS volumes again: a TPM, Clevis; what cannot be enrolled here is told with its command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import recovered
from ..boot.chroot import has_program, run_inside
from ..errors import RearError
from ..storage.compare import compare
from ..storage.layout import make
from ..storage.technologies.luks import Luks, Token
from ..storage.technologies.luks.references import without_traps
from ..storage.technologies.luks.tokens import TPM2

if TYPE_CHECKING:
    from ..run import Run

CRYPTTAB = "/etc/crypttab"


def enroll_again(run: Run) -> None:
    """Enroll each token that was lost, prove that it opens its volume, and say what is left to do by hand.

    The system asks for the passphrase of a volume that no token opens.
    """
    assert run.rebuilt is not None
    for volume in run.rebuilt.site.layout.of(Luks):
        if not volume.tokens:
            continue
        try:
            if not _opened_by_tokens(run, volume, run.rebuilt.device(volume.needs[0])):
                _have_it_ask(run, volume)
        except RearError as error:
            # The system can start without any.
            run.recovery.differences.append(f"{volume}: its tokens could not be enrolled again: {error.message}")
            _have_it_ask(run, volume)


def _opened_by_tokens(run: Run, volume: Luks, device: str) -> bool:
    """Whether a token opens the volume, after all that can be enrolled here were enrolled."""
    lost = [token for token in volume.tokens if not _has(run, device, token)]
    left = [token for token in lost if not _renewed(run, volume, device, token)]
    # The plan and the comparison of the storage have said what holds no longer.
    notes = tuple(f"{volume}: the {token} is lost" for token in volume.tokens if token not in left)
    told = [] if left else _told_of(volume, lost)
    differences = run.recovery.differences
    differences[:] = [line for line in differences if line not in told and not line.startswith(notes)]
    left += [token for token in volume.tokens if token not in lost and _is_of_another(run, volume, device, token)]
    return len(left) < len(volume.tokens)


def _renewed(run: Run, volume: Luks, device: str, token: Token) -> bool:
    """Whether a token could be enrolled again; if not, the report has the command that does it later."""
    reason = _hindrance(run, volume, token)
    try:
        if not reason:
            _enroll(run, volume, device, token)
            run.recovery.done.append(f"{volume}: enrolled again, and opens it: {token}")
            return True
    except RearError as error:
        reason = error.message
    line = f"{volume}: not enrolled again: {token}: {reason}"
    if command := token.enrolling(f"/dev/disk/by-uuid/{volume.uuid}"):
        line += f"; when the system has started, run: {shlex.join(command)}"
    run.recovery.differences.append(line)
    return False


def _told_of(volume: Luks, lost: Sequence[Token]) -> list[str]:
    """What the comparison of the storage has said of these tokens and of their slots."""
    slots = {slot for token in lost for slot in token.slots}
    without = replace(
        volume,
        tokens=tuple(token for token in volume.tokens if token not in lost),
        slots=tuple(slot for slot in volume.slots if slot.number not in slots),
    )
    return compare(make([volume]), make([without]))


def _is_of_another(run: Run, volume: Luks, device: str, token: Token) -> bool:
    """Whether a token that came back with the header does not open the volume here; the report has the command that
    takes its place."""
    if volume.id not in run.headers or token.kind != TPM2:
        return False
    try:
        _prove(run, device, token, str(token.number), "")
    except RearError:
        argv = token.enrolling(f"/dev/disk/by-uuid/{volume.uuid}")
        run.recovery.differences.append(
            f"{volume}: {token} is back, and opens the volume only with the TPM and the start that it was made with;"
            f" where it does not, run: {shlex.join((argv[0], '--wipe-slot=tpm2', *argv[1:]))}"
        )
        return True
    return False


def _hindrance(run: Run, volume: Luks, token: Token) -> str:
    """Why a token cannot be enrolled here and now, "" where nothing is known to be in the way."""
    if not token.needs_nobody:
        return "only its owner can enroll it"
    if missing := [name for name in (token.enrolling("")[0], "cryptsetup") if not has_program(run, name)]:
        return f"the recovered system has no {missing[0]}"
    if token.is_of_tpm and not Path("/dev/tpmrm0").exists():
        return "the rescue system sees no TPM 2"
    if others := token.otherwise():
        return f"PCR {others} of the TPM had another value when the machine was described"
    return "" if _passphrase(run, volume) else "this run does not know the passphrase, which an earlier one has set"


def _passphrase(run: Run, volume: Luks) -> str:
    return run.passphrases.get(volume.id) or str(run.settings["LUKS_PASSPHRASE"])


def _tokens(run: Run, device: str) -> dict[str, Any]:
    """The tokens of a volume's header by their numbers, none of LUKS 1."""
    area = json.loads(run.sh.query("cryptsetup", "luksDump", "--dump-json-metadata", device))
    return dict(area["tokens"])


def _has(run: Run, device: str, token: Token) -> bool:
    """Whether the volume has such a token: it stayed in place, or a run before this one has enrolled it."""
    return any(found["type"] == token.kind for found in _tokens(run, device).values())


def _enroll(run: Run, volume: Luks, device: str, token: Token) -> None:
    """Enroll a token; one that does not open the volume is taken out again."""
    before, word, argv = _tokens(run, device), _passphrase(run, volume), token.enrolling(device)
    if token.kind == TPM2:
        # systemd before 252 takes it from nowhere else; the program removes it from its environment at once.
        run_inside(run, *argv, env={"PASSWORD": word})
    else:
        run_inside(run, *argv[:3], "-k", "-", *argv[3:], input=word)
    new = {number: found for number, found in _tokens(run, device).items() if number not in before}
    if not new:
        raise RearError(f"{argv[0]} reported no error, but the volume has no new token")
    ((number, found),) = new.items()
    try:
        _prove(run, device, token, number, found["keyslots"][0])
    except RearError as error:
        for slot in found["keyslots"]:
            run.sh.run("cryptsetup", "luksKillSlot", "--batch-mode", device, slot)
        run.sh.run("cryptsetup", "token", "remove", f"--token-id={number}", device, ok=(0, 1))
        raise RearError(f"it did not open the volume, so that rear removed it again: {error.message}") from error


def _prove(run: Run, device: str, token: Token, number: str, slot: str) -> None:
    """Raise `RearError` unless the token opens the volume."""
    test = ("cryptsetup", "open", "--test-passphrase")
    if token.kind == TPM2:
        run_inside(run, *test, "--token-only", f"--token-id={number}", device)
        return
    unlocking = ("chroot", run.target, "clevis", "luks", "pass", "-d", device, "-s", slot)
    run.sh.pipe(unlocking, (*test, f"--key-slot={slot}", "--key-file=-", device), timeout=120)


def _have_it_ask(run: Run, volume: Luks) -> None:
    """Take out of crypttab what keeps the system from asking for the passphrase."""
    path = recovered.inside(run.target, CRYPTTAB)
    if not path.is_file():
        return
    text = recovered.read(path)
    changed, words = without_traps(text, volume.name)
    if words:
        recovered.replace(path, changed)
        run.recovery.rewritten.append(CRYPTTAB)
        run.recovery.done.append(
            f"{CRYPTTAB}: removed {' '.join(words)} of {volume.name}, so that the system asks for the passphrase"
        )
