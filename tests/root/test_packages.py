# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make packages` makes is installed on a Debian machine without a network, makes rescue media, and goes again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import debian, docs
from lab.chroot import Chroot

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(1800)]

NAMES = ("rear-core", "rear-os-debian", "rear-output-iso", "rear-backup-nfs", "rear-drill")
# What Debian has of what they need, and the machine has not.
LIBRARIES = ("python3-click", "python3-jinja2", "python3-pexpect", "python3-pluggy", "python3-pyroute2")
PAGE = "how-to/install.md"
ISO = "var/lib/rear/output/rear-debian12.iso"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all packages."""
    output = tmp_path_factory.mktemp("dist")
    script = debian.CHECKOUT / "packaging/build.py"
    subprocess.run([sys.executable, script, "--output", output], check=True, timeout=1200)
    return output


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chroot]:
    release = getattr(request, "param", debian.BOOKWORM)
    with Chroot([debian.tree(*LIBRARIES, "rpm", release=release)], tmp_path / "upper") as chroot:
        (chroot.root / "srv/dist").mkdir(parents=True)
        yield chroot


def media_are_made(machine: Chroot, *command: str) -> None:
    machine.run(*command)
    assert (machine.root / ISO).stat().st_size > 50 << 20


@pytest.mark.parametrize("machine", [debian.BOOKWORM, debian.TRIXIE], indirect=True, ids=lambda release: release.suite)
def test_debian_packages(made: Path, machine: Chroot) -> None:
    packages = [next(made.glob(f"{name}_*.deb")) for name in (*NAMES, "python3-blkinfo")]
    for package in packages:
        shutil.copy(package, machine.root / "srv/dist")
    files = [f"/srv/dist/{package.name}" for package in packages]
    install, mkrescue = docs.typed(PAGE, "Debian and Ubuntu")
    machine.run("sh", "-c", f"cd /srv/dist && {install}")
    media_are_made(machine, *mkrescue.split())
    # Also what the page leaves out.
    machine.run("dpkg", "--install", *files)
    assert (machine.root / "etc/rear").stat().st_mode & 0o777 == 0o700
    assert (machine.root / "usr/share/rear/ansible/roles/rear/tasks/main.yml").exists()
    config = machine.root / "etc/rear/local.conf"
    config.write_text("# mine\n")
    machine.run("dpkg", "--install", *files)
    assert config.read_text() == "# mine\n"
    machine.run("dpkg", "--purge", *NAMES, "python3-blkinfo")
    for gone in ("etc/rear", "var/cache/rear", "var/log/rear", "usr/lib/python3/dist-packages/rear_core"):
        assert not (machine.root / gone).exists(), gone
    # It signs the backups of this machine.
    assert (machine.root / "var/lib/rear/signing-key.pem").exists() and (machine.root / ISO).exists()


def test_debian_packages_are_clean(made: Path) -> None:
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    # Nobody has asked Debian to take them.
    argv: list[str | Path] = [
        "lintian",
        "--fail-on=error,warning",
        "--suppress-tags=initial-upload-closes-no-bugs",
        *made.glob("*.deb"),
    ]
    ended = subprocess.run(argv, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_rpm_packages(made: Path, machine: Chroot) -> None:
    packages = [next(made.glob(f"{name}-[0-9]*.rpm")) for name in NAMES]
    for package in packages:
        shutil.copy(package, machine.root / "srv/dist")
    # What a machine of Debian has is in no database of rpm.
    machine.run("rpm", "--install", "--nodeps", *(f"/srv/dist/{package.name}" for package in packages))
    config = machine.root / "etc/rear/local.conf"
    config.write_text("# mine\n")
    media_are_made(machine, "rear", "mkrescue")
    machine.run("rpm", "--erase", "--nodeps", *NAMES)
    assert not (machine.root / "usr/lib/rear").exists()
    assert (machine.root / "etc/rear/local.conf.rpmsave").read_text() == "# mine\n"


def test_the_archive_for_machines_without_a_network(made: Path, machine: Chroot) -> None:
    (archive,) = made.glob("rear-*.tar.gz")
    shutil.copy(archive, machine.root / "srv/dist")
    unpack, install = docs.typed(PAGE, "Without a network")
    for _ in range(2):
        machine.run("sh", "-c", f"cd /srv/dist && {unpack} && {install}")
    assert len([*(machine.root / "opt/rear").iterdir()]) == 1
    media_are_made(machine, "rear", "mkrescue")


def test_the_single_file(made: Path, machine: Chroot) -> None:
    shutil.copy(made / "rear.pyz", machine.root / "srv/dist")
    (line,) = docs.typed(PAGE, "One file")
    media_are_made(machine, "sh", "-c", f"cd /srv/dist && {line}")
    (home,) = (machine.root / "var/lib/rear/program").iterdir()
    assert home.parent.stat().st_mode & 0o777 == 0o700
