# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of Windows, Samba and storage boxes, mounted by mount.cifs(8) with credentials that no medium carries."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .. import questions
from ..contents import Contents
from ..errors import Refused
from ..first_setup import Ask, SecretFile, SecretLine
from ..trust import check_secret
from .mounted import mounted, words
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

# Where the server does not know modes, all on the share belongs to root alone here.
OPTIONS = "nodev,nosuid,soft,uid=0,gid=0,forceuid,forcegid,file_mode=0600,dir_mode=0700"
CLIENT = Contents(
    programs=["mount", "umount", "mount.cifs"],
    # Asked for by the kernel when it signs, encrypts and reads names.
    modules=[
        "cifs",
        "ccm",
        "gcm",
        "cmac",
        "hmac",
        "ecb",
        "md5",
        "sha256",
        "sha512",
        "aes",
        "nls_utf8",
        "nls_iso8859-1",
    ],
)
ASKS = (
    Ask(
        "CIFS_CREDENTIALS",
        "User and password of the share",
        file=SecretFile(
            "cifs.credentials",
            (
                SecretLine("User", "username=", shown=True),
                SecretLine("Password", "password="),
                SecretLine("Domain, or Enter for none", "domain=", shown=True, optional=True),
            ),
        ),
    ),
)
# Words by which the administrator logs in otherwise: mount.cifs(8).
OWN_LOGIN = re.compile(r"(^|,)(guest|cred(entials)?=|user(name)?=|sec=(krb5i?|none)\b)")


@contextmanager
def cifs(run: Run, url: Url, options: str, patience: float) -> Iterator[Path]:
    """A share, or a folder of one."""
    if not run.sh.which("mount.cifs"):
        raise Refused(f"{url} cannot be mounted without mount.cifs", run.plugins.install_advice(["mount.cifs"]))
    login, env = _login(run, url, options)
    command = ["mount", "--types", "cifs", "--options", words(OPTIONS, login, options), f"//{url.host}{url.path}"]
    with mounted(run, url, command, patience, env) as directory:
        yield directory


def _login(run: Run, url: Url, options: str) -> tuple[str, Mapping[str, str]]:
    """A word for mount(8), or what mount.cifs has from the environment: there no other process sees a password."""
    path = Path(run.settings["CIFS_CREDENTIALS"])
    if OWN_LOGIN.search(options):
        return "", {}
    if path != Path() and (not run.only_reads or os.path.lexists(path)):
        check_secret(path, "CIFS_CREDENTIALS")
        return f"credentials={path}", {}
    if not questions.is_interactive(run):
        raise Refused(
            f"{url} needs a user and a password",
            "set CIFS_CREDENTIALS to a file with username= and password=, or use a terminal; rescue media do not have"
            " that file, so put it there before a recovery with -n",
        )
    return "", _asked(run, url)


def _asked(run: Run, url: Url) -> Mapping[str, str]:
    """Ask for user and password, once in a run."""
    if str(url) not in run.passphrases:
        quits = f"stopped before {url} was mounted, as requested"
        user = url.user or questions.ask(run, f"User of {url} (DOMAIN\\user for one of a domain): ", quits=quits)
        secret = questions.ask_secret(run, f"Password of {user}: ")
        run.report.mask(secret)
        run.passphrases[str(url)] = f"{user}\n{secret}"
    user, _, secret = run.passphrases[str(url)].partition("\n")
    return {"USER": user, "PASSWD": secret}
