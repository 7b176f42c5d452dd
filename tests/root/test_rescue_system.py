# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole rescue system of this machine: built, checked in a chroot, packed, unpacked and looked at."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from rear_core import Contents, hookimpl
from rear_core.builtin import build, modules, pack, rescue
from rear_core.builtin import parts as parts_table
from rear_core.errors import RearError
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.rescue.python import SITE
from rear_core.rescue.tree import Tree
from rear_core.run import Run
from rear_core.settings import Settings, evaluate, load
from rear_core.shell import Shell
from rear_core.system.kernel import installed_kernels
from rear_core.work_area import mounts_below

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not installed_kernels(Path("/")), reason="no kernel package is installed"),
]

EPOCH = "1700000000"


@contextmanager
def open_run(folder: Path, configuration: str = "") -> Iterator[Run]:
    """A run of the core alone, with its own places."""
    (folder / "etc").mkdir(parents=True, exist_ok=True)
    (folder / "etc/local.conf").write_text(f"CACHE_DIR={folder}/cache\n{configuration}")
    plugins = Plugins(modules())
    report = Report(terminal=io.StringIO())
    settings: Settings = evaluate(load(folder / "etc", ("local.conf",), ()), plugins.settings(), {})
    run = Run(settings, plugins, report=report, sh=Shell(log=report.log), build_dir=folder / "work")
    run.build_dir.mkdir(exist_ok=True)
    with run.undo:
        yield run


def build_tree(run: Run) -> Tree:
    for step in (
        rescue.choose_kernel, rescue.decide_contents, build.create_skeleton, build.take_programs, build.take_python,
        build.take_files, build.configure,
    ):  # fmt: skip
        step(run)
    return Tree(run.rootfs_dir)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with open_run(tmp_path_factory.mktemp("rescue")) as run:
        build_tree(run)
        build.check(run)
        build.check_secrets(run)
        yield run


@pytest.fixture
def without() -> Iterator[Callable[[Path], None]]:
    """Hide a file of the tree for the time of a test."""
    hidden: list[Path] = []

    def hide(path: Path) -> None:
        path.rename(path.with_name(path.name + ".hidden"))
        hidden.append(path)

    yield hide
    for path in hidden:
        path.with_name(path.name + ".hidden").rename(path)


def test_programs_run_in_the_tree(built: Run) -> None:
    run = built
    for argv in (["bash", "-c", "ls / | sort"], ["rear", "--version"], ["ip", "-V"], ["tar", "--version"]):
        run.sh.run("chroot", run.rootfs_dir, *argv)


def test_a_report_can_be_drawn_in_the_tree(built: Run) -> None:
    """With its templates, and what renders them."""
    values = "hostname='web1', file='', pictures={}, left_out=['<script>']"
    code = f"import sys; sys.path.insert(0, {SITE!r}); from rear_core.pages import render"
    code += f"; print(render('layout.html.j2', {values}))"
    shown = built.sh.query("chroot", built.rootfs_dir, "python3", "-BIS", "-c", code)
    assert "&lt;script&gt;" in shown and shown.rstrip().endswith("</html>")


def test_a_missing_library_fails_the_check(built: Run, without: Callable[[Path], None]) -> None:
    library = next(built.rootfs_dir.rglob("libblkid.so.1.*"))
    without(library)
    with pytest.raises(RearError, match=r"libraries are missing.*needs libblkid\.so\.1"):
        build.check(built)


def test_a_missing_program_fails_the_check(built: Run, without: Callable[[Path], None]) -> None:
    without(next(path for path in built.rootfs_dir.rglob("wipefs") if path.is_file()))
    with pytest.raises(RearError, match="wipefs"):
        build.check(built)


def test_a_missing_distribution_fails_the_check(built: Run, without: Callable[[Path], None]) -> None:
    without(built.rootfs_dir / "usr/lib/rear/python/pluggy")
    with pytest.raises(RearError, match="Python or a plugin does not work"):
        build.check(built)


def test_a_private_key_that_a_script_copied_fails_the_build(built: Run) -> None:
    key = built.rootfs_dir / "root/.ssh/id_test"
    built.sh.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    try:
        with pytest.raises(RearError, match=r"a private key in /root/\.ssh/id_test"):
            build.check_secrets(built)
    finally:
        key.unlink()
        key.with_suffix(".pub").unlink()


def test_the_tree_has_no_password_and_lets_sshd_accept_keys(built: Run) -> None:
    shadow = built.rootfs_dir / "etc/shadow"
    assert shadow.read_text().startswith("root:*:")
    assert stat.S_IMODE(shadow.stat().st_mode) == 0o600
    assert "PasswordAuthentication no" in (built.rootfs_dir / "etc/ssh/sshd_config").read_text()


def test_the_image_unpacks_and_a_second_one_is_the_same(
    built: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    images = []
    for _ in range(2):
        (built.build_dir / pack.MODULES_SEGMENT).unlink(missing_ok=True)
        # The second modules segment is made anew, not taken from the cache.
        for cached in (Path(built.settings["CACHE_DIR"])).glob("*"):
            cached.unlink()
        pack.pack_modules(built)
        pack.pack_tree(built)
        assert built.image is not None
        images.append(built.image.initramfs.read_bytes())
    assert images[0] == images[1]

    programs = next(Path(built.settings["CACHE_DIR"]).glob("programs-*.cpio"))
    segments = (programs, built.build_dir / pack.CONFIGURED_SEGMENT, built.build_dir / pack.MODULES_SEGMENT)
    method = pack.compression(built)
    listing = ""
    for segment in segments:
        with segment.open("rb") as file, (tmp_path / "archive").open("wb") as archive:
            built.sh.run(method, "--decompress", "--stdout", stdin=file, stdout=archive)
        with (tmp_path / "archive").open("rb") as file:
            listing += built.sh.run("cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet", stdin=file).stdout
    lines = listing.splitlines()
    assert any(line.startswith("crw") and line.endswith("dev/console") for line in lines)
    assert any(line.endswith(" init") and line.startswith("-rwxr-xr-x") for line in lines)
    assert all(line.split()[2:4] == ["0", "0"] for line in lines)
    assert any("/modules.dep.bin" in line for line in lines)
    assert any("virtio_blk.ko" in line for line in lines)
    assert not any("/sound/" in line for line in lines)


def test_a_large_image_says_what_it_is_made_of(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(os.urandom(3 << 20))
    excluded = "EXCLUDE_MODULES=( mlx5_core no_such_module )\n"
    with open_run(tmp_path / "run", f"RESCUE_FILES=( {tool} )\nRESCUE_SIZE_WARNING=5\n{excluded}") as run:
        terminal = io.StringIO()
        run.report = Report(terminal=terminal)
        build_tree(run)
        pack.pack_modules(run)
        pack.pack_tree(run)
        parts_table.check_size(run)
        assert run.image is not None
        size = run.image.initramfs.stat().st_size / 2**20
    assert any("no module no_such_module" in warning for warning in run.report.warnings)
    assert "more than RESCUE_SIZE_WARNING=5" in run.report.warnings[-1]
    row = re.compile(r"^ *([0-9.]+) MiB +([0-9.]+) MiB +(\d+) %  (.*?): (.*)$", re.MULTILINE)
    parts = {
        name: (float(full), float(packed), int(share))
        for full, packed, share, name, _ in row.findall(terminal.getvalue())
    }
    advice = {name: text for *_, name, text in row.findall(terminal.getvalue())}
    assert parts[f"RESCUE_FILES {tool}"][:2] == (3.0, 3.0)
    assert advice[f"RESCUE_FILES {tool}"] == "remove it from RESCUE_FILES"
    assert "EXCLUDE_MODULES+=( " in advice["kernel modules drivers/net"]
    assert "mlx5_core" not in advice["kernel modules drivers/net"]
    assert "usbcore" not in advice["kernel modules drivers/usb"]
    assert size * 0.7 < sum(packed for _, packed, _ in parts.values()) < size * 1.02
    assert all(abs(100 * packed / size - share) <= 1 for _, packed, share in parts.values())


def test_an_unchanged_kernel_comes_from_the_cache(built: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    link = built.build_dir / pack.MODULES_SEGMENT
    link.unlink(missing_ok=True)
    pack.pack_modules(built)
    segment = link.resolve()
    made = segment.stat().st_ino
    link.unlink()
    pack.pack_modules(built)
    assert link.resolve().stat().st_ino == made


def test_programs_come_from_the_cache_when_only_the_configuration_changed(built: Run) -> None:
    def programs() -> dict[Path, int]:
        return {path: path.stat().st_ino for path in Path(built.settings["CACHE_DIR"]).glob("programs-*.cpio")}

    if not (built.build_dir / pack.MODULES_SEGMENT).is_symlink():
        pack.pack_modules(built)
    pack.pack_tree(built)
    before = programs()
    Tree(built.rootfs_dir).text("/etc/hostname", "renamed\n")
    pack.pack_tree(built)
    assert programs() == before


def test_configured_files_secrets_and_password(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "note").write_text("a file of the administrator")
    (given / "left-out").write_text("x")
    word = "$6$saltsalt$" + "A" * 86
    with open_run(
        tmp_path,
        f"RESCUE_FILES=( {given} )\nRESCUE_FILES_EXCLUDE=( {given}/left-out )\nSSH_ROOT_PASSWORD='{word}'\n",
    ) as run:
        tree = build_tree(run)
        build.check_secrets(run)
        assert tree.has(given / "note")
        assert not tree.has(given / "left-out")
        assert f"root:{word}:" in tree.inside("/etc/shadow").read_text()
        # The hash is where sshd reads it and nowhere else.
        assert word not in tree.inside("/etc/rear/local.conf").read_text()
        tree.text("/etc/leak", word)
        with pytest.raises(RearError, match="/etc/leak"):
            build.check_secrets(run)


def test_a_vendors_directory_comes_with_its_libraries_and_without_its_passwords(tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    (vendor / "lib").mkdir(parents=True)
    bash, tinfo = Path("/bin/bash").resolve(), next(Path("/lib/x86_64-linux-gnu").glob("libtinfo.so.?"))
    renamed = tinfo.name.replace("tinfo", "vendr")
    # The library of a vendor's program is in a directory that only LD_LIBRARY_PATH names; another program is broken.
    (vendor / "client").write_bytes(bash.read_bytes().replace(tinfo.name.encode(), renamed.encode()))
    (vendor / "broken").write_bytes(bash.read_bytes().replace(tinfo.name.encode(), b"libnever.so.6"))
    for program in ("client", "broken"):
        (vendor / program).chmod(0o755)
    (vendor / "lib" / renamed).write_bytes(tinfo.read_bytes())
    for name in ("client.conf", "PASSWORD", "KEY"):
        (vendor / name).write_text("x")
    contents = Contents(
        [f"{vendor}/client"], files=[str(vendor)], library_directories=[f"{vendor}/lib"],
        secrets=["*/PASSWORD", "*/KEY"],
    )  # fmt: skip
    plugin = ModuleType("vendor")
    vars(plugin)["rear_rescue_contents"] = hookimpl(lambda: contents)
    with open_run(tmp_path, f"RESCUE_ALLOW_SECRETS=( {vendor}/KEY )\n") as run:
        run.plugins = Plugins([*modules(), plugin])
        tree = build_tree(run)
        build.check(run)
        build.check_secrets(run)
        assert f"{vendor}/broken needs libnever.so.6" in run.report.warnings
        assert tree.has(vendor / "client.conf") and tree.has(vendor / "KEY")
        assert not tree.has(vendor / "PASSWORD")
        answer = run.sh.query(
            "chroot", run.rootfs_dir, vendor / "client", "-c", "echo works", env={"LD_LIBRARY_PATH": f"{vendor}/lib"}
        )
        assert answer == "works\n"
        tree.text(f"{vendor}/PASSWORD", "x")
        with pytest.raises(RearError, match=r"a password or key of a program in .*/PASSWORD"):
            build.check_secrets(run)
        tree.inside(vendor / "lib" / renamed).unlink()
        with pytest.raises(RearError, match=f"client needs {renamed}"):
            build.check(run)


def test_names_of_servers_in_hosts_come_along(built: Run) -> None:
    hosts = Tree(built.rootfs_dir).inside("/etc/hosts").read_text().splitlines()
    assert hosts[0] == "127.0.0.1 localhost"
    assert {line for line in Path("/etc/hosts").read_text().splitlines() if re.match(r"[1-9]", line)} <= set(hosts)
    assert len(hosts) == len(set(hosts))


def test_missing_programs_are_named_all_at_once(tmp_path: Path) -> None:
    with open_run(tmp_path, "RESCUE_BINARIES=( no-such-program neither-this )\n") as run:
        with pytest.raises(RearError, match="no-such-program, neither-this"):
            rescue.check_programs(run)
        assert os.listdir(run.build_dir) == []


def test_modules_are_packed_while_the_tree_is_built(tmp_path: Path) -> None:
    with open_run(tmp_path, "INITRAMFS_COMPRESSION=gzip\n") as run:
        for step in (rescue.choose_kernel, rescue.decide_contents, build.create_skeleton, pack.begin_modules):
            step(run)
        pack.pack_modules(run)
        segment = (run.build_dir / pack.MODULES_SEGMENT).resolve()
        assert [path.suffix for path in sorted(run.cache_dir.iterdir())] == [".cpio", ".sha256"]
        assert segment.parent == run.cache_dir


def test_a_run_that_ends_while_modules_are_packed_leaves_nothing(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        for step in (rescue.choose_kernel, rescue.decide_contents, build.create_skeleton, pack.begin_modules):
            step(run)
        assert mounts_below(run.build_dir)
    assert not mounts_below(run.build_dir)
    assert [path for path in run.cache_dir.glob("*") if path.suffix == ".part"] == []
