# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the generated pages of docs/reference and the manual page: `python tools/reference.py [--check]`.

What the code knows is written there once, in docstrings, declarations and help texts; these pages only present it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from interface import GENERATED, described, interface_page, technologies_page

from rear_core import builtin, hookspecs
from rear_core.cli import COMMANDS, rear
from rear_core.cli.manual import page
from rear_core.cli.session import settings_of
from rear_core.plugins import discover, load
from rear_core.run import Options
from rear_core.settings import Setting, quote
from rear_core.workflow import WORKFLOWS

DOCS = Path(__file__).parent.parent / "docs"
# What is tested is no part of what is installed.
TESTS = str(DOCS.parent / "tests")
# What makes a plugin of each kind active.
SELECTED = {"backup": "BACKUP: {}", "output": "OUTPUT: {}", "os": "/etc/os-release, OS_FAMILY: {}", "extra": "always"}
# By how the names of their layouts begin, the first that fits.
TECHNOLOGIES = {
    "md": "Linux software RAID (md)", "lvm": "LVM", "luks": "LUKS", "btrfs": "btrfs", "ext": "ext2, ext3, ext4",
    "xfs": "XFS", "vfat": "FAT", "swap": "Swap", "mbr": "MBR", "gpt": "GPT", "4Kn": "Disks with sectors of 4096 bytes",
    "multipath": "Multipath disks", "bcache": "bcache (plugin rear-storage-bcache)", "": "Others",
}  # fmt: skip
STORAGE = """\
Each of these layouts is made with the tools that administrators use, described, lost, and recreated on other disks, in
a guest of user-mode Linux ([how](../explanation/tested.md)). `make test` does so with some of each technology,
`make test-vm` with all.

- "as it was": neither `rear` nor the tools of the technology see a difference.
- "grown": it is larger, as its disks are; `rear` sees no other difference, and what the tools print is not compared.
- "said": something is not as it was. `rear savelayout` and the plan say so beforehand.
- "refused": it cannot be recreated. `rear savelayout` refuses it by name, while the machine is still there.

File systems are without files here; those of whole machines are compared [elsewhere](../explanation/tested.md).
"""
COMPARED = """\
## Compared only

Of these the tests only have what the tools print. What `rear` makes of it is compared with what is expected; no disk
was ever recreated by it.
"""
MACHINES = """\
# Machines

Each of these was recovered and started: it saves itself with `rear mkbackup`, loses its disks, is recovered from its
rescue media with 1 GiB of memory, and starts. Then its files and what its tools say are compared
([how](../explanation/tested.md)). All run in QEMU, and `make test-vm` runs all of them.

"The way of" a distribution means that what rear touches is as there, made of packages of Debian: no package of that
distribution ran. Where two are named, as in "virtio to nvme", the second is what the machine was recovered to. Sticks,
tapes, discs, network boot and the other methods recover other machines, which [another page](../explanation/tested.md)
tells.
"""
COLUMNS = (
    "Machine", "Distribution", "Architecture", "Firmware", "Boot loader", "Root file system", "Network", "Rescue media",
    "Backup", "Disks", "What else it shows",
)  # fmt: skip
RELEASES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13", "forky": "Debian 14 (forky)"}
FIRMWARES = {"bios": "BIOS", "uefi": "UEFI", "secureboot": "UEFI, Secure Boot"}


def pages() -> dict[Path, str]:
    """The text of every generated page by its path."""
    return {
        DOCS / "reference" / "hooks.md": hooks_page(),
        DOCS / "reference" / "settings.md": settings_page(),
        DOCS / "reference" / "commands.md": commands_page(),
        DOCS / "reference" / "packages.md": packages_page(),
        DOCS / "reference" / "plugin-interface.md": interface_page(),
        DOCS / "reference" / "storage.md": storage_page(),
        DOCS / "reference" / "machines.md": machines_page(),
        DOCS / "reference" / "technologies.md": technologies_page(),
        DOCS / "rear.8": "\n".join(page(core_context())) + "\n",
    }


def machines_page() -> str:
    """Every machine that whole recoveries are shown on."""
    sys.path.append(TESTS)
    from lab import backups, designs

    media = [re.findall("OUTPUT=([A-Z]+)", text)[0] for text in (backups.ON_DISK, backups.ON_NFS)]
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for design in designs.ALL:
        buses = [sorted({drive.bus for drive in drives}) for drives in (design.drives, design.new_drives) if drives]
        method = (re.findall("BACKUP=([A-Z]+)", design.configuration) or ["NFS"])[0]
        release = RELEASES[design.release.suite]
        cells = (
            f"`{design.name}`",
            f"the way of {design.way}, of {release}" if design.way else release,
            design.release.machine,
            " to ".join(FIRMWARES[name] for name in (design.firmware, design.new_firmware) if name),
            design.loader,
            design.root,
            design.network,
            media[design.on_nfs],
            f"{method}, {'a server' if design.on_nfs else 'a disk'}",
            " to ".join(" ".join(bus) for bus in buses),
            design.about,
        )
        rows.append(cells)
    return "\n".join([GENERATED, MACHINES, *(f"| {' | '.join(cells)} |" for cells in rows), ""])


def hooks_page() -> str:
    """Every hook in the order of hookspecs.py, with its signature."""
    parts = [GENERATED, "# Hooks\n", inspect.getdoc(hookspecs) or "", ""]
    for name, function in vars(hookspecs).items():
        if name.startswith("rear_"):
            signature = str(inspect.signature(function)).replace("'", "")
            parts += [f"## {name}{signature}\n", described(inspect.getdoc(function) or ""), ""]
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting of the core and of the plugins in this checkout, grouped by distribution."""
    groups: dict[str, list[Setting]] = {"rear-core": []}
    for module in builtin.modules():
        groups["rear-core"] += getattr(module, "rear_settings", list)()
    for plugin in discover():
        known = groups.setdefault(plugin.distribution, [])
        known += [setting for setting in settings_of(plugin) if setting.name not in {k.name for k in known}]
    parts = [GENERATED, "# Settings\n", "`rear config default` prints the same as a commented default.conf.\n"]
    for distribution, settings in sorted(groups.items(), key=lambda group: (group[0] != "rear-core", group[0])):
        if settings:
            parts.append(f"## {distribution}\n")
            parts += [_setting(setting) for setting in sorted(settings, key=lambda setting: setting.name)]
    return "\n".join(parts)


def _setting(setting: Setting) -> str:
    facts = [setting.type.__name__, f"default `{quote(setting.default)}`"]
    if setting.choices:
        facts.append("one of " + ", ".join(f"`{choice}`" for choice in setting.choices))
    if setting.secret:
        facts.append("secret")
    if setting.environment:
        facts.append("also from the environment")
    if setting.aliases:
        facts.append("also read as " + ", ".join(f"`{alias}`" for alias in setting.aliases))
    return f"### {setting.name}\n\n{'; '.join(facts)}.\n\n{_literal(setting.help)}\n"


def _literal(text: str) -> str:
    """Text whose names in angle brackets are no elements of HTML."""
    return text.replace("<", "\\<")


def commands_page() -> str:
    """Every command of the core and of the plugins in this checkout, with its options."""
    context = core_context()
    parts = [GENERATED, "# Commands\n", "```text", context.get_help(), "```\n"]
    for name, command, inner in _commands(context, ""):
        parts += [f"## rear {name}\n", "```text", command.get_help(inner), "```\n"]
    for plugin in discover():
        for command in getattr(load(plugin).module, "rear_commands", list)():
            inner = _context(command, str(command.name), context)
            parts += [f"## rear {command.name}\n", f"Of the package {plugin.distribution}.\n"]
            parts += ["```text", command.get_help(inner), "```\n"]
    parts += ["## Workflows\n", "[Phases and scripts](scripts.md) says what each phase does.\n"]
    parts += [f"- `rear {name.replace('-', ' ')}`: {', '.join(phases)}" for name, phases in WORKFLOWS.items()]
    return "\n".join(parts) + "\n"


def packages_page() -> str:
    """Every distribution of this checkout with what it is for and what selects its plugins."""
    names: dict[tuple[str, str], list[str]] = {}
    for plugin in discover():
        names.setdefault((plugin.distribution, plugin.kind), []).append(f"`{plugin.name}`")
    parts = [GENERATED, "# Packages\n"]
    parts += ["Each is installed by pip, beside rear-core; `rear plugins list` shows what is there.\n"]
    parts += ["| Package | Selected by | What it is |", "| --- | --- | --- |"]
    for (distribution, kind), known in sorted(names.items()):
        what = metadata.metadata(distribution)["Summary"]
        parts.append(f"| `{distribution}` | {SELECTED[kind].format(' '.join(known))} | {what} |")
    return "\n".join(parts) + "\n"


def storage_page() -> str:
    """Every layout that the tests recreate, with its verdict, and the recordings that are only compared."""
    sys.path.append(TESTS)
    from machines import compared
    from uml import layouts

    parts = [GENERATED, "# Storage that comes back\n", STORAGE]
    chapters: dict[str, list[str]] = {technology: [] for technology in TECHNOLOGIES.values()}
    for row in layouts.ALL:
        technology = next(TECHNOLOGIES[begin] for begin in TECHNOLOGIES if row.name.startswith(begin))
        verdict = _verdict(row.name, row.larger, layouts.KNOWN)
        chapters[technology].append(f"| {row.name} | {_disks(row)} | {verdict} |")
    for technology, rows in chapters.items():
        parts += [f"## {technology}\n", "| Layout | Disks | Verdict |", "| --- | --- | --- |", *rows, ""]
    parts += [COMPARED, "| Storage | What becomes of it | Compared in | Why it is not run |"]
    parts += ["| --- | --- | --- | --- |"]
    parts += [f"| {row.storage} | {row.outcome} | `{row.test}` | {row.reason} |" for row in compared.ALL]
    return "\n".join(parts) + "\n"


def _disks(row: Any) -> str:
    """How many disks a layout lies on, and what is unusual about them."""
    words = [str(row.disks)]
    if row.larger:
        words.append(f"{row.larger} MiB larger than before")
    if row.sector_size != 512:
        words.append(f"sectors of {row.sector_size} bytes")
    if row.paths > 1:
        words.append(f"{row.paths} paths")
    return ", ".join(words)


def _verdict(name: str, larger: int, known: Mapping[str, Any]) -> str:
    if name not in known:
        return "grown" if larger else "as it was"
    return f"{type(known[name]).__name__.lower()}: {known[name].why}"


def core_context() -> click.Context:
    """A context of the command without plugins' commands: which of them are installed here must not matter."""
    group = click.Group(
        "rear",
        help=rear.help,
        params=list(rear.params),
        context_settings=rear.context_settings,
        commands={name: command for name in COMMANDS if (command := rear.get_command(click.Context(rear), name))},
    )
    context = click.Context(
        group, info_name="rear", help_option_names=["-h", "--help"], terminal_width=100, max_content_width=100
    )
    context.obj = Options()
    return context


def _commands(context: click.Context, prefix: str) -> Iterator[tuple[str, click.Command, click.Context]]:
    group = context.command
    assert isinstance(group, click.Group)
    for name, command in group.commands.items():
        inner = _context(command, name, context)
        if isinstance(command, click.Group):
            yield from _commands(inner, f"{prefix}{name} ")
        else:
            yield prefix + name, command, inner


def _context(command: click.Command, name: str, parent: click.Context) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)


def main() -> int:
    """Write the pages; with --check only say which are out of date."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path} is out of date: run `make docs`")
        return 1 if stale else 0
    for path, text in pages().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
