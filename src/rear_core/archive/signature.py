# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of backups, by a key that this machine alone has; its rescue media have what verifies them.

ECDSA on the curve P-256 with SHA-256 (FIPS 186-5), by `openssl dgst`. Ed25519 would do as well, but the openssl of
Debian 11 and RHEL 8 (1.1.1) cannot sign with it, and FIPS mode does not allow it everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import durable
from ..errors import ProgramFailed, RearError
from .described import signers

if TYPE_CHECKING:
    from ..run import Run

KEY = "signing-key.pem"
REMOVE_IT = "restore the right key; or remove it and create new rescue media: only they will know the new key"


def key_path(run: Run) -> Path:
    """The private key: never on rescue media and in no backup, where others could read it."""
    return run.var_dir / KEY


def make_key(run: Run) -> None:
    """Make the key of this machine, unless it has one or has no openssl; a warning where it cannot be kept."""
    path = key_path(run)
    if os.path.lexists(path):
        check_key(path)
        return
    if run.sh.which("openssl") is None:
        return
    with tempfile.TemporaryDirectory(dir=run.build_dir) as work:
        new = Path(work, KEY)
        run.sh.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", new)
        try:
            durable.write(path, new.read_text())
        except RearError as error:
            run.report.warn(f"{error.message}: rear cannot sign backups until this is corrected")
            return
    if signers(run) and "output" not in run.phases:
        run.report.warn(f"the key {path} is missing; a new one signs the backups, and only new rescue media know it")
    else:
        run.report.detail(f"A new key in {path} signs the backups; older rescue media do not know it")


def check_key(path: Path) -> None:
    """Raise `RearError` for a key that is none, or that others can read."""
    if not path.is_file():
        raise RearError(f"the key {path} that signs the backups is not a file", REMOVE_IT)
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise RearError(
            f"the key {path} that signs the backups can be read by others", f"chmod 600 {path}, or {REMOVE_IT}"
        )


def public_key(run: Run) -> str:
    """What verifies this machine's signatures, as PEM; "" while it has no key."""
    path = key_path(run)
    if not path.exists():
        return ""
    check_key(path)
    try:
        # Whoever made a key with a passphrase is not asked for it.
        return run.sh.query("openssl", "pkey", "-in", path, "-passin", "pass:", "-pubout")
    except ProgramFailed as error:
        raise RearError(f"the key {path} that signs the backups is damaged", REMOVE_IT) from error


def mark(public: str) -> str:
    """What a public key is known by where there is no room for a signature: 32 hexadecimal digits, "" for none."""
    return hashlib.sha256(public.strip().encode()).hexdigest()[:32] if public else ""


def own_mark(run: Run) -> str:
    """The mark of this machine's key; "" while it has none."""
    return mark(public_key(run))


def known_marks(run: Run) -> set[str]:
    """The marks of the keys that have signed for this machine."""
    return {mark(key) for key in (public_key(run), *signers(run)) if key}


def is_other(found: str, known: Collection[str]) -> bool:
    """Whether what bears a mark is another machine's, though that has the same identity; not without keys."""
    return bool(found and known) and found not in known


def sign(run: Run, text: bytes) -> str:
    """The signature of a text, in base64; "" while this machine has no key."""
    if not key_path(run).exists():
        return ""
    with tempfile.TemporaryDirectory(dir=run.build_dir) as work:
        signed, signature = Path(work, "text"), Path(work, "signature")
        signed.write_bytes(text)
        try:
            command = "openssl", "dgst", "-sha256", "-passin", "pass:", "-sign", key_path(run)
            run.sh.run(*command, "-out", signature, signed)
        except ProgramFailed as error:
            raise RearError(f"the backup cannot be signed by {key_path(run)}: openssl failed", REMOVE_IT) from error
        return base64.b64encode(signature.read_bytes()).decode()


def verify(run: Run, text: bytes, signature: str, public_keys: Iterable[str]) -> bool:
    """Whether one of these keys has signed a text; `RearError` when openssl cannot tell."""
    with tempfile.TemporaryDirectory(dir=run.build_dir) as work:
        signed, made, key = Path(work, "text"), Path(work, "signature"), Path(work, "key")
        signed.write_bytes(text)
        try:
            made.write_bytes(base64.b64decode(signature, validate=True))
        except ValueError:
            return False
        for public in public_keys:
            key.write_text(public)
            argv = "openssl", "dgst", "-sha256", "-verify", key, "-signature", made, signed
            ended = run.sh.run(*argv, ok=(0, 1))
            if ended.status == 0:
                return True
            if not re.search("verif|signature|public key", ended.stdout + ended.stderr, re.IGNORECASE):
                raise RearError(
                    "openssl cannot verify the signature of the backup", "check whether `openssl version` works"
                )
    return False
