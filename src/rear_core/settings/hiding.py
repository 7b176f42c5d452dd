# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a configuration may be shown: nothing that is a passphrase, or might be one."""

from __future__ import annotations

import re
from collections.abc import Callable

# Words in names of variables and options whose values are secrets: BACKUP_KEY, --password, /etc/shadow.
_SECRET = re.compile("PASS|PWD|PHRASE|CRED|SECRET|TOKEN|TKN|KEY(?!MAP|BOARD)|CRYPT|AUTH|SHADOW", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w*")
# `NAME=`, `NAME+=`, `NAME =`, `"NAME"=`, `NAME[0]=` and `${NAME:=`.
_ASSIGNS = re.compile(r"""["']?(?:\[[^]\n]*\])?[ \t]*[:+]?=""")
# A password may have any sign, also @ and /.
_USER = re.compile("://.*@", re.DOTALL)
_USER_IN_TEXT = re.compile(r"://[^\s/]*@")
# What is before a password in the options of usual programs, and the password: curl -u NAME:PASSWORD, smbclient -U
# NAME%PASSWORD (`host:/folder` is none), sshpass -p PASSWORD, mysqldump -pPASSWORD.
IN_OPTIONS = (
    re.compile(
        r"""((?<![\w-])(?:-[uU]|--(?:proxy-)?user)[ \t=]*(?P<quote>["'])?[^\s:%"'/]+[:%](?![/:]))"""
        r"""(?(quote)(?:(?!(?P=quote))[^\n])+|[^\s"']+)"""
    ),
    re.compile(
        r"""(\b(?:sshpass[ \t]+-p[ \t]*|(?:mysql|mariadb)\w*[ \t](?:[^\n;|&]{0,200}?[ \t])?-p(?=\S)))"""
        r"""(?:'[^'\n]*'|"[^"\n]*"|[^\s"']+)"""
    ),
)


def is_secret(name: str) -> bool:
    """Whether a name sounds like that of a secret."""
    return bool(_SECRET.search(name))


def hidden(text: str, is_public: Callable[[str], bool]) -> str:
    """A text up to the first name of a secret, or to which something is assigned and whose value is not public.

    What follows may be a passphrase in any quotes, over any number of lines. Of URLs users and passwords are left out,
    and passwords in options.
    """
    text = _USER.sub("://...@", text).replace("\0", "\\0")
    for option in IN_OPTIONS:
        text = option.sub(r"\1...", text)
    for name in _NAME.finditer(text):
        assigns = _ASSIGNS.match(text, name.end())
        if is_secret(name[0]) or (assigns and not is_public(name[0])):
            return f"{text[: assigns.end() if assigns else name.end()]}..."
    return text


def hidden_in_comment(text: str) -> str:
    """A comment up to the value that was once assigned to the name of a secret, without users and passwords of URLs."""
    text = _USER_IN_TEXT.sub("://...@", text).replace("\0", "\\0")
    for name in _NAME.finditer(text):
        assigns = _ASSIGNS.match(text, name.end())
        if assigns and is_secret(name[0]):
            return f"{text[: assigns.end()]}..."
    return text
