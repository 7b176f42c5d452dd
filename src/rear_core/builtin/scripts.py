# SPDX-License-Identifier: GPL-3.0-or-later
"""What administrators add without writing a plugin: `NN_name.sh` scripts as steps, `skel/` trees as rescue contents."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ..contents import Contents, merge
from ..errors import ConfigurationError, RearError
from ..hookspecs import hookimpl
from ..own_files import check_links, read_text
from ..rescue.tree import Tree
from ..step import PHASES, RECOVERING, Step
from ..trust import changeable, changeable_in

if TYPE_CHECKING:
    from ..run import Run

SCRIPT_NAME = re.compile(r"\d\d_[\w.+-]+\.(sh|py)")
# What somebody may have meant as one, whatever it begins with; programs are as well. Notes, data, and what editors and
# packages leave behind are none.
LIKE_A_SCRIPT = re.compile(r"\d+[_.-].*|.*\.(sh|py|bash|pl)", re.DOTALL)
NO_SCRIPT = re.compile(
    r"\..*|#.*#|README.*|.*(~|\.(bak|old|orig|rej|save|disabled|sw[a-p]|dpkg-\w+|rpm\w+|ucf-\w+))"
    r"|.*\.(md|rst|txt|log|conf|cfg|ini|json|ya?ml|toml|csv|pem|crt|key|pub)"
)
# Those that the rescue system runs.
RESCUE_PHASES = (*RECOVERING, "cleanup")
# What folders of a phase are called elsewhere.
OTHER_NAMES = {"dr": "analyse_dr", "rescue": "analyse_rescue", "init": "config", "conf": "config", "wrapup": "finalize"}
# Folders in SHARE_DIR that apply to some machine: by uname -m, as debian_12, or by a method.
FLAVOUR = re.compile(
    r"default|i[3-6]86|(aarch|alpha|arm|ia64|loongarch|mips|parisc|ppc|riscv|s390|sparc)\w*"
    r"|[a-z0-9.-]+_[\w.~+-]*|(?!GNU$)[A-Z][A-Z0-9_+-]*"
)
FOLDERS = "default, <arch>, <OS>_<VER>, <BACKUP>, <OUTPUT>"
# How programs begin, and as much of the first line of a script as execve(2) looks at.
ELF = b"\x7fELF"
LINE = 255
# What is no step in the folders of the configuration and of SHARE_DIR.
OTHER_FOLDERS = ("recovery", "skel", "templates")
# As deep as scripts of Relax-and-Recover lie.
LEVELS = 4
NAMED = "a script is named NN_name.sh or NN_name.py, with two digits, and runs as a program of its own"
LISTS = ("RESCUE_BINARIES", "RESCUE_MODULES", "RESCUE_FILES")


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(0, "Check that every script would run", check_scripts, by_settings=True)


@hookimpl
def rear_analyse_dr(run: Run) -> Iterable[Step]:
    if "prep" not in run.phases:
        yield Step(0, "Check that every script would run", check_scripts)


@hookimpl
def rear_build() -> Iterable[Step]:
    yield Step(10, "Copy the skeleton trees", copy_skeletons)
    yield Step(65, "Copy the scripts for the recovery", take_scripts)


def flavours(run: Run) -> list[str]:
    """The names of folders whose scripts and trees apply to this run, general ones first."""
    os_release = run.system.os
    return [
        "default",
        run.system.machine,
        f"{os_release.id}_{os_release.version_id}",
        *run.settings["BACKUP"],
        run.settings["OUTPUT"],
    ]


def script_steps(run: Run, phase: str) -> Iterator[Step]:
    """A step for each executable `NN_name.sh` or `.py` in the folders of a phase.

    Raises `ConfigurationError` for a script that someone else could have changed.
    """
    for path in scripts(run, phase):
        yield Step(int(path.name[:2]), os.fspath(path), _runner(path, phase))


def scripts(run: Run, phase: str) -> Iterator[Path]:
    """The scripts of a phase, those of SHARE_DIR first."""
    shared = [folder / flavour for folder in run.shared(phase) for flavour in flavours(run)]
    for folder in (*shared, run.config_dir / phase):
        for path in _files(folder):
            if SCRIPT_NAME.fullmatch(path.name) and os.access(path, os.X_OK):
                _check_owner(path)
                yield path


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.is_dir()) if folder.is_dir() else []


def check_scripts(run: Run) -> None:
    """Raise `ConfigurationError` for what looks like a script and would never be run, and for folders that are lost."""
    for folder in _folders(run):
        check_links(folder)
    for path, advice in (*_not_run(run), *_misplaced(run)):
        raise ConfigurationError(f"the script {path} would not be run", advice)


def _folders(run: Run) -> Iterator[Path]:
    """Where the administrator, the site or the distribution may have put scripts, templates and skeleton trees."""
    yield run.recovery_dir
    yield run.config_dir / "templates"
    yield from run.shared("templates")
    for phase in PHASES:
        yield run.config_dir / phase
    for name in (*PHASES, "skel"):
        yield from (folder / flavour for folder in run.shared(name) for flavour in flavours(run))


def _not_run(run: Run) -> Iterator[tuple[Path, str]]:
    """Files in the folders of scripts that are none by their name or mode, with what to do."""
    for phase in PHASES:
        shared = [folder / flavour for folder in run.shared(phase) for flavour in flavours(run)]
        for folder in (*shared, run.config_dir / phase):
            for path in filter(_is_like_a_script, _files(folder)):
                renamed = f"rename it to {folder / _proper_name(path.name)}: {NAMED}"
                if re.match(r"\d{3}_", path.name):
                    theirs = "it is named like a script of Relax-and-Recover; those do not work here"
                    yield path, f"{theirs}; if it is your own: {renamed}"
                elif not SCRIPT_NAME.fullmatch(path.name):
                    yield path, renamed
                elif advice := _cannot_start(path):
                    yield path, f"{advice}, or give it a name that ends with .disabled"


def _cannot_start(path: Path) -> str:
    """What to do about a script that the kernel would not start, "" for one that it would: in the middle of a recovery
    it is too late."""
    if not path.is_file():
        leads = f"it links to {os.readlink(path)}, which does not exist" if path.is_symlink() else "it is not a file"
        return f"{leads}: put a file there"
    if not os.access(path, os.X_OK):
        return f"chmod +x {quote(str(path))}"
    first = _first_line(path)
    if first.startswith(ELF):
        return ""
    program = re.match(rb"#![ \t]*([^ \t\n]+)", first)
    if not program:
        return "begin it with #! and the program that runs it, such as #!/bin/sh: it runs as a separate program"
    name = os.fsdecode(program[1])
    return "" if os.access(name, os.X_OK) else f"its first line names {name!r}, which is not a program here: correct it"


def _misplaced(run: Run) -> Iterator[tuple[Path, str]]:
    """Scripts in other folders of the configuration and of SHARE_DIR, with where they belong."""
    phases = f"the phases are: {' '.join(PHASES)}"
    for path, folders in _scripts_below(run, run.config_dir):
        if len(folders) != 1 or folders[0] not in PHASES:
            yield path, f"move it to {run.config_dir / _meant_phase(folders) / _proper_name(path.name)}; {phases}"
    for share in run.shared(""):
        for path, folders in _scripts_below(run, share):
            if len(folders) != 2 or folders[0] not in PHASES or not _is_flavour(run, folders[1]):
                place = share / _meant_phase(folders) / _meant_flavour(run, folders[1:])
                yield path, f"move it to {place / _proper_name(path.name)}; their folders are {FOLDERS}; {phases}"


def _scripts_below(run: Run, root: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    """What looks like a script below a folder, each with the names of the folders that it is in."""
    others = {root / name for name in OTHER_FOLDERS} | {run.share_dir, run.var_dir, run.cache_dir, run.build_dir}
    for path in filter(_is_like_a_script, _below(root, others)):
        yield path, path.relative_to(root).parts[:-1]


def _is_flavour(run: Run, name: str) -> bool:
    """Whether a folder of scripts applies to this machine, or may to another one."""
    return name in flavours(run) or bool(FLAVOUR.fullmatch(name))


def _below(folder: Path, others: Collection[Path], levels: int = LEVELS) -> Iterator[Path]:
    """Files in a folder and in those below it, but for some and hidden ones; links are followed at the top alone."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        followed = levels == LEVELS or (levels and not path.is_symlink())
        if not path.is_dir():
            yield path
        elif followed and path not in others and not path.name.startswith("."):
            yield from _below(path, others, levels - 1)


def _is_like_a_script(path: Path) -> bool:
    if NO_SCRIPT.fullmatch(path.name):
        return False
    return bool(LIKE_A_SCRIPT.fullmatch(path.name)) or os.access(path, os.X_OK) or _names_its_program(path)


def _names_its_program(path: Path) -> bool:
    return _first_line(path).startswith(b"#!")


def _first_line(path: Path) -> bytes:
    """The first line of a file, as far as a kernel reads it; nothing of what is none or cannot be read."""
    try:
        with path.open("rb") if path.is_file() else io.BytesIO() as file:
            return file.readline(LINE)
    except OSError:
        return b""


def _meant_phase(folders: Iterable[str]) -> str:
    """The phase that the name of a folder is nearest to."""
    names = [OTHER_NAMES.get(name, name) for name in (folder.removesuffix(".d").lower() for folder in folders)]
    return next((name for name in names if name in PHASES), "<phase>")


def _meant_flavour(run: Run, folders: Sequence[str]) -> str:
    """The folder below a phase that applies to this machine and is nearest to one of these."""
    for folder in folders:
        for flavour in flavours(run):
            if flavour.lower() == folder.lower() or flavour.startswith(f"{folder.lower()}_"):
                return flavour
    return "default"


def _proper_name(name: str) -> str:
    """The name of a step that is nearest to that of a file."""
    stem = re.sub(r"\.(sh|py|bash|pl)\s*$", "", name)
    found = re.fullmatch(r"(?:[A-Za-z]?(\d+))?(.*)", stem, re.DOTALL)
    number, rest = (found[1] or "50", found[2]) if found else ("50", stem)
    words = re.sub(r"[^\w.+-]+", "-", rest.strip("_.-")) or "name"
    return f"{int(number[:2]):02}_{words}" + (".py" if name.endswith(".py") else ".sh")


def take_scripts(run: Run) -> None:
    """Put the scripts of the phases that run in the rescue system where it looks for them."""
    tree = Tree(run.rootfs_dir)
    for phase in RESCUE_PHASES:
        for path in scripts(run, phase):
            own = path.parent == run.config_dir / phase
            tree.add_as(path, f"/etc/rear/{phase}/{path.name}" if own else os.fspath(path))


def _check_owner(path: Path) -> None:
    if problem := changeable(path):
        raise ConfigurationError(
            f"the script {path} would run as root, but others can change it: {problem}",
            "check its contents; chown root and chmod go-w the named path",
        )


def _runner(path: Path, phase: str) -> Callable[[Run], None]:
    def action(run: Run) -> None:
        run_script(run, path, phase)

    return action


def run_script(run: Run, path: Path, phase: str) -> None:
    """Run an administrator's script and take back the lists it extends.

    Lists are handed over one word per line. The script extends them by appending assignments in the syntax of the
    configuration files, such as `RESCUE_BINARIES+=( strace )`, to the file named by REAR_RETURN.
    """
    from ..settings import assign

    returned = run.build_dir / "returned"
    returned.write_text("")
    returned.chmod(0o600)
    run.sh.run(path, env=environment(run, phase, returned), cwd=run.build_dir, timeout=3600)
    try:
        text = read_text(returned)
    except (OSError, ValueError) as error:
        raise RearError(
            f"what {path} returned cannot be read: {error}",
            "a script appends lines of text in UTF-8 to the file that REAR_RETURN names, and leaves it there",
        ) from error
    run.settings = assign(run.settings, text, os.fspath(path), LISTS)
    if run.contents is not None:
        run.contents = merge([run.contents, listed_contents(run)])


def environment(run: Run, phase: str, returned: Path) -> dict[str, str]:
    """The variables that a script finds in its environment."""
    return {
        "CONFIG_DIR": os.fspath(run.config_dir),
        "SHARE_DIR": os.fspath(run.share_dir),
        "BUILD_DIR": os.fspath(run.build_dir),
        "ROOTFS_DIR": os.fspath(run.rootfs_dir),
        "RECOVERY_DIR": os.fspath(run.recovery_dir),
        "OUTPUT": run.settings["OUTPUT"],
        "BACKUP": " ".join(run.settings["BACKUP"]),
        "REAR_PHASE": phase,
        "REAR_COMMAND": run.command,
        "REAR_RESULT": run.result,
        "REAR_ERROR": run.report.masked(run.error),
        "REAR_RETURN": os.fspath(returned),
        **{name: "\n".join(run.settings[name]) for name in LISTS},
    }


def listed_contents(run: Run) -> Contents:
    """The rescue contents that settings and scripts list."""
    programs, modules, files = (run.settings[name] for name in LISTS)
    return Contents(programs=programs, modules=modules, files=files)


def copy_skeletons(run: Run) -> None:
    """Merge the skeleton trees into the tree of the rescue system, the more special over the more general.

    A plugin's trees are in `skel/` of its package. Raises `ConfigurationError` for one in SHARE_DIR that someone else
    could have changed.
    """
    shared = run.shared("skel")
    if not shared:
        run.report.warn(
            f"{run.share_dir} belongs to Relax-and-Recover: rear does not use its skel trees (see SHARE_DIR)"
        )
    for flavour in flavours(run):
        for tree in [*run.plugins.folders("skel"), *shared]:
            source = tree / flavour
            if source.is_dir():
                if tree in shared and (problem := changeable_in(source)):
                    raise ConfigurationError(
                        f"others can change {source}, which rear copies to the rescue system: {problem}",
                        "check its contents; chown root and chmod go-w the named path",
                    )
                run.sh.run("cp", "--archive", "--no-preserve=ownership", "--force", f"{source}/.", run.rootfs_dir)
