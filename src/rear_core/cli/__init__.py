# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `rear`: global options, the commands of the core and of plugins, and how errors end it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path

import click
from click.core import ParameterSource

from .. import __version__
from ..errors import ExitCode, PluginError, RearError, fault_of_machine
from ..interruption import STOPPING
from ..packages import COMMANDS_OF, how_to_install
from ..processes import keep_domain
from ..report import explain, visible
from ..run import Options
from . import output
from .groups import Group
from .paths import GivenPath, GivenText

# Imported only when asked for: `rear recover` on a slow machine must not pay for `rear dump`.
COMMANDS = {
    "setup": "setup",
    "mkrescue": "make",
    "savelayout": "make",
    "checklayout": "make",
    "mkbackup": "backup",
    "mkbackuponly": "backup",
    "checkbackup": "backup",
    "backup": "backup",
    "recover": "backup",
    "restoreonly": "backup",
    "format": "format",
    "mountonly": "layout",
    "layout": "layout",
    "status": "status",
    "doctor": "doctor",
    "report": "report",
    "schedule": "schedule",
    "dump": "show",
    "plugins": "show",
    "config": "configuration",
    "completion": "manual",
    "manual": "manual",
}


class Commands(Group):
    """The commands of the core, and those that plugins declare."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except RearError as error:
            # A run that has begun has printed its record, and ends otherwise.
            if ctx.params.get("as_json"):
                failed = {"result": "refused", "status": int(error.exit_code)}
                click.echo(json.dumps({**failed, "error": visible(error.message), "hint": visible(error.hint)}))
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        found, problem = plugin_commands(options_of(ctx))
        if problem and "_REAR_COMPLETE" not in os.environ:
            click.echo(visible(f"The commands of plugins are unknown: {problem.message}"), err=True)
        return [*COMMANDS, *sorted(found)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command = getattr(import_module(f".{COMMANDS[cmd_name]}", __name__), cmd_name)
            assert isinstance(command, click.Command)
            return command
        found, problem = plugin_commands(options_of(ctx))
        if cmd_name not in found and cmd_name in COMMANDS_OF:
            if problem:
                raise problem
            package = COMMANDS_OF[cmd_name]
            raise PluginError(
                f"rear {cmd_name} is in the package {package}, which is not installed", how_to_install(package)
            )
        return found.get(cmd_name)


def options_of(ctx: click.Context) -> Options:
    """The options so far: commands are looked up before `rear` below has run, and for help even before all are read."""
    if isinstance(ctx.obj, Options):
        return ctx.obj
    chosen = {name: ctx.params[name] for name in ("config_dir", "config_files") if ctx.params.get(name) is not None}
    return Options(**chosen)


@cache
def plugin_commands(options: Options) -> tuple[dict[str, click.Command], RearError | None]:
    """The commands of active plugins; none and why when the configuration is broken, as help must work then too."""
    from .session import open_run

    found = {}
    try:
        for plugin, command in open_run(options).plugins.call_each("rear_commands"):
            if command.name in COMMANDS:
                of = f"{plugin.label} ({plugin.distribution})"
                click.echo(visible(f"The command {command.name} of {of} is ignored: rear has its own"), err=True)
            else:
                found[command.name] = command
    except RearError as error:
        return {}, error
    return found, None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show every step and its details.")
@click.option("-d", "--debug", is_flag=True, help="Show the log on the terminal and keep the work area.")
@click.option("-q", "--quiet", is_flag=True, help="Print warnings and errors only: what somebody has to look at.")
@click.option("-s", "--simulate", is_flag=True, help="List the steps that would run, and change nothing.")
@click.option("-S", "--step-by-step", is_flag=True, help="Ask before each step; Enter means no for steps that write.")
@click.option("-n", "--non-interactive", is_flag=True, help="Run unattended: an open question ends the run.")
@click.option(
    "-c",
    "--config-dir",
    # Who may read it is seen when it is read: help and completion do without.
    type=GivenPath(file_okay=False, readable=False),
    default=Path("/etc/rear"),
    # Eager, as --help is: it names the commands of the plugins that this configuration selects.
    is_eager=True,
    metavar="DIR",
    help="Read the configuration from DIR instead of /etc/rear.",
)
@click.option(
    "-C",
    "--config-file",
    "config_files",
    type=GivenPath(),
    multiple=True,
    is_eager=True,
    metavar="FILE",
    help="Read FILE after local.conf; NAME stands for NAME.conf in the configuration folder. Can be repeated.",
)
@click.option(
    "--wait", type=click.IntRange(min=0), default=0, metavar="MINUTES", help="Wait so long for another run to end."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON: of a run its record, on one line at its end."
)
@click.option(
    "-r", "--kernel", type=GivenText(), default="", metavar="KERNEL", help="Kernel version of the rescue system."
)
@click.version_option(__version__, "-V", "--version", prog_name="rear")
@click.pass_context
def rear(
    ctx: click.Context,
    verbose: bool,
    debug: bool,
    quiet: bool,
    simulate: bool,
    step_by_step: bool,
    non_interactive: bool,
    config_dir: Path,
    config_files: tuple[Path, ...],
    wait: int,
    as_json: bool,
    kernel: str,
) -> None:
    """Bare-metal disaster recovery: create rescue media of this machine, and recover it with them.

    Exit status: 0 done, 1 failed, 2 configuration, 3 refused before any change, 4 done, but its output or log
    could not be written, 130 interrupted.
    """
    if step_by_step and non_interactive:
        raise click.UsageError("-S asks before each step, but -n forbids questions: use only one of them")
    if quiet and (verbose or debug):
        raise click.UsageError("-q prints less and -v and -d print more: use only one of them")
    if ctx.get_parameter_source("config_dir") == ParameterSource.COMMANDLINE and not os.path.isdir(config_dir):
        raise click.UsageError(f"-c {visible(str(config_dir))}: there is no such folder")
    ctx.obj = Options(
        verbose=verbose,
        debug=debug,
        quiet=quiet,
        wait=wait,
        json=as_json,
        simulate=simulate,
        step_by_step=step_by_step,
        unattended=non_interactive,
        kernel=kernel,
        config_dir=config_dir.absolute(),
        config_files=config_files,
    )


def main() -> None:
    """Run the command and end with its exit status; an unexpected exception is reported as a bug of ours."""
    keep_domain()
    outputs = output.take_over()
    threading.excepthook = _thread_failed
    try:
        status = _run()
    except SystemExit as ended:
        status = _status(ended)
    problem = output.leave(outputs)
    if problem and not status:
        status = ExitCode.UNTOLD
        if sys.stderr is not None:
            print(f"WARNING: some output is lost: {problem}", file=sys.stderr)
    # All is done and told; a signal would only have it look as if it was not.
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status or 0)


def _status(ended: SystemExit) -> int | str | None:
    """The status that the command ends with; a plugin may end no command but its own."""
    from ..plugins import broken, discover, frames_of

    of_core = False
    for file, plugin in frames_of(ended, discover()):
        if plugin and of_core:
            print(explain(broken(plugin, "code", ended)), file=sys.stderr)
            return ExitCode.FAILED
        if plugin:
            break
        of_core = of_core or (file != __file__ and file.startswith(os.path.dirname(__file__)))
    return ended.code


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Tell of a thread that ended by an exception; whoever waits for what it does fails, and sets the status."""
    if failed.exc_value and (fault := fault_of_machine(failed.exc_value)):
        print(explain(fault), file=sys.stderr)
    else:
        threading.__excepthook__(failed)


def _run() -> int | str | None:
    if sys.argv[1:] and "COMP_WORDS" not in os.environ:
        # Completion scripts of shells give no arguments, and the words so far. Left over in an environment, their
        # variable would have every command print such a script, do nothing, and end well.
        os.environ.pop("_REAR_COMPLETE", None)
    try:
        ended: int | None = rear(prog_name="rear", standalone_mode=False)
        return ended
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.CONFIGURATION
    except (click.Abort, KeyboardInterrupt):
        print("Interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except RearError as error:
        print(explain(error), file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if fault := fault_of_machine(error):
            print(explain(fault), file=sys.stderr)
            return ExitCode.FAILED
        from ..plugins import at_fault, broken, discover

        traceback.print_exc()
        if plugin := at_fault(error, discover()):
            print(explain(broken(plugin, "code", error)), file=sys.stderr)
        else:
            print("BUG: this is a fault of rear, not of this machine. Please report the lines above.", file=sys.stderr)
        return ExitCode.FAILED
