# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a run for a command: reads the configuration, selects the plugins, sets up log, lock and work area."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import builtin, log_files
from ..errors import ExitCode, NoFamily, PluginError, RearError, Refused
from ..interruption import interruptible
from ..methods import chosen as chosen_methods
from ..methods import portions
from ..own_files import check_links
from ..packages import how_to_install, package_of
from ..plugins import Found, Plugins, at_fault, broken, discover, load
from ..records import dumps
from ..report import Report, explanation
from ..run import Options, Run
from ..settings import Settings, Sources, evaluate
from ..settings.files import load as load_sources
from ..settings.files import names_for
from ..settings.model import Setting
from ..shell import Shell
from ..system.os_release import OperatingSystem, read_os_release
from ..trust import changeable, changeable_in
from ..workflow import WORKFLOWS

# Where the core has its skeleton tree and templates.
CORE = Path(__file__).parents[1]


def open_run(options: Options, sources: Sources | None = None) -> Run:
    """A run with its settings, of the files of this machine or of other `sources`, and plugins; nothing is touched.

    Raises `ConfigurationError` for a bad setting, `PluginError` when a selected plugin is missing or broken. That there
    is none for this operating system only matters to some commands.
    """
    os_release = read_os_release()
    sources = sources or read_sources(options, os_release)
    found = discover()
    plugins = Plugins(builtin.modules())
    plugins.add_extras(found)
    chosen = first_look(sources, plugins)
    try:
        select(plugins, found, chosen, os_release, options.only)
    except NoFamily as error:
        plugins.without_family = error
    declared, schemes = plugins.settings(), plugins.schemes()
    with _checks_named(plugins):
        settings = evaluate(
            sources, declared, os.environ, lambda name: declared_by_others(found, name), schemes=schemes
        )
    report = Report(verbose=options.verbose, debug=options.debug, quiet=options.quiet)
    for name, setting in settings.declared.items():
        if setting.secret:
            for word in settings[name] if isinstance(settings[name], tuple) else [str(settings[name])]:
                report.mask(word)
    run = Run(settings, plugins, options, report, Shell(report.log))
    labels = {plugin.name.lower(): plugin.label for plugin in plugins.active if plugin.kind == "backup"}
    of_methods = portions(settings["BACKUP"], settings["BACKUP_PARTS"])
    run.portions = {labels[name.lower()]: one for name, one in of_methods.items() if name.lower() in labels}
    return run


def read_sources(options: Options, os_release: OperatingSystem) -> Sources:
    """The configuration files that apply to this machine, parsed."""
    return load_sources(options.config_dir, names_for(os_release.id, os_release.version_id), options.config_files)


def first_look(sources: Sources, plugins: Plugins) -> Settings:
    """The settings of the core alone, to learn which plugins they select; what those declare is not known yet."""
    declared = plugins.settings()
    with _checks_named(plugins):
        return evaluate(sources, declared, os.environ, strict=False)


@contextmanager
def _checks_named(plugins: Plugins) -> Iterator[None]:
    """A block in which a `check` of a setting that fails is told with its plugin."""
    try:
        yield
    except RearError:
        raise
    except Exception as error:
        if plugin := at_fault(error, plugins.active):
            raise broken(plugin, "the check of a setting", error) from error
        raise


def select(
    plugins: Plugins, found: Sequence[Found], settings: Settings, os_release: OperatingSystem, only: str = ""
) -> None:
    """Take the plugins for the configured methods, of those for backups perhaps `only` one, and for this operating
    system, `NoFamily` when that is unknown."""
    for method in chosen_methods(settings["BACKUP"], only):
        plugins.select(found, "backup", [method], "BACKUP")
    plugins.select(found, "output", [settings["OUTPUT"]], "OUTPUT")
    family = settings["OS_FAMILY"]
    names = [family] if family else [os_release.id, *os_release.id_like]
    try:
        plugins.select(found, "os", names, "OS_FAMILY")
    except PluginError as error:
        if family or any(plugin.kind == "os" and plugin.name in names for plugin in found):
            raise
        families = ", ".join(sorted({plugin.name for plugin in found if plugin.kind == "os"})) or "none"
        ours = [package for name in names if (package := package_of("os", name))]
        package = ours[0] if ours else "rear-os-debian, or -redhat, or -suse"
        raise NoFamily(
            f"no installed plugin knows the operating system {' or '.join(names)}",
            f"{how_to_install(package)}; or set OS_FAMILY to the nearest (installed: {families})",
        ) from error


def declared_by_others(found: Sequence[Found], name: str) -> bool:
    """Whether an installed plugin that this run does not use declares the setting.

    One site.conf may serve machines with different methods. Asked only for a name that nobody else knows.
    """
    for plugin in found:
        # One that fails when asked is not used here.
        with suppress(PluginError):
            if any(name in (setting.name, *setting.aliases) for setting in settings_of(plugin)):
                return True
    return False


def settings_of(plugin: Found) -> list[Setting]:
    """The settings that one plugin declares, none when it cannot be imported; `PluginError` when it fails."""
    declare = getattr(load(plugin).module, "rear_settings", None)
    try:
        settings = list(declare() or ()) if declare else []
        if strange := [type(setting).__name__ for setting in settings if not isinstance(setting, Setting)]:
            raise TypeError(f"it returned {strange[0]}, not Setting")
    except (Exception, SystemExit) as error:
        raise broken(plugin, "rear_settings", error) from error
    return settings


def _without_hooks(run: Run) -> Iterator[str]:
    """The plugins that have hooks of a newer core, and can do without."""
    for plugin in run.plugins.active:
        if plugin.unknown:
            hooks = ", ".join(plugin.unknown)
            yield f"{plugin.label} ({plugin.distribution}) has {hooks}, which only a newer rear-core uses"


@contextmanager
def at_work(run: Run, command: str) -> Iterator[Run]:
    """The run with its lock, log and work area; everything is undone at the end, also after ^C and SIGTERM."""
    from .. import work_area
    from .recording import recorded

    run.need_root()
    check_folders(run)
    with recorded(run, command):
        check_plugins(run, command)
        with run.undo, interruptible(run.undo):
            if not run.options.simulate:
                work_area.lock(run.var_dir, run.undo, command, run.options.wait)
                _open_log(run, command)
                run.build_dir = work_area.make(
                    Path(run.settings["TMPDIR"]), run.undo, keep=run.options.debug, sh=run.sh, report=run.report
                )
            for warning in (*run.settings.warnings, *not_roots(run), *_without_hooks(run)):
                run.report.warn(warning)
            with _told_to_system(run, command):
                yield run


def check_plugins(run: Run, command: str) -> None:
    """Refuse to work without what knows this operating system, or with a broken plugin."""
    if run.plugins.without_family and {"build", "finalize"} & set(WORKFLOWS.get(command, ())):
        raise run.plugins.without_family
    if run.plugins.broken:
        first = run.plugins.broken[0]
        raise PluginError(
            f"the plugin {first.label} of {first.distribution} {first.version} is broken: {first.problem}",
            f"update it, or rear-core if it needs a newer one; or pip uninstall {first.distribution}",
        )


@contextmanager
def _told_to_system(run: Run, command: str) -> Iterator[None]:
    """A block whose end the log of the system gets, and that of the run with why it failed."""
    try:
        yield
    except RearError as error:
        for line in explanation(error):
            run.report.log(line)
        _tell_system(run, f"{command} failed: {error.message}", failed=True)
        raise
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            run.report.log(line)
        _tell_system(run, f"{command} failed: {type(error).__name__}: {error}", failed=True)
        raise
    warnings = f", {len(run.report.warnings)} warnings" if run.report.warnings else ""
    _tell_system(run, f"{command}: done{warnings}")


def check_folders(run: Run) -> None:
    """Refuse to work in folders where another user could put something else in the place of what is root's."""
    for name in ("TMPDIR", "VAR_DIR", "CACHE_DIR", "SHARE_DIR"):
        check_links(Path(run.settings[name]))
        if problem := changeable(Path(run.settings[name])):
            raise Refused(
                f"{name}={run.settings[name]} is not controlled by root alone: {problem}",
                f"chown root and chmod go-w the named path, or set {name} to another place",
            )
    check_links(run.recovery_dir)
    if problem := changeable(run.recovery_dir):
        raise Refused(
            f"the description in {run.recovery_dir} is not controlled by root alone: {problem}",
            "chown root and chmod go-w the named path, then run `rear savelayout` again",
        )


def not_roots(run: Run) -> Iterator[str]:
    """Warnings of what root runs here and others can change: a checkout or an environment of a user."""
    modules = [plugin.module.__file__ for plugin in run.plugins.active if plugin.module and plugin.module.__file__]
    problems = {changeable(Path(path)) for path in (sys.executable, __file__, *modules)}
    trees = [folder for name in ("skel", "templates") for folder in (*run.plugins.folders(name), CORE / name)]
    problems.update(map(changeable_in, trees))
    for problem in sorted(problems - {""}):
        yield (
            f"rear runs as root what is not controlled by root alone: {problem}; install rear where only root can write"
        )


@contextmanager
def told(run: Run) -> Iterator[None]:
    """A block whose end is reported; the command ends where it fails, or where not everything could be reported."""
    try:
        yield
    except RearError as error:
        run.report.end(error)
        _print_record(run)
        sys.exit(error.exit_code)
    run.report.end()
    _print_record(run)
    if run.report.untold:
        sys.exit(ExitCode.UNTOLD)


def _print_record(run: Run) -> None:
    if run.options.json and run.record:
        run.report.result(dumps(run.record))


def _open_log(run: Run, command: str) -> None:
    """The log that LOGFILE names, or one of its own; without room or a disk for it the run goes on."""
    if path := run.settings["LOGFILE"]:
        run.report.open_log(Path(path))
        return
    try:
        log = log_files.new(command, run.settings["BACKUP_KEEP"])
    except OSError as error:
        run.report.cannot_log(error, log_files.FOLDER)
        return
    run.report.open_log(log)
    log_files.link(log, Path(f"/tmp/rear-{socket.gethostname().partition('.')[0]}.log"))


def _tell_system(run: Run, text: str, *, failed: bool = False) -> None:
    if not run.options.simulate:
        log_files.tell_system(run.report.masked(text), failed=failed)
