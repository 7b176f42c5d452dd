# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds, selects, isolates and lists plugins: installed distributions that name a module by an entry point."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from . import hookspecs
from .errors import NoFamily, PluginError, RearError, fault_of_machine
from .packages import missing
from .places.url import ALL, Scheme

if TYPE_CHECKING:
    from .settings.model import Setting

KINDS = ("extra", "os", "backup", "output")
CORE = "core"
ORDER = (CORE, *KINDS)
# What pluggy offers and rear does not honour: steps run in the order of their numbers, and every hook is asked alone.
NOT_HONOURED = ("hookwrapper", "wrapper", "tryfirst", "trylast", "specname")
# The hooks, and the type of what each yields, as in `Iterable[Step]`.
HOOKS = {
    name: re.findall(r"\w+", function.__annotations__["return"])[-1]
    for name, function in vars(hookspecs).items()
    if name.startswith("rear_")
}
# What hooks yield that is known by its name: a second one could never be reached.
NAMED = ("StorageKind", "BootLoader", "Command")
# The first release of rear-core with each number of the contract.
RELEASES = {1: "0.1"}


@dataclass(frozen=True)
class Found:
    """An entry point of an installed distribution.

    `module` is set once it was imported, `problem` when it cannot be used. `unknown` are hooks of a newer core that it
    can do without.
    """

    kind: str
    name: str
    target: str
    distribution: str
    version: str
    problem: str = ""
    module: ModuleType | None = None
    unknown: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How the plugin is named to the user, as in `backup NFS`."""
        return f"{self.kind} {self.name}"


def discover(distributions: Iterable[metadata.Distribution] | None = None) -> list[Found]:
    """All plugins that are installed, sorted by kind and name, none imported.

    A name that two distributions claim within one kind is a problem of both: which one would run would be chance.
    """
    found: dict[tuple[str, str, str], Found] = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        # Only then its name and version, as reading these of everything that is installed takes a while.
        if entries := list(_entries(distribution)):
            about = distribution.metadata
            name, version = about["Name"] or "unknown", about["Version"] or ""
            for kind, entry in entries:
                # The search path can show one distribution twice (a checkout and its installation): the first counts.
                found.setdefault((kind, entry.name, name), Found(kind, entry.name, entry.value, name, version))
    return [_with_clash(plugin, found.values()) for _, plugin in sorted(found.items())]


def _entries(distribution: metadata.Distribution) -> Iterator[tuple[str, metadata.EntryPoint]]:
    """The entry points of a distribution that name plugins of rear, with the kind of each."""
    for entry in distribution.entry_points:
        group, _, kind = entry.group.partition(".")
        if group == "rear" and kind in KINDS:
            yield kind, entry


def _with_clash(plugin: Found, others: Iterable[Found]) -> Found:
    rivals = [
        other.distribution
        for other in others
        if (other.kind, other.name.lower()) == (plugin.kind, plugin.name.lower())
        and other.distribution != plugin.distribution
    ]
    return replace(plugin, problem=f"{', '.join(rivals)} has the same name") if rivals else plugin


def load(plugin: Found) -> Found:
    """The plugin with its module, or with the problem that keeps it from being used."""
    if plugin.problem or plugin.module:
        return plugin
    try:
        module = importlib.import_module(plugin.target)
    except Exception as error:
        return replace(plugin, problem=f"cannot be imported: {type(error).__name__}: {error}")
    except SystemExit as error:
        return replace(plugin, problem=f"ends the program when imported: {error}")
    problem = api_problem(module) or hook_problem(module)
    return replace(plugin, module=module, problem=problem, unknown=unknown_hooks(module))


def api_problem(module: ModuleType) -> str:
    """Which core a plugin needs that was written for another contract, "" for one that was written for this."""
    wanted = getattr(module, "REAR_API", hookspecs.API)
    if not isinstance(wanted, int):
        return f"REAR_API is {wanted!r} and must be a whole number"
    if wanted == hookspecs.API:
        return ""
    other = "a newer rear-core" if wanted > hookspecs.API else "an older rear-core"
    known = f"rear-core {RELEASES[wanted]}" if wanted in RELEASES else other
    return (
        f"is written for version {wanted} of the plugin interface, but this rear-core has {hookspecs.API}: it needs"
        f" {known}"
    )


def unknown_hooks(module: ModuleType) -> tuple[str, ...]:
    """The hooks that this core does not have, and the plugin says it can do without (`optionalhook`)."""
    return tuple(sorted(name for name, options in _marked(module) if options["optionalhook"] and name not in HOOKS))


def _marked(module: ModuleType) -> Iterator[tuple[str, dict[str, Any]]]:
    """The functions with @hookimpl, and what it was given."""
    for name, function in vars(module).items():
        options = getattr(function, "rear_impl", None)
        if isinstance(options, dict):
            yield name, options


def hook_problem(module: ModuleType) -> str:
    """What is wrong with a plugin's hooks: an unknown name, an argument that the hook does not have, no mark, or
    something that pluggy does with them and rear does not."""
    for name, options in _marked(module):
        if asked := [option for option in NOT_HONOURED if options.get(option)]:
            return f"{name} uses {asked[0]}, which rear ignores: steps run in the order of their numbers"
        if name not in HOOKS and not options["optionalhook"]:
            near = difflib.get_close_matches(name, HOOKS, 1)
            return f"unknown hook {name!r}" + (f", did you mean {near[0]}?" if near else ": this rear-core has none")
    trial = pluggy.PluginManager("rear")
    trial.add_hookspecs(hookspecs)
    try:
        trial.register(module)
        trial.check_pending()
    except pluggy.PluginValidationError as error:
        return " ".join(str(error).split())
    for name in vars(hookspecs):
        function = getattr(module, name, None)
        if name.startswith("rear_") and function is not None and not hasattr(function, "rear_impl"):
            return f"{name} lacks @hookimpl"
    return "" if trial.get_hookcallers(module) else "implements no hook"


class Plugins:
    """The plugins of one run: the core's own, the extras, and what the configuration selects."""

    def __init__(self, core: Sequence[ModuleType]) -> None:
        self.manager = pluggy.PluginManager("rear")
        self.manager.add_hookspecs(hookspecs)
        self.active: list[Found] = []
        self.broken: list[Found] = []
        self.without_family: NoFamily | None = None
        for module in core:
            self.take(Found(CORE, module.__name__.rpartition(".")[2], module.__name__, "rear-core", "", module=module))

    def add_extras(self, found: Iterable[Found]) -> None:
        """Take every extra; a broken one is kept in `broken`, so that its owner can be told, and harms nothing."""
        for plugin in found:
            if plugin.kind == "extra":
                loaded = load(plugin)
                if loaded.problem:
                    self.broken.append(loaded)
                else:
                    self.take(loaded)

    def select(self, found: Iterable[Found], kind: str, names: Sequence[str], setting: str) -> Found:
        """Take the first of `names` that is installed.

        Raises `PluginError` when none is, with what to do, or when the one found is broken.
        """
        installed = {plugin.name.lower(): plugin for plugin in found if plugin.kind == kind}
        for name in names:
            plugin = installed.get(name.lower())
            if plugin is None:
                continue
            loaded = load(plugin)
            if loaded.problem:
                raise PluginError(
                    f"the plugin {loaded.label} of {loaded.distribution} {loaded.version} is broken: {loaded.problem}",
                    f"update or remove it with pip, or change {setting}",
                )
            self.take(loaded)
            return loaded
        raise missing(setting, kind, names[0], (plugin.name for plugin in installed.values()))

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """What all active plugins yield for a hook, in the order of kinds, as one flat list."""
        return [item for _, item in self.call_each(hook, **arguments)]

    def call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[Found, Any]]:
        """What each active plugin yields for a hook, with the plugin that said it."""
        said = {impl.plugin_name: impl for impl in getattr(self.manager.hook, hook).get_hookimpls()}
        owners: dict[str, Found] = {}
        for plugin in self.active:
            impl = said.get(plugin.label)
            if impl is None:
                continue
            try:
                result = impl.function(**{name: arguments[name] for name in impl.argnames})
                if isinstance(result, str):
                    raise TypeError(f"it returned the text {result!r}, not a list")
                for item in [result] if not isinstance(result, Iterable) else result:
                    if item is None:
                        continue
                    if HOOKS[hook] not in {base.__name__ for base in type(item).__mro__}:
                        raise PluginError(
                            f"{hook} of the plugin {plugin.label} ({plugin.distribution}) returned"
                            f" {type(item).__name__}, not {HOOKS[hook]}",
                            _advice(plugin),
                        )
                    _check_name(hook, item, plugin, owners)
                    yield plugin, item
            except RearError:
                raise
            except (Exception, SystemExit) as error:
                if plugin.kind == CORE:
                    raise
                raise fault_of_machine(error, f"{hook} of {plugin.label}") or broken(plugin, hook, error) from error

    def carried(self) -> list[Found]:
        """The active plugins that the rescue system carries, without those of the core."""
        left = [plugin for plugin, carried in self.call_each("rear_carried") if not carried]
        return [plugin for plugin in self.active if plugin.kind != CORE and plugin not in left]

    def settings(self) -> list[Setting]:
        """All declared settings, each once; raise `PluginError` when two plugins declare one name for two things.

        Plugins that share a setting take its one declaration from the core.
        """
        owners: dict[str, tuple[Found, Setting]] = {}
        for plugin, setting in self.call_each("rear_settings"):
            for name in (setting.name, *setting.aliases):
                owner, other = owners.setdefault(name, (plugin, setting))
                if owner is plugin and other is not setting:
                    raise PluginError(f"{plugin.label} ({plugin.distribution}) declares {name} twice", _advice(plugin))
                if owner is not plugin and other is not setting:
                    raise PluginError(
                        f"{owner.label} ({owner.distribution}) and {plugin.label} ({plugin.distribution})"
                        f" both declare {name}",
                        f"remove one of them with pip, or tell the author of {plugin.distribution}",
                    )
        return [setting for name, (_, setting) in owners.items() if name == setting.name]

    def schemes(self) -> list[Scheme]:
        """The schemes of the URLs of all known places; raise `PluginError` when a plugin brings one that is taken."""
        schemes = {scheme.name: scheme for scheme in ALL}
        for plugin, kind in self.call_each("rear_places"):
            if schemes.setdefault(kind.scheme.name, kind.scheme) is not kind.scheme:
                raise PluginError(
                    f"{plugin.label} ({plugin.distribution}) declares the scheme {kind.scheme.name}://, which is known"
                    " already",
                    f"remove {plugin.distribution}, or tell its author",
                )
        return list(schemes.values())

    def folders(self, name: str) -> list[Path]:
        """The folders of this name in the packages of the active plugins."""
        files = [plugin.module.__file__ for plugin in self.active if plugin.module and plugin.module.__file__]
        return [folder for file in files if (folder := Path(file).parent / name).is_dir()]

    def install_advice(self, programs: Sequence[str]) -> str:
        """The command that installs the packages of missing programs, by the selected family of operating systems."""
        return self.manager.hook.rear_install_advice(programs=programs) or "install: " + " ".join(programs)

    def take(self, plugin: Found) -> None:
        """Make a loaded plugin active."""
        # One module may stand behind several names (ISO, CDROM); pluggy refuses a second registration of the same.
        if plugin.module is None or self.manager.is_registered(plugin.module):
            return
        self.manager.register(plugin.module, plugin.label)
        self.active.append(plugin)
        self.active.sort(key=lambda active: ORDER.index(active.kind))

    def leave(self, plugin: Found) -> None:
        """Take an active plugin out again."""
        self.manager.unregister(plugin.module)
        self.active.remove(plugin)


def _check_name(hook: str, item: Any, plugin: Found, owners: dict[str, Found]) -> None:
    """Raise for a storage technology, boot loader or command without a name, `PluginError` for that of another one."""
    if HOOKS[hook] in NAMED and not (isinstance(item.name, str) and item.name):
        raise TypeError(f"a {HOOKS[hook]} has the name {item.name!r}")
    if HOOKS[hook] in NAMED and (owner := owners.setdefault(item.name, plugin)) is not plugin:
        raise PluginError(
            f"{owner.label} ({owner.distribution}) and {plugin.label} ({plugin.distribution}) both bring {item.name}",
            f"remove one of them with pip, or tell the author of {plugin.distribution}",
        )


def broken(plugin: Found, what: str, error: BaseException) -> PluginError:
    """A fault of a plugin's own code, with whom to tell."""
    try:
        said = f"{type(error).__name__}: {error}"
    except Exception:  # Its own words are a plugin's code, too.
        said = type(error).__name__
    return PluginError(f"{what} of the plugin {plugin.label} ({plugin.distribution}) failed: {said}", _advice(plugin))


def at_fault(error: BaseException, installed: Iterable[Found]) -> Found | None:
    """The plugin of whose code an exception comes, the one that was entered last; None where none was running."""
    return next((plugin for _file, plugin in reversed(frames_of(error, installed)) if plugin), None)


def frames_of(error: BaseException, installed: Iterable[Found]) -> list[tuple[str, Found | None]]:
    """The files through which an exception came, the one that raised it last, and the plugin that each belongs to."""
    homes = {home: plugin for plugin in installed if plugin.kind != CORE and (home := _home(plugin))}
    files = [frame.f_code.co_filename for frame, _line in traceback.walk_tb(error.__traceback__)]
    return [(file, next((homes[home] for home in homes if file.startswith(home)), None)) for file in files]


def _home(plugin: Found) -> str:
    """How the paths of a plugin's files begin, "" for one that is not imported."""
    module = plugin.module or sys.modules.get(plugin.target)
    file = getattr(module, "__file__", None) or ""
    return f"{os.path.dirname(file)}/" if os.path.basename(file) == "__init__.py" else file


def _advice(plugin: Found) -> str:
    return f"update or remove {plugin.distribution}, and report this fault to its author"
