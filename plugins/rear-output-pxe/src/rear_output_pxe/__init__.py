# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=PXE: the rescue system in a TFTP tree, started over the network by PXELINUX, GRUB or iPXE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import Ask, ConfigurationError, RearError, Run, Setting, Step, hookimpl
from rear_core.places.url import ALL, Url, examples
from rear_core.settings.shared import KEEP_OLD_OUTPUT_COPY, OUTPUT_PREFIX, by_other_means

if TYPE_CHECKING:
    from rear_core.places.place import Place

# What kernel and rescue system have needed so far; the exact number is known when they are packed.
USUAL_SIZE = 200 << 20

INSTEAD_OF_PREFIX = "name the folder of this machine below rear/ in PXE_PREFIX"
INSTEAD_OF_OLD_COPY = "set PXE_KEEP=2 or more"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "OUTPUT_URL",
        Url,
        files=True,
        help="The folder that the TFTP server shows to its clients as its root: file:///srv/tftp,"
        " nfs://server/export/tftp, https://server/tftp, sftp://user@server/srv/tftp or"
        " rsync+ssh://user@server/srv/tftp.",
    )
    yield Setting(
        "OUTPUT_OPTIONS",
        str,
        help="Options for mounting OUTPUT_URL, such as vers=4.2; for sftp and rsync+ssh options of ssh_config, such as"
        " IdentityFile=/root/.ssh/rescue.",
    )
    yield by_other_means(OUTPUT_PREFIX, INSTEAD_OF_PREFIX)
    yield by_other_means(KEEP_OLD_OUTPUT_COPY, INSTEAD_OF_OLD_COPY)
    yield Setting(
        "PXE_PREFIX",
        str,
        check=_name,
        help="Name of the folder below rear/ for the rescue systems of this machine. If empty: the host name.",
    )
    yield Setting(
        "PXE_NODE_BY",
        str,
        default="mac",
        choices=("mac", "ip", "uuid"),
        help="How this machine finds its menu: by the MAC addresses of its cards, its IPv4 addresses (IPv6 if it has no"
        " others), or the UUID in its firmware.",
    )
    yield Setting(
        "PXE_NODES",
        list,
        check=_nodes,
        help="MAC addresses, IP addresses or UUIDs of the machines that get this menu, for example a replacement."
        " If empty: this machine.",
    )
    yield Setting(
        "PXE_DEFAULT",
        bool,
        default=False,
        help="Whether machines without their own menu also get this menu. rear then overwrites an existing default"
        " menu.",
    )
    yield Setting(
        "PXE_MENU",
        bool,
        default=False,
        help="Whether this machine has an entry in the menu of all machines of the tree, which machines without their"
        " own menu get. It starts nothing by itself but the first disk.",
    )
    yield Setting(
        "PXE_BOOT_LOADERS",
        str,
        default="missing",
        choices=("missing", "replace", "none"),
        help="Which installed boot loaders to copy to the server: only missing ones, all of them, replacing those on"
        " the server, or none.",
    )
    yield Setting(
        "PXE_HTTP_DOWNLOAD_URL",
        check=_http_url,
        help="URL by which an HTTP server shows the folder of OUTPUT_URL, such as http://192.0.2.1/tftp or"
        " http://[2001:db8::1]:8080. GRUB and iPXE then load kernel and rescue system from there, which is much faster"
        " than TFTP. If empty: by TFTP, as PXELINUX always does.",
    )
    yield Setting(
        "PXE_RECOVER_MODE",
        default="manual",
        choices=("manual", "unattended"),
        help="What a machine does by itself that starts from the network: manual leads to the menu of the rescue"
        " system, which overwrites nothing; unattended RECOVERS WITHOUT A QUESTION and overwrites its disks, at every"
        " start from the network.",
    )
    yield Setting(
        "PXE_KEEP",
        int,
        default=2,
        check=_at_least_one,
        help="How many versions of the rescue system to keep on the server, including the new one.",
    )


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask(
        "OUTPUT_URL",
        "The folder that the TFTP server shows to its clients: file:///srv/tftp, nfs://server/export/tftp,"
        " sftp://user@server/srv/tftp or rsync+ssh://user@server/srv/tftp",
        needed=True,
    )


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from rear_core.places.opening import missing_programs

    return missing_programs(run, place_url(run))


@hookimpl
def rear_media_reach() -> str:
    return "network"


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "output" in run.phases:
        yield Step(1, "Check that the settings of the network boot agree", check_settings, by_settings=True)
        yield Step(50, "Check the place and the menus of the network boot", check_place)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    yield Step(50, "Copy the rescue system and its menus to OUTPUT_URL", copy_rescue_system)


def place_url(run: Run) -> Url:
    """OUTPUT_URL, which must be set."""
    url: Url | None = run.settings["OUTPUT_URL"]
    if url is None:
        raise ConfigurationError("OUTPUT=PXE needs OUTPUT_URL, the folder of the TFTP server", examples(ALL))
    return url


@contextmanager
def opened_tree(run: Run) -> Iterator[Place]:
    """The TFTP tree; TFTP gives its files to whoever asks, so that its server need not be root to read them."""
    from rear_core.places.opening import opened_place
    from rear_core.places.place import PUBLIC

    with opened_place(run, place_url(run), run.settings["OUTPUT_OPTIONS"], mode=PUBLIC) as place:
        yield place


def check_place(run: Run) -> None:
    """Raise unless OUTPUT_URL can be written, the menus are right, and there will be a boot loader for this machine."""
    from rear_core.places import opening

    from . import shared_menu
    from .serving import check_answers
    from .tree import check_loaders, check_menus, warn_of_others

    warn_of_mode(run)
    warn_of_secrets(run)
    opening.check_place(run, place_url(run), run.settings["OUTPUT_OPTIONS"], USUAL_SIZE, "OUTPUT_URL")
    check_answers(run)
    with opened_tree(run) as place:
        check_menus(run, place)
        if run.settings["PXE_MENU"]:
            shared_menu.check(run, place)
        warn_of_others(run, place)
        check_loaders(run, place)


def check_settings(run: Run) -> None:
    """Raise unless the machines can get all parts, and one alone a menu that overwrites disks by itself."""
    from rear_core.archive.published import refuse_old_copy, refuse_prefix
    from rear_core.media.menu import recovers_by_itself

    place_url(run)
    refuse_prefix(run, INSTEAD_OF_PREFIX)
    refuse_old_copy(run, INSTEAD_OF_OLD_COPY, run.settings["PXE_KEEP"])
    if run.settings["PXE_MENU"] and run.settings["PXE_DEFAULT"]:
        raise ConfigurationError(
            "PXE_MENU and PXE_DEFAULT are two menus for machines that have none of their own", "remove one of them"
        )
    if run.settings["RESCUE_SPLIT"] and not run.settings["PXE_HTTP_DOWNLOAD_URL"]:
        raise ConfigurationError(
            "RESCUE_SPLIT needs PXE_HTTP_DOWNLOAD_URL: the rescue system takes its drivers by HTTP",
            "set the URL by which an HTTP server shows the folder of OUTPUT_URL, or remove RESCUE_SPLIT",
        )
    by_setting = run.settings["PXE_RECOVER_MODE"] == "unattended"
    if run.settings["PXE_DEFAULT"] and (by_setting or recovers_by_itself(run.settings["KERNEL_CMDLINE"])):
        mode = "PXE_RECOVER_MODE=unattended" if by_setting else "rear.auto=recover in KERNEL_CMDLINE"
        raise ConfigurationError(
            f"{mode} with PXE_DEFAULT=yes would overwrite the disks of every machine that starts from the network",
            f"name the machines in PXE_NODES and remove PXE_DEFAULT, or remove {mode}",
        )


def warn_of_mode(run: Run) -> None:
    """Say what a menu does that recovers by itself."""
    if run.settings["PXE_RECOVER_MODE"] != "manual":
        run.report.warn(
            "PXE_RECOVER_MODE=unattended: a machine that gets this menu overwrites its disks WITHOUT A QUESTION at"
            " every start from the network; when it has come back, have it start from its disk, or run `rear mkrescue`"
            " with PXE_RECOVER_MODE=manual"
        )


def warn_of_secrets(run: Run) -> None:
    """Say what of the configuration anybody on the network will be able to read."""
    names = ("SSH_HOST_KEYS", "SSH_ROOT_PASSWORD", "RESCUE_ALLOW_SECRETS", "RESCUE_WIRELESS")
    told = [name for name in names if run.settings[name]]
    if told:
        run.report.warn(f"anyone can read the files of a TFTP server, also what {', '.join(told)} adds")


def copy_rescue_system(run: Run) -> None:
    """Put a new version on the server, have the menus lead to it, then remove what is too old."""
    from . import shared_menu
    from .loaders import find_loaders
    from .serving import check_served
    from .tree import INITRAMFS, KERNEL, SUMS, boot_files, home, made_loaders, put_loaders, put_version, retire, switch

    url = place_url(run)
    with opened_tree(run) as place, made_loaders(run, place) as loaders:
        known = put_version(run, place)
        put_loaders(run, place, loaders)
        check_served(run, place, f"{home(run)}/{known[-1].name}/{SUMS}")
        in_menu = run.settings["PXE_MENU"]
        switch(run, place, known, shared_menu.own_menus(run) if in_menu else {})
        if in_menu:
            shared_menu.join(run, place)
        try:
            retire(run, place, known)
        except RearError as error:
            run.report.warn(f"old versions of the rescue system stay on the server: {error.message}")
    folder = f"{home(run)}/{known[-1].name}"
    if url.scheme == "file":
        run.results += [Path(url.path, folder, name) for name in (KERNEL, INITRAMFS)]
    run.report.say(f"Copied to {url}/{folder}")
    if run.settings["PXE_BOOT_LOADERS"] != "none":
        for name, what in {**boot_files(find_loaders(run)), "boot.ipxe": "iPXE"}.items():
            run.report.say(f"  boot file for {what}: {name}")


def _name(value: str) -> str:
    import re

    return "" if re.fullmatch(r"[\w.-]*", value, re.ASCII) and not value.startswith(".") else "must be a plain name"


def _http_url(value: str) -> str:
    import re

    from rear_core.places.url import HTTP, parse_url

    try:
        path = parse_url(f"{value}/", (HTTP,)).path if value else ""
    except ValueError as error:
        return str(error)
    return "" if re.fullmatch(r"[\w./~-]*", path, re.ASCII) else "must have a path of letters, digits and . _ ~ -"


def _nodes(value: Sequence[str]) -> str:
    from .nodes import node

    for word in value:
        try:
            node(word)
        except ValueError as error:
            return str(error)
    return ""


def _at_least_one(value: int) -> str:
    return "" if value >= 1 else "must be 1 or more"
