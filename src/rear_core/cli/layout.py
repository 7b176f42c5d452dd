# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands about the recorded storage: show it, plan its recreation, compare it with what is there, mount it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..builtin import existing, planning, resuming
from ..builtin.storage import recorded_layout
from ..errors import RearError, Refused
from ..report import explain, visible
from ..run import Options, Run
from .groups import Group
from .paths import GivenPath, GivenText, give_page, html_option
from .session import at_work, open_run, told

if TYPE_CHECKING:
    from ..storage.layout import Item, Layout
    from ..storage.plan import Plan
    from ..storage.present import Machine


@click.group(cls=Group)
def layout() -> None:
    """Show the recorded storage, plan its recreation, compare it with this machine."""


@layout.command()
@html_option
@click.pass_obj
def show(options: Options, html: Path | None) -> None:
    """Show the recorded storage as a tree, from the disks up to what is mounted."""
    from ..builtin.storage import load_layout

    run = open_run(options)
    found = load_layout(run)
    if html:
        from ..pages.layout import page

        give_page(html, page(run, found))
        return
    for line in tree(found):
        click.echo(visible(line))
    for entry in found.left_out:
        click.echo(visible(f"left out: {entry.name} ({entry.reason})"))


def tree(found: Layout) -> Iterator[str]:
    """Each item below the first one that it needs; where it needs more, those are named."""
    below: dict[str, list[Item]] = {}
    for item in found.order():
        below.setdefault(item.needs[0] if item.needs else "", []).append(item)
    yield from _branches(below, "", "")


def _branches(below: dict[str, list[Item]], id: str, indent: str) -> Iterator[str]:
    for item in sorted(below.get(id, []), key=lambda item: (getattr(item, "start", 0), item.id)):
        also = f" (also on {', '.join(item.needs[1:])})" if len(item.needs) > 1 and item.type != "mount" else ""
        yield f"{indent}{item}{_facts(item)}{also}"
        yield from _branches(below, item.id, indent + "  ")


def _facts(item: Item) -> str:
    """What a reader wants to know of an item, in a few words."""
    from ..storage.compare import human_size

    words = [
        str(value)
        for name in ("label", "level", "layout", "name", "path", "fstype")
        if isinstance(value := getattr(item, name, ""), str) and value and value not in str(item)
    ]
    size = getattr(item, "size", 0)
    return "".join(f", {word}" for word in ([human_size(size)] if size else []) + words)


@layout.command()
@click.option("--script", "as_script", is_flag=True, help="Print a shell script that can be edited and run instead.")
@html_option
@click.pass_obj
def plan(options: Options, as_script: bool, html: Path | None) -> None:
    """List the commands that would recreate the storage on the disks of this machine; change nothing."""
    if html and as_script:
        raise click.UsageError("--script and --html are two forms of the same: choose one")
    run = open_run(options)
    run.need_root()
    try:
        made, disks, machine = made_plan(run)
    except RearError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.exit_code)
    if html:
        from ..pages.recovery import plan_page

        give_page(html, plan_page(run, made, machine, disks, plan_id(run, made)))
        return
    if as_script:
        from ..storage.script import script

        click.echo(script(made, disks), nl=False)
        return
    for line in disks:
        click.echo(visible(line))
    for line in (*readable(made), f"Plan {plan_id(run, made)}"):
        click.echo(visible(line))


def plan_id(run: Run, made: Plan) -> str:
    """By what `rear drill` and `rear recover --plan` know a plan."""
    from ..builtin.rehearsed import steps
    from ..storage.same_plan import SHOWN, digest

    return digest(steps(run, made, recorded_layout(run)))[:SHOWN]


def made_plan(run: Run) -> tuple[Plan, list[str], Machine]:
    """The plan for the disks that are here, what becomes of each, and what lies on them; on a running machine nothing
    is locked, as all of its disks are in use."""
    from ..builtin import choice, inspection
    from ..storage.spared import backup_disks

    found, here = recorded_layout(run), in_rescue_system(run)
    machine, stakes = inspection.at_stake_now(run, found, lock=here)
    answers = {**backup_disks(run, found), **choice.chosen(run, found)}
    assignment = choice.assigned(run, found, machine, answers, stakes)
    if assignment.problems:
        choice.refuse(run, assignment)
    disks = list(choice.destinies(assignment, stakes))
    keeping = any(match.keeps for match in assignment.matches)
    in_place, machine = planning.kept(run, found, assignment, stakes) if keeping else (None, machine)
    if not here:
        # On the day of the recovery the disks of today are gone, or are the ones that are taken.
        taken = set(assignment.disks.values())
        machine = replace(machine, disks=tuple(disk for disk in machine.disks if disk.path in taken))
    return planning.planned(run, found, assignment, machine, in_place), disks, machine


def in_rescue_system(run: Run) -> bool:
    """Whether this is the rescue system."""
    from ..builtin.core import check_rescue_system

    try:
        check_rescue_system(run)
    except Refused:
        return False
    return True


def readable(made: Plan) -> Iterator[str]:
    """A line for each command's reason, what it destroys, and the command itself."""
    from ..storage.script import joined

    chapters = (
        ("Take down", made.teardown), ("Create", made.build), ("Mount", made.mount), ("After the files", made.restored),
    )  # fmt: skip
    for title, commands in chapters:
        for number, command in enumerate(commands, 1):
            lost = f"  DESTROYS {command.destroys}" if command.destroys else ""
            yield f"{title} {number}: {command.reason}{lost}"
            yield f"    {joined(command.argv)}"
            yield from (f"    | {line}" for line in command.input.rstrip("\n").split("\n") if command.input)
    yield from (f"Note: {note}" for note in made.notes)


@layout.command()
@click.argument("plan_id", type=GivenText(), metavar="PLAN")
@click.pass_obj
def made(options: Options, plan_id: str) -> None:
    """Record that the storage was created by hand: `rear recover` then continues, if PLAN is what it would do.

    The script of `rear layout plan --script` does this after it has created everything, and has PLAN, which stands for
    this machine's own disks.
    """
    from ..builtin.core import check_rescue_system
    from ..storage.execute import Journal

    run = open_run(options)
    run.need_root()
    check_rescue_system(run)
    Journal(resuming.journal_path(run)).note(plan=plan_id, state="built")


@layout.command()
@click.pass_obj
def diff(options: Options) -> None:
    """Report how the storage of this machine differs from the recorded one. Exit status 1 if it does.

    Disks that are known by their contents or serial numbers count as the recorded ones. In the rescue system it does
    not matter what is mounted, nor where.
    """
    from ..builtin import choice, inspection
    from ..storage.compare import compare
    from ..storage.layout import make

    run = open_run(options)
    run.need_root()
    recorded = recorded_layout(run)
    machine = inspection.look(run, recorded, lock=False)
    assignment = choice.assigned(run, recorded, machine, choice.chosen(run, recorded), {})
    known = {match.recorded.id: match.path for match in assignment.matches if match.sure and match.path}
    now = existing.described(run, known, exclude=run.settings["EXCLUDE_DEVICES"])
    if in_rescue_system(run):
        recorded, now = (make([item for item in layout if item.is_storage]) for layout in (recorded, now))
    differences = compare(recorded, now)
    if options.json:
        click.echo(json.dumps({"result": "different" if differences else "same", "differences": differences}))
    for line in () if options.json else differences:
        click.echo(visible(line))
    sys.exit(1 if differences else 0)


@click.command()
@click.option(
    "--target",
    type=GivenPath(),
    default=Path("/mnt/local"),
    metavar="DIR",
    show_default=True,
    help="Where to mount.",
)
@click.pass_obj
def mountonly(options: Options, target: Path) -> None:
    """Mount the file systems of this machine below DIR, as they are; works only on the booted rescue system."""
    from ..builtin.core import check_rescue_system

    run = open_run(replace(options, target=target.absolute()))
    with told(run), at_work(run, "mountonly"):
        check_rescue_system(run)
        existing.mount_present(run)
        run.report.result(os.fspath(run.target))
