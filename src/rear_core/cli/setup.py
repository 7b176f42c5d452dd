# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that sets rear up for the first time: it asks, tries, shows, writes, and offers what comes next."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from .. import durable, questions, work_area
from ..errors import Absent, ConfigurationError, ExitCode, Interrupted, NoFamily, RearError, Refused
from ..first_setup import Ask
from ..interruption import interruptible
from ..report import explain
from ..run import Options, Run
from ..settings import Sources
from ..settings.files import with_text
from ..system.os_release import read_os_release
from ..workflow import check
from .make import work
from .session import check_folders, check_plugins, open_run, read_sources
from .setup_asking import QUITS, Answers, ask_all, choices, choose_method, current, tell, with_assignments
from .setup_writing import PART, Written, proposed, read

METHODS = (
    ("OUTPUT", "output", "Rescue media, from which you start this machine when it has to be recovered:"),
    ("BACKUP", "backup", "The backup of the files of this machine:"),
)


@click.command()
@click.pass_obj
def setup(options: Options) -> None:
    """Set rear up on this machine: a few questions, and rear tries what you answer.

    Asks where rescue media and backups go, tries the place, shows the local.conf that it will write, and offers to
    make media and the first backup, to rehearse a recovery, and to do it every night. It writes nothing before you
    agree: quit, ^C and ^D leave this machine as it is. A local.conf that is there is kept beside the new one.
    """
    run = open_run(options)
    check_terminal(run)
    with run.undo, interruptible(run.undo):
        written = converse(run, read_sources(options, read_os_release()))
        written.write()
    tell()
    tell("This configuration is in place" if not written.changes else f"Written: {written.path}")
    offer(options)


def check_terminal(run: Run) -> None:
    """Refuse to begin where nobody can be asked, or nothing could be written at the end."""
    if not questions.is_interactive(run):
        why = "-n forbids them" if run.options.unattended else "this is no terminal"
        raise Refused(
            f"`rear setup` asks questions, and {why}",
            f"run it on a terminal; or write {run.config_dir}/local.conf, then run `rear config check`",
        )
    if run.options.simulate or run.options.json or run.options.quiet or run.options.config_files:
        raise ConfigurationError(
            "`rear setup` takes none of -s, -q, -C and --json", "it shows what it will write, and asks before it does"
        )
    run.need_root()
    if len(run.settings["BACKUP"]) > 1:
        methods = " ".join(run.settings["BACKUP"])
        raise Refused(
            f"BACKUP has several methods ({methods}), and `rear setup` asks for one", "change local.conf by hand"
        )
    if isinstance(run.plugins.without_family, NoFamily):
        raise run.plugins.without_family


def converse(run: Run, sources: Sources) -> Written:
    """Ask until what was answered works and somebody agrees to it; nothing is written but below a private folder."""
    tell(
        "Enter takes what stands in [brackets]. rear tries what you answer, shows what it will write, and writes"
        " nothing before you agree: quit, ^C and ^D leave this machine as it is."
    )
    answers = Answers()
    while True:
        answers.begin()
        chosen = ask_methods(run, sources, answers)
        ask_all(chosen, asks(chosen), answers, run.config_dir)
        tell_of_rescue_system()
        written = proposed(without_own_part(run, sources, answers), chosen, answers)
        if tried(run, sources, written) and agreed(run, written):
            return written


def without_own_part(run: Run, sources: Sources, answers: Answers) -> Run:
    """A run with the chosen methods, and else with the configuration as it was without `rear setup`."""
    path = run.config_dir / "local.conf"
    bare = with_text(sources, path, PART.sub("", read(path) or ""))
    return open_run(run.options, with_assignments(bare, {setting: answers.typed[setting] for setting, *_ in METHODS}))


def ask_methods(run: Run, sources: Sources, answers: Answers) -> Run:
    """A run with the output and the backup that somebody chooses."""
    for setting, kind, heading in METHODS:
        found = choices(sources, kind, setting)
        now = answers.before.get(setting) or current(run, setting) or _default(run, setting)
        answers.typed[setting] = choose_method(run, setting, heading, found, now, again=setting in answers.before)
    chosen = open_run(run.options, with_assignments(sources, answers.typed))
    chosen.report = run.report
    return chosen


def asks(chosen: Run) -> list[Ask]:
    """What the plugins ask, in the order in which they were chosen."""
    kinds = [kind for _, kind, _ in METHODS]
    found = [*chosen.plugins.call_each("rear_setup")]
    found.sort(key=lambda pair: kinds.index(pair[0].kind) if pair[0].kind in kinds else len(kinds))
    return [ask for _, ask in found]


def _default(run: Run, setting: str) -> str:
    default = run.settings.declared[setting].default
    return default if isinstance(default, str) else default[0]


def tell_of_rescue_system() -> None:
    """What the rescue system takes of this machine without a question."""
    from ..rescue.keymap import xkb

    keys = [Path(f"/root/.ssh/{name}") for name in ("authorized_keys", "authorized_keys2")]
    keyboard = xkb(Path("/")).get("XKBLAYOUT", "") or "as this machine has it"
    login = (
        "root's authorized ssh keys"
        if any(path.is_file() and path.stat().st_size for path in keys)
        else "no ssh login (root has no authorized keys; SSH_ROOT_PASSWORD is another way)"
    )
    tell()
    tell(f"The rescue system takes the keyboard layout ({keyboard}) and {login} from this machine.")


def tried(run: Run, sources: Sources, written: Written) -> bool:
    """Whether what was answered works: checked as by `rear config check`, then as by `rear mkbackup`."""
    tell()
    tell("Trying it ...")
    try:
        return try_out(run, sources, written)
    except Interrupted:
        raise
    except RearError as error:
        print(explain(error), file=sys.stderr)
        tell()
        tell("Nothing was written. Correct the cause, from another terminal if need be, or your answers.")
        again: dict[str, bool] = {"": False, "again": True}
        if questions.choose(run, "Enter asks you again, again tries the same once more, or quit: ", again, quits=QUITS):
            return tried(run, sources, written)
        return False


def try_out(run: Run, sources: Sources, written: Written) -> bool:
    """Do all checks of a backup with media, then look for room; raise what is wrong."""
    from .configuration import refuse_wrong

    with ExitStack() as undo:
        folder = work_area.make(Path(run.settings["TMPDIR"]), undo, keep=False, sh=run.sh, report=run.report)
        sources = with_text(sources, written.path, written.text)
        for name, path in written.holders.items():
            place = folder / "secrets" / path.name
            durable.write(place, written.files[path])
            sources = with_assignments(sources, {name: str(place)})
        refuse_wrong(run.options, sources, is_written=False)
        trial = open_run(replace(run.options, unattended=False), sources)
        # Where questions are answered in a trial, they are not asked again.
        trial.passphrases = run.passphrases
        trial.build_dir = folder
        check_folders(trial)
        check_plugins(trial, "mkbackup")
        with trial.undo:
            try:
                check(trial, "mkbackup")
            except Absent as absent:
                tell(f"{absent.message}.")
                if not questions.confirm(run, "Create it now", default=True, quits=QUITS):
                    raise Refused(absent.message, "let it be created, or name a repository that is there") from absent
                absent.create()
                opens = "; it opens by what you have typed" if written.files else ""
                tell(f"Created. It stays, also if you stop now{opens}.")
                check(trial, "mkbackup")
            return has_room(run, trial)


def has_room(run: Run, trial: Run) -> bool:
    """Whether a backup fits by all that can be known, or somebody wants it all the same; `Refused` where a recovery
    would erase it."""
    from ..archive.backup import selected_beside
    from ..archive.progress import size
    from ..builtin.backup import check_place_survives
    from ..builtin.storage import capture_layout
    from ..places.opening import free_bytes

    trial.layout = capture_layout(trial)
    check_place_survives(trial)
    needed = selected_beside(trial, None).bytes
    said = f"The files of this machine take {size(needed)}, before anything is compressed"
    # Not every method has such a place.
    free = free_bytes(trial, trial.settings.get("BACKUP_URL"), trial.settings.get("BACKUP_OPTIONS", ""))
    if free is None:
        tell(f"It works. {said}.")
        return True
    tell(f"It works. {said}; {size(free)} are free for them.")
    return free > needed or questions.confirm(
        run, "That may be too little room. Use it all the same", default=False, quits=QUITS
    )


def agreed(run: Run, written: Written) -> bool:
    """Whether somebody agrees to what will be written, which is shown; no asks everything again."""
    tell()
    for line in written.shown():
        # As it is: a broken line would be another one.
        print(run.report.shown(line), file=sys.stderr)
    return not written.changes or questions.confirm(run, "Write this", default=True, quits=QUITS)


def offer(options: Options) -> None:
    """Offer what comes next, each by its own command, and end with what is left; the first that fails is the status."""
    run = open_run(options)
    quits = f"stopped, as requested; {run.config_dir}/local.conf is written"
    made = make(run, quits)
    statuses = [made or 0]
    if made == ExitCode.DONE:
        for one in run.plugins.call("rear_setup_offers", run=run):
            if questions.confirm(run, one.question, default=False, quits=quits):
                statuses.append(perform(options, one.command, *one.arguments))
    if not made:
        statuses.append(offer_schedule(run, quits))
    tell()
    if made is None:
        tell("`rear mkbackup` makes what a recovery needs: rescue media and a backup.", "  ")
    for line in (
        "`rear status` says at any time how well this machine could be recovered.",
        "Keep the media where you find them without this machine: start from them, type `rear recover`.",
        f"All settings are in {run.config_dir}/local.conf; `rear config default` explains each one.",
    ):
        tell(line, "  ")
    if failed := next(filter(None, statuses), 0):
        sys.exit(failed)


def make(run: Run, quits: str) -> int | None:
    """Make media and the first backup, or media alone; the exit status, None when nothing was to be made."""
    tell()
    answers = {**questions.YES, **questions.NO, "": True, "media": None}
    question = "Make rescue media and the first backup now? [yes], no, media (without a backup), quit: "
    answer = questions.choose(run, question, answers, quits=quits)
    if answer is False:
        return None
    workflow = "mkbackup" if answer else "mkrescue"
    # What comes next is offered, and not said.
    return ended(workflow, lambda: work(run.options, workflow, hints=False))


def offer_schedule(run: Run, quits: str) -> int:
    """Offer the timers of systemd, where it runs and none is on; the exit status."""
    from .. import schedule

    is_on = schedule.is_ours(schedule.INSTALLED / f"{schedule.Job('backup', '').unit}.timer")
    if is_on or not schedule.RUNNING.is_dir():
        return ExitCode.DONE
    question = "Save this machine every night, and renew the media when it has changed"
    if not questions.confirm(run, question, default=True, quits=quits):
        return ExitCode.DONE
    return perform(run.options, "schedule", "enable")


def perform(options: Options, *words: str) -> int:
    """Run another command of rear as if it had been typed; its exit status."""
    from . import rear

    context = click.Context(rear, info_name="rear", obj=options, **rear.context_settings)
    command = rear.get_command(context, words[0])
    if command is None:
        raise RearError(f"there is no command {words[0]!r}")
    return ended(" ".join(words), lambda: command.main([*words[1:]], words[0], standalone_mode=False, parent=context))


def ended(words: str, do: Callable[[], object]) -> int:
    """Do what a command does, and return its exit status; what made it fail has been told."""
    tell()
    tell(f"# rear {words}")
    try:
        do()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Interrupted:
        raise
    except RearError as error:
        print(explain(error), file=sys.stderr)
        return error.exit_code
    return ExitCode.DONE
