# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue system as an entry of GRUB's menu on the machine that it is made for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .. import durable, recovered
from ..errors import RearError, Refused
from . import grub_menu
from .grub_renew import GENERATED
from .loader import RescueMenu

if TYPE_CHECKING:
    from ..run import RescueImage, Run

ROOT = Path("/")
SCRIPT = "/etc/grub.d/45_rear"
PROGRAMS = ("grub2-mkconfig", "grub-mkconfig")
# Relax-and-Recover has a script of that name, too.
MARK = "# Written by rear for GRUB_RESCUE=yes"
# Run by grub-mkconfig, which exports what it uses. The entry itself is quoted: GRUB's words are no shell's.
TEXT = """\
#!/bin/sh
{mark}; without it, rear removes this file again.
set -e
. "$pkgdatadir/grub-mkconfig_lib"
folder=$(make_system_path_relative_to_its_root {folder})
cat <<'END'
menuentry 'Relax-and-Recover' --id rear-rescue {access}{{
END
prepare_grub_to_access_device "$(${{grub_probe}} --target=device {folder})"
echo "linux $folder/{kernel} "{arguments}
echo "initrd $folder/{initramfs}"
echo '}}'
"""


def offer(run: Run, image: RescueImage | None) -> None:
    """Have GRUB's menu start the rescue system, which lies below /boot; without one, no longer.

    Raises `RearError` if the menu cannot be updated; it is then as it was.
    """
    script = recovered.inside(ROOT, SCRIPT)
    before = recovered.read(script) if script.is_file() else None
    after = entry(image, run.settings["GRUB_RESCUE_USER"]) if image else None
    if after is None and (before is None or MARK not in before):
        return
    try:
        _put(script, after)
        _renew(run)
        if image and f"{image.kernel}" not in [each.kernel for each in grub_menu.entries(ROOT)]:
            raise RearError(f"GRUB's menu does not name {image.kernel}", f"run {program(run)}, and see what it says")
    except BaseException:
        _put(script, before)
        with suppress(RearError):
            _renew(run)
        raise


def _put(script: Path, text: str | None) -> None:
    if text is None:
        script.unlink(missing_ok=True)
    else:
        durable.write(script, text)
        script.chmod(0o755)


def _renew(run: Run) -> None:
    for menu in menus():
        run.sh.run(program(run), f"--output={menu}", timeout=600)


def check(run: Run) -> None:
    """Raise `Refused` where GRUB's menu is not one that grub-mkconfig has made, or somebody else has our script."""
    script = recovered.inside(ROOT, SCRIPT)
    if script.is_file() and MARK not in recovered.read(script):
        raise Refused(f"{SCRIPT} was not written by rear, and GRUB_RESCUE would replace it", "move it away")
    if not menus():
        raise Refused("GRUB's menu was not made by grub-mkconfig", "set GRUB_RESCUE=no, and add an entry by hand")
    program(run)


def menus() -> list[str]:
    """The menus that grub-mkconfig has made."""
    found = [each for pattern in grub_menu.CONFIGURATIONS for each in recovered.find(ROOT, pattern)]
    return [name for name, path in found if GENERATED in recovered.read(path)]


def program(run: Run) -> str:
    """The name of grub-mkconfig here; raises `Refused`."""
    for name in PROGRAMS:
        if run.sh.which(name):
            return name
    raise Refused("GRUB_RESCUE needs grub-mkconfig", run.plugins.install_advice(PROGRAMS[-1:]))


def entry(image: RescueImage, user: str) -> str:
    """The script that adds the entry; `user` is a superuser of GRUB, "unrestricted", or empty."""
    access = "--unrestricted " if user == "unrestricted" else f"--users {user} " if user else ""
    return TEXT.format(
        mark=MARK, folder=image.kernel.parent, kernel=image.kernel.name, initramfs=image.initramfs.name, access=access,
        arguments=_quoted(image.command_line),
    )  # fmt: skip


def _quoted(words: str) -> str:
    """For the shell, and each word for GRUB: it takes nothing in single quotes for its own."""
    for_grub = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words.split())
    return "'" + for_grub.replace("'", "'\\''") + "'"


MENU = RescueMenu(check, offer)
