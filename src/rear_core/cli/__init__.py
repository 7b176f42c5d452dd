# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `rear`: global options, the commands of the core and of plugins, and how errors end it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

import click

from .. import __version__
from ..errors import OF_THE_MACHINE, ExitCode, MachineFault, RearError
from ..report import explain
from ..run import Options

# Imported only when asked for: `rear recover` on a slow machine must not pay for `rear dump`.
COMMANDS = {
    "mkrescue": "make",
    "savelayout": "make",
    "checklayout": "make",
    "mkbackup": "backup",
    "mkbackuponly": "backup",
    "recover": "backup",
    "restoreonly": "backup",
    "format": "format",
    "mountonly": "layout",
    "layout": "layout",
    "dump": "show",
    "plugins": "show",
    "config": "show",
    "completion": "manual",
    "manual": "manual",
}


class Commands(click.Group):
    """The commands of the core, and those that plugins declare."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(plugin_commands(_options(ctx)))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command = getattr(import_module(f".{COMMANDS[cmd_name]}", __name__), cmd_name)
            assert isinstance(command, click.Command)
            return command
        return plugin_commands(_options(ctx)).get(cmd_name)


def _options(ctx: click.Context) -> Options:
    """The options so far: commands are looked up before `rear` below has run, and for help even before all are read."""
    if isinstance(ctx.obj, Options):
        return ctx.obj
    chosen = {name: ctx.params[name] for name in ("config_dir", "config_files") if name in ctx.params}
    return Options(**chosen)


@cache
def plugin_commands(options: Options) -> dict[str, click.Command]:
    """The commands of active plugins; none when the configuration is broken, as help must work then too."""
    from .session import open_run

    try:
        commands = open_run(options).plugins.call("rear_commands")
    except RearError as error:
        click.echo(f"Commands of plugins are not known: {error.message}", err=True)
        return {}
    return {command.name: command for command in commands if command.name not in COMMANDS}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show every step and its details.")
@click.option("-d", "--debug", is_flag=True, help="Show the log on the terminal and keep the work area.")
@click.option("-s", "--simulate", is_flag=True, help="List the steps that would run, and change nothing.")
@click.option("-S", "--step-by-step", is_flag=True, help="Ask before each step; Enter means no before what writes.")
@click.option("-n", "--non-interactive", is_flag=True, help="Ask nothing: an open question ends the run.")
@click.option(
    "-c",
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False),
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
    type=click.Path(path_type=Path),
    multiple=True,
    is_eager=True,
    metavar="FILE",
    help="Read FILE after local.conf; NAME stands for NAME.conf in the configuration folder. Can be repeated.",
)
@click.option("-r", "--kernel", default="", metavar="KERNEL", help="Kernel version of the rescue system.")
@click.version_option(__version__, "-V", "--version", prog_name="rear")
@click.pass_context
def rear(
    ctx: click.Context,
    verbose: bool,
    debug: bool,
    simulate: bool,
    step_by_step: bool,
    non_interactive: bool,
    config_dir: Path,
    config_files: tuple[Path, ...],
    kernel: str,
) -> None:
    """Bare-metal disaster recovery: make rescue media of this machine, and bring it back from them.

    Exit status: 0 done, 1 failed, 2 configuration, 3 refused before any change, 4 done, but its output or log
    could not be written, 130 interrupted.
    """
    if step_by_step and non_interactive:
        raise click.UsageError("-S asks before each step, which -n forbids: leave one of them out")
    ctx.obj = Options(
        verbose=verbose,
        debug=debug,
        simulate=simulate,
        step_by_step=step_by_step,
        unattended=non_interactive,
        kernel=kernel,
        config_dir=config_dir.absolute(),
        config_files=config_files,
    )


def main() -> None:
    """Run the command and end with its exit status; an unexpected exception is told as a bug of ours."""
    _open_standard_streams()
    try:
        status = rear(prog_name="rear", standalone_mode=False)
    except click.exceptions.Exit as ended:
        status = ended.exit_code
    except click.ClickException as error:
        error.show()
        status = ExitCode.CONFIGURATION
    except (click.Abort, KeyboardInterrupt):
        _tell("Interrupted")
        status = ExitCode.INTERRUPTED
    except RearError as error:
        _tell(explain(error))
        status = error.exit_code
    except BrokenPipeError:
        # The reader of `rear dump | head` has seen enough. Nothing more can be written, not even at exit.
        sys.stderr.close()
        status = ExitCode.FAILED
    except Exception as error:
        status = ExitCode.FAILED
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            _tell(explain(MachineFault(error)))
        else:
            _tell(traceback.format_exc())
            _tell("BUG: this is a fault of rear, not of this machine. Please report the lines above.")
    finally:
        _drop_what_nobody_takes()
    sys.exit(status or 0)


def _tell(text: str) -> None:
    """Say something on the standard error, if anything takes it."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _open_standard_streams() -> None:
    """Have something where standard input, output or error were closed: the next file would get their number.

    Whatever is written there fails, as it should: nobody reads it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
            if number:
                setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _drop_what_nobody_takes() -> None:
    """Otherwise Python would try once more, and end with a status of its own."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, None)
