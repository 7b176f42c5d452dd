# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the steps of one plugin on a small tree, in a work area of its own, and notes which programs it starts."""

from __future__ import annotations

import importlib.util
import io
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import builtin
from ..builtin.system import write_description
from ..errors import RearError
from ..plugins import CORE, Found, Plugins, discover, load
from ..removal import discard
from ..report import Report
from ..run import Options, RescueImage, Run
from ..settings import Setting, Sources, evaluate, parse
from ..shell import Shell
from ..step import MAKING
from ..work_area import mounts_below, remove
from ..workflow import WORKFLOWS, plan
from .watch import surroundings

if TYPE_CHECKING:
    from ..storage.layout import Layout

NONE: Mapping[str, Path] = {}
RECOVERING = ("config", "verify", "restore")
# The workflow that a phase belongs to; other phases are those of `restoreonly`.
OF_PHASE = {
    **dict.fromkeys(MAKING, "mkbackup"),
    "finalize": "recover",
    "fetch": "backup-restore",
    "list": "backup-list",
    "mount": "backup-mount",
}
DEMO = ("restoreonly", "backup-restore", "backup-list", "backup-mount")
# The machine that a plugin sees has one file system, which is left out: what is saved is the tree alone.
MOUNTS = """\
{"filesystems": [{"target": "/", "source": "/dev/sda1", "fstype": "ext4", "options": "rw", "fsroot": "/",
"maj:min": "8:1"}]}
"""
SETTINGS = """\
TMPDIR={top}
LOGFILE={top}/log
SHARE_DIR={top}/share
VAR_DIR={top}/var
CACHE_DIR={top}/cache
BACKUP_PREFIX=web1
EXCLUDE_MOUNTPOINTS=( / )
BACKUP_PROG_EXCLUDE=()
BACKUP_PROG_INCLUDE=( {top}/tree )
"""


@dataclass(frozen=True)
class Supply:
    """What a plugin needs to be tried; its author gives it by the fixture `supply`.

    `settings` are lines of local.conf. `programs` is a folder of stand-ins that are found before the programs of this
    machine, and run with `environment`. `beside` names other plugins whose steps run as well, as "output ISO".
    `renew` puts places back as they were before anything was made, where that decides what a run does.
    `cannot_run` is the reason why no step can be run here, not even with stand-ins: the checks that would run them are
    then skipped, and say so.

    Of a backup, `midway` is a block in which the client fails after it has saved a part of the files, `full` one in
    which the place of the backups has no room; `one_backup` says that it holds one, over which the next is written,
    and `elsewhere` that somebody else makes the backup, so that the plugin cannot know what is in it. For a storage
    technology, `machines` are folders of recordings (`rear_core.testing.fake_shell`), `layouts` further storage
    with its items. For a boot loader, `systems` are those that it starts. For kinds of places, `places` has the
    options of each URL that files are put to.
    """

    settings: str = ""
    programs: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    beside: Sequence[str] = ()
    renew: Callable[[], object] = lambda: None
    cannot_run: str = ""
    midway: Callable[[], AbstractContextManager[object]] | None = None
    full: Callable[[], AbstractContextManager[object]] | None = None
    one_backup: bool = False
    elsewhere: bool = False
    machines: Sequence[Path] = ()
    layouts: Sequence[Layout] = ()
    systems: Sequence[Installed] = ()
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Installed:
    """A system that the boot loader of that name starts: its files lie in the folder `tree`, `layout` is its storage.

    `facts` are what `BootLoader.detect` has told of it. `files` are those without which it does not start, in the tree
    or images that stand for disks; `disks` then are their paths by the ids of the disks.
    """

    loader: str
    tree: Path
    layout: Layout
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[str] = ()
    disks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A plugin that is tried: a module of a distribution, and the names it is selected by."""

    found: Found
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.found.distribution}: {self.found.label}"

    @property
    def sources(self) -> list[Path]:
        """Its Python files: of the package, or the one module."""
        spec = importlib.util.find_spec(self.found.target.partition(".")[0])
        assert spec is not None
        if spec.submodule_search_locations:
            return sorted(path for place in spec.submodule_search_locations for path in Path(place).rglob("*.py"))
        return [Path(str(spec.origin))]

    @property
    def settings(self) -> list[Setting]:
        """What it declares."""
        declare = getattr(load(self.found).module, "rear_settings", None)
        return list(declare()) if declare else []


@cache
def installed() -> Sequence[Found]:
    """The plugins that are installed, looked for once for all tests."""
    return discover()


def subjects(distribution: str) -> list[Subject]:
    """The plugins of an installed distribution; raises `LookupError` when it has none."""
    grouped: dict[tuple[str, str], list[Found]] = {}
    for found in installed():
        if _same(found.distribution, distribution):
            grouped.setdefault((found.kind, found.target), []).append(found)
    if not grouped:
        raise LookupError(f"no plugin of rear belongs to an installed distribution {distribution}; install it")
    return [Subject(_namesake(group), tuple(found.name for found in group)) for group in grouped.values()]


def _namesake(group: Sequence[Found]) -> Found:
    """Of several names for one module the one that its distribution is called by."""
    return next((found for found in group if found.distribution.endswith(f"-{found.name.lower()}")), group[0])


def _same(one: str, other: str) -> bool:
    return one.lower().replace("_", "-") == other.lower().replace("_", "-")


@dataclass
class WatchedShell(Shell):
    """A real shell that looks into folders of stand-ins first and notes what it starts.

    `replaced` are programs in the place of others. With `bare` no program is installed. `looked_for` are those that a
    plugin asked for by `which`, as it can do without them; `told` those that got one of the `secrets` as an argument.
    """

    folders: Sequence[Path] = ()
    replaced: Mapping[str, Path] = field(default_factory=dict)
    bare: bool = False
    started: list[str] = field(default_factory=list)
    looked_for: set[str] = field(default_factory=set)
    secrets: Sequence[str] = ()
    told: set[str] = field(default_factory=set)

    def which(self, program: str) -> Path | None:
        """Where a program is found."""
        self.looked_for.add(program)
        if self.bare:
            return None
        places = [folder / program for folder in self.folders if "/" not in program]
        if program in self.replaced:
            return self.replaced[program]
        return next((place for place in places if place.is_file()), None) or super().which(program)

    def _start(self, arguments: list[str], **options: Any) -> Any:
        # What is started in Python itself is part of rear, wherever that is.
        if arguments[0] != sys.executable and arguments[0] not in self.started:
            self.started.append(arguments[0])
        if any(secret in argument for secret in self.secrets for argument in map(os.fsdecode, arguments)):
            self.told.add(arguments[0])
        looked_for = set(self.looked_for)
        try:
            return super()._start(arguments, **options)
        finally:
            self.looked_for = looked_for


@dataclass(frozen=True)
class Ended:
    """A run that is over and was undone.

    `error` is what ended it, `started` and `looked_for` are the programs it had to do with, `exposing` those that got a
    secret as an argument; `mounted` is what it left so, `left` what it changed of this process.
    """

    run: Run
    error: RearError | None
    started: tuple[str, ...]
    looked_for: frozenset[str]
    mounted: list[str]
    exposing: frozenset[str] = frozenset()
    left: Sequence[str] = ()

    @property
    def told(self) -> list[str]:
        """What the user was told that went wrong."""
        return [*map(str, filter(None, [self.error])), *self.run.report.warnings, *self.run.recovery.problems]


class Harness:
    """Runs steps of a plugin below the folder `top`, where `tree` are the files to save and `restored` what came back.

    All of the plugin's places that `supply` gives should lie beside `top`, so that changes to them are seen.
    """

    def __init__(self, subject: Subject, supply: Supply | None, folder: Path) -> None:
        self.subject = subject
        self.supplied = supply is not None
        self.supply = supply or Supply()
        self.folder = folder
        self.top = folder / "rear-conformance"
        self.tree, self.restored, self.work = self.top / "tree", self.top / "restored", self.top / "work"
        (self.top / "etc/recovery").mkdir(parents=True)
        self.tree.mkdir()
        (self.top / "share").mkdir()
        self.fail = program_file(self.top / "bin/fail", "/bin/sh", "echo 'failed on purpose' >&2; exit 99\n")
        mounts = f'[ "$1" = --json ] || exec findmnt "$@"\ncat <<\'END\'\n{MOUNTS}END\n'
        program_file(self.top / "bin/findmnt", "/bin/sh", mounts)

    @property
    def passing(self) -> tuple[Path, ...]:
        """What may change in any run: the work area and the description of this machine."""
        return self.work, self.top / "etc/recovery"

    def plugins(self) -> Plugins:
        """Those of the core, the one that is tried, and those beside it."""
        beside = [found for found in installed() if found.label in self.supply.beside]
        wanted = [load(found) for found in (self.subject.found, *beside)]
        plugins = Plugins(builtin.modules())
        for found in wanted:
            if found.problem:
                raise RearError(f"{found.label} is broken: {found.problem}")
            if found.kind != CORE:
                plugins.take(found)
        return plugins

    def run(
        self,
        workflow: str,
        *,
        paths: tuple[str, ...] = (),
        backup: str = "",
        replaced: Mapping[str, Path] = NONE,
        bare: bool = False,
    ) -> Run:
        """A run in an empty work area, on a machine of which nothing but the tree is to be saved."""
        from ..storage.command import Site
        from ..storage.layout import Layout
        from ..storage.plan import Rebuilt
        from ..system import Firmware, OperatingSystem, System

        (self.work / "rootfs").mkdir(mode=0o700, parents=True, exist_ok=True)
        plugins = self.plugins()
        report = Report(terminal=io.StringIO())
        options = Options(
            config_dir=self.top / "etc", target=self.restored, unattended=True, demo=workflow in DEMO, paths=paths,
            backup=backup,
        )  # fmt: skip
        folders = [*([self.supply.programs] if self.supply.programs else []), self.top / "bin"]
        settings = self.settings(plugins)
        values = [settings[one.name] for one in plugins.settings() if one.secret]
        words = [word for value in values for word in (value if isinstance(value, tuple) else [str(value)])]
        # What a report masks: a short word would be found in anything.
        secrets = [word for word in words if len(word) >= 4]
        sh = WatchedShell(report.log, self.supply.environment, folders, replaced, bare, secrets=secrets)
        run = Run(settings, plugins, options, report, sh, build_dir=self.work)
        run.phases = WORKFLOWS[workflow]
        run.system = System(OperatingSystem("debian"), "web1", platform.machine(), platform.release(), Firmware("bios"))
        run.layout = Layout()
        run.rebuilt = Rebuilt(Site(run.layout, {}), {})
        run.image = self._image()
        return run

    def settings(self, plugins: Plugins) -> Any:
        """The settings as a run reads them, with those that the plugin was supplied with."""
        chosen = [found for found in plugins.active if found.kind in ("backup", "output")]
        text = SETTINGS.format(top=self.top) + "".join(f"{found.kind.upper()}={found.name}\n" for found in chosen)
        assignments = tuple(parse(text + self.supply.settings, "local.conf"))
        return evaluate(Sources(assignments=assignments), plugins.settings(), {}, schemes=plugins.schemes())

    def _image(self) -> RescueImage:
        kernel, initramfs = self.work / "kernel", self.work / "initramfs"
        kernel.write_bytes(b"kernel" * 1000)
        initramfs.write_bytes(b"initramfs" * 50000)
        return RescueImage(kernel, initramfs, platform.release(), "console=tty0")

    def go(
        self, *phases: str, paths: tuple[str, ...] = (), backup: str = "", replaced: Mapping[str, Path] = NONE
    ) -> Ended:
        """Run the plugin's steps of some phases, and undo what the run leaves, as every run does."""
        workflow = next((name for phase, name in OF_PHASE.items() if phase in phases), "restoreonly")
        run = self.run(workflow, paths=paths, backup=backup, replaced=replaced)
        assert isinstance(run.sh, WatchedShell)
        if workflow == "recover":
            write_description(run, {"system": asdict(run.system), "boot_loaders": {}})
        error = None
        try:
            with surroundings() as left, run.undo:
                for planned in self.steps(run, phases):
                    planned.step.action(run)
        except RearError as raised:
            error = raised
        mounted = mounts_below(self.work)
        remove(self.work, Shell())
        exposing = frozenset(run.sh.told)
        return Ended(run, error, tuple(run.sh.started), frozenset(run.sh.looked_for), mounted, exposing, left)

    def steps(self, run: Run, phases: Sequence[str]) -> Iterator[Any]:
        """The planned steps, of the core none."""
        own = {found.label for found in run.plugins.active if found.kind != CORE}
        for phase in phases:
            yield from (planned for planned in plan(run, [phase]) if planned.source in own)

    def has_steps(self, *phases: str) -> bool:
        """Whether the plugin that is tried has the hook of any of these phases."""
        module = load(self.subject.found).module
        return any(hasattr(module, f"rear_{phase}") for phase in phases)

    def make(self, *, replaced: Mapping[str, Path] = NONE) -> Ended:
        """All phases of `rear mkbackup`."""
        return self.go(*MAKING, replaced=replaced)

    def recover(self, *, backup: str = "", replaced: Mapping[str, Path] = NONE) -> Ended:
        """The phases of a recovery that bring files back into a folder, of the `backup` of a date or the newest."""
        discard(self.restored)
        return self.go(*RECOVERING, backup=backup, replaced=replaced)

    def fetch(self, *paths: str) -> Ended:
        """The phases that bring some files back into a folder."""
        discard(self.restored)
        return self.go("config", "verify", "fetch", paths=paths)


def make_tree(tree: Path) -> None:
    """Files as a machine has them: modes, times, links, and attributes where the file system keeps them."""
    (tree / "folder/empty").mkdir(parents=True)
    (tree / "folder/text").write_text("text\n")
    (tree / "noise").write_bytes(os.urandom(300_000))
    (tree / "with space and \u00e4").write_text("odd name")
    (tree / "program").write_text("#!/bin/sh\n")
    os.link(tree / "noise", tree / "folder/same")
    (tree / "link").symlink_to("folder/text")
    (tree / "dangling").symlink_to("/no/such/file")
    with suppress(OSError):  # not every file system keeps them
        os.setxattr(tree / "noise", "user.origin", b"conformance")
    (tree / "folder/text").chmod(0o640)
    (tree / "program").chmod(0o4755)
    (tree / "folder/empty").chmod(0o1777)
    for path in (tree / "noise", tree / "folder/text", tree / "folder"):
        os.utime(path, (1_600_000_000, 1_600_000_000))


def program_file(path: Path, interpreter: str, text: str) -> Path:
    """Write a program; its path."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{interpreter}\n{text}")
    path.chmod(0o755)
    return path
