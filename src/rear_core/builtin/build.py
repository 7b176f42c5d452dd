# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills the tree of the rescue system: skeleton, programs, Python, files, configuration; and checks it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import own_files
from ..errors import RearError
from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..contents import Contents
    from ..rescue.tree import Tree
    from ..run import Run

SKELETON = Path(__file__).parent.parent / "skel" / "default"
PLACES = (
    "/dev", "/etc/rear", "/mnt/local", "/proc", "/run", "/sys", "/usr/bin", "/usr/sbin", "/var/lib/rear", "/var/tmp"
)  # fmt: skip
# Where the system's own users end (login.defs(5)); others have no business in the rescue system.
FIRST_USER = 1000
# RB_AUTOBOOT, RB_POWER_OFF and RB_HALT_SYSTEM of reboot(2).
KERNEL_CALLS = {"reboot": 0x01234567, "poweroff": 0x4321FEDC, "halt": 0xCDEF0123}


@hookimpl
def rear_build() -> Iterable[Step]:
    yield Step(5, "Create the skeleton of the rescue system", create_skeleton)
    yield Step(20, "Copy programs and their libraries", take_programs)
    yield Step(30, "Copy Python and rear", take_python)
    yield Step(50, "Copy files", take_files)
    yield Step(60, "Configure the rescue system", configure)
    yield Step(90, "Check that the rescue system is complete", check)
    yield Step(95, "Check that the rescue system has no secrets", check_secrets)


def tree_of(run: Run) -> Tree:
    from ..rescue.tree import Tree

    return Tree(run.rootfs_dir)


def contents_of(run: Run) -> Contents:
    """The contents, which scripts between the steps can extend."""
    assert run.contents is not None, "analyse_rescue comes before build"
    return run.contents


def create_skeleton(run: Run) -> None:
    """Directories, the machine's merged /usr, init and its companions."""
    from ..rescue import memory
    from .rescue import tree_size

    run.rootfs_dir.mkdir(mode=0o755)
    # With -d the tree is kept to be looked at.
    if run.options.debug or not memory.mount(run.sh, run.rootfs_dir, tree_size(run), run.undo):
        run.report.detail("Building the tree on disk")
    tree = tree_of(run)
    for place in ("/bin", "/sbin", "/lib", "/lib64"):
        if Path(place).is_dir():
            tree.add_place(place)
    for place in PLACES:
        tree.directory(place)
    for place in ("/root", "/root/.ssh"):
        tree.directory(place, 0o700)
    tree.directory("/tmp", 0o1777)
    tree.link("/var/run", "/run")
    tree.link("/etc/mtab", "/proc/self/mounts")
    for source in sorted(SKELETON.rglob("*")):
        if source.is_file():
            path = f"/{source.relative_to(SKELETON)}"
            # An installed package does not always keep the modes of its data.
            tree.data(path, source.read_bytes(), 0o755 if source.read_bytes().startswith(b"#!") else 0o644)
    for name in KERNEL_CALLS:
        tree.link(f"/usr/sbin/{name}", "/usr/lib/rear/shutdown")


def take_programs(run: Run) -> None:
    from ..rescue import libraries, programs, python

    tree, contents = tree_of(run), contents_of(run)
    taken = programs.add_programs(run.sh, tree, contents)
    taken += programs.add_files(tree, contents.libraries)
    loader = libraries.native_loader(python.interpreter())
    lacking = programs.add_libraries(run.sh, tree, taken, loader, contents.library_directories)
    if lacking:
        raise RearError(
            f"libraries are missing: {'; '.join(lacking)}",
            "install the packages that provide them, or remove the broken program",
        )


def take_python(run: Run) -> None:
    """The interpreter, rear-core, the selected plugins, and the distributions that anyone asked for."""
    from ..rescue import libraries, programs, python

    tree = tree_of(run)
    native = python.add_interpreter(tree)
    wanted = ["rear-core", *(plugin.distribution for plugin in run.plugins.carried()), *contents_of(run).distributions]
    for distribution in python.with_requirements(wanted):
        native += python.add_distribution(tree, distribution)
    lacking = programs.add_libraries(run.sh, tree, native, libraries.native_loader(python.interpreter()))
    # A module of the standard library whose library is not installed cannot be imported on this machine either.
    for line in lacking:
        run.report.detail(line)
    tree.text("/usr/bin/rear", python.script("from rear_core.cli import main\nmain()"), 0o755)
    network = "import runpy\nrunpy.run_module('rear_core.network.apply', run_name='__main__')"
    tree.text("/usr/bin/rear-network", python.script(network), 0o755)
    drivers = "import runpy\nrunpy.run_module('rear_core.rescue.late_drivers', run_name='__main__')"
    tree.text("/usr/bin/rear-drivers", python.script(drivers), 0o755)
    for name, number in KERNEL_CALLS.items():
        call = f"{python.shebang()}\nimport ctypes\nctypes.CDLL(None).reboot({number:#x})\n"
        tree.text(f"/usr/lib/rear/kernel-{name}", call, 0o755)


def take_files(run: Run) -> None:
    from ..rescue import libraries, programs, python
    from ..rescue.tree import matcher

    tree, contents = tree_of(run), contents_of(run)
    excluded = matcher([*programs.EXCLUDED, *run.settings["RESCUE_FILES_EXCLUDE"]])
    secret, allowed = matcher(contents.secrets), matcher(run.settings["RESCUE_ALLOW_SECRETS"])
    listed = matcher([*run.settings["RESCUE_FILES"], *run.settings["RESCUE_ALLOW_SECRETS"]])
    own = os.fspath(run.build_dir)

    def wanted(path: str) -> bool:
        if path == own or excluded(path) or (secret(path) and not allowed(path)):
            return False
        if programs.is_hidden(path) and not listed(path):
            run.report.warn(f"{path} is left out, as only root can read it; name it in RESCUE_FILES to include it")
            return False
        return True

    files = programs.add_files(tree, contents.files, wanted)
    loader = libraries.native_loader(python.interpreter())
    for line in programs.add_libraries(run.sh, tree, files, loader, contents.library_directories):
        run.report.warn(line)


def configure(run: Run) -> None:
    """What the rescue system knows about this machine."""
    from ..rescue.keymap import add_keymap
    from ..settings import dump_lines

    tree = tree_of(run)
    hostname = run.system.hostname
    tree.text("/etc/hostname", f"{hostname}\n")
    tree.text("/etc/rear-release", f"Rescue system of {hostname}, {run.system.os.pretty_name}\n")
    tree.add("/etc/os-release")
    tree.directory("/etc/rear", 0o700)
    tree.text("/etc/rear/local.conf", "".join(f"{line}\n" for line in dump_lines(run.settings)), 0o600)
    tree.text("/etc/rear/modules-load", "".join(f"{name}\n" for name in contents_of(run).load))
    recovery = tree.directory("/etc/rear/recovery", 0o700)
    for file in sorted(run.recovery_dir.glob("*.json")):
        (recovery / file.name).write_bytes(own_files.read(file))
        (recovery / file.name).chmod(0o600)
    _hosts(tree)
    for kind in run.plugins.call("rear_storage_kinds"):
        if kind.configure:
            kind.configure(tree)
    add_keymap(run.sh, tree, run.report.warn)
    _accounts(run, tree)
    _ssh(run, tree)


def _hosts(tree: Tree) -> None:
    """The names of /etc/hosts besides the skeleton's own: a backup server may have its name there alone."""
    path = Path("/etc/hosts")
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    own = tree.inside(path).read_text() if tree.has(path) else ""
    more = [line for line in lines if line.strip() and not line.startswith("#") and line not in own.splitlines()]
    tree.text("/etc/hosts", own + "".join(f"{line}\n" for line in more))


def _accounts(run: Run, tree: Tree) -> None:
    """Root and the system's own accounts, without passwords; root's is what the configuration says.

    The hash `*` matches no password and, other than `!`, does not lock the account for sshd.
    """
    users = ["root:x:0:0:root:/root:/bin/bash", *_system_accounts("/etc/passwd")]
    groups = ["root:x:0:", *(re.sub(r":[^:]*$", ":", line) for line in _system_accounts("/etc/group"))]
    password = run.settings["SSH_ROOT_PASSWORD"] or "*"
    tree.text("/etc/passwd", "".join(f"{line}\n" for line in users))
    tree.text("/etc/group", "".join(f"{line}\n" for line in groups))
    tree.text("/etc/shadow", f"root:{password}:19000:0:99999:7:::\n", 0o600)
    tree.text("/etc/shells", "/bin/sh\n/bin/bash\n")


def _system_accounts(file: str) -> Iterator[str]:
    for line in Path(file).read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) > 3 and fields[0] != "root" and fields[2].isdigit() and 0 < int(fields[2]) < FIRST_USER:
            yield line


def _ssh(run: Run, tree: Tree) -> None:
    """Root's authorized keys; host keys and a password only as configured."""
    keys = [Path(f"/root/.ssh/{name}") for name in ("authorized_keys", "authorized_keys2")]
    text = "".join(path.read_text(errors="surrogateescape").rstrip("\n") + "\n" for path in keys if path.is_file())
    if text:
        tree.data("/root/.ssh/authorized_keys", text.encode(errors="surrogateescape"), 0o600)
    if run.settings["SSH_ROOT_PASSWORD"]:
        tree.text("/etc/ssh/sshd_config.d/password.conf", "PermitRootLogin yes\nPasswordAuthentication yes\n")
        tree.text("/etc/rear/ssh-password", "")
    if run.settings["SSH_HOST_KEYS"]:
        for path in sorted(Path("/etc/ssh").glob("ssh_host_*_key*")):
            tree.add(path)
    if tree.has("/usr/sbin/sshd") and not text and not run.settings["SSH_ROOT_PASSWORD"]:
        run.report.detail("root has no authorized keys: no one can log in to the rescue system by ssh")


def check(run: Run) -> None:
    """Prove that programs, libraries, Python and plugins work in the tree."""
    from ..rescue import check as checks

    tree = tree_of(run)
    checks.write_loader_cache(run.sh, tree)
    if absent := checks.missing_programs(tree, contents_of(run).programs):
        raise RearError(f"programs are missing in the rescue system: {', '.join(absent)}")
    broken: list[str] = []
    elsewhere: list[str] = []
    for line in checks.missing_libraries(run.sh, tree, contents_of(run).library_directories):
        path = Path(line.partition(" needs ")[0])
        (elsewhere if _is_broken_here(run, path) else broken).append(line)
    if broken:
        raise RearError(
            f"libraries are missing in the rescue system: {'; '.join(broken)}",
            "add them to RESCUE_LIBRARIES; if a script copied the program, use RESCUE_BINARIES instead",
        )
    for line in elsewhere:
        run.report.warn(line)
    modules = [plugin.target for plugin in run.plugins.carried()]
    checks.check_python(run.sh, tree, [target.partition(":")[0] for target in modules])


def _is_broken_here(run: Run, path: Path) -> bool:
    """Whether a file lacks its libraries on this machine already, as parts of a vendor's directory may."""
    from ..rescue import libraries, python

    loader = libraries.native_loader(python.interpreter())
    directories = contents_of(run).library_directories
    return path.is_file() and bool(libraries.libraries_of(run.sh, [path], loader, directories)[1])


def check_secrets(run: Run) -> None:
    """End the build when a file of the tree has a secret that the configuration does not allow there."""
    from ..network import wireless
    from ..rescue.python import libraries
    from ..rescue.secrets import find_secrets

    allowed = list(run.settings["RESCUE_ALLOW_SECRETS"])
    if run.settings["SSH_HOST_KEYS"]:
        allowed.append("/etc/ssh/ssh_host_*_key")
    if run.settings["SSH_ROOT_PASSWORD"]:
        allowed.append("/etc/shadow")
    if run.settings["RESCUE_WIRELESS"]:
        allowed.append(os.fspath(wireless.CONFIGURATION))
    values, files = dict(_known_secrets(run)), contents_of(run).secrets
    secrets = find_secrets(run.rootfs_dir, values, allowed, files, libraries())
    if secrets:
        named = "; ".join(f"{secret.what} in {secret.path}" for secret in secrets)
        raise RearError(
            f"the rescue system would carry secrets: {named}",
            "leave the files out with RESCUE_FILES_EXCLUDE, or allow them with RESCUE_ALLOW_SECRETS",
        )


def _known_secrets(run: Run) -> Iterator[tuple[str, str]]:
    machine_id = Path("/etc/machine-id")
    if machine_id.is_file() and len(machine_id.read_text().strip()) == 32:
        yield "the machine id", machine_id.read_text().strip()
    for name in run.settings:
        if run.settings.declaration(name).secret and isinstance(run.settings[name], str):
            yield f"the value of {name}", run.settings[name]
