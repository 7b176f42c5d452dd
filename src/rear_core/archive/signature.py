# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of backups, by a key that this machine alone has; its rescue media have what verifies them.

ECDSA on the curve P-256 with SHA-256 (FIPS 186-5), by `openssl dgst`. Ed25519 would do as well, but the openssl of
Debian 11 and RHEL 8 (1.1.1) cannot sign with it, and FIPS mode does not allow it everywhere.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import durable
from ..errors import ProgramFailed, RearError

if TYPE_CHECKING:
    from ..run import Run

KEY = "signing-key.pem"


def key_path(run: Run) -> Path:
    """The private key: never on rescue media and in no backup, where others could read it."""
    return run.var_dir / KEY


def make_key(run: Run) -> None:
    """Make the key of this machine, unless it has one or has no openssl; a warning where it cannot be kept."""
    path = key_path(run)
    if path.exists() or run.sh.which("openssl") is None:
        return
    with tempfile.TemporaryDirectory(dir=run.build_dir) as work:
        new = Path(work, KEY)
        run.sh.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", new)
        try:
            durable.write(path, new.read_text())
        except RearError as error:
            run.report.warn(f"{error.message}: backups are not signed until it can be")
            return
    run.report.detail(f"A new key in {path} signs the backups; rescue media from before do not know it")


def public_key(run: Run) -> str:
    """What verifies this machine's signatures, as PEM; "" while it has no key."""
    path = key_path(run)
    return run.sh.query("openssl", "pkey", "-in", path, "-pubout") if path.exists() else ""


def sign(run: Run, text: bytes) -> str:
    """The signature of a text, in base64; "" while this machine has no key."""
    if not key_path(run).exists():
        return ""
    with tempfile.TemporaryDirectory(dir=run.build_dir) as work:
        signed, signature = Path(work, "text"), Path(work, "signature")
        signed.write_bytes(text)
        try:
            run.sh.run("openssl", "dgst", "-sha256", "-sign", key_path(run), "-out", signature, signed)
        except ProgramFailed as error:
            hint = f"if its key {key_path(run)} is damaged, remove it, and make rescue media that know the new one"
            raise RearError(f"the backup cannot be signed: {error.message}", hint) from error
        return base64.b64encode(signature.read_bytes()).decode()


def verify(run: Run, text: bytes, signature: str, public_keys: Iterable[str]) -> bool:
    """Whether one of these keys has signed a text."""
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
            if run.sh.run(*argv, ok=(0, 1)).status == 0:
                return True
    return False
