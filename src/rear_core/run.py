# SPDX-License-Identifier: GPL-3.0-or-later
"""Run: what every step is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Refused
from .records import Outcome, Record, Saved
from .report import Report
from .shell import Shell

if TYPE_CHECKING:
    from .archive.external import Found
    from .archive.kept import Kept
    from .archive.restore import Backup
    from .contents import Contents
    from .media.carried import Carried
    from .methods import Portion
    from .network.model import Network
    from .plugins import Plugins
    from .settings import Settings
    from .storage.held import HeldDisks
    from .storage.layout import Layout
    from .storage.plan import Plan, Rebuilt
    from .storage.present import Machine
    from .system import System
    from .system.kernel import Kernel


@dataclass(frozen=True)
class Options:
    """The options of the command line: the global ones, and those of the commands that save and restore files.

    `target` is where files are restored to; with `demo` they are restored there and no disk is touched. `backup` is
    the date of the one to restore, the newest when empty, `paths` are the files of it that are wanted, all when empty.
    `json_progress` prints events for other programs, `json` the record of the run at its end; with `quiet` only
    warnings and errors are printed. `wait` is how many minutes to wait for another run. `only` is the one of several
    backup methods that is to work. `identity` has a recovery make another machine: a file, or "dhcp". `plan` is the id
    of the plan that it must have, or a file with its lines.
    """

    verbose: bool = False
    debug: bool = False
    simulate: bool = False
    step_by_step: bool = False
    unattended: bool = False
    kernel: str = ""
    config_dir: Path = Path("/etc/rear")
    config_files: tuple[Path, ...] = ()
    target: Path = Path("/mnt/local")
    demo: bool = False
    backup: str = ""
    paths: tuple[str, ...] = ()
    json_progress: bool = False
    json: bool = False
    quiet: bool = False
    wait: int = 0
    only: str = ""
    identity: str = ""
    plan: str = ""


# What the file of `RescueImage.drivers` is called on media.
DRIVERS = "drivers.squashfs"


@dataclass(frozen=True)
class RescueImage:
    """A packed rescue system: what an output plugin puts on its media.

    With RESCUE_SPLIT `drivers` is a file for the media as well, and `command_line_for` says how it is found.
    """

    kernel: Path
    initramfs: Path
    kernel_version: str
    command_line: str
    drivers: Path | None = None

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(path.stat().st_size for path in (self.kernel, self.initramfs, self.drivers) if path)

    def command_line_for(self, place: str) -> str:
        """The kernel's command line for media that have `drivers` at a place.

        That is http://SERVER/PATH, or TAG:/PATH with a tag of blkid(8), such as TYPE=iso9660 or UUID=1234-ABCD.
        """
        return f"{self.command_line} rear.drivers={place}" if self.drivers else self.command_line


@dataclass
class Recovery:
    """What a recovery came to: collected by its steps, told at its end.

    `done` are changes to the restored system, `rewritten` the files of its configuration among them, `differences`
    what is not as it was, `problems` what keeps it from starting as it did, `missing` which files did not come back,
    `seconds` the time of each phase so far. `plan` is the id of the plan, and `steps` are its lines.
    """

    done: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    plan: str = ""
    steps: list[str] = field(default_factory=list)


@dataclass
class Run:
    """One run of a workflow.

    Phases fill in what later ones need: `layout` and `network` come from analyse_dr (or from the files in
    `recovery_dir` when recovering), `contents` and `kernel` from analyse_rescue, the tree below `rootfs_dir` from
    build, `image` from pack, `carried` (what the rescue media take along) from backup, `results` from output,
    `backup`, `plan`, `held` (the disks that it takes), `passphrases` (of LUKS volumes by id, of places by URL) and
    `headers` (files with headers of LUKS volumes that are put back, by id) from verify,
    `erased` (the disks as they were right before they were erased, None where an earlier run did that) and `rebuilt`
    from recreate, `recovery` from all phases of one, `kept` from list. `place_mounts` has the mount
    points on which folders of URLs lay when they were checked, by URL and folder. Where the machine has several backup
    methods, `portions` are what each saves and `backups` what each has found in verify, by the labels of their plugins;
    `portion` is that of the method whose step runs now, and None everywhere else.
    `outcome` is what steps add to the record of the run, which `record` is from its end on.
    `phases` are those of the workflow `command`, `writing` says that a recovery has begun to write to disks. When
    cleanup begins, `result` is "done", "failed" or "interrupted", with the `error` that ended it. `undo` is unwound
    when the run ends, however it ends.
    """

    settings: Settings
    plugins: Plugins
    options: Options = field(default_factory=Options)
    report: Report = field(default_factory=Report)
    sh: Shell = field(default_factory=Shell)
    undo: ExitStack = field(default_factory=ExitStack)
    build_dir: Path = Path()
    layout: Layout | None = None
    network: Network | None = None
    contents: Contents | None = None
    kernel: Kernel | None = None
    image: RescueImage | None = None
    carried: Carried | None = None
    results: list[Path] = field(default_factory=list)
    backup: Backup | Found | None = None
    plan: Plan | None = None
    held: HeldDisks | None = None
    passphrases: dict[str, str] = field(default_factory=dict, repr=False)
    headers: dict[str, Path] = field(default_factory=dict)
    erased: Machine | None = None
    rebuilt: Rebuilt | None = None
    recovery: Recovery = field(default_factory=Recovery)
    kept: list[Kept] = field(default_factory=list)
    place_mounts: dict[tuple[str, str], str] = field(default_factory=dict)
    portions: Mapping[str, Portion] = field(default_factory=dict)
    portion: Portion | None = None
    backups: dict[str, Backup | Found | None] = field(default_factory=dict)
    command: str = ""
    phases: tuple[str, ...] = ()
    result: str = ""
    error: str = ""
    writing: bool = False
    outcome: Outcome = field(default_factory=Outcome)
    record: Record | None = None

    def lack(self, missing: str) -> None:
        """Have files that did not come back fail the run at its end: the machine is made to start all the same."""
        self.recovery.missing.append(missing)
        self.report.warn(missing)

    def saved(self, name: str, place: str, *, files: int = 0, bytes: int = 0, size: int = 0) -> None:
        """Note a backup that was made, for the record of the run; as `rear_core.records.Saved` has it."""
        method = self.portion.method if self.portion else " ".join(self.settings["BACKUP"])
        self.outcome.saved.append(Saved(method, name, place, files, bytes, size))

    @property
    def backup_name(self) -> str:
        """The name of the backup that is restored, of several methods those of all; "" for none."""
        found = self.backups.values() if self.portions else [self.backup]
        return " ".join(backup.name for backup in found if backup)

    @property
    def config_dir(self) -> Path:
        """/etc/rear, or where -c points."""
        return self.options.config_dir

    @property
    def recovery_dir(self) -> Path:
        """Where the description of this machine is kept: layout.json, network.json, system.json."""
        return self.config_dir / "recovery"

    @property
    def share_dir(self) -> Path:
        """/usr/share/rear: scripts and skel trees of the distribution."""
        return Path(self.settings["SHARE_DIR"])

    def shared(self, name: str) -> list[Path]:
        """The folder of this name in SHARE_DIR; none where Relax-and-Recover, whose files are not ours, is there."""
        original = (self.share_dir / "lib" / "framework-functions.sh").exists()
        return [] if original else [self.share_dir / name]

    @property
    def var_dir(self) -> Path:
        """/var/lib/rear: what rear keeps between runs."""
        return Path(self.settings["VAR_DIR"])

    @property
    def cache_dir(self) -> Path:
        """/var/cache/rear: what rear can recreate."""
        return Path(self.settings["CACHE_DIR"])

    @property
    def target(self) -> Path:
        """Where the recovered file systems are mounted and files are restored to."""
        return self.options.target

    @property
    def demo(self) -> bool:
        """Whether files are only restored into a folder: no disk may be looked at as one to write to."""
        return self.options.demo

    @property
    def only_reads(self) -> bool:
        """Whether the place of the backups is only read, perhaps in the rescue system, which has no passwords."""
        return bool({"verify", "list", "mount"} & {*self.phases})

    @property
    def rootfs_dir(self) -> Path:
        """The tree of the rescue system while it is built."""
        return self.build_dir / "rootfs"

    @cached_property
    def system(self) -> System:
        """Facts of this machine: operating system, firmware, architecture, host name."""
        from .system import examine

        return examine(self.sh)

    def need_root(self) -> None:
        """Raise unless the run has the rights of root."""
        need_root()


def need_root() -> None:
    """Raise unless this process has the rights of root."""
    if os.geteuid() != 0:
        raise Refused("this command needs root", "run it with sudo")
